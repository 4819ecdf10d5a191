// Package command holds the fault kind exec: commands of the experiment that are run on the machine that
// runs chaos, for whatever no other kind does.
//
//	Arm            Inject     Confirm(true)     Measure               Revert     Confirm(false)
//	confirm: 1 ──▶ inject ──▶ confirm: 0   ──▶ measure, confirm ──▶ revert ──▶ confirm: 1
//
// Nothing of it runs unless the user allowed it (fault.Permitted): the revert of a dead run comes from its
// journal, which is hostile input. Plan never runs anything.
package command

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

const kindExec = "exec"

// Bounds and defaults.
const (
	defaultTimeout = 10 * time.Second
	minTimeout     = 100 * time.Millisecond
	maxTimeout     = 5 * time.Minute
	here           = "machine:here" // the place of a fault that names no node
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindExec, Doc: "runs commands on the machine that runs chaos, for what no other kind does; only with --allow-exec",
			Bites: "its measure says so; without one, confirm still sees it at the end",
			New:   func() fault.Fault { return &Exec{Commands: Commands{Timeout: defaultTimeout}} }},
	}
}

// Exec is a fault made and undone by commands. Each is a list of a program and its arguments; no shell
// reads it.
type Exec struct {
	Commands
	Node string `yaml:"node" doc:"the node that it hurts, whose death is then no surprise; default the machine" optional:"true"`

	allowed bool
	through func(call func() error) error // tests spoil commands here

	mu   sync.Mutex
	said map[string]string // by action: what inject printed, for the journal
}

// Commands are what the fault runs, and how.
type Commands struct {
	Inject  []string          `yaml:"inject" json:"inject" doc:"makes the fault; exit 0: it is made, any other: it is not, and is reverted all the same"`
	Confirm []string          `yaml:"confirm" json:"confirm" doc:"only looks; exit 0: the fault is there, 1: it is not, any other: that can't be told"`
	Measure []string          `yaml:"measure" json:"measure,omitempty" doc:"only looks, within 1s; exit 0: it bit, 1: it did not; its last line says what was delivered, or why not. Left out: it bit when confirm still sees it" optional:"true"`
	Revert  []string          `yaml:"revert" json:"revert" doc:"undoes the fault; must succeed twice, after half an inject, and when nothing was made"`
	Env     map[string]string `yaml:"env" json:"env,omitempty" doc:"environment beside PATH and CHAOS_*" optional:"true"`
	Timeout time.Duration     `yaml:"timeout" json:"timeout_ns" doc:"how long each command may take before it is killed, 100ms to 5m" default:"10s"`
}

var _ fault.Permitted = (*Exec)(nil)

// Allow implements fault.Permitted.
func (f *Exec) Allow() { f.allowed = true }

// Flag implements fault.Permitted.
func (f *Exec) Flag() string { return "--allow-exec" }

// variable is what an environment variable may be called.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Validate implements kind.Validator.
func (f *Exec) Validate() error {
	c := f.Commands
	for name, argv := range map[string][]string{"inject": c.Inject, "confirm": c.Confirm, "revert": c.Revert} {
		if len(argv) == 0 {
			return fmt.Errorf("%s names no program; write a list such as [touch, full]", name)
		}
	}
	for _, argv := range [][]string{c.Inject, c.Confirm, c.Measure, c.Revert} {
		if len(argv) > 0 && argv[0] == "" || slices.ContainsFunc(argv, func(s string) bool { return strings.ContainsRune(s, 0) }) {
			return fmt.Errorf("%q is no command: a program and its arguments, without zero bytes", argv)
		}
	}
	for name := range f.Env {
		if !variable.MatchString(name) || name == "PATH" || strings.HasPrefix(name, "CHAOS_") {
			return fmt.Errorf("env %q: a name has letters, digits and _, and PATH and CHAOS_* are set by chaos", name)
		}
	}
	if f.Timeout < minTimeout || f.Timeout > maxTimeout {
		return fmt.Errorf("timeout %v is not from %v to %v", f.Timeout, minTimeout, maxTimeout)
	}
	return nil
}

// args is what an action carries: the commands, so that another process can undo.
type args struct {
	Commands
	Dir string `json:"dir"` // where they run: the folder of target.yaml
}

// Plan implements fault.Fault: one action. It runs nothing.
func (f *Exec) Plan(t *target.Topology, _ target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", kindExec, err)
	}
	place := here
	if f.Node != "" {
		if _, ok := t.Node(f.Node); !ok {
			return nil, fmt.Errorf("%s: target %s has no node %q", kindExec, t.Name, f.Node)
		}
		place = "node:" + f.Node
	}
	raw, err := json.Marshal(args{Commands: f.Commands, Dir: filepath.Dir(t.Path)})
	if err != nil {
		return nil, fmt.Errorf("%s: encode arguments: %w", kindExec, err)
	}
	if string(journal.NewMasker().JSON(raw)) != string(raw) {
		return nil, fmt.Errorf("%s: a command or its environment holds a secret in the clear, which no journal keeps, so the fault could not be undone: "+
			"let the command read it from a file", kindExec)
	}
	_, name, _ := strings.Cut(place, ":")
	return []fault.Action{{
		Kind: kindExec, Place: place, Args: raw,
		Undo: fmt.Sprintf("for %s, run on the machine that ran chaos, in %s: %s", name, filepath.Dir(t.Path), Words(f.Commands.Revert)),
		Heal: 2*f.Timeout + time.Second, // revert, then confirm
	}}, nil
}

// Words is a command as a shell would read it.
func Words(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = a
		if a == "" || strings.Trim(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=,@%+-") != "" {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// Arm implements fault.Fault. A fault that confirm sees before it was made is somebody else's, or left by
// a run before.
func (f *Exec) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	there, err := f.there(ctx, s, a)
	if err != nil {
		return a, err
	}
	if there {
		return a, fmt.Errorf("exec %s: confirm sees the fault before it was made: heal what an earlier run left (chaos heal --allow-exec), or mend confirm", a.Place)
	}
	a.Before = json.RawMessage(`{"there":false}`)
	return a, nil
}

// Inject implements fault.Fault. A command that was begun is waited for, cancelled or not, up to its timeout.
func (f *Exec) Inject(ctx context.Context, s target.System, a fault.Action) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("exec %s: not injected: %w", a.Place, err)
	}
	r, err := f.run(context.WithoutCancel(ctx), s, a, verbInject)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.said == nil {
		f.said = map[string]string{}
	}
	f.said[a.ID] = r.output
	if r.code != 0 {
		return r.errorf("exit %d", r.code)
	}
	return nil
}

// there asks confirm.
func (f *Exec) there(ctx context.Context, s target.System, a fault.Action) (bool, error) {
	r, err := f.run(ctx, s, a, verbConfirm)
	switch {
	case err != nil:
		return false, err
	case r.code > 1:
		return false, r.errorf("exit %d, which is neither 0 (there) nor 1 (not there)", r.code)
	}
	return r.code == 0, nil
}

// Confirm implements fault.Fault.
func (f *Exec) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	there, err := f.there(ctx, s, a)
	switch {
	case err != nil:
		return err
	case active && !there:
		return fmt.Errorf("exec %s: confirm does not see the fault", a.Place)
	case !active && there:
		return fmt.Errorf("exec %s: confirm still sees the fault", a.Place)
	}
	return nil
}

// detail is the machine-readable part of a bite: what the commands printed, its end if it is long.
type detail struct {
	Inject  string `json:"inject_output,omitempty"` // not known to another process
	Measure string `json:"measure_output,omitempty"`
}

// Measure implements fault.Fault. Nothing bites that confirm does not see at the end.
func (f *Exec) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	p, err := open(a)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: Words(p.Commands.Inject), Delivered: "there to the end"}
	there, err := f.there(ctx, s, a)
	if err != nil {
		return b, err
	}
	f.mu.Lock()
	d := detail{Inject: f.said[a.ID]}
	f.mu.Unlock()
	switch {
	case !there:
		b.Delivered, b.Why = "nothing that lasted", "confirm does not see the fault at its end"
	case len(p.Commands.Measure) > 0:
		r, err := f.run(ctx, s, a, verbMeasure)
		if err != nil {
			return b, err
		}
		if r.code > 1 {
			return b, r.errorf("exit %d, which is neither 0 (it bit) nor 1 (it did not)", r.code)
		}
		d.Measure = r.output
		if line := lastLine(r.output); line != "" {
			b.Delivered = line
		}
		if b.Bit = r.code == 0; !b.Bit {
			b.Why = "measure says that it did not bite: " + b.Delivered
		}
	default:
		b.Bit = true
	}
	b.Detail, err = json.Marshal(d)
	return b, err
}

// Revert implements fault.Fault. That revert succeeds twice, and after half an inject, is the experiment's to see to.
func (f *Exec) Revert(ctx context.Context, s target.System, a fault.Action) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("exec %s: not reverted: %w", a.Place, err)
	}
	r, err := f.run(ctx, s, a, verbRevert)
	if err != nil {
		return err
	}
	if r.code != 0 {
		return r.errorf("exit %d", r.code)
	}
	return nil
}

// open reads an action's arguments.
func open(a fault.Action) (args, error) {
	var p args
	if err := json.Unmarshal(a.Args, &p); err != nil || len(p.Inject) == 0 || len(p.Confirm) == 0 || len(p.Revert) == 0 || p.Timeout <= 0 {
		return p, fmt.Errorf("exec %s: arguments %.200q hold no commands: the journal is damaged", a.ID, a.Args)
	}
	return p, nil
}

// errNotAllowed is the refusal to run anything.
var errNotAllowed = fmt.Errorf("exec runs commands on this machine, which is %w without --allow-exec", fault.ErrNotPermitted)
