// Package telemetry judges what a target tells of itself: whether those operations that went wrong can be
// followed, whether its logs keep their own rules, and whether it talks to whom its map says.
package telemetry

import (
	"errors"
	"fmt"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/verdict"
)

// kindTelemetry is the Kind of the findings.
const kindTelemetry = "telemetry"

// window is what the checks are judged on.
const window = "run"

// evidenceMax is how many offenders a finding names; its Count is whole.
const evidenceMax = 20

// Table is the checks that an experiment can name under checks.
func Table() kind.Table[check.Check] {
	return kind.Table[check.Check]{
		{Name: "trace_completeness", Doc: "the share of operations whose trace is connected: a root span with the load's trace id, and no span whose parent nobody sent",
			New: func() check.Check { return &Completeness{Target: 0.99, Of: ofBad} }},
		{Name: "log_schema", Doc: "every log line is a JSON object with the fields that target.yaml requires", New: func() check.Check { return &Schema{} }},
		{Name: "no_drift", Doc: "spans go over the edges that target.yaml declares, over all of them, and over no others", New: func() check.Check { return &Drift{} }},
	}
}

var (
	errNoTraces = errors.New("the target sends no spans: give its nodes {{collector}} in target.yaml")
	errNoLogs   = errors.New("the target declares no log schema: write logs: {required: [ts, level, msg]} in target.yaml")
)

// demandTraces is what checks of spans ask of a run.
func demandTraces(info journal.RunInfo) error {
	if info.Telemetry == nil || !info.Telemetry.Traces {
		return errNoTraces
	}
	return nil
}

// lost says what is known of spans that were lost on their way here, through no fault of the target; empty when
// nothing is.
func lost(h *journal.History) string {
	t, ok := h.Told()
	switch {
	case !ok:
		return ""
	case t.Restarts > 0:
		return fmt.Sprintf("the collector was restarted %d times, and nobody knows what it held", t.Restarts)
	case t.Lost() > 0:
		return fmt.Sprintf("%d spans were lost after the target had sent them", t.Lost())
	}
	return ""
}

func finding(name, want string) verdict.Finding {
	return verdict.Finding{Check: name, Kind: kindTelemetry, Window: window, Want: want}
}
