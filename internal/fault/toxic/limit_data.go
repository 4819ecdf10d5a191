package toxic

import (
	"context"
	"fmt"
	"math/rand/v2"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// LimitData ends each connection of an edge when so many bytes have passed since the fault began: in
// the middle of an answer, too.
type LimitData struct {
	Streams
	Bytes kind.Size `yaml:"bytes" doc:"what each connection may still carry, 0B to 1000GB; 0B: it ends at the next byte" example:"16KiB"`
}

// Validate implements kind.Validator.
func (f *LimitData) Validate() error {
	if err := f.validate(kindLimitData); err != nil {
		return err
	}
	if f.Bytes < 0 || f.Bytes > kind.MaxSize {
		return fmt.Errorf("%s: bytes %v is not 0B to %v", kindLimitData, f.Bytes, kind.MaxSize)
	}
	_, err := f.put(kindLimitData, f.attributes())
	return err
}

// attributes are those of the toxic, before they move.
func (f *LimitData) attributes() map[string]any {
	return map[string]any{"bytes": int64(f.Bytes)}
}

// Plan implements fault.Fault: one action for each edge.
func (f *LimitData) Plan(t *target.Topology, c target.Capabilities, r *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f.plan(kindLimitData, f.attributes(), t, c, r)
}

// Measure implements fault.Fault. It bites when it ended a connection.
func (f *LimitData) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		return fmt.Sprintf("the end after %v%s", kind.Size(x.number("bytes")), x.onStream())
	}, cutOff)
}

// cutOff judges the counters of a limit_data toxic.
func cutOff(x spec, c edge.ToxicCounters) (delivered, why string) {
	if c.Closed == 0 {
		return "no connection ended", fmt.Sprintf("no connection carried more than %v while the limit was there: does any load use the edge? Else ask for a lower one", kind.Size(x.number("bytes")))
	}
	return fmt.Sprintf("%d connections ended, %d bytes lost", c.Closed, c.Swallowed), ""
}
