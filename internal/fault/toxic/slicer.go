package toxic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// maxSlice is the largest size that the proxy takes. What it reads at once is 32 KiB at most.
const maxSlice kind.Size = 1 << 20

// Slicer sends what passes an edge in small parts with pauses: it shows clients that take one read
// for one message.
type Slicer struct {
	Streams
	AverageSize   kind.Size     `yaml:"average_size" doc:"size of a slice on average, 1B to 1MiB; what is read at once is 32KiB at most" example:"100B"`
	SizeVariation kind.Size     `yaml:"size_variation" doc:"how much a slice may be larger or smaller; under average_size" default:"0B"`
	Chunks        float64       `yaml:"chunks" doc:"share of the chunks of those connections that are hit" default:"1" range:">0..1"`
	Delay         time.Duration `yaml:"delay" doc:"pause after each slice, in whole microseconds" default:"0s" range:"0s..1h"`
}

// Validate implements kind.Validator.
func (f *Slicer) Validate() error {
	if err := f.validate(kindSlicer); err != nil {
		return err
	}
	switch {
	case f.AverageSize < 1 || f.AverageSize > maxSlice:
		return fmt.Errorf("%s: average_size %v is not 1B to 1MiB", kindSlicer, f.AverageSize)
	case f.SizeVariation < 0 || f.SizeVariation >= f.AverageSize:
		return fmt.Errorf("%s: size_variation %v is not 0B to less than average_size %v", kindSlicer, f.SizeVariation, f.AverageSize)
	case f.Delay < 0 || f.Delay > maxDelay || f.Delay%time.Microsecond != 0:
		return fmt.Errorf("%s: delay %v is not a whole number of microseconds from 0s to %v", kindSlicer, f.Delay, maxDelay)
	}
	if err := chunks(kindSlicer, f.Chunks); err != nil {
		return err
	}
	all, err := f.put(kindSlicer, f.attributes())
	if err != nil {
		return err
	}
	x := spec{Attributes: all}
	if _, variation, _ := x.ends("size_variation"); variation >= x.number("average_size") {
		return fmt.Errorf("%s: ramps: size_variation gets to %v and average_size to %v: the one must stay under the other",
			kindSlicer, kind.Size(variation), kind.Size(x.number("average_size")))
	}
	return nil
}

// attributes are those of the toxic, before they move.
func (f *Slicer) attributes() map[string]any {
	return ofChunks(f.Chunks, map[string]any{
		"average_size": int64(f.AverageSize), "size_variation": int64(f.SizeVariation), "delay": f.Delay.Microseconds(),
	})
}

// Plan implements fault.Fault: one action for each edge.
func (f *Slicer) Plan(t *target.Topology, c target.Capabilities, r *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f.plan(kindSlicer, f.attributes(), t, c, r)
}

// Measure implements fault.Fault. It bites when a chunk was cut, and the pauses between the slices of
// those that are through add up to minShare of what was asked.
func (f *Slicer) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		return fmt.Sprintf("slices of %v ± %v, %v apart,%s", kind.Size(x.number("average_size")), kind.Size(x.number("size_variation")),
			time.Duration(x.number("delay"))*time.Microsecond, x.onStream())
	}, sliced)
}

// sliced judges the counters of a slicer toxic.
func sliced(x spec, c edge.ToxicCounters) (delivered, why string) {
	switch {
	case c.Connections == 0:
		return "no chunk cut", fmt.Sprintf("nothing over %v was sent at once: does any load use the edge? Else ask for smaller slices",
			kind.Size(x.number("average_size")+x.number("size_variation")))
	case c.Chunks == 0:
		return fmt.Sprintf("chunks of %d connections being cut", c.Connections), ""
	}
	delivered = fmt.Sprintf("%d chunks of %d connections cut into %d slices, worst +%v", c.Chunks, c.Connections, c.Slices, round(c.AddedMax))
	pauses := time.Duration(float64(c.Slices-c.Chunks) * x.number("delay") * float64(time.Microsecond))
	if least := time.Duration(minShare * float64(pauses)); c.AddedTotal < least {
		return delivered, fmt.Sprintf("the pauses add up to %v and not to %v or more: the proxy did not deliver what was asked", round(c.AddedTotal), round(least))
	}
	return delivered, ""
}
