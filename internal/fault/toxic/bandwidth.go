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

// Fidelity of toxic.bandwidth.
const (
	// demand is how long bytes must have queued before the rate says something.
	demand = 200 * time.Millisecond
	// rateTolerance is how far the rate of bytes that queued may be from the one asked.
	rateTolerance = 0.2
	// measurable is the least delay of one chunk that counts when there was no demand.
	measurable = time.Millisecond
	// maxRate is the highest rate that the proxy takes.
	maxRate = kind.Throughput(10e9)
)

// Bandwidth throttles each connection of an edge by itself, not the edge as a whole.
type Bandwidth struct {
	Streams
	Rate kind.Throughput `yaml:"rate" doc:"bytes a second of each connection, in whole KB (1000 B), up to 10GB/s; 0B/s: a stall" example:"64KB/s"`
}

// Validate implements kind.Validator.
func (f *Bandwidth) Validate() error {
	if err := f.validate(kindBandwidth); err != nil {
		return err
	}
	if f.Rate < 0 || f.Rate > maxRate || f.Rate%1000 != 0 {
		return fmt.Errorf("%s: rate %v is not 0B/s to %v in whole KB/s", kindBandwidth, f.Rate, maxRate)
	}
	_, err := f.put(kindBandwidth, f.attributes())
	return err
}

// attributes are those of the toxic, before they move.
func (f *Bandwidth) attributes() map[string]any {
	return map[string]any{"rate": int64(f.Rate / 1000)}
}

// Plan implements fault.Fault: one action for each edge.
func (f *Bandwidth) Plan(t *target.Topology, c target.Capabilities, r *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f.plan(kindBandwidth, f.attributes(), t, c, r)
}

// Measure implements fault.Fault. It bites when bytes queued for demand and left within rateTolerance
// of the rate asked; without such demand, when one chunk was delayed measurably; at rate 0, when it
// held a chunk.
func (f *Bandwidth) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		if x.number("rate") == 0 {
			return "a stall" + x.onStream()
		}
		return fmt.Sprintf("%v a connection%s", kind.Throughput(1000*x.number("rate")), x.onStream())
	}, throttled)
}

// throttled judges the counters of a bandwidth toxic.
func throttled(x spec, c edge.ToxicCounters) (delivered, why string) {
	if delivered, why, none := unused(c, "it was throttled"); none {
		return delivered, why
	}
	least, most, _ := x.ends("rate")
	if most == 0 {
		return fmt.Sprintf("%d connections stalled", c.Connections), ""
	}
	if c.PacedFor < demand {
		delivered = fmt.Sprintf("worst +%v on %d chunks of %d connections; too little was sent to see a rate", round(c.AddedMax), c.Chunks, c.Connections)
		if c.AddedMax < measurable {
			return delivered, fmt.Sprintf("no chunk was delayed by %v or more: so little was sent that the rate does not matter; ask for a lower one", measurable)
		}
		return delivered, ""
	}
	rate := float64(c.PacedBytes) / c.PacedFor.Seconds()
	delivered = fmt.Sprintf("%.1f KB/s while bytes queued (%v), worst +%v on %d connections", rate/1000, round(c.PacedFor), round(c.AddedMax), c.Connections)
	if rate < (1-rateTolerance)*1000*least || rate > (1+rateTolerance)*1000*most {
		asked := fmt.Sprintf("%.0f KB/s", most)
		if least < most {
			asked = fmt.Sprintf("%.0f to %.0f KB/s", least, most)
		}
		return delivered, fmt.Sprintf("that is not within %.0f %% of %s: the proxy did not deliver what was asked", 100*rateTolerance, asked)
	}
	return delivered, ""
}
