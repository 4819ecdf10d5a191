package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// Pause freezes a node's processes until reverted, as a machine that swaps or a long garbage collection
// does: connections stay, and nobody answers.
type Pause struct {
	onNode
	Node string `yaml:"node" doc:"name of the node in target.yaml"`
}

// Validate implements kind.Validator.
func (f *Pause) Validate() error { return valid(kindPause, f.Node, 0) }

// Plan implements fault.Fault.
func (f *Pause) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return plan(kindPause, undoPause, args{Node: f.Node}, t, c, target.VerbPause, target.VerbSignal)
}

// sleeper is a victim in a system that can freeze it.
type sleeper struct {
	*victim
	pauser
}

// pauser is what node.pause needs beside a signaller; target.Pauser satisfies it.
type pauser interface {
	Pause(ctx context.Context, node string) error
	Unpause(ctx context.Context, node string) error
}

func sleeperOf(v *victim, s target.System) (wound, error) {
	p, ok := s.(pauser)
	if !ok {
		return nil, v.errorf("this target's runtime can't pause nodes (%s)", target.VerbPause)
	}
	return sleeper{v, p}, nil
}

func (v sleeper) asked() string                                   { return "frozen until reverted" }
func (v sleeper) note(context.Context, target.State) (any, error) { return v.was, nil }

// inject returns when the node is frozen; a pause that was begun is waited for.
func (v sleeper) inject(ctx context.Context) error {
	return v.whole(ctx, signalWithin, "pause it", func(ctx context.Context) error { return v.Pause(ctx, v.Node) })
}

// absent: the node must be the paused process that Arm saw.
func (v sleeper) absent(_ context.Context, st target.State) (seen, why string, err error) {
	switch {
	case !v.old(st):
		why = "its process is another one than before the fault: something else ended and started it"
	case !st.Running:
		why = fmt.Sprintf("its process has ended (exit code %d): a pause does not do that, something else did", st.ExitCode)
	case !st.Paused:
		why = "it is not paused: it never was, or something else unpaused it"
	}
	return "not paused at the end", why, nil
}

// pauseDetail is the machine-readable part of a bite.
type pauseDetail struct {
	AtMost time.Duration `json:"paused_at_most_ns"`
}

// felt: no engine says since when a node is paused. It was confirmed at the beginning of the window and is
// measured at the end, which the run writes down as the active time: that is the least. The most is the
// time since it was armed. A break in between, which somebody else would have to make and to end, is not seen.
func (v sleeper) felt(context.Context, target.State) (said, why string, detail any, err error) {
	d := pauseDetail{AtMost: max(0, time.Since(v.was.ArmedAt))}
	return fmt.Sprintf("paused at the end, for at most %.1f s, the same process", d.AtMost.Seconds()), "", d, nil
}

func (v sleeper) left(context.Context, target.State) (now, do string, err error) { return "", "", nil }

// mend, by what it sees:
//
//	paused ──▶ unpause                            (the fault was complete)
//	does not run, or runs since after Arm ──▶ nothing        (it ended while it was paused; Measure says so)
//	runs, the process of Arm ──▶ nothing, unclear
//
// A process that ends as soon as it is let go on is an error of the Revert that let it, which the run writes down, and is started by
// the next.
func (v sleeper) mend(ctx context.Context, st target.State) (target.State, bool, error) {
	if !st.Paused {
		return st, st.Running && v.old(st), nil
	}
	return st, false, v.whole(ctx, signalWithin, "unpause it", func(ctx context.Context) error { return v.Unpause(ctx, v.Node) })
}
