package toxic

import (
	"context"
	"fmt"
	"math/rand/v2"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// maxBody is the longest body that the proxy takes.
const maxBody = 64 << 10

// Body cuts or replaces what the far side answers. A request whose answer has no body is none that it could hit.
type Body struct {
	onLink
	Requests
	Truncate *int64  `yaml:"truncate" doc:"bytes of the body that still come; then the connection ends in the middle of the answer" optional:"true" one:"change" range:"0.." example:"10"`
	Replace  *string `yaml:"replace" doc:"text that comes instead, with the status and the other headers of the answer" optional:"true" one:"change"`
}

func (f *Body) spec() (spec, error) {
	attributes := map[string]any{}
	if f.Truncate != nil {
		attributes["truncate"] = *f.Truncate
	}
	if f.Replace != nil {
		attributes["body"] = *f.Replace
	}
	x, err := f.action(kindBody, attributes)
	switch {
	case err != nil:
		return x, err
	case (f.Truncate == nil) == (f.Replace == nil):
		return x, fmt.Errorf("%s: give truncate or replace, and not both", kindBody)
	case f.Truncate != nil && (*f.Truncate < 0 || *f.Truncate > 1<<50):
		return x, fmt.Errorf("%s: truncate %d is not a number of bytes", kindBody, *f.Truncate)
	case f.Replace != nil && len(*f.Replace) > maxBody:
		return x, fmt.Errorf("%s: replace is longer than %d bytes", kindBody, maxBody)
	}
	return x, nil
}

// Validate implements kind.Validator.
func (f *Body) Validate() error {
	_, err := f.spec()
	return err
}

// Plan implements fault.Fault: one action for each edge.
func (f *Body) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	x, err := f.spec()
	if err != nil {
		return nil, err
	}
	return f.plan(kindBody, x, t, c)
}

// Measure implements fault.Fault. It bites when the share of requests is right.
func (f *Body) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measureRequests(ctx, s, a, func(x spec) string {
		if n, ok := x.Attributes["truncate"]; ok {
			return fmt.Sprintf("bodies cut after %v bytes", n)
		}
		return "bodies replaced"
	})
}
