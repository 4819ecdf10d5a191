package command

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/target"
)

// shop is a target in whose folder the commands run.
func shop(dir string) *target.Topology {
	return &target.Topology{Name: "shop", Path: filepath.Join(dir, "target.yaml"), Nodes: []target.NodeSpec{
		{Name: "front-1", Ports: map[string]target.Port{"http": {Port: 1, Publish: true}, "admin": {Port: 2}}},
	}}
}

// full makes a file and removes it.
func full() Commands {
	return Commands{Inject: []string{"touch", "full"}, Confirm: []string{"test", "-e", "full"}, Revert: []string{"rm", "-f", "full"}, Timeout: 10 * time.Second}
}

func exists(t testing.TB, path string) bool {
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	return err == nil
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	var gate *faulttest.Gate
	allowed := func(f *Exec) fault.Fault {
		f.through = func(call func() error) error { return gate.Do(call) }
		f.Allow()
		return f
	}
	faulttest.Run(t, faulttest.Case{
		Kind: "exec", Topology: shop(dir), Capabilities: target.Capabilities{Runtime: "memory"},
		New:  func() fault.Fault { return allowed(&Exec{Commands: full()}) },
		Zero: func() fault.Fault { return allowed(&Exec{}) },
		Start: func(testing.TB) *faulttest.World {
			m := faulttest.NewMemory(shop(dir))
			gate = m.Gate
			return &faulttest.World{System: m, Gate: m.Gate, Hurt: func() bool { return exists(t, filepath.Join(dir, "full")) }}
		},
	})
}

// planned is the action of a fault, with an id, and the system that it is on.
func planned(t *testing.T, f *Exec) (fault.Action, target.System, string) {
	t.Helper()
	dir := t.TempDir()
	actions, err := f.Plan(shop(dir), target.Capabilities{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID, actions[0].Fault = "disk#1", "disk"
	return actions[0], faulttest.NewMemory(shop(dir)), dir
}

// Without permission no verb runs anything, and says why.
func TestNothingRunsWithoutPermission(t *testing.T) {
	f := &Exec{Commands: full()}
	a, s, dir := planned(t, f)
	_, armed := f.Arm(t.Context(), s, a)
	_, measured := f.Measure(t.Context(), s, a)
	for verb, err := range map[string]error{"arm": armed, "inject": f.Inject(t.Context(), s, a), "confirm": f.Confirm(t.Context(), s, a, false),
		"measure": measured, "revert": f.Revert(t.Context(), s, a)} {
		if !errors.Is(err, fault.ErrNotPermitted) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if exists(t, filepath.Join(dir, "full")) {
		t.Error("it ran")
	}
}

// endpoints is a memory whose nodes have addresses.
type endpoints struct{ *faulttest.Memory }

func (endpoints) Endpoint(_ context.Context, node, port string) (string, error) {
	return "127.0.0.1:1", nil
}

// A command sees PATH, what the experiment gives it and CHAOS_*, and nothing of whoever runs chaos.
func TestTheEnvironmentIsClean(t *testing.T) {
	t.Setenv("CHAOS_LEAK", "x")
	t.Setenv("LD_PRELOAD_LEAK", "x")
	c := full()
	c.Inject, c.Env = []string{"sh", "-c", "env > seen; touch full"}, map[string]string{"LEVEL": "3"}
	f := &Exec{Commands: c, Node: "front-1"}
	f.Allow()
	a, s, dir := planned(t, f)
	if err := f.Inject(t.Context(), endpoints{s.(*faulttest.Memory)}, a); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, line := range strings.Fields(string(raw)) {
		name, value, _ := strings.Cut(line, "=")
		got[name] = value
	}
	for name, want := range map[string]string{"PATH": searched, "LEVEL": "3", "CHAOS_VERB": "inject", "CHAOS_ACTION": "disk#1", "CHAOS_FAULT": "disk",
		"CHAOS_PLACE": "node:front-1", "CHAOS_TARGET": "shop", "CHAOS_ENDPOINT_FRONT_1_HTTP": "127.0.0.1:1"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
		delete(got, name)
	}
	for _, own := range []string{"PWD", "SHLVL", "_", "OLDPWD"} { // the shell's own
		delete(got, own)
	}
	if len(got) > 0 {
		t.Errorf("it saw %v too", got)
	}
}

// A command that does not end is killed with all that it started, at its timeout or when the run is over.
func TestNothingGoesOnBehindOurBack(t *testing.T) {
	c := full()
	c.Timeout = 3 * time.Second // for a busy machine to come to the first word
	c.Inject = []string{"sh", "-c", "(while ! test -e go; do sleep 0.05; done; touch full) & echo begun; sleep 600"}
	f := &Exec{Commands: c}
	f.Allow()
	a, s, dir := planned(t, f)
	err := f.Inject(t.Context(), s, a)
	if err == nil || !strings.Contains(err.Error(), "killed after its timeout of 3s") || !strings.Contains(err.Error(), "it said: begun") {
		t.Errorf("inject: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	a.Args = json.RawMessage(strings.Replace(string(a.Args), `"rm","-f","full"`, `"sleep","600"`, 1))
	if err := f.Revert(ctx, s, a); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("revert: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second)
	if exists(t, filepath.Join(dir, "full")) {
		t.Error("a child of the killed command went on")
	}
}

// What the exit codes mean, and what is shown of the output.
func TestExitCodes(t *testing.T) {
	sh := func(script string) []string { return []string{"sh", "-c", script} }
	for _, c := range []struct {
		name      string
		change    func(*Commands)
		run       func(*Exec, target.System, fault.Action) error
		want      string // in the error; "" = none
		delivered string
		bit       bool
	}{
		{name: "inject fails", change: func(c *Commands) { c.Inject = sh("echo no room >&2; exit 1") },
			run:  func(f *Exec, s target.System, a fault.Action) error { return f.Inject(t.Context(), s, a) },
			want: "exec: inject (sh -c 'echo no room >&2; exit 1'): exit 1; it said: no room"},
		{name: "confirm can't tell", change: func(c *Commands) { c.Confirm = sh("exit 2") },
			run:  func(f *Exec, s target.System, a fault.Action) error { return f.Confirm(t.Context(), s, a, false) },
			want: "exit 2, which is neither 0 (there) nor 1 (not there)"},
		{name: "killed by a signal", change: func(c *Commands) { c.Confirm = sh("kill -9 $$") },
			run:  func(f *Exec, s target.System, a fault.Action) error { return f.Confirm(t.Context(), s, a, false) },
			want: "signal: killed"},
		{name: "no such program", change: func(c *Commands) { c.Revert = []string{"no-such-program"} },
			run:  func(f *Exec, s target.System, a fault.Action) error { return f.Revert(t.Context(), s, a) },
			want: "there is no program no-such-program in " + searched},
		{name: "there before", change: func(c *Commands) { c.Confirm = sh("exit 0") },
			run: func(f *Exec, s target.System, a fault.Action) error {
				_, err := f.Arm(t.Context(), s, a)
				return err
			}, want: "confirm sees the fault before it was made"},
		{name: "it bit", change: func(c *Commands) { c.Measure = sh("echo half; echo 3 GiB") }, delivered: "3 GiB", bit: true},
		{name: "it did not bite", change: func(c *Commands) { c.Measure = sh("echo nobody wrote; exit 1") }, delivered: "nobody wrote"},
		{name: "without measure", change: func(*Commands) {}, delivered: "there to the end", bit: true},
	} {
		cs := full()
		c.change(&cs)
		f := &Exec{Commands: cs}
		f.Allow()
		a, s, _ := planned(t, f)
		if c.run != nil {
			if err := c.run(f, s, a); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			continue
		}
		if err := f.Inject(t.Context(), s, a); err != nil {
			t.Fatal(err)
		}
		if b, err := f.Measure(t.Context(), s, a); err != nil || b.Bit != c.bit || b.Delivered != c.delivered || b.Asked != "touch full" || b.Bit == (b.Why != "") {
			t.Errorf("%s: %+v, %v", c.name, b, err)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for want, change := range map[string]func(*Exec){
		"revert names no program":   func(f *Exec) { f.Commands.Revert = nil },
		"is no command":             func(f *Exec) { f.Commands.Measure = []string{""} },
		`env "PATH"`:                func(f *Exec) { f.Env = map[string]string{"PATH": "/x"} },
		`env "CHAOS_X"`:             func(f *Exec) { f.Env = map[string]string{"CHAOS_X": "1"} },
		"timeout 1h0m0s is not":     func(f *Exec) { f.Timeout = time.Hour },
		"holds a secret":            func(f *Exec) { f.Env = map[string]string{"DB_PASSWORD": "hunter2"} },
		`has no node "nobody"`:      func(f *Exec) { f.Node = "nobody" },
		"inject names no program; ": func(f *Exec) { f.Commands.Inject = []string{} },
	} {
		f := &Exec{Commands: full()}
		change(f)
		if _, err := f.Plan(shop(t.TempDir()), target.Capabilities{}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
