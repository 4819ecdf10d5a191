package packet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// Limits of a delay.
const (
	minLatency = time.Millisecond
	maxLatency = time.Minute
)

// Delay lets every packet that a node sends leave later, until reverted, as netem does. The answers to what it
// receives come late by it, and so do its own calls: each round trip takes the latency once.
type Delay struct {
	Node    string        `yaml:"node" doc:"name of the node in target.yaml" example:"redis"`
	Latency time.Duration `yaml:"latency" doc:"how much later each packet leaves, in whole microseconds" range:"1ms..1m" example:"100ms"`
	Jitter  time.Duration `yaml:"jitter" doc:"each packet's delay is drawn uniformly from latency ± jitter; packets overtake each other then" optional:"true" range:"0s..1m" default:"0s"`
}

// delayArgs is what an action carries.
type delayArgs struct {
	Node    string        `json:"node"`
	Latency time.Duration `json:"latency_ns"`
	Jitter  time.Duration `json:"jitter_ns,omitempty"`
}

// Validate implements kind.Validator.
func (f *Delay) Validate() error {
	switch {
	case f.Node == "":
		return fmt.Errorf("%s: name the node, such as node: redis", kindDelay)
	case f.Latency < minLatency || f.Latency > maxLatency:
		return fmt.Errorf("%s: latency %v is not from %v to %v", kindDelay, f.Latency, minLatency, maxLatency)
	case f.Jitter < 0 || f.Jitter > f.Latency:
		return fmt.Errorf("%s: jitter %v is not from 0s to the latency, %v", kindDelay, f.Jitter, f.Latency)
	case f.Latency%time.Microsecond != 0 || f.Jitter%time.Microsecond != 0:
		return fmt.Errorf("%s: latency %v and jitter %v: want whole microseconds", kindDelay, f.Latency, f.Jitter)
	}
	return nil
}

// Plan implements fault.Fault.
func (f *Delay) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return plan(kindDelay, f.Node, "remove the delay from the packets of", delayArgs(*f), t, c, target.VerbDelay)
}

// delayer is what packet.delay needs of a system; target.Delayer satisfies it.
type delayer interface {
	SetDelay(ctx context.Context, node, id string, d target.Delay) error
	Delay(ctx context.Context, node, id string) (target.DelayState, error)
	ClearDelay(ctx context.Context, node, id string) error
}

// late is a victim in a system that can delay its packets.
type late struct {
	victim
	delayer
	args delayArgs
}

func openDelay(s target.System, a fault.Action, armed bool) (v late, err error) {
	if v.victim, err = open(s, a, armed); err != nil {
		return v, err
	}
	if err := json.Unmarshal(a.Args, &v.args); err != nil {
		return v, v.errorf("arguments %q: the journal is damaged", a.Args)
	}
	var ok bool
	if v.delayer, ok = s.(delayer); !ok {
		return v, v.errorf("this target's runtime can't delay packets (%s)", target.VerbDelay)
	}
	return v, nil
}

// look sees the delay.
func (v late) look(ctx context.Context) (target.DelayState, error) {
	d, err := v.Delay(ctx, v.node, v.id)
	if err != nil {
		err = v.errorf("look at its packets: %w", err)
	}
	return d, err
}

// Arm implements fault.Fault.
func (f *Delay) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	v, err := openDelay(s, a, false)
	if err != nil {
		return a, err
	}
	d, err := v.look(ctx)
	if err != nil {
		return a, err
	}
	was, err := v.sound(ctx, d.There)
	if err != nil {
		return a, err
	}
	a.Before = was
	return a, nil
}

// Inject implements fault.Fault. It returns when the delay is in force.
func (f *Delay) Inject(ctx context.Context, s target.System, a fault.Action) error {
	v, err := openDelay(s, a, true)
	if err != nil {
		return err
	}
	return v.whole(ctx, func(ctx context.Context) error {
		return v.SetDelay(ctx, v.node, v.id, target.Delay{Latency: v.args.Latency, Jitter: v.args.Jitter})
	})
}

// Confirm implements fault.Fault, as Loss.Confirm.
func (f *Delay) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	v, err := openDelay(s, a, true)
	if err != nil {
		return err
	}
	d, err := v.look(ctx)
	switch {
	case err != nil:
		return err
	case !active && d.There:
		return v.errorf("%w", errThere)
	case !active:
		return nil
	}
	st, err := v.state(ctx)
	if err != nil {
		return err
	}
	if why := v.amiss(st, d); why != "" {
		return v.errorf("%s", why)
	}
	return nil
}

// amiss says why the delay is not in force as asked in the process that Arm saw, or "".
func (v late) amiss(st target.State, d target.DelayState) string {
	if why := v.another(st); why != "" {
		return why
	}
	switch has := d.Delay; {
	case !d.There:
		return "its delay is gone, or never was there: something else removed it, or its network device was made anew"
	case has.Latency != v.args.Latency || has.Jitter != v.args.Jitter:
		return fmt.Sprintf("the kernel delays by %v ± %v", has.Latency, has.Jitter)
	}
	return d.Missed
}

// Measure implements fault.Fault. It bites when packets left through the delay, which the kernel has as it was
// asked. The kernel does not tell how long each packet took.
func (f *Delay) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	v, err := openDelay(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	asked := target.Delay{Latency: v.args.Latency, Jitter: v.args.Jitter}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: "every packet out later by " + inWords(asked)}
	d, err := v.look(ctx)
	if err != nil {
		return b, err
	}
	st, err := v.state(ctx)
	if err != nil {
		return b, err
	}
	why := v.amiss(st, d)
	b.Delivered = "no delay at the end"
	if d.There {
		b.Delivered = fmt.Sprintf("%d packets left through a delay of %s", d.Left, inWords(d.Delay))
		if d.Dropped > 0 {
			b.Delivered += fmt.Sprintf(", %d were lost because too many waited", d.Dropped)
		}
	}
	if why == "" && d.Left == 0 {
		why = "no packet left that could have been delayed"
	}
	if b.Bit = why == ""; !b.Bit {
		b.Why = "node " + v.node + ": " + why
	}
	b.Detail, err = json.Marshal(d)
	return b, err
}

func inWords(d target.Delay) string {
	if d.Jitter == 0 {
		return d.Latency.String()
	}
	return fmt.Sprintf("%v ± %v", d.Latency, d.Jitter)
}

// Revert implements fault.Fault, as Loss.Revert.
func (f *Delay) Revert(ctx context.Context, s target.System, a fault.Action) error {
	v, err := openDelay(s, a, true)
	if err != nil {
		return err
	}
	if err := v.ClearDelay(ctx, v.node, v.id); err != nil {
		return v.errorf("remove its delay: %w", err)
	}
	return nil
}
