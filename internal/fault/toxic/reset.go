package toxic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// minEvery is the shortest period that the proxy takes.
const minEvery = 10 * time.Millisecond

// Reset sends a real RST to both ends of the established connections of an edge, at injection and
// then at each period. New connections live until the next period, unless they are refused too.
type Reset struct {
	onLink
	Edges  []string      `yaml:"edges" doc:"the edges, from->to each" optional:"true" one:"place"`
	Edge   string        `yaml:"edge" doc:"the edge, when it is one" optional:"true" one:"place" example:"payments->redis"`
	Every  time.Duration `yaml:"every" doc:"period of further resets, 10ms to 1h in whole milliseconds; 0s: only at injection" default:"0s"`
	Refuse bool          `yaml:"refuse" doc:"reset new connections at once too" default:"false"`
}

// Validate implements kind.Validator.
func (f *Reset) Validate() error {
	if _, err := edgesOf(kindReset, f.Edge, f.Edges); err != nil {
		return err
	}
	if f.Every == 0 {
		return nil
	}
	return millis(kindReset, "every", f.Every, minEvery)
}

// Plan implements fault.Fault: one action for each edge.
func (f *Reset) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	edges, err := edgesOf(kindReset, f.Edge, f.Edges)
	if err != nil {
		return nil, err
	}
	return plan(kindReset, edges, spec{
		Type: "reset", Stream: downstream, Toxicity: 1,
		Attributes: map[string]any{"every": f.Every.Milliseconds(), "refuse": f.Refuse},
	}, t, c)
}

// Measure implements fault.Fault. It bites when at least one connection got a RST.
func (f *Reset) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		text := "RST at injection"
		if every := x.millis("every"); every > 0 {
			text += fmt.Sprintf(" and every %v", every)
		}
		if x.Attributes["refuse"] == true {
			text += ", new connections too"
		}
		return text
	}, wasReset)
}

// wasReset judges the counters of a reset toxic.
func wasReset(_ spec, c edge.ToxicCounters) (delivered, why string) {
	if c.Resets == 0 {
		return "no connection reset", "no connection was open on the edge when it was reset: does any load use it?"
	}
	return fmt.Sprintf("%d connections reset", c.Resets), ""
}
