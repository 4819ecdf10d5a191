package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// Disconnect takes a node off the target's network until reverted, as a pulled cable does: it runs on, and
// reaches nobody.
type Disconnect struct {
	onNode
	Node string `yaml:"node" doc:"name of the node in target.yaml" example:"redis"`
}

// Validate implements kind.Validator.
func (f *Disconnect) Validate() error { return valid(kindDisconnect, f.Node, 0) }

// Plan implements fault.Fault.
func (f *Disconnect) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return plan(kindDisconnect, undoDisconnect, args{Node: f.Node}, t, c, target.VerbDisconnect, target.VerbSignal)
}

// islander is a victim in a system that can take it off its network.
type islander struct {
	*victim
	connecter
}

// connecter is what node.disconnect needs beside a signaller; target.Connecter satisfies it.
type connecter interface {
	Connection(ctx context.Context, node string) (target.Connection, error)
	Disconnect(ctx context.Context, node string) error
	Connect(ctx context.Context, node string) error
}

func islanderOf(v *victim, s target.System) (wound, error) {
	c, ok := s.(connecter)
	if !ok {
		return nil, v.errorf("this target's runtime can't disconnect nodes (%s)", target.VerbDisconnect)
	}
	return islander{v, c}, nil
}

func (v islander) asked() string { return "off the network until reverted" }

// look sees how the node stands to the network.
func (v islander) look(ctx context.Context) (target.Connection, error) {
	c, err := v.Connection(ctx, v.Node)
	if err != nil {
		err = v.errorf("look at its network: %w", err)
	}
	return c, err
}

func (v islander) note(ctx context.Context, _ target.State) (any, error) {
	c, err := v.look(ctx)
	if err == nil && c != target.Connected {
		err = v.errorf("it is %s before the fault: heal it first (chaos heal)", c)
	}
	return v.was, err
}

// inject returns when the node is off; what was begun is waited for.
func (v islander) inject(ctx context.Context) error {
	return v.whole(ctx, plugWithin, "disconnect it", func(ctx context.Context) error { return v.Disconnect(ctx, v.Node) })
}

// absent: the process that Arm saw must run, off the network.
func (v islander) absent(ctx context.Context, st target.State) (seen, why string, err error) {
	c, err := v.look(ctx)
	switch {
	case err != nil:
	case !v.old(st):
		why = "its process is another one than before the fault: something else ended and started it"
	case !st.Running:
		why = fmt.Sprintf("its process has ended (exit code %d): that it is off the network says nothing any more", st.ExitCode)
	case c != target.Disconnected:
		why = fmt.Sprintf("it is %s: it never was off, or something else connected it", c)
	}
	return "not disconnected at the end", why, err
}

// offDetail is the machine-readable part of a bite.
type offDetail struct {
	AtMost time.Duration `json:"disconnected_at_most_ns"`
}

// felt: as with a pause no engine says since when; a break that somebody else made and ended is not seen.
func (v islander) felt(context.Context, target.State) (said, why string, detail any, err error) {
	d := offDetail{AtMost: max(0, time.Since(v.was.ArmedAt))}
	return fmt.Sprintf("off the network at the end, for at most %.1f s, the same process", d.AtMost.Seconds()), "", d, nil
}

func (v islander) left(ctx context.Context, _ target.State) (now, do string, err error) {
	c, err := v.look(ctx)
	if err == nil && c != target.Connected {
		now, do = "is "+c.String(), "connect it"
	}
	return now, do, err
}

// mend, by what it sees:
//
//	off the network, or without its name ──▶ connect
//	on it under its name ──▶ nothing; the process of Arm: unclear
func (v islander) mend(ctx context.Context, st target.State) (target.State, bool, error) {
	c, err := v.look(ctx)
	if err != nil || c == target.Connected {
		return st, st.Running && v.old(st), err
	}
	return st, false, v.whole(ctx, plugWithin, "connect it again", func(ctx context.Context) error { return v.Connect(ctx, v.Node) })
}
