package report_test

import (
	"encoding/json"
	"testing"
	"time"

	"chaos/internal/journal"
	"chaos/internal/report"
)

// Each time of a repeated fault is shown as planned at its own moment.
func TestEachTimeHasItsOwnMoment(t *testing.T) {
	h := &journal.History{Run: journal.RunInfo{Faults: []journal.FaultInfo{
		{ID: "f", Kind: "node.stop", At: 2 * time.Second, For: 3 * time.Second, Times: 2, Pause: 4 * time.Second, Actions: 4},
	}}}
	for i, id := range []string{"f#1", "f#2", "f#3", "f#4"} {
		h.Events = append(h.Events, journal.Event{Seq: uint64(i), Type: journal.EventIntent, Action: id, Detail: json.RawMessage(`{"fault":"f"}`)})
	}
	got := report.Build([]report.Run{{History: h}}).Variants[0].Faults
	if len(got) != 4 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []time.Duration{2, 2, 9, 9} {
		if got[i].At != want*time.Second {
			t.Errorf("%s at %v, want %v s", got[i].Action, got[i].At, want)
		}
	}
}
