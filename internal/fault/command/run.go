package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// searched are the folders in which a program without a slash is looked for: PATH of every command.
const searched = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const (
	keptOutput = 4 << 10     // of a command's output, its end
	drainFor   = time.Second // how long the output of a command that was killed is waited for
)

// The commands of a fault, as CHAOS_VERB names them.
const (
	verbInject  = "inject"
	verbConfirm = "confirm"
	verbMeasure = "measure"
	verbRevert  = "revert"
)

// result is a command that ran to its end.
type result struct {
	verb   string
	argv   []string
	code   int
	output string
}

// errorf is an error that shows the command and the end of what it printed.
func (r result) errorf(format string, a ...any) error {
	err := fmt.Errorf("exec: %s (%s): "+format, append([]any{r.verb, Words(r.argv)}, a...)...)
	if r.output != "" {
		err = fmt.Errorf("%w; it said: %s", err, r.output)
	}
	return err
}

// run runs one command of an action to its end. It has a process group of its own, all of which is killed
// when ctx ends or its timeout passes: what was begun does not go on behind our back.
func (f *Exec) run(ctx context.Context, s target.System, a fault.Action, verb string) (result, error) {
	if !f.allowed {
		return result{}, errNotAllowed
	}
	p, err := open(a)
	if err != nil {
		return result{}, err
	}
	r := result{verb: verb, argv: map[string][]string{verbInject: p.Commands.Inject, verbConfirm: p.Commands.Confirm,
		verbMeasure: p.Commands.Measure, verbRevert: p.Commands.Revert}[verb]}
	if err := ctx.Err(); err != nil {
		return r, r.errorf("not run: %w", err)
	}
	program, err := find(r.argv[0], p.Dir)
	if err != nil {
		return r, r.errorf("%w", err)
	}
	limited, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	out := &tail{}
	c := exec.CommandContext(limited, program, r.argv[1:]...)
	c.Args[0] = r.argv[0]
	c.Dir, c.Env, c.Stdout, c.Stderr = p.Dir, environment(ctx, s, a, p, verb), out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithUs(c.SysProcAttr)
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = drainFor
	call := func() error {
		runtime.LockOSThread() // the kernel ends the command with the thread that made it
		defer runtime.UnlockOSThread()
		return c.Run()
	}
	if f.through != nil {
		err = f.through(call)
	} else {
		err = call()
	}
	r.output = out.String()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, r.errorf("killed: %w", ctx.Err())
	case limited.Err() != nil:
		return r, r.errorf("killed after its timeout of %v", p.Timeout)
	case err == nil:
		return r, nil
	case errors.As(err, &ended) && ended.Exited() && err == error(ended):
		r.code = ended.ExitCode()
		return r, nil
	}
	return r, r.errorf("%w", err)
}

// find is the program that a command names: a path, as seen from dir, or a name in one of the folders
// searched. The PATH of whoever runs chaos decides nothing.
func find(name, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return exec.LookPath(name)
	}
	for _, folder := range filepath.SplitList(searched) {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in %s", name, searched)
}

// environment is all of a command's environment: PATH, what the experiment says, and CHAOS_*.
func environment(ctx context.Context, s target.System, a fault.Action, p args, verb string) []string {
	env := []string{"PATH=" + searched, "CHAOS_VERB=" + verb, "CHAOS_ACTION=" + a.ID, "CHAOS_FAULT=" + a.Fault, "CHAOS_PLACE=" + a.Place}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		env = append(env, name+"="+p.Env[name])
	}
	if s == nil { // the target is gone
		return env
	}
	t := s.Topology()
	env = append(env, "CHAOS_TARGET="+t.Name)
	for _, n := range t.Nodes {
		for _, port := range slices.Sorted(maps.Keys(n.Ports)) {
			if !n.Ports[port].Publish {
				continue
			}
			if address, err := s.Endpoint(ctx, n.Name, port); err == nil { // a node that is down has none
				env = append(env, "CHAOS_ENDPOINT_"+shout(n.Name)+"_"+shout(port)+"="+address)
			}
		}
	}
	return env
}

// shout is a name as part of an environment variable.
func shout(name string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return unicode.ToUpper(r)
		}
		return '_'
	}, name)
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b...)
	if cut := len(t.kept) - keptOutput; cut > 0 {
		t.kept = append(t.kept[:0], t.kept[cut:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	return string(bytes.ToValidUTF8(bytes.TrimSpace(t.kept), []byte("?")))
}

// lastLine is the last line of a text.
func lastLine(text string) string {
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
