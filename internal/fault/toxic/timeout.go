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

// Timeout drops what passes an edge and ends the connections that stay without data for so long, as
// Toxiproxy does. It can't move: neither ramp nor pulse.
type Timeout struct {
	onLink
	Edges    []string      `yaml:"edges" doc:"the edges, from->to each" optional:"true" one:"place"`
	Edge     string        `yaml:"edge" doc:"the edge, when it is one" optional:"true" one:"place" example:"payments->redis"`
	Timeout  time.Duration `yaml:"timeout" doc:"a connection ends this long after its last data, in whole milliseconds; 0s: never, until the fault does" default:"0s" range:"0s..1h"`
	Stream   string        `yaml:"stream" doc:"downstream (answers) or upstream (requests)" default:"downstream" enum:"downstream|upstream"`
	Toxicity float64       `yaml:"toxicity" doc:"share of the connections that are hit; not of the requests" default:"1" range:">0..1"`
}

// streams is what it shares with the kinds that can move.
func (f *Timeout) streams() *Streams {
	return &Streams{Edges: f.Edges, Edge: f.Edge, Stream: f.Stream, Toxicity: f.Toxicity}
}

// Validate implements kind.Validator.
func (f *Timeout) Validate() error {
	if err := f.streams().validate(kindTimeout); err != nil {
		return err
	}
	return millis(kindTimeout, "timeout", f.Timeout, 0)
}

// Plan implements fault.Fault: one action for each edge.
func (f *Timeout) Plan(t *target.Topology, c target.Capabilities, r *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f.streams().plan(kindTimeout, map[string]any{"timeout": f.Timeout.Milliseconds()}, t, c, r)
}

// Measure implements fault.Fault. It bites when it dropped a byte or ended a connection.
func (f *Timeout) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		text := "all dropped"
		if limit := x.millis("timeout"); limit > 0 {
			text += fmt.Sprintf(", the end after %v without data", limit)
		}
		return text + "," + x.onStream()
	}, timedOut)
}

// timedOut judges the counters of a timeout toxic.
func timedOut(x spec, c edge.ToxicCounters) (delivered, why string) {
	delivered = fmt.Sprintf("%d bytes dropped, %d connections ended, of %d touched", c.Swallowed, c.Closed, c.Connections)
	if c.Swallowed == 0 && c.Closed == 0 {
		why = "nothing was sent over the edge while it dropped all"
		if limit := x.millis("timeout"); limit > 0 {
			why += fmt.Sprintf(", and no connection was open for %v", limit)
		}
		return "nothing dropped, no connection ended", why + ": does any load use it?"
	}
	return delivered, ""
}
