// Command torture kills runs at random moments and looks at what is left of them: it prints the table of
// docs/reliability.md, and exits 1 with the run's folder when anything is left.
//
//	one run unharmed ─▶ its length ─▶ N × { start ─ wait for a moment drawn from that length ─ strike ─▶ is it over? ─▶ is anything left? } ─▶ table
//
// The ways to strike, their moments, the experiment and whether the target is kept come from --seed. Ctrl-C ends
// it after the run that is under way; the table then tells of the runs so far.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

//go:embed files
var files embed.FS

// experiments are the names of the experiments in files; each has several faults at a time.
func experiments() []string { return []string{"frozen", "killed", "silent"} }

// campaign is what all runs have in common.
type campaign struct {
	chaos   string // the binary, absolute
	runtime string
	seed    uint64
	dir     string // of the whole campaign, absolute
	rng     *rand.Rand
	length  time.Duration // of a run that nobody strikes
	restart string        // shell command that restarts the engine's daemon
}

func main() {
	chaos := flag.String("chaos", "bin/chaos", "the chaos binary")
	runs := flag.Int("runs", 200, "how many runs are struck")
	where := flag.String("runtime", "auto", "runtime")
	seed := flag.Uint64("seed", 0, "repeats a campaign's choices; 0 draws one")
	folder := flag.String("folder", "reports", "folder that the campaign's own folder is made in; a go.mod is above it")
	only := flag.String("only", "", "strike in this way only; -only list prints all")
	restart := flag.String("restart-daemon", "", "shell command that restarts the container engine; without one that way is left out")
	flag.Parse()
	enough, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *seed == 0 {
		*seed = rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(os.Getpid()))).Uint64() >> 16
	}
	c := &campaign{runtime: *where, seed: *seed, rng: rand.New(rand.NewPCG(*seed, 0)), restart: *restart}
	if err := c.run(enough, *chaos, *folder, *only, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func (c *campaign) run(enough context.Context, chaos, folder, only string, runs int) (err error) {
	if c.chaos, err = filepath.Abs(chaos); err != nil {
		return err
	}
	if c.dir, err = filepath.Abs(filepath.Join(folder, fmt.Sprintf("torture-%d", c.seed))); err != nil {
		return err
	}
	if only == "list" {
		for _, w := range ways() {
			fmt.Println(w.name)
		}
		return nil
	}
	fmt.Fprintf(os.Stderr, "seed %d · runs in %s\n", c.seed, c.dir)
	if err := c.measure(); err != nil {
		return err
	}
	able, out := c.able(only)
	if len(able) == 0 {
		return fmt.Errorf("no way to strike is called %q, or this machine can't: %s", only, strings.Join(out, "; "))
	}
	var done []outcome
	bad := 0
	for i := 0; i < runs && enough.Err() == nil; i++ {
		if i%len(able) == 0 {
			c.rng.Shuffle(len(able), func(a, b int) { able[a], able[b] = able[b], able[a] })
		}
		o := c.one(i+1, able[i%len(able)])
		done = append(done, o)
		fmt.Fprintf(os.Stderr, "%3d of %d: %s\n", i+1, runs, o)
		if len(o.left) > 0 {
			bad++
		}
	}
	table(os.Stdout, c, done, out)
	if bad > 0 {
		return fmt.Errorf("%d of %d runs left something", bad, len(done))
	}
	return nil
}

// measure takes one run unharmed: it tells how long one is, and makes the images where they are needed.
func (c *campaign) measure() error {
	v, err := c.prepare("000-unharmed", experiments()[0], false)
	if err != nil {
		return err
	}
	for i := range 2 { // the first may have built something
		v.before = i
		if err := v.start(); err != nil {
			return err
		}
		v.begun()
		began := time.Now()
		if err := v.wait(endsWithin); err != nil {
			return fmt.Errorf("%w; see %s", err, v.dir)
		}
		c.length = time.Since(began)
	}
	if v.code != 0 && v.code != 1 && v.code != 2 { // verdicts
		return fmt.Errorf("a run that nobody strikes exits %d; see %s", v.code, v.dir)
	}
	if left := v.left(); len(left) > 0 {
		return fmt.Errorf("a run that nobody strikes leaves %s; see %s", strings.Join(left, "; "), v.dir)
	}
	c.runtime = v.runtime()
	if c.runtime == "" {
		return errors.New("a run that nobody strikes has no run.json; see " + v.dir)
	}
	fmt.Fprintf(os.Stderr, "runtime %s · a run takes %.1f s\n", c.runtime, c.length.Seconds())
	return nil
}
