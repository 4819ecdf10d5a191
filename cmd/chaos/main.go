// Command chaos breaks a system on purpose and tells the truth about what happened.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/term"

	"chaos/internal/cli"
)

// version is set by the linker; a plain go build has what the toolchain knows.
var version string

func main() { os.Exit(run()) }

func run() int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup stays nohup
		signals = append(signals, syscall.SIGHUP)
	}
	signal.Ignore(syscall.SIGPIPE) // a reader that went away is an error of a write, never a death with a fault in place
	ctx, again := heed(signals)
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	binary, err := os.Executable()
	if err != nil {
		binary = os.Args[0]
	}
	number, revision := build()
	return cli.Main(ctx, cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Again: again, Getenv: os.Getenv, Now: time.Now, Random: rand.Reader, Dir: dir, Binary: binary,
		Terminal: term.IsTerminal(int(os.Stderr.Fd())), Version: number, Revision: revision,
	})
}

// heed returns a context that the first signal ends, and a channel that tells of each further one: who
// presses Ctrl-C twice wants to know what is still being healed, and dying would leave it broken.
func heed(signals []os.Signal) (context.Context, <-chan os.Signal) {
	const room = 4 // more are not worth telling
	ctx, cancel := context.WithCancel(context.Background())
	got, again := make(chan os.Signal, room), make(chan os.Signal, room)
	signal.Notify(got, signals...)
	go func() {
		<-got
		cancel()
		for s := range got {
			select {
			case again <- s:
			default:
			}
		}
	}()
	return ctx, again
}

// build is the version and the source revision of this binary.
func build() (number, revision string) {
	number = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return number, ""
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if number == "" {
		number = "dev"
	}
	if revision != "" {
		revision += dirty
	}
	return number, revision
}
