package disk

import (
	"context"
	"encoding/json"
	"fmt"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// onFolder is what the kinds share: all but Plan works from the action alone, which says what kind of harm it is.
//
//	            Inject               Measure               Revert
//	as before ─────────▶ in force ─────────────▶ still? ─────▶ undone ─▶ start, if it has ended ─▶ ready
type onFolder struct{}

// harm is what a kind does to one folder in a running system.
type harm interface {
	asked() string
	// look sees how the folder stands. The node, which was just seen as st, exists.
	look(ctx context.Context, st target.State) (stands, error)
	// inject makes the fault, and undo ends it.
	inject(ctx context.Context) error
	undo(ctx context.Context) error
	// words are for people: what inject and undo do, and what a folder is without and with the fault.
	words() words
}

type words struct{ inject, undo, without, with string }

// stands is how a folder stands.
type stands struct {
	id, missed string // of the fault on the node's disk, "" for none, and why it is not as it was made
	before     before // what undo or Measure needs of how it was
	unfit      string // before: why the fault could do nothing to it
	absent     string // under the fault of this action: why it is not in force all the same
	said       string // what the fault has done
	unfelt     string // in force: why what it has done is not enough
	detail     any
}

// reach opens an action and what its kind does.
func reach(s target.System, a fault.Action, armed bool) (*place, harm, error) {
	p, err := placed(s, a, armed)
	if err != nil {
		return nil, nil, err
	}
	var h harm
	switch a.Kind {
	case kindFill:
		h, err = filledOf(p, s)
	case kindReadOnly:
		h, err = protectedOf(p, s)
	case kindSlow:
		h, err = slowedOf(p, s)
	default:
		err = p.errorf("no kind of this package: the journal is damaged")
	}
	return p, h, err
}

// see looks at the process and its folder; a node that is gone is told by the state alone.
func (p *place) see(ctx context.Context, h harm) (st target.State, now stands, err error) {
	if st, err = p.State(ctx, p.Node); err != nil {
		return st, now, p.errorf("look at its state: %w", err)
	}
	if !st.Exists {
		return st, now, nil
	}
	if now, err = h.look(ctx, st); err != nil {
		return st, now, p.errorf("look at it: %w", err)
	}
	return st, now, nil
}

// Arm implements fault.Fault. One fault at a time may be on a node's disk.
func (onFolder) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	p, h, err := reach(s, a, false)
	if err != nil {
		return a, err
	}
	st, now, err := p.see(ctx, h)
	switch {
	case err != nil:
		return a, err
	case !st.Running || st.Paused || st.StartedAt.IsZero():
		return a, p.errorf("the node is %s before the fault: heal it first (chaos heal)", st.Word())
	case now.id != "":
		return a, p.errorf("fault %s is on its disk: one at a time (chaos heal ends what an earlier run left)", now.id)
	case now.unfit != "":
		return a, p.errorf("%s", now.unfit)
	}
	now.before.StartedAt = st.StartedAt
	if a.Before, err = json.Marshal(now.before); err != nil {
		return a, p.errorf("encode how it is: %w", err)
	}
	return a, nil
}

// Inject implements fault.Fault. It returns when the fault is in force.
func (onFolder) Inject(ctx context.Context, s target.System, a fault.Action) error {
	p, h, err := reach(s, a, true)
	if err != nil {
		return err
	}
	return p.change(ctx, h.words().inject, h.inject)
}

// absent says why the fault is not in force, or "".
func (p *place) absent(h harm, st target.State, now stands) string {
	switch {
	case !st.Exists:
		return "the node is gone from the engine: somebody removed it"
	case now.id == "":
		return fmt.Sprintf("it is %s: it never was %s, or something else undid that", h.words().without, h.words().with)
	case now.id != p.id:
		return "another fault is on its disk: " + now.id
	}
	return now.absent
}

// Confirm implements fault.Fault.
func (onFolder) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	p, h, err := reach(s, a, true)
	if err != nil {
		return err
	}
	st, now, err := p.see(ctx, h)
	if err != nil {
		return err
	}
	if active {
		if why := p.absent(h, st, now); why != "" {
			return p.errorf("%s", why)
		}
		return nil
	}
	switch {
	case !st.Exists:
		return p.errorf("the node is gone from the engine: bring the target up again (chaos target up)")
	case now.id != "" && (now.id == p.id || now.missed != ""):
		return p.errorf("it is %s still, by %s (chaos heal undoes that)", h.words().with, now.id)
	case !st.Running:
		return p.errorf("the node does not run (exit code %d): start it (chaos heal)", st.ExitCode)
	}
	if err := p.NodeReady(ctx, p.Node); err != nil {
		return p.errorf("the fault is undone, and the node is not ready: %w", err)
	}
	return nil
}

// Measure implements fault.Fault: how the folder stands at the end, and what the fault has done.
func (onFolder) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	p, h, err := reach(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: h.asked()}
	st, now, err := p.see(ctx, h)
	if err != nil {
		return b, err
	}
	b.Delivered = now.said
	switch {
	case !st.Exists:
		b.Delivered = "gone"
	case !st.Running:
		b.Delivered += fmt.Sprintf(", and the node has ended with exit code %d", st.ExitCode)
	case !st.StartedAt.Equal(p.was.StartedAt):
		b.Delivered += ", and the node was started anew meanwhile"
	}
	if b.Why = p.absent(h, st, now); b.Why == "" {
		b.Why = now.unfelt
	}
	if b.Bit = b.Why == ""; !b.Bit {
		b.Why = "node " + p.Node + ": " + b.Why
	}
	b.Detail, err = json.Marshal(now.detail)
	return b, err
}

// Revert implements fault.Fault. It undoes the fault, and starts a node that has ended meanwhile.
func (onFolder) Revert(ctx context.Context, s target.System, a fault.Action) error {
	p, h, err := reach(s, a, true)
	if err != nil {
		return err
	}
	if err := p.change(ctx, h.words().undo, h.undo); err != nil {
		return err
	}
	st, err := p.State(ctx, p.Node)
	switch {
	case err != nil:
		return p.errorf("look at its state: %w", err)
	case !st.Exists:
		return p.errorf("the node is gone from the engine, nothing is left to start: bring the target up again (chaos target up)")
	case !st.Running:
		if err := p.change(ctx, "start the node, because its process has ended", func(ctx context.Context) error { return p.StartNode(ctx, p.Node) }); err != nil {
			return err
		}
	}
	if err := p.NodeReady(ctx, p.Node); err != nil {
		return p.errorf("the fault is undone, and the node is not ready: %w", err)
	}
	return nil
}
