package node

import (
	"context"
	"fmt"
	"time"

	"chaos/internal/target"
)

// downed is a node whose process was ended, and that stays down.
type downed struct{ *victim }

func (v downed) asked() string {
	switch v.kind {
	case kindKill:
		return "SIGKILL, down until reverted"
	case kindCrashLoop:
		return "SIGKILL, started again after a while, again and again"
	}
	return fmt.Sprintf("SIGTERM, SIGKILL after %v, down until reverted", v.Grace)
}

func (v downed) note(context.Context, target.State) (any, error) { return v.was, nil }

// inject returns when the node is down: with a grace at most that and a few seconds later. The grace is ours, never the engine's.
func (v downed) inject(ctx context.Context) error {
	if v.kind == kindStop {
		return v.end(ctx)
	}
	return v.kill(ctx)
}

// absent: the node must not run, and must not have been started since.
func (v downed) absent(_ context.Context, st target.State) (seen, why string, err error) {
	switch {
	case st.Running:
		return "running", fmt.Sprintf("it runs (since %s): it never stopped, or something else started it again", st.StartedAt.Format(time.RFC3339Nano)), nil
	case !v.old(st):
		return fmt.Sprintf("down, exit code %d, but restarted meanwhile", st.ExitCode),
			"it was started after the fault was armed, and ended again: something else restarts it", nil
	}
	return "", "", nil
}

// downDetail is the machine-readable part of a bite.
type downDetail struct {
	ExitCode  int           `json:"exit_code"`
	OOMKilled bool          `json:"oom_killed,omitempty"`
	Down      time.Duration `json:"down_ns,omitempty"` // until measured; zero when the engine does not tell
	Ran       time.Duration `json:"ran_ns,omitempty"`  // its process, before it ended; zero when the engine does not tell
}

// felt: it is down and its start time is still the one that Arm saw, so it was down without a break since it was confirmed.
func (v downed) felt(_ context.Context, st target.State) (said, why string, detail any, err error) {
	d := downDetail{ExitCode: st.ExitCode, OOMKilled: st.OOMKilled}
	said = fmt.Sprintf("down without a break, exit code %d", st.ExitCode)
	if !st.FinishedAt.IsZero() {
		d.Down, d.Ran = max(0, time.Since(st.FinishedAt)), max(0, st.FinishedAt.Sub(st.StartedAt))
		said = fmt.Sprintf("down %.1f s, exit code %d", d.Down.Seconds(), st.ExitCode)
		if v.kind == kindCrashLoop {
			said += fmt.Sprintf(", after it had run %.1f s", d.Ran.Seconds())
		}
	}
	if st.OOMKilled {
		said += ", killed for its memory"
	}
	return said, "", d, nil
}

func (v downed) left(context.Context, target.State) (now, do string, err error) { return "", "", nil }

// mend, by what it sees:
//
//	does not run, or runs since after Arm ──▶ nothing        (the fault was complete; or reverted before, or half)
//	runs, the process of Arm ──▶ KILL ──▶ gone, unclear
//
// In the last case it is not known whether a TERM was sent that the process has yet to obey, so it is ended for certain.
func (v downed) mend(ctx context.Context, st target.State) (target.State, bool, error) {
	if !st.Running || !v.old(st) {
		return st, false, nil
	}
	err := v.kill(ctx)
	st.Running = false
	return st, true, err
}
