package toxic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// Delay holds requests, or their answers, back. Unlike toxic.latency it hits a share of the requests, and each once.
type Delay struct {
	onLink
	Requests
	Delay time.Duration `yaml:"delay" doc:"delay of each request that is hit, in whole milliseconds" range:"1ms..1h" example:"2s"`
	Stage string        `yaml:"stage" doc:"request (before it is forwarded) or response (it is processed, and the answer comes late)" default:"request" enum:"request|response"`
}

func (f *Delay) spec() (spec, error) {
	x, err := f.action(kindDelay, map[string]any{"delay": f.Delay.Milliseconds(), "stage": f.Stage})
	if err != nil {
		return x, err
	}
	if err := millis(kindDelay, "delay", f.Delay, time.Millisecond); err != nil {
		return x, err
	}
	return x, stage(kindDelay, f.Stage)
}

// stage checks when a toxic acts.
func stage(kindName, v string) error {
	if v != onRequest && v != onResponse {
		return fmt.Errorf("%s: stage %q is neither %s nor %s", kindName, v, onRequest, onResponse)
	}
	return nil
}

// Validate implements kind.Validator.
func (f *Delay) Validate() error {
	_, err := f.spec()
	return err
}

// Plan implements fault.Fault: one action for each edge.
func (f *Delay) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	x, err := f.spec()
	if err != nil {
		return nil, err
	}
	return f.plan(kindDelay, x, t, c)
}

// Measure implements fault.Fault. It bites when the share of requests is right, and the median delay of those
// that have gone on reaches minShare of what was asked. One whose client gave up never does.
func (f *Delay) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measureRequests(ctx, s, a, func(x spec) string { return fmt.Sprintf("+%v on the %s", x.millis("delay"), x.stage()) })
}
