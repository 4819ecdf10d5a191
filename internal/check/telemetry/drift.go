package telemetry

import (
	"fmt"
	"strings"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/trace"
	"chaos/internal/verdict"
)

// Drift is the check no_drift.
type Drift struct{}

var _ check.Demanding = (*Drift)(nil)

// Name is the kind's name.
func (c *Drift) Name() string { return "no_drift" }

// Window is run.
func (c *Drift) Window() string { return window }

// Demands refuses targets that send no spans.
func (c *Drift) Demands(info journal.RunInfo) error { return demandTraces(info) }

// Judge is Inconclusive without spans and for edges whose caller sends none.
func (c *Drift) Judge(h *journal.History) verdict.Finding {
	f := finding(c.Name(), "every edge used, and no other")
	switch {
	case h == nil:
		f.Why = "there is no history"
		return f
	case len(h.Spans) == 0:
		f.Why = "no span was received"
		return f
	case h.Run.Telemetry == nil || h.Run.Telemetry.Map == nil:
		f.Why = "the run does not say which edges the target declares"
		return f
	}
	m := trace.Observe(trace.NewIndex(h.Spans), *h.Run.Telemetry.Map)
	undeclared := m.Undeclared()
	for _, call := range undeclared {
		f.Evidence = append(f.Evidence, verdict.Evidence{Note: fmt.Sprintf("undeclared: %s calls %s, %d times", call.From, call.To, call.Calls)})
	}
	for _, edge := range m.Unused {
		f.Evidence = append(f.Evidence, verdict.Evidence{Note: "unused: " + edge})
	}
	f.Count = len(f.Evidence)
	f.Evidence = f.Evidence[:min(len(f.Evidence), evidenceMax)]
	f.N, f.Bad = len(h.Run.Telemetry.Map.Edges)+len(undeclared), f.Count
	f.Got = fmt.Sprintf("%d undeclared, %d unused", len(undeclared), len(m.Unused))
	switch why := lost(h); {
	case len(undeclared) > 0 || len(m.Unused) > 0 && why == "":
		f.Outcome = verdict.Fail
		f.Why = "the target does not talk to whom its map says: " + f.Got
	case len(m.Unused) > 0:
		f.Why = fmt.Sprintf("%s, but %s", f.Got, why)
	case len(m.Unseen) > 0:
		f.Why = "the callers of these edges send no spans: " + strings.Join(m.Unseen, ", ")
	case f.N == 0:
		f.Why = "the target declares no edge, and none was seen"
	default:
		f.Outcome = verdict.Pass
		f.Why = fmt.Sprintf("spans went over each of %d edges and over no other", f.N)
	}
	return f
}
