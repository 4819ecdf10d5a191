package report

import (
	"time"

	"chaos/internal/journal"
)

// overheads are what the harness itself took, beside the phases: they are the reader's time too.
func overheads(h *journal.History) (out []Pair) {
	add := func(name string, took time.Duration) {
		out = append(out, Pair{Name: "overhead: " + name, Value: Time(took)})
	}
	var stopped, settled time.Duration
	began := map[string]time.Duration{} // of an action: intent, or the start of its revert
	for _, e := range h.Events {
		switch e.Type {
		case journal.EventSystemReady, journal.EventDown:
			var r journal.Took
			if detail(e, &r) && r.TookMS > 0 {
				add("target "+first(r.How, "up"), time.Duration(r.TookMS*float64(time.Millisecond)))
			}
		case journal.EventIntent, journal.EventReverting:
			began[e.Action] = e.At
		case journal.EventActive:
			add("making "+e.Action, e.At-began[e.Action])
		case journal.EventReverted:
			add("undoing "+e.Action, e.At-began[e.Action])
		case journal.EventLoadStop:
			stopped = e.At
		case journal.EventSettled:
			settled = e.At
			add("settling", e.At-stopped)
		case journal.EventRunEnd:
			if settled > 0 {
				add("audit and logs", e.At-settled)
			}
		}
	}
	return out
}
