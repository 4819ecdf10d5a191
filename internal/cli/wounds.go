package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/target"
)

// wound is what one run left on a target: faults that its journal intended and never saw reverted.
type wound struct {
	Dir   string   `json:"dir"`
	Owner string   `json:"owner"`          // who runs it, or that nobody does
	Left  []string `json:"left,omitempty"` // "<kind> on <place>"
	Error string   `json:"error,omitempty"`
}

// String says it to people.
func (w wound) String() string {
	if w.Error != "" {
		return fmt.Sprintf("%s: what it left on this target can't be told: %s", w.Dir, w.Error)
	}
	return fmt.Sprintf("%s (%s) left %s", w.Dir, w.Owner, strings.Join(w.Left, ", "))
}

// wounds are what the runs in reports say to be still there on the target with that handle.
func (a *app) wounds(reports, runtime string, handle json.RawMessage) (found []wound) {
	dirs, err := a.runDirs(nil, reports)
	if err != nil { // the pattern is ours: its only variable part is the folder's name
		return []wound{{Dir: reports, Error: err.Error()}}
	}
	for _, dir := range dirs {
		info, err := journal.ReadInfo(dir)
		if err != nil || info.Runtime != runtime || !sameJSON(info.Handle, handle) {
			continue // heal names runs that can't be read
		}
		w := wound{Dir: a.short(dir), Owner: "its process is dead"}
		if target.Alive(info.Owner) {
			w.Owner = fmt.Sprintf("process %d still runs it", info.Owner.PID)
		}
		events, _, err := journal.ReadEvents(dir)
		if err != nil {
			w.Error = err.Error()
		}
		left, err := engine.Outstanding(events)
		if err != nil {
			w.Error = err.Error()
		}
		for _, act := range left {
			w.Left = append(w.Left, act.Kind+" on "+act.Place)
		}
		if len(w.Left) > 0 || w.Error != "" {
			found = append(found, w)
		}
	}
	return found
}

// sameJSON compares two documents apart from their spaces; run.json is indented.
func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && x.Len() > 0 && bytes.Equal(x.Bytes(), y.Bytes())
}
