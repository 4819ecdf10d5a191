package node

import (
	"context"
	"encoding/json"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// onNode is what the kinds share: all but Plan works from the action alone, which says what kind of wound it is.
//
//	Arm      the node must be sound; what undo needs of it is noted
//	Confirm  there: wound.absent says nothing; gone: wound.left says nothing, and the node is well
//	Measure  wound.absent says nothing, and wound.felt no reason against it
//	Revert   wound.mend, then start what does not run, then ready, then watch what is not certain
type onNode struct{}

// wound is what a kind does to one node in a running system. st is the node as it was just seen.
type wound interface {
	asked() string
	// note returns what undo needs, to be written down before anything is done. It only observes.
	note(ctx context.Context, st target.State) (before any, err error)
	// inject makes the fault.
	inject(ctx context.Context) error
	// absent says what is seen in its place, and why that is not the fault; or nothing. The node exists.
	absent(ctx context.Context, st target.State) (seen, why string, err error)
	// felt says what the fault has done, and why that is not enough, when it is not. It is there.
	felt(ctx context.Context, st target.State) (said, why string, detail any, err error)
	// left says what of the node is not as it was before, besides that it does not run, and what to do about it.
	// The node exists.
	left(ctx context.Context, st target.State) (now, do string, err error)
	// mend undoes what the kind has done, but for starting what does not run, and returns the node as it left it. unclear: it can't
	// be told whether something of the kind's is still under way.
	mend(ctx context.Context, st target.State) (now target.State, unclear bool, err error)
}

// reach opens an action and what its kind does.
func reach(s target.System, a fault.Action, armed bool) (*victim, wound, error) {
	v, err := open(s, a, armed)
	if err != nil {
		return nil, nil, err
	}
	var w wound
	switch a.Kind {
	case kindStop, kindKill, kindCrashLoop:
		w = downed{v}
	case kindRestart:
		w = renewed{downed{v}}
	case kindPause:
		w, err = sleeperOf(v, s)
	case kindDisconnect:
		w, err = islanderOf(v, s)
	case kindLimit:
		w, err = cappedOf(v, s, a)
	case kindReplace:
		w, err = deployedOf(v, s, a)
	default:
		err = v.errorf("no kind of this package: the journal is damaged")
	}
	return v, w, err
}

// Arm implements fault.Fault. It notes the process that runs now. A node that does not run, or is paused, can't be hurt in a
// way that could be told from what is wrong with it already.
func (onNode) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	v, w, err := reach(s, a, false)
	if err != nil {
		return a, err
	}
	st, err := v.sound(ctx)
	if err != nil {
		return a, err
	}
	before, err := w.note(ctx, st)
	if err != nil {
		return a, err
	}
	if a.Before, err = json.Marshal(before); err != nil {
		return a, v.errorf("encode its state: %w", err)
	}
	return a, nil
}

// sound notes in v.was the process that runs now, or says why there is none that could be hurt.
func (v *victim) sound(ctx context.Context) (target.State, error) {
	st, err := v.state(ctx)
	switch {
	case err != nil:
		return st, err
	case !st.Exists || !st.Running:
		return st, v.errorf("it does not run before the fault: heal it (chaos heal) or look at its log (chaos target status)")
	case st.Paused:
		return st, v.errorf("it is paused before the fault: heal it first (chaos heal)")
	case st.StartedAt.IsZero():
		return st, v.errorf("the runtime does not tell when it was started, so a revert could not tell old from new")
	}
	v.was = before{StartedAt: st.StartedAt, ArmedAt: time.Now()}
	return st, nil
}

// Inject implements fault.Fault. It returns when the fault is there; what it has begun is waited for.
func (onNode) Inject(ctx context.Context, s target.System, a fault.Action) error {
	_, w, err := reach(s, a, true)
	if err != nil {
		return err
	}
	return w.inject(ctx)
}

// Confirm implements fault.Fault. It looks once.
func (onNode) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	v, w, err := reach(s, a, true)
	if err != nil {
		return err
	}
	st, err := v.state(ctx)
	switch {
	case err != nil:
		return err
	case !st.Exists:
		return v.missing()
	case active:
		if _, why, err := w.absent(ctx, st); err != nil || why != "" {
			return v.because(why, err)
		}
		return nil
	}
	now, do, err := w.left(ctx, st)
	switch {
	case err != nil:
		return err
	case now != "":
		return v.errorf("it %s: %s (chaos heal)", now, do)
	}
	return v.well(ctx, st)
}

// because is err, or else an error that says why.
func (v *victim) because(why string, err error) error {
	if err == nil {
		err = v.errorf("%s", why)
	}
	return err
}

// missing is the error of a node that somebody removed.
func (v *victim) missing() error {
	return v.errorf("it is gone from the engine, nothing is left to start: bring the target up again (chaos target up)")
}

// well is nil when the node runs, is not paused, and its own health check holds.
//
// There is no waiting here to see whether it stays up, so that `reverted` is as early as it is true:
// Revert has made sure that no signal of ours is under way (see there).
func (v *victim) well(ctx context.Context, st target.State) error {
	switch {
	case !st.Running:
		return v.errorf("it does not run (exit code %d): start it (chaos heal)", st.ExitCode)
	case st.Paused:
		return v.errorf("it is paused: unpause it (chaos heal)")
	}
	if err := v.NodeReady(ctx, v.Node); err != nil {
		return v.errorf("it runs but is not ready: %w", err)
	}
	return nil
}

// Measure implements fault.Fault: what the kind has done to the node, seen at the end of its window.
func (onNode) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	v, w, err := reach(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: w.asked()}
	st, err := v.state(ctx)
	if err != nil {
		return b, err
	}
	b.Delivered, b.Why = "gone", "it is gone from the engine: somebody removed it"
	var detail any
	if st.Exists {
		b.Delivered, b.Why, err = w.absent(ctx, st)
	}
	if err == nil && b.Why == "" {
		b.Delivered, b.Why, detail, err = w.felt(ctx, st)
	}
	if err != nil {
		return b, err
	}
	if b.Bit = b.Why == ""; !b.Bit {
		b.Why = "node " + v.Node + ": " + b.Why
	}
	if detail != nil {
		b.Detail, err = json.Marshal(detail)
	}
	return b, err
}

// Revert implements fault.Fault. It brings the node back from whatever is left of it, by what it sees: each kind mends what it has
// done (see mend of each), and then
//
//	not there ────────────────▶ error: nothing that could be started
//	does not run ──▶ start ──┐
//	runs ────────────────────┴──▶ ready ──▶ (unclear: watched for 1 s)
//
// Unclear is a node that looks as if nothing had been done to it, so that it is not known whether something of ours is under way
// whose answer was lost: it is watched whether that arrives, for a node that is hurt a second later was not healed. In every other
// case the watch would prove nothing: what we send goes to a process and not to a pending request of the engine, and inject never leaves before what it
// began was answered; so `reverted` need not wait for it.
func (onNode) Revert(ctx context.Context, s target.System, a fault.Action) error {
	v, w, err := reach(s, a, true)
	if err != nil {
		return err
	}
	st, err := v.state(ctx)
	if err != nil {
		return err
	}
	if !st.Exists {
		return v.missing()
	}
	st, unclear, err := w.mend(ctx, st)
	if err != nil {
		return err
	}
	if !st.Running {
		if err := v.StartNode(ctx, v.Node); err != nil {
			return v.errorf("start it again: %w", err)
		}
	}
	if err := v.NodeReady(ctx, v.Node); err != nil {
		return v.errorf("it was healed but is not ready: %w", err)
	}
	if !unclear {
		return nil
	}
	last, err := v.watch(ctx)
	if err != nil {
		return err
	}
	now, _, err := w.left(ctx, last)
	if err == nil && now != "" {
		err = v.errorf("it was healed and %s again within %v", now, watchFor)
	}
	return err
}

// watch sees the node run on, as one process, for watchFor.
func (v *victim) watch(ctx context.Context) (last target.State, err error) {
	first, err := v.state(ctx)
	if err != nil {
		return first, err
	}
	if err := pause(ctx, watchFor); err != nil {
		return first, v.errorf("watch whether it stays up: %w", err)
	}
	if last, err = v.state(ctx); err != nil {
		return last, err
	}
	if !first.Running || !last.Running || !first.StartedAt.Equal(last.StartedAt) {
		return last, v.errorf("it was healed and did not stay up for %v (exit code %d)", watchFor, last.ExitCode)
	}
	if last.Paused {
		return last, v.errorf("it was healed and is paused again within %v", watchFor)
	}
	return last, nil
}
