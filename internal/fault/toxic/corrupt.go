package toxic

import (
	"context"
	"fmt"
	"math/rand/v2"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// maxBits is how many bits of one chunk the proxy flips at most.
const maxBits = 256

// Corrupt flips bits of what passes an edge. It is beyond Toxiproxy: only chaos proxy knows it.
type Corrupt struct {
	Streams
	Chunks float64 `yaml:"chunks" doc:"share of the chunks (reads of at most 32 KiB) of those connections that are hit" range:">0..1" example:"0.05"`
	Bits   int     `yaml:"bits" doc:"bits flipped in each of them" default:"1" range:"1..256"`
}

// Validate implements kind.Validator.
func (f *Corrupt) Validate() error {
	if err := f.validate(kindCorrupt); err != nil {
		return err
	}
	if f.Bits < 1 || f.Bits > maxBits {
		return fmt.Errorf("%s: bits %d is not 1 to %d", kindCorrupt, f.Bits, maxBits)
	}
	if err := chunks(kindCorrupt, f.Chunks); err != nil {
		return err
	}
	_, err := f.put(kindCorrupt, f.attributes())
	return err
}

// attributes are those of the toxic, before they move.
func (f *Corrupt) attributes() map[string]any {
	return map[string]any{"chunks": f.Chunks, "bits": int64(f.Bits)}
}

// Plan implements fault.Fault: one action for each edge.
func (f *Corrupt) Plan(t *target.Topology, c target.Capabilities, r *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f.plan(kindCorrupt, f.attributes(), t, c, r)
}

// Measure implements fault.Fault. It bites when it flipped a bit.
func (f *Corrupt) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		return fmt.Sprintf("%.0f bits flipped%s", x.number("bits"), x.onStream())
	}, corrupted)
}

// corrupted judges the counters of a corrupt toxic.
func corrupted(_ spec, c edge.ToxicCounters) (delivered, why string) {
	delivered = fmt.Sprintf("%d bits flipped in %d of %d chunks, on %d connections", c.Flipped, c.Chunks, c.Offered, c.Connections)
	switch {
	case c.Offered == 0:
		return "no chunk touched", "nothing passed the edge while it was corrupt: does any load use it?"
	case c.Flipped == 0:
		return delivered, undrawn(c)
	}
	return delivered, ""
}
