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

// The modes of toxic.down.
const (
	modeRefused   = "refused"
	modeBlackhole = "blackhole"
)

// Down takes an edge down. Refused: established connections are reset and dials are refused by the
// kernel. Black hole: connections live and dials succeed, but no byte arrives.
type Down struct {
	onLink
	Edges []string `yaml:"edges" doc:"the edges, from->to each" optional:"true" one:"place"`
	Edge  string   `yaml:"edge" doc:"the edge, when it is one" optional:"true" one:"place" example:"payments->redis"`
	Mode  string   `yaml:"mode" doc:"refused (connections reset, dials refused) or blackhole (dials succeed, nothing arrives)" default:"refused" enum:"refused|blackhole"`
}

// Validate implements kind.Validator.
func (f *Down) Validate() error {
	if _, err := edgesOf(kindDown, f.Edge, f.Edges); err != nil {
		return err
	}
	if f.Mode != modeRefused && f.Mode != modeBlackhole {
		return fmt.Errorf("%s: mode %q is neither %s nor %s", kindDown, f.Mode, modeRefused, modeBlackhole)
	}
	return nil
}

// Plan implements fault.Fault: one action for each edge.
func (f *Down) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	edges, err := edgesOf(kindDown, f.Edge, f.Edges)
	if err != nil {
		return nil, err
	}
	return plan(kindDown, edges, spec{
		Type: "down", Stream: downstream, Toxicity: 1, Attributes: map[string]any{"mode": f.Mode},
	}, t, c)
}

// Measure implements fault.Fault. Refused bites when at least one connection was cut (a dial that the
// kernel refuses is seen by nobody on our side); a black hole, when it swallowed at least one byte.
func (f *Down) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string { return fmt.Sprintf("down, %v", x.Attributes["mode"]) }, wasDown)
}

// wasDown judges the counters of a down toxic.
func wasDown(x spec, c edge.ToxicCounters) (delivered, why string) {
	seconds := "down"
	if !c.ActiveSince.IsZero() {
		seconds = fmt.Sprintf("down %.1f s", max(0, time.Since(c.ActiveSince)).Seconds())
	}
	if x.Attributes["mode"] == modeBlackhole {
		delivered = fmt.Sprintf("%s, %d bytes of %d connections swallowed", seconds, c.Swallowed, c.Connections)
		if c.Swallowed == 0 {
			return delivered, "nothing was sent over the edge while it was a black hole: does any load use it?"
		}
		return delivered, ""
	}
	delivered = fmt.Sprintf("%s, %d connections cut", seconds, c.Resets)
	if c.Resets == 0 {
		return delivered, "no connection was open on the edge when it went down, and refused dials can't be counted: does any load use it? If it dials for each request, use mode: blackhole"
	}
	return delivered, ""
}
