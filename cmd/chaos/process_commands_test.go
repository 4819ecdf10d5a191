package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chaos/internal/journal"
	"chaos/internal/target"
	local "chaos/internal/target/process"
)

// Limits of the scripts' own commands.
const (
	awaitWithin = 5 * time.Minute // until something happens in a run
	endedWithin = 5 * time.Minute // until a command that was started ends
	deadWithin  = time.Minute     // until processes are gone whose parent was killed
	pollEvery   = 20 * time.Millisecond
)

// started are a script's commands in the background, by name.
type started map[string]*process
type startedKey struct{}

func named(ts *testscript.TestScript, name string) *process {
	p, ok := ts.Value(startedKey{}).(started)[name]
	if !ok {
		ts.Fatalf("nothing called %s was started", name)
	}
	return p
}

// endStarted is the end of a script: nothing that it started goes on, whatever failed.
func endStarted(env *testscript.Env) {
	for _, p := range env.Values[startedKey{}].(started) {
		select {
		case <-p.ended:
		default:
			_ = p.Process.Kill()
			<-p.ended
		}
	}
	for _, f := range foundOf(env.T(), env.WorkDir, env.Getenv("TARGET")) {
		if pid, err := strconv.Atoi(f.ID); err == nil && f.Kind == "process" {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for _, f := range foundOf(env.T(), env.WorkDir, env.Getenv("TARGET")) {
		if f.Kind == "folder" {
			_ = os.RemoveAll(f.Name)
		}
	}
}

func want(ts *testscript.TestScript, args []string, n int, usage string) {
	if len(args) < n {
		ts.Fatalf("usage: %s", usage)
	}
}

// start starts chaos in the background: start first run --runtime process experiment.yaml.
func start(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 2, "start <name> <arguments of chaos>")
	all := ts.Value(startedKey{}).(started)
	if all[args[0]] != nil {
		ts.Fatalf("%s was started already", args[0])
	}
	commands, _, _ := strings.Cut(ts.Getenv("PATH"), string(os.PathListSeparator)) // where testscript puts them
	command, words := first(filepath.Join(commands, "chaos"), args[1:])
	p := &process{Cmd: exec.Command(command, words...), ended: make(chan struct{})}
	p.Dir, p.Cmd.Stdout, p.Cmd.Stderr = ts.MkAbs("."), &p.stdout, p
	for _, name := range append([]string{"PATH", "HOME", "TMPDIR", "DOCKER_HOST"}, goVariables()...) {
		p.Env = append(p.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(p.Start())
	all[args[0]] = p
	go func() {
		_ = p.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
}

// signalTo sends a signal to a started command alone, not to its children: signal first INT.
func signalTo(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 2, "signal <name> INT|TERM|HUP|KILL")
	sig, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ts.Check(named(ts, args[0]).Process.Signal(sig))
}

// ended waits for a started command and compares its exit code, or the word killed. What it said is in
// <name>.stdout and <name>.stderr then.
func ended(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 2, "ended <name> <exit code>|killed")
	p := named(ts, args[0])
	select {
	case <-p.ended:
	case <-time.After(endedWithin):
		ts.Fatalf("%s still runs after %v:\n%s", args[0], endedWithin, p.said())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".stdout"), p.stdout.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".stderr"), []byte(p.said()), 0o600))
	got := strconv.Itoa(p.ProcessState.ExitCode())
	if got == "-1" {
		got = "killed"
	}
	if got != args[1] {
		ts.Fatalf("%s ended with %s, want %s:\n%s%s", args[0], got, args[1], &p.stdout, p.said())
	}
}

// await waits until the only file that a pattern matches holds a text, while a started command runs:
// await first reports/*/*/events.ndjson '"type":"active"'. The pattern stderr is what the command said.
func await(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 3, "await <name> <pattern>|stderr <text>")
	p := named(ts, args[0])
	for limit := time.Now().Add(awaitWithin); time.Now().Before(limit); {
		text := p.said()
		if args[1] != "stderr" {
			text = ""
			if path, ok := one(ts, args[1]); ok {
				raw, err := os.ReadFile(path)
				ts.Check(err)
				text = string(raw)
			}
		}
		if strings.Contains(text, args[2]) {
			return
		}
		select {
		case <-p.ended:
			ts.Fatalf("%s ended (%v) before %s held %s:\n%s%s", args[0], p.ProcessState, args[1], args[2], &p.stdout, p.said())
		case <-time.After(pollEvery):
		}
	}
	ts.Fatalf("%s did not hold %s within %v", args[1], args[2], awaitWithin)
}

// ours are the ids of a script's runs and of the suites that they used, from all run.json below it.
func ours(t fataler, work string) (ids []string) {
	files, err := filepath.Glob(filepath.Join(work, "*", "*", "*", journal.FileRun))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		info, err := journal.ReadInfo(filepath.Dir(file))
		if err != nil {
			continue // one that the script cut
		}
		var handle struct{ Suite string }
		if err := json.Unmarshal(info.Handle, &handle); err == nil {
			ids = append(ids, handle.Suite)
		}
		ids = append(ids, info.ID)
	}
	return ids
}

type fataler interface{ Fatal(...any) }

// foundOf are the folders and processes on this machine of a script's own targets.
func foundOf(t fataler, work, own string) []target.Found {
	ids := ours(t, work)
	all, err := local.New(local.Config{}).List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f target.Found) bool {
		return f.Target != own && !slices.Contains(ids, f.Suite) && !slices.Contains(ids, f.Run)
	})
}

func things(ts *testscript.TestScript) []target.Found {
	return foundOf(script{ts}, ts.Getenv("WORK"), ts.Getenv("TARGET"))
}

type script struct{ *testscript.TestScript }

func (s script) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }

// nodes writes down the processes of the script's targets, from their records: nodes before.txt.
func nodes(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 1, "nodes <file>")
	lines := processLines(ts)
	for limit := time.Now().Add(awaitWithin); len(lines) == 0; lines = processLines(ts) { // it may be coming up
		if time.Now().After(limit) {
			ts.Fatalf("no node runs")
		}
		time.Sleep(pollEvery)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "")), 0o600))
}

// processLines is a line for each process of the script's targets.
func processLines(ts *testscript.TestScript) (lines []string) {
	for _, f := range things(ts) {
		if f.Kind != "process" {
			continue
		}
		pid, err := strconv.Atoi(f.ID)
		ts.Check(err)
		for _, member := range append([]int{pid}, children(pid)...) {
			began, err := target.ProcessStart(member)
			if err == nil && began != "" { // a child may have ended meanwhile
				lines = append(lines, fmt.Sprintf("%d %s %s\n", member, began, f.Node))
			}
		}
	}
	return lines
}

// children are the processes that a process started itself, where there is a /proc to ask.
func children(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // it ended meanwhile
		}
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// running are the lines of a file that nodes wrote whose process still is.
func running(ts *testscript.TestScript, file string) (left []string) {
	for line := range strings.Lines(ts.ReadFile(file)) {
		var pid int
		var began, node string
		_, err := fmt.Sscan(line, &pid, &began, &node)
		ts.Check(err)
		if now, err := target.ProcessStart(pid); err == nil && now == began {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return left
}

// dead waits until no process of a file that nodes wrote is left.
func dead(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 1, "dead <file>")
	for limit := time.Now().Add(deadWithin); time.Now().Before(limit); time.Sleep(pollEvery) {
		if len(running(ts, args[0])) == 0 {
			return
		}
	}
	ts.Fatalf("still running after %v: %v", deadWithin, running(ts, args[0]))
}

// alive checks that every process of a file that nodes wrote runs.
func alive(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 1, "alive <file>")
	if all := strings.Count(ts.ReadFile(args[0]), "\n"); len(running(ts, args[0])) != all {
		ts.Fatalf("of %d processes only these run: %v", all, running(ts, args[0]))
	}
}

// killNode ends, or stops, a node's process behind the harness's back.
func killNode(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 1, "killnode <node> [STOP]")
	sig := syscall.SIGKILL
	if len(args) > 1 && args[1] == "STOP" {
		sig = syscall.SIGSTOP
	}
	for _, f := range things(ts) {
		if f.Kind == "process" && f.Node == args[0] {
			pid, err := strconv.Atoi(f.ID)
			ts.Check(err)
			ts.Check(syscall.Kill(pid, sig))
			return
		}
	}
	ts.Fatalf("node %s does not run", args[0])
}

// nothingLeft checks that no folder and no process of the script's targets is on this machine.
func nothingLeft(ts *testscript.TestScript, _ bool, _ []string) {
	var left []string
	for _, f := range things(ts) {
		left = append(left, f.Kind+" "+f.Name)
	}
	scratch := filepath.Join("/tmp", "chaos-process-"+strconv.Itoa(os.Getuid()))
	cwds, err := filepath.Glob("/proc/[0-9]*/cwd")
	ts.Check(err)
	for _, id := range ours(script{ts}, ts.Getenv("WORK")) {
		for _, folder := range []string{filepath.Join(scratch, id), filepath.Join(scratch, ".gone-"+id)} {
			if _, err := os.Lstat(folder); !errors.Is(err, os.ErrNotExist) {
				left = append(left, "folder "+folder)
			}
			for _, cwd := range cwds {
				if to, err := os.Readlink(cwd); err == nil && strings.HasPrefix(to, folder) {
					left = append(left, cwd+" in "+to)
				}
			}
		}
	}
	if len(left) > 0 {
		ts.Fatalf("left behind:\n%s", strings.Join(left, "\n"))
	}
}
