// Package clock holds the fault kind that moves a node's wall clock, through a switch of the target's own.
// Containers and processes share their machine's clock, which is nobody's to move.
//
//	            Arm                 Inject             Measure               Revert
//	on time? ─────────▶ Before ──▶ offset_ms ──▶ as far off as asked, ──▶ offset_ms 0
//	skew, reads ──────▶ Before                   and used meanwhile?
package clock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

const (
	kindOffset = "clock.offset"
	// healWithin is the heal deadline of a node that states none.
	healWithin = 2 * time.Second
	// writeWithin bounds one write. Once begun it is waited for even when the run is cancelled, so that
	// it can't arrive after the revert.
	writeWithin = 2 * time.Second
	// least is the smallest offset: what is less could be the time that a busy machine takes to answer.
	least = time.Second
	// within is how far the offset that is seen may be from the one that was asked, beside the time that the
	// answers took.
	within = 100 * time.Millisecond
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindOffset, Doc: "moves a node's wall clock, ahead or behind, through the switch that target.yaml declares under clocks", Bites: "the clock is as far off as asked at the end, and the node has used it", New: func() fault.Fault { return &Offset{} }},
	}
}

// Offset moves a node's clock for as long as the fault lasts.
type Offset struct {
	Node   string      `yaml:"node" doc:"name of the node, which has a clock in target.yaml" example:"payments"`
	Offset kind.Offset `yaml:"offset" doc:"how far off it is: ahead (+10s) or behind (-10s), at least 1s"`
}

// Validate implements kind.Validator.
func (f *Offset) Validate() error {
	switch d := time.Duration(f.Offset); {
	case f.Node == "":
		return errors.New("clock.offset: name the node, such as node: payments")
	case d.Abs() < least:
		return fmt.Errorf("clock.offset: an offset of %v can't be told from the time that an answer takes: at least +%v or -%[2]v", d, least)
	case d%time.Millisecond != 0:
		return fmt.Errorf("clock.offset: %v is not a whole number of milliseconds", d)
	}
	return nil
}

// args is what an action carries: the calls too, so that a target.yaml that was edited since changes nothing.
type args struct {
	Node   string        `json:"node"`
	Offset time.Duration `json:"offset_ns"`
	Clock  target.Clock  `json:"clock"`
}

// before is what Arm read.
type before struct {
	Skew  time.Duration `json:"skew_ns"`
	Slack time.Duration `json:"slack_ns"`
	Reads *uint64       `json:"reads"`
}

// Plan implements fault.Fault.
func (f *Offset) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if err := c.Need(kindOffset, target.VerbCall, target.VerbSignal); err != nil {
		return nil, err
	}
	spec, ok := t.Node(f.Node)
	if !ok {
		return nil, fmt.Errorf("%s: target %s has no node %q", kindOffset, t.Name, f.Node)
	}
	dial, ok := t.Clocks[f.Node]
	if !ok {
		have := "none has one"
		if len(t.Clocks) > 0 {
			have = "those that have one: " + strings.Join(slices.Sorted(maps.Keys(t.Clocks)), ", ")
		}
		return nil, fmt.Errorf("%s: node %s has no switch for its clock (%s): the target must offer one, declared in target.yaml under clocks: {%[2]s: {read: …, write: …}}",
			kindOffset, f.Node, have)
	}
	raw, err := json.Marshal(args{Node: f.Node, Offset: time.Duration(f.Offset), Clock: dial})
	if err != nil {
		return nil, fmt.Errorf("%s: encode arguments: %w", kindOffset, err)
	}
	if string(raw) != string(journal.NewMasker().JSON(raw)) {
		return nil, fmt.Errorf("%s: the clock of node %s holds a secret in the clear, which no journal keeps, so the fault could not be undone: "+
			`write {{secret "name"}} for it`, kindOffset, f.Node)
	}
	heal := spec.HealWithin
	if heal <= 0 {
		heal = healWithin
	}
	return []fault.Action{{
		Kind: kindOffset, Place: "node:" + f.Node, Args: raw, Heal: heal,
		Undo: fmt.Sprintf("set the clock of node %s of target %s right (%s %s on port %s, offset_ms 0), or start the node anew",
			f.Node, t.Name, dial.Write.Method, dial.Write.Path, dial.Write.Port),
	}}, nil
}

// dial is an action's clock in a running system.
type dial struct {
	args
	was before
	system
}

// system is what this kind needs of one.
type system interface {
	Call(ctx context.Context, c target.Call) ([]byte, error)
	State(ctx context.Context, node string) (target.State, error)
}

func open(s target.System, a fault.Action, armed bool) (*dial, error) {
	d := &dial{}
	if err := json.Unmarshal(a.Args, &d.args); err != nil || d.Node == "" || d.Clock.Write.Path == "" {
		return nil, fmt.Errorf("%s %s: arguments %q name no clock: the journal is damaged", kindOffset, a.ID, a.Args)
	}
	if armed {
		if err := json.Unmarshal(a.Before, &d.was); err != nil || d.was.Reads == nil {
			return nil, d.errorf("the action was never armed (before: %q), so how its clock was is not known", a.Before)
		}
	}
	var ok bool
	if d.system, ok = s.(system); !ok {
		return nil, d.errorf("this target's runtime does not tell whether a node runs (%s)", target.VerbSignal)
	}
	return d, nil
}

func (d *dial) errorf(format string, a ...any) error {
	return fmt.Errorf("%s on node %s: "+format, append([]any{kindOffset, d.Node}, a...)...)
}

func (d *dial) read(ctx context.Context) (target.ClockReading, error) {
	r, err := target.ReadClock(ctx, d.Call, d.Clock)
	if err != nil {
		err = d.errorf("read its clock: %w", err)
	}
	return r, err
}

// set writes an offset and waits for the answer.
func (d *dial) set(ctx context.Context, offset time.Duration) error {
	if err := ctx.Err(); err != nil {
		return d.errorf("its clock is not set: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
	defer cancel()
	body := fmt.Appendf(nil, `{"offset_ms":%d}`, offset.Milliseconds())
	if _, err := d.Call(ctx, target.Call{Query: d.Clock.Write, Body: body}); err != nil {
		return d.errorf("set its clock: %w", err)
	}
	return nil
}

// moved is how far the clock is from where it was when it was armed, and how exactly that is known.
func (d *dial) moved(r target.ClockReading) (offset, slack time.Duration) {
	return r.Skew - d.was.Skew, r.Slack + d.was.Slack + within
}

// off says why the clock is not off as asked, or "".
func (d *dial) off(r target.ClockReading) string {
	moved, slack := d.moved(r)
	switch {
	case r.Offset == 0:
		return "its clock is not set off: it was never, or the node was started anew since"
	case r.Offset != d.Offset:
		return fmt.Sprintf("its clock is set off by %v, not by %v: something else set it", kind.Offset(r.Offset), kind.Offset(d.Offset))
	case (moved - d.Offset).Abs() > slack:
		return fmt.Sprintf("it says that its clock is off by %v, and reads %v more than before the fault", kind.Offset(d.Offset), moved.Round(time.Millisecond))
	}
	return ""
}

// Arm implements fault.Fault. A clock that is off already is an error: the undo sets it right.
func (f *Offset) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	d, err := open(s, a, false)
	if err != nil {
		return a, err
	}
	r, err := d.read(ctx)
	switch {
	case err != nil:
		return a, err
	case r.Offset != 0:
		return a, d.errorf("its clock is set off by %v before the fault: heal what an earlier run left (chaos heal)", kind.Offset(r.Offset))
	}
	a.Before, err = json.Marshal(before{Skew: r.Skew, Slack: r.Slack, Reads: &r.Reads})
	if err != nil {
		return a, d.errorf("encode what was before: %w", err)
	}
	return a, nil
}

// Inject implements fault.Fault.
func (f *Offset) Inject(ctx context.Context, s target.System, a fault.Action) error {
	d, err := open(s, a, true)
	if err != nil {
		return err
	}
	return d.set(ctx, d.Offset)
}

// Confirm implements fault.Fault: it reads the clock and holds it against this process's own. A node that
// does not run has no clock that could be off.
func (f *Offset) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	d, err := open(s, a, true)
	if err != nil {
		return err
	}
	r, err := d.read(ctx)
	switch {
	case err != nil && !active:
		return d.unlessEnded(ctx, err)
	case err != nil:
		return err
	case active:
		if why := d.off(r); why != "" {
			return d.errorf("%s", why)
		}
		return nil
	}
	if moved, slack := d.moved(r); r.Offset != 0 || moved.Abs() > slack {
		return d.errorf("its clock is off by %v (chaos heal sets it right)", moved.Round(time.Millisecond))
	}
	return nil
}

// unlessEnded is nil when the node has no process, whose clock was gone with it.
func (d *dial) unlessEnded(ctx context.Context, failed error) error {
	st, err := d.State(ctx, d.Node)
	switch {
	case err != nil:
		return errors.Join(failed, d.errorf("look at its state: %w", err))
	case st.Running:
		return failed
	}
	return nil
}

// detail is the machine-readable part of a bite.
type detail struct {
	Asked     time.Duration `json:"asked_ns"`
	Delivered time.Duration `json:"delivered_ns"`
	Slack     time.Duration `json:"slack_ns"`
	Reads     uint64        `json:"reads"`
}

// Measure implements fault.Fault. It bites when the clock is off as asked at the end, as this process's own
// clock tells, and the node has used it since it was armed.
func (f *Offset) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	d, err := open(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: kind.Offset(d.Offset).String()}
	r, err := d.read(ctx)
	if err != nil {
		return b, d.unlessEndedBite(ctx, &b, err)
	}
	moved, slack := d.moved(r)
	found := detail{Asked: d.Offset, Delivered: moved, Slack: slack}
	if r.Reads >= *d.was.Reads {
		found.Reads = r.Reads - *d.was.Reads
	}
	b.Delivered = fmt.Sprintf("%+.3f s ± %.3f s, used %d times", moved.Seconds(), slack.Seconds(), found.Reads)
	b.Why = d.off(r)
	if b.Why == "" && found.Reads == 0 {
		b.Why = "it has not used its clock since: nothing could come of it"
	}
	if b.Why != "" {
		b.Why = "node " + d.Node + ": " + b.Why
	}
	b.Bit = b.Why == ""
	b.Detail, err = json.Marshal(found)
	return b, err
}

// unlessEndedBite says of a node that has ended that its clock ended with it.
func (d *dial) unlessEndedBite(ctx context.Context, b *verdict.Bite, failed error) error {
	if err := d.unlessEnded(ctx, failed); err != nil {
		return err
	}
	b.Delivered, b.Why = "nothing at the end", "node "+d.Node+": its process has ended, and its clock with it"
	return nil
}

// Revert implements fault.Fault.
func (f *Offset) Revert(ctx context.Context, s target.System, a fault.Action) error {
	d, err := open(s, a, true)
	if err != nil {
		return err
	}
	r, err := d.read(ctx)
	switch {
	case err != nil:
		return d.unlessEnded(ctx, err)
	case r.Offset == 0:
		return nil
	}
	return d.set(ctx, 0)
}
