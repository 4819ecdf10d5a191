package packet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// Limits of a delay.
const (
	minLatency = time.Millisecond
	maxLatency = time.Minute
)

// Delay lets every packet that a node sends leave later, until reverted, as netem does. The answers to what it
// receives come late by it, and so do its own calls: each round trip takes the latency once.
type Delay struct {
	onPackets
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
	return plan(kindDelay, f.Node, "remove the delay from the packets of", delayArgs{Node: f.Node, Latency: f.Latency, Jitter: f.Jitter}, t, c, target.VerbDelay)
}

// delayer is what packet.delay needs of a system; target.Delayer satisfies it.
type delayer interface {
	SetDelay(ctx context.Context, node, id string, d target.Delay) error
	Delay(ctx context.Context, node, id string) (target.DelayState, error)
	ClearDelay(ctx context.Context, node, id string) error
}

// late is one delay in a system that can delay packets.
type late struct {
	place
	delayer
	args delayArgs
}

func openDelay(s target.System, p place, args json.RawMessage) (rules, error) {
	d := late{place: p}
	if err := json.Unmarshal(args, &d.args); err != nil {
		return nil, p.errorf("arguments %q: the journal is damaged", args)
	}
	var ok bool
	if d.delayer, ok = s.(delayer); !ok {
		return nil, p.errorf("this target's runtime can't delay packets (%s)", target.VerbDelay)
	}
	return d, nil
}

func (d late) delay() target.Delay {
	return target.Delay{Latency: d.args.Latency, Jitter: d.args.Jitter}
}
func (d late) asked() string { return "every packet out later by " + inWords(d.delay()) }

func (d late) put(ctx context.Context) error   { return d.SetDelay(ctx, d.node, d.id, d.delay()) }
func (d late) clear(ctx context.Context) error { return d.ClearDelay(ctx, d.node, d.id) }

// look sees the delay. It falls short when no packet left through it. The kernel does not tell how long each took.
func (d late) look(ctx context.Context) (sight, error) {
	st, err := d.Delay(ctx, d.node, d.id)
	if err != nil {
		return sight{}, err
	}
	if !st.There {
		return sight{amiss: "its delay is gone, or never was there: something else removed it, or its network device was made anew", delivered: "no delay at the end"}, nil
	}
	seen := sight{there: true, amiss: st.Missed, detail: st, delivered: fmt.Sprintf("%d packets left through a delay of %s", st.Left, inWords(st.Delay))}
	if st.Delay != d.delay() {
		seen.amiss = fmt.Sprintf("the kernel delays by %v ± %v", st.Delay.Latency, st.Delay.Jitter)
	}
	if st.Dropped > 0 {
		seen.delivered += fmt.Sprintf(", %d were lost because too many waited", st.Dropped)
	}
	if st.Left == 0 {
		seen.short = []string{"no packet left that could have been delayed"}
	}
	return seen, nil
}

func inWords(d target.Delay) string {
	if d.Jitter == 0 {
		return d.Latency.String()
	}
	return fmt.Sprintf("%v ± %v", d.Latency, d.Jitter)
}
