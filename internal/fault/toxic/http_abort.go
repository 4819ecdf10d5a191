package toxic

import (
	"context"
	"math/rand/v2"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// Abort resets the connection of a request. At stage response the far side has processed it, and the answer is lost.
type Abort struct {
	onLink
	Requests
	Stage string `yaml:"stage" doc:"request (before it is forwarded) or response (it is processed, and the answer is lost)" default:"request" enum:"request|response"`
}

func (f *Abort) spec() (spec, error) {
	x, err := f.action(kindAbort, map[string]any{"abort": true, "stage": f.Stage})
	if err != nil {
		return x, err
	}
	return x, stage(kindAbort, f.Stage)
}

// Validate implements kind.Validator.
func (f *Abort) Validate() error {
	_, err := f.spec()
	return err
}

// Plan implements fault.Fault: one action for each edge.
func (f *Abort) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	x, err := f.spec()
	if err != nil {
		return nil, err
	}
	return f.plan(kindAbort, x, t, c)
}

// Measure implements fault.Fault. It bites when the share of requests is right.
func (f *Abort) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measureRequests(ctx, s, a, func(x spec) string {
		if x.stage() == onResponse {
			return "answers lost by a reset"
		}
		return "reset before the request arrives"
	})
}
