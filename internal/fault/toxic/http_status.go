package toxic

import (
	"context"
	"fmt"
	"math/rand/v2"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// Status answers requests in the place of the far side, which never sees them. The connection lives.
type Status struct {
	onLink
	Requests
	Status  int64             `yaml:"status" doc:"status of the answer" default:"503" range:"200..599"`
	Body    *string           `yaml:"body" doc:"body of the answer; left out: empty" optional:"true"`
	Headers map[string]string `yaml:"headers" doc:"headers of the answer, such as Retry-After" optional:"true"`
}

func (f *Status) spec() (spec, error) {
	attributes := map[string]any{"status": f.Status}
	if f.Body != nil {
		attributes["body"] = *f.Body
	}
	if len(f.Headers) > 0 {
		attributes["headers"] = f.Headers
	}
	x, err := f.action(kindStatus, attributes)
	switch {
	case err != nil:
		return x, err
	case f.Status < 200 || f.Status > 599:
		return x, fmt.Errorf("%s: status %d is not 200 to 599", kindStatus, f.Status)
	case f.Body != nil && (f.Status == 204 || f.Status == 304):
		return x, fmt.Errorf("%s: an answer with status %d has no body", kindStatus, f.Status)
	}
	return x, headerNames(kindStatus, f.Headers, nil)
}

// Validate implements kind.Validator.
func (f *Status) Validate() error {
	_, err := f.spec()
	return err
}

// Plan implements fault.Fault: one action for each edge.
func (f *Status) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	x, err := f.spec()
	if err != nil {
		return nil, err
	}
	return f.plan(kindStatus, x, t, c)
}

// Measure implements fault.Fault. It bites when the share of the matching requests that it answered may be a
// draw of the ratio that was asked.
func (f *Status) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measureRequests(ctx, s, a, func(x spec) string { return fmt.Sprintf("status %v", x.Attributes["status"]) })
}
