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

// SlowClose delays the end of a stream: who waits for it, or reuses a connection that the other side
// has closed already, learns of it late. Data are not delayed.
type SlowClose struct {
	Streams
	Delay time.Duration `yaml:"delay" doc:"delay of the end of a stream, in whole milliseconds" range:"1ms..1h" example:"2s"`
}

// Validate implements kind.Validator.
func (f *SlowClose) Validate() error {
	if err := f.validate(kindSlowClose); err != nil {
		return err
	}
	if err := millis(kindSlowClose, "delay", f.Delay, time.Millisecond); err != nil {
		return err
	}
	_, err := f.put(kindSlowClose, f.attributes())
	return err
}

// attributes are those of the toxic, before they move.
func (f *SlowClose) attributes() map[string]any {
	return map[string]any{"delay": f.Delay.Milliseconds()}
}

// Plan implements fault.Fault: one action for each edge.
func (f *SlowClose) Plan(t *target.Topology, c target.Capabilities, r *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f.plan(kindSlowClose, f.attributes(), t, c, r)
}

// Measure implements fault.Fault. It bites when the end of a stream is held, or the median of those
// that were passed on is minShare of the delay or more.
func (f *SlowClose) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		return fmt.Sprintf("closes %v late%s", x.millis("delay"), x.onStream())
	}, closedLate)
}

// closedLate judges the counters of a slow_close toxic.
func closedLate(x spec, c edge.ToxicCounters) (delivered, why string) {
	switch {
	case c.Connections == 0:
		return "no close held", "no stream ended on the edge while closes were slow: clients that keep their connections never feel it"
	case c.Closed == 0:
		return fmt.Sprintf("%d closes still held", c.Connections), ""
	}
	delivered = fmt.Sprintf("median %s on %d closes", added(c), c.Closed)
	if least := time.Duration(minShare * float64(x.millis("delay"))); c.AddedP50 < least {
		return delivered, fmt.Sprintf("the median is under %v, %.0f %% of the delay: the proxy did not deliver what was asked", round(least), 100*minShare)
	}
	return delivered, ""
}
