package telemetry

import (
	"fmt"
	"strings"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// Schema is the check log_schema.
type Schema struct{}

var _ check.Demanding = (*Schema)(nil)

// Name is the kind's name.
func (c *Schema) Name() string { return "log_schema" }

// Window is run.
func (c *Schema) Window() string { return window }

// Demands refuses targets that declare no schema.
func (c *Schema) Demands(info journal.RunInfo) error {
	if info.Telemetry == nil || info.Telemetry.Logs == nil {
		return errNoLogs
	}
	return nil
}

// Judge is Inconclusive when a node whose log has a schema said nothing: silence keeps every rule.
func (c *Schema) Judge(h *journal.History) verdict.Finding {
	f := finding(c.Name(), "0 violations")
	if h == nil {
		f.Why = "there is no history"
		return f
	}
	if err := c.Demands(h.Run); err != nil {
		f.Why = err.Error()
		return f
	}
	var silent []string
	for _, node := range h.Run.Telemetry.Logs.Nodes {
		l := h.Lint[node]
		if l.Lines == 0 {
			silent = append(silent, node)
		}
		f.N += l.Lines
		f.Count += l.Violations
		for _, v := range l.First {
			if len(f.Evidence) < evidenceMax {
				f.Evidence = append(f.Evidence, verdict.Evidence{Note: fmt.Sprintf("%s, line %d: %s: %s", node, v.Line, v.Why, v.Text)})
			}
		}
	}
	f.Bad = f.Count
	f.Got = fmt.Sprintf("%d violations in %d lines", f.Count, f.N)
	switch {
	case f.N == 0:
		f.Why = "there are no log lines"
	case f.Count > 0:
		f.Outcome = verdict.Fail
		f.Why = fmt.Sprintf("%d of %d log lines break the schema", f.Count, f.N)
	case len(silent) > 0:
		f.Why = "nothing was logged by " + strings.Join(silent, ", ")
	default:
		f.Outcome = verdict.Pass
		f.Why = fmt.Sprintf("each of %d log lines of %d nodes keeps the schema", f.N, len(h.Run.Telemetry.Logs.Nodes))
	}
	return f
}
