package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// Restart ends a node as Stop does and starts it again at once, as a deployment does. It happens once, at
// the beginning of the fault's window, and passes by itself.
type Restart struct {
	onNode
	Node  string        `yaml:"node" doc:"name of the node in target.yaml"`
	Grace time.Duration `yaml:"grace" doc:"how long it may take to end by itself before SIGKILL, 0s to 1m" default:"2s"`
}

// Validate implements kind.Validator.
func (f *Restart) Validate() error { return valid(kindRestart, f.Node, f.Grace) }

// Plan implements fault.Fault.
func (f *Restart) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return plan(kindRestart, undoRestart, args{Node: f.Node, Grace: f.Grace}, t, c, target.VerbSignal)
}

// renewed is a node whose process was ended and started again. It is mended as one that is down: mostly that is only to wait until
// the new process is ready.
type renewed struct{ downed }

func (v renewed) asked() string {
	return fmt.Sprintf("SIGTERM, SIGKILL after %v, started again at once", v.Grace)
}

// inject returns when the new process runs; it need not be ready.
func (v renewed) inject(ctx context.Context) error {
	if err := v.end(ctx); err != nil {
		return err
	}
	return v.whole(ctx, startWithin, "start it again", func(ctx context.Context) error { return v.StartNode(ctx, v.Node) })
}

// absent: the process that Arm saw must have ended, whether or not a new one runs already. Since a restart passes by itself, it is
// there and gone from the moment when the new process is ready.
func (v renewed) absent(_ context.Context, st target.State) (seen, why string, err error) {
	if st.Running && v.old(st) {
		return "running", fmt.Sprintf("its old process still runs (since %s): it never ended", st.StartedAt.Format(time.RFC3339Nano)), nil
	}
	return "", "", nil
}

// readyProbe is how long Measure waits to see whether a new process is ready.
const readyProbe = 300 * time.Millisecond

// renewedDetail is the machine-readable part of a bite.
type renewedDetail struct {
	Down  time.Duration `json:"down_ns,omitempty"` // from the old process's end to the new one's start; zero when the engine does not tell
	Ready bool          `json:"ready"`             // the new process was ready when it was measured
}

// felt: the process that Arm saw has ended and a new one runs. When that one became ready, no engine knows; only whether it is by now.
func (v renewed) felt(ctx context.Context, st target.State) (said, why string, detail any, err error) {
	switch {
	case v.old(st):
		return fmt.Sprintf("down, exit code %d", st.ExitCode), "it ended and was not started again", nil, nil
	case !st.Running:
		return fmt.Sprintf("restarted, and down again, exit code %d", st.ExitCode), "its new process did not stay up", nil, nil
	}
	var d renewedDetail
	said = "a new process"
	if !st.FinishedAt.Before(v.was.StartedAt) && !st.FinishedAt.After(st.StartedAt) {
		d.Down = st.StartedAt.Sub(st.FinishedAt)
		said = fmt.Sprintf("a new process %.2f s after the old one ended", d.Down.Seconds())
	}
	ready := v.ready(ctx, readyProbe)
	d.Ready = ready == isReady
	return said + ", " + ready, "", d, nil
}

// isReady is how ready says it.
const isReady = "ready"

// ready says in words whether the node is ready, without waiting longer than that for it.
func (v *victim) ready(ctx context.Context, within time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	switch err := v.NodeReady(ctx, v.Node); {
	case err == nil:
		return isReady
	case errors.Is(err, context.DeadlineExceeded):
		return "not ready yet"
	}
	return "whether it is ready could not be told"
}
