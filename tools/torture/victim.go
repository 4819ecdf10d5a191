package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Limits of waiting.
const (
	endsWithin = 2 * time.Minute        // a run that goes on, to its end
	goneWithin = time.Minute            // the watchdog, after the harness is gone
	dieWithin  = 15 * time.Second       // a process of ours, when nothing has it in hand any more
	lookEvery  = 20 * time.Millisecond  // between two looks
	victimsUp  = 200 * time.Millisecond // between two looks for a node that is not up yet
)

// victim is one run, in a folder of its own.
type victim struct {
	*campaign
	dir, target string
	keep        bool
	hurt        bool // a node was killed behind the harness's back: it stays dead
	experiment  string
	args        []string

	cmd    *exec.Cmd
	ended  chan struct{}
	code   int
	before int    // runs in this folder before this one
	seen   []proc // every process of ours that was seen while the run lasted
}

// prepare makes the folder of a run, with the target under a name that only this run has.
func (c *campaign) prepare(name, experiment string, keep bool) (*victim, error) {
	v := &victim{campaign: c, dir: filepath.Join(c.dir, name), keep: keep, experiment: experiment}
	v.target = fmt.Sprintf("torture-%d-%s", os.Getpid(), name[:3])
	if err := os.MkdirAll(v.reports(), 0o700); err != nil {
		return nil, err
	}
	for _, file := range []string{"target.yaml", experiment + ".yaml"} {
		text, err := files.ReadFile("files/" + file)
		if err != nil {
			return nil, err
		}
		text = []byte(strings.Replace(string(text), "name: NAME\n", "name: "+v.target+"\n", 1))
		if err := os.WriteFile(filepath.Join(v.dir, file), text, 0o600); err != nil {
			return nil, err
		}
	}
	v.args = []string{"run", "--runtime", c.runtime, "--reports", v.reports(), "--seed", fmt.Sprint(c.rng.Uint32()), filepath.Join(v.dir, experiment+".yaml")}
	if keep {
		v.args = append(v.args, "--keep")
	}
	return v, nil
}

func (v *victim) reports() string { return filepath.Join(v.dir, "reports") }

// start starts the run, in a process group of its own: a Ctrl-C here is not for it.
func (v *victim) start() error {
	out, err := os.OpenFile(filepath.Join(v.dir, "said.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	v.cmd = exec.Command(v.chaos, v.args...)
	v.cmd.Stdout, v.cmd.Stderr, v.cmd.SysProcAttr = out, out, &syscall.SysProcAttr{Setpgid: true}
	if err := v.cmd.Start(); err != nil {
		return err
	}
	v.ended = make(chan struct{})
	go func() {
		_ = v.cmd.Wait() // how it ended is in ProcessState
		v.code = v.cmd.ProcessState.ExitCode()
		close(v.ended)
	}()
	return nil
}

// wait waits for the harness's end. One that does not end is killed, so that nothing of it goes on.
func (v *victim) wait(within time.Duration) error {
	select {
	case <-v.ended:
		return nil
	case <-time.After(within):
		err := v.cmd.Process.Kill()
		<-v.ended
		return errors.Join(fmt.Errorf("the harness still ran after %v", within), err)
	}
}

// begun waits until the run has the engine to itself: another may use it, and waiting for that is no run.
func (v *victim) begun() {
	for v.pause(lookEvery) {
		said, err := os.ReadFile(filepath.Join(v.dir, "said.txt"))
		if err == nil && strings.Count(string(said), " · reports in ") > v.before {
			return
		}
	}
}

// pause waits for d, or for the harness's end; false when that came first.
func (v *victim) pause(d time.Duration) bool {
	select {
	case <-v.ended:
		return false
	case <-time.After(d):
		return true
	}
}

// over tells whether the harness has ended.
func (v *victim) over() bool {
	select {
	case <-v.ended:
		return true
	default:
		return false
	}
}

// unwatched waits until the run has no watchdog any more: it leaves when nothing is left.
func (v *victim) unwatched() error {
	for limit := time.Now().Add(goneWithin); ; <-time.After(lookEvery) {
		at := slices.IndexFunc(processes(), func(p proc) bool { return strings.Contains(p.command, " watchdog --reports "+v.reports()+" ") })
		if at < 0 {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("the watchdog is at work after %v: see %s", goneWithin, "watchdog.log")
		}
	}
}

// call runs a command of chaos.
func (v *victim) call(args ...string) ([]byte, error) {
	cmd := exec.Command(v.chaos, args...)
	cmd.Dir = v.dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("chaos %s: exit %d: %s%s", strings.Join(args, " "), exit.ExitCode(), out, exit.Stderr)
	}
	return out, err
}

// thing is a line of chaos target status --json.
type thing struct {
	Kind, Name, Target, Suite, Node, State, Whose string
}

// things are what the runtimes list of this run's target.
func (v *victim) things() ([]thing, error) {
	out, err := v.call("target", "status", "--json")
	if err != nil {
		return nil, err
	}
	var all []thing
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("chaos target status: %w", err)
	}
	return slices.DeleteFunc(all, func(t thing) bool { return t.Target != v.target }), nil
}

// watchdog is the pid of the run's watchdog; 0 before there is one.
func (v *victim) watchdog() int {
	for _, p := range processes() {
		if p.parent == v.cmd.Process.Pid && strings.Contains(p.command, " watchdog ") {
			return p.pid
		}
	}
	return 0
}

// remember notes every process of the run that is there now: the harness's descendants, and the nodes that
// the runtime lists.
func (v *victim) remember() {
	all := processes()
	mine := map[int]bool{v.cmd.Process.Pid: true}
	listed, _ := v.things() // a list that can't be had now is had at the end
	for _, t := range listed {
		var pid int
		if _, err := fmt.Sscanf(t.Name, t.Node+", pid %d", &pid); err == nil && t.Kind == "process" {
			mine[pid] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if mine[p.parent] && !mine[p.pid] {
				mine[p.pid], grown = true, true
			}
		}
	}
	for _, p := range all {
		if mine[p.pid] {
			v.seen = append(v.seen, p)
		}
	}
}
