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

// ResetPeer resets each connection of an edge so long after its next data, or its end, as Toxiproxy does.
// Unlike Reset it spares connections on which nothing happens, and hits new ones too.
type ResetPeer struct {
	Streams
	Timeout time.Duration `yaml:"timeout" doc:"from the next data, which is held back, to the RST, in whole milliseconds" default:"0s" range:"0s..1h"`
	Chunks  float64       `yaml:"chunks" doc:"share of the chunks of those connections that bring the reset" default:"1" range:">0..1"`
}

// Validate implements kind.Validator.
func (f *ResetPeer) Validate() error {
	if err := f.validate(kindResetPeer); err != nil {
		return err
	}
	if err := millis(kindResetPeer, "timeout", f.Timeout, 0); err != nil {
		return err
	}
	if err := chunks(kindResetPeer, f.Chunks); err != nil {
		return err
	}
	_, err := f.put(kindResetPeer, f.attributes())
	return err
}

// attributes are those of the toxic, before they move.
func (f *ResetPeer) attributes() map[string]any {
	return ofChunks(f.Chunks, map[string]any{"timeout": f.Timeout.Milliseconds()})
}

// Plan implements fault.Fault: one action for each edge.
func (f *ResetPeer) Plan(t *target.Topology, c target.Capabilities, r *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f.plan(kindResetPeer, f.attributes(), t, c, r)
}

// Measure implements fault.Fault. It bites when at least one connection got a RST.
func (f *ResetPeer) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		return fmt.Sprintf("RST %v after the next data%s", x.millis("timeout"), x.onStream())
	}, peerReset)
}

// peerReset judges the counters of a reset_peer toxic.
func peerReset(x spec, c edge.ToxicCounters) (delivered, why string) {
	if c.Resets > 0 {
		return fmt.Sprintf("%d connections reset", c.Resets), ""
	}
	switch {
	case c.Connections > 0:
		why = fmt.Sprintf("%d connections still waited for their reset: the fault was shorter than its timeout", c.Connections)
	case x.Attributes["chunks"] != nil:
		why = "none of the chunks that passed was drawn: too few for so small a share, or no load uses the edge"
	default:
		why = "nothing passed the edge while its connections were to be reset: does any load use it?"
	}
	return "no connection reset", why
}
