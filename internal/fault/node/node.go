// Package node holds the fault kinds on a node: node.stop asks its process to end, node.kill does not
// ask, node.restart starts it again at once, node.pause freezes it, node.disconnect takes it off the network,
// node.limit gives it less, node.replace runs something else in its place, node.crash_loop kills it again and again. None ever uses a stop with the
// engine's own grace, because an engine finishes such a stop after our revert and kills the process that
// we have just started.
//
//	            Inject (stop, restart)           Inject (kill)         Inject (pause)
//	running ──▶ TERM ──▶ wait ≤ grace ──▶ KILL   running ──▶ KILL      running ──▶ frozen
//	                        │               │                  │
//	                        ▼               ▼                  ▼
//	                       down ◀───────────┴──────────────────┘
//	                        │
//	                        └──▶ start (restart)
//
// What Revert does depends only on what is there and on the start time that Arm saw: see onNode and, of each
// kind, mend.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
)

// The names of the kinds.
const (
	kindStop       = "node.stop"
	kindKill       = "node.kill"
	kindPause      = "node.pause"
	kindRestart    = "node.restart"
	kindDisconnect = "node.disconnect"
	kindLimit      = "node.limit"
	kindReplace    = "node.replace"
	kindCrashLoop  = "node.crash_loop"
)

const (
	defaultGrace = 2 * time.Second
	maxGrace     = time.Minute
	// defaultHeal is the heal deadline of a node whose target.yaml states none.
	defaultHeal = 10 * time.Second
	// signalWithin bounds one signal. A signal that was begun is always waited for, even when the run
	// is cancelled, so that none can arrive after the revert has started the node again. It is longer than
	// a runtime's own 2 s, whose error says more.
	signalWithin = 3 * time.Second
	// startWithin bounds the start that is part of a restart, which is waited for like a signal.
	startWithin = 5 * time.Second
	// plugWithin bounds connecting and disconnecting, which are waited for likewise. It is longer than a runtime's 4 s.
	plugWithin = 5 * time.Second
	// replaceWithin bounds making a node anew, which is waited for likewise.
	replaceWithin = 10 * time.Second
	// goneWithin is how long a process may take to vanish after SIGKILL.
	goneWithin = 5 * time.Second
	// pollEvery is how often the state is looked at while waiting.
	pollEvery = 20 * time.Millisecond
	// watchFor is how long a restarted node is watched when it is not certain that no signal of ours
	// was still under way.
	watchFor = time.Second
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindStop, Doc: "stops a node: SIGTERM, SIGKILL after a grace, down until reverted",
			Bites: "the node was down without a break",
			New:   func() fault.Fault { return &Stop{Grace: defaultGrace} }},
		{Name: kindKill, Doc: "kills a node with SIGKILL; it stays down until reverted",
			Bites: "the node was down without a break",
			New:   func() fault.Fault { return &Kill{} }},
		{Name: kindPause, Doc: "freezes a node's processes until reverted: it keeps its connections and answers nothing",
			Bites: "the process from before the fault was paused at the end",
			New:   func() fault.Fault { return &Pause{} }},
		{Name: kindRestart, Doc: "restarts a node once, as a deployment does: SIGTERM, SIGKILL after a grace, started again at once",
			Bites: "the process from before the fault had ended and a new one ran at the end",
			New:   func() fault.Fault { return &Restart{Grace: defaultGrace} }},
		{Name: kindDisconnect, Doc: "takes a node off the target's network until reverted: it runs on, nobody finds its name and nothing reaches it",
			Bites: "the process from before the fault was off the network at the end",
			New:   func() fault.Fault { return &Disconnect{} }},
		{Name: kindLimit, Doc: "gives a node less until reverted: a share of a CPU, less memory, fewer processes",
			Bites: "each limit that was asked for was reached",
			New:   func() fault.Fault { return &Limit{} }},
		{Name: kindReplace, Doc: "runs a node from another image or with another environment until reverted, as a bad deployment does: all at once, or rolling with drain",
			Bites: "the replacement was in the node's place until the end, running or not",
			New:   func() fault.Fault { return &Replace{Strategy: atOnce, Grace: defaultGrace} }},
		{Name: kindCrashLoop, Doc: "kills a node again and again: SIGKILL, down for a while, started again, up for a while, and so on",
			Bites: "the node was down without a break in each of its times",
			New:   func() fault.Fault { return &CrashLoop{Up: defaultUp, Down: defaultDown} }},
	}
}

// args is what an Action of these kinds carries: enough to undo it without the kind's parameters.
type args struct {
	Node  string        `json:"node"`
	Grace time.Duration `json:"grace_ns,omitempty"`
	// Limits are of node.limit.
	Limits *target.Limits `json:"limits,omitempty"`
	// Change is of node.replace. The journal masks what is secret in it, so undo does not need it.
	Change *target.Change `json:"change,omitempty"`
	// Rolling is of node.replace: the node must be ready before the next one is replaced.
	Rolling bool `json:"rolling,omitempty"`
}

// before is the process that Arm saw. Its start time tells a process that we hurt from one that was
// started since.
type before struct {
	StartedAt time.Time `json:"started_at"`
	ArmedAt   time.Time `json:"armed_at"` // by the harness's clock
}

// valid checks the parameters of a kind.
func valid(kindName, node string, grace time.Duration) error {
	switch {
	case node == "":
		return fmt.Errorf("%s: name the node, such as node: redis", kindName)
	case grace < 0 || grace > maxGrace:
		return fmt.Errorf("%s: grace %v is not from 0s to %v", kindName, grace, maxGrace)
	}
	return nil
}

// The undo of the kinds in words; %[1]s is the node, %[2]s the target.
const (
	undoDisconnect = "connect node %[1]s of target %[2]s to its network again under its name (start it if it has ended) and wait until it is ready"
	undoLimit      = "give node %[1]s of target %[2]s back the limits that it had (start it if it has ended) and wait until it is ready"
	undoDown       = "start node %[1]s of target %[2]s again (SIGKILL first if the old process still runs) and wait until it is ready"
	undoPause      = "unpause node %[1]s of target %[2]s (start it if it has ended) and wait until it is ready"
	undoReplace    = "put node %[1]s of target %[2]s back as it was before it was replaced, start it and wait until it is ready"
	undoRestart    = "see to it that node %[1]s of target %[2]s runs anew (SIGKILL first if the old process still runs) and wait until it is ready"
)

// plan makes the one action of a node fault.
func plan(kindName, undo string, a args, t *target.Topology, c target.Capabilities, needs ...target.Verb) ([]fault.Action, error) {
	if err := c.Need(kindName, needs...); err != nil {
		return nil, err
	}
	spec, ok := t.Node(a.Node)
	if !ok {
		names := make([]string, len(t.Nodes))
		for i, n := range t.Nodes {
			names[i] = n.Name
		}
		return nil, fmt.Errorf("%s: target %s has no node %q; its nodes are %s", kindName, t.Name, a.Node, strings.Join(names, ", "))
	}
	heal := spec.HealWithin
	if heal <= 0 {
		heal = defaultHeal
	}
	if kindName == kindReplace {
		heal += replaceHeal
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("%s: encode arguments: %w", kindName, err)
	}
	return []fault.Action{{
		Kind:  kindName,
		Place: "node:" + a.Node,
		Args:  raw,
		Undo:  fmt.Sprintf(undo+", within %[3]v", a.Node, t.Name, heal),
		Heal:  heal,
	}}, nil
}

// victim is an action's node in a running system.
type victim struct {
	kind string
	mark string // of this one activation, for what is written on a node that it replaces
	args
	was before
	signaller
}

// signaller is what these kinds need of a system; target.Signaller satisfies it.
type signaller interface {
	State(ctx context.Context, node string) (target.State, error)
	Signal(ctx context.Context, node, signal string) error
	StartNode(ctx context.Context, node string) error
	NodeReady(ctx context.Context, node string) error
}

// open reads an action's arguments and, unless it is not armed yet, what was there before.
func open(s target.System, a fault.Action, armed bool) (*victim, error) {
	v := &victim{kind: a.Kind}
	if err := json.Unmarshal(a.Args, &v.args); err != nil || v.Node == "" {
		return nil, fmt.Errorf("%s %s: arguments %q name no node: the journal is damaged", a.Kind, a.ID, a.Args)
	}
	if armed {
		if err := json.Unmarshal(a.Before, &v.was); err != nil || v.was.StartedAt.IsZero() {
			return nil, fmt.Errorf("%s on node %s: the action was never armed (before: %q), so its old process is not known", a.Kind, v.Node, a.Before)
		}
	}
	v.mark = fmt.Sprintf("%s at %d", a.ID, v.was.ArmedAt.UnixMilli())
	sig, ok := s.(signaller)
	if !ok {
		return nil, fmt.Errorf("%s on node %s: this target's runtime can't signal nodes (%s)", a.Kind, v.Node, target.VerbSignal)
	}
	v.signaller = sig
	return v, nil
}

// errorf is an error that says which fault and where.
func (v *victim) errorf(format string, a ...any) error {
	return fmt.Errorf("%s on node %s: "+format, append([]any{v.kind, v.Node}, a...)...)
}

// state looks at the node.
func (v *victim) state(ctx context.Context) (target.State, error) {
	st, err := v.State(ctx, v.Node)
	if err != nil {
		return st, v.errorf("look at its state: %w", err)
	}
	return st, nil
}

// old tells whether st is of the process that Arm saw.
func (v *victim) old(st target.State) bool { return st.StartedAt.Equal(v.was.StartedAt) }

// send sends one signal and waits for the engine's answer even when ctx is cancelled meanwhile.
func (v *victim) send(ctx context.Context, signal string) error {
	return v.whole(ctx, signalWithin, "send SIG"+signal, func(ctx context.Context) error { return v.Signal(ctx, v.Node, signal) })
}

// whole makes one call that changes something: it is not begun on a dead ctx, and once begun its answer is
// waited for, at most within.
func (v *victim) whole(ctx context.Context, within time.Duration, doing string, call func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return v.errorf("%s: not begun: %w", doing, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if err := call(ctx); err != nil {
		return v.errorf("%s: %w", doing, err)
	}
	return nil
}

// errStillRuns is returned by gone when its time is over.
var errStillRuns = errors.New("it still runs")

// gone waits until the node does not run, for at most within; zero looks once.
func (v *victim) gone(ctx context.Context, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		st, err := v.state(ctx)
		if err != nil {
			return err
		}
		if !st.Running {
			return nil
		}
		if !time.Now().Before(deadline) {
			return errStillRuns
		}
		if err := pause(ctx, pollEvery); err != nil {
			return v.errorf("wait until it is gone: %w", err)
		}
	}
}

// end asks the process to end, waits for at most the grace, and kills it if it still runs then.
func (v *victim) end(ctx context.Context) error {
	if err := v.send(ctx, "TERM"); err != nil {
		return err
	}
	if err := v.gone(ctx, v.Grace); !errors.Is(err, errStillRuns) {
		return err
	}
	return v.kill(ctx)
}

// kill sends SIGKILL and waits until the process is gone.
func (v *victim) kill(ctx context.Context) error {
	if err := v.send(ctx, "KILL"); err != nil {
		return err
	}
	err := v.gone(ctx, goneWithin)
	if errors.Is(err, errStillRuns) {
		return v.errorf("it still runs %v after SIGKILL: look at the engine and its machine", goneWithin)
	}
	return err
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
