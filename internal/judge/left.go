package judge

import (
	"encoding/json"
	"fmt"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// left behind: a fault may be seen gone by its own kind and have left something all the same, so the run
// holds the state of every place after the last heal against the one before the first fault.

// leftBehind names every place that was not as before when the run ended, and that neither a node's own
// death explains nor an action that is named already.
func leftBehind(h *journal.History) []reason {
	own := journal.Own(h.Events)
	var reasons []reason
	for i, e := range own {
		if e.Type != journal.EventStateAfter {
			continue
		}
		var c journal.Comparison
		if err := json.Unmarshal(e.Detail, &c); err != nil {
			reasons = append(reasons, reason{verdict.RESIDUE, "whether anything was left can't be read: " + err.Error() + "; to see: chaos target status"})
			continue
		}
		for _, change := range c.Unexplained(own) {
			actions, named := actionsAt(change, h)
			if !named {
				reasons = append(reasons, reason{verdict.RESIDUE, sayChange(change, actions, e.Err, h.Events[i+1:])})
			}
		}
	}
	return reasons
}

// actionsAt are the actions that were on a place, and whether residue names one of them.
func actionsAt(c journal.StateChange, h *journal.History) (actions []string, named bool) {
	states, _ := actionStates(h)
	for _, e := range h.Find(journal.EventIntent) {
		if st := states[e.Action]; c.On(st.intent.Place) {
			actions = append(actions, e.Action)
			named = named || st.open || st.atEnd
		}
	}
	return actions, named
}

// sayChange words what was left at a place, and what heals it. What chaos heal did later is told.
func sayChange(c journal.StateChange, actions []string, unseen string, later []journal.Event) string {
	text := fmt.Sprintf("%s is not as before the faults: it was %q and is %q", c.Place, c.Before, c.After)
	if c.After == journal.StateUnseen {
		text = fmt.Sprintf("%s can't be seen after the faults, so nobody knows that it is healed: it was %q", c.Place, c.Before)
		if unseen != "" {
			text += " (" + unseen + ")"
		}
	}
	for _, e := range later {
		for _, action := range actions {
			if e.Action == action && e.Err == "" && (e.Type == journal.EventReverted || e.Type == journal.EventHealed) {
				return text + "; healed later by chaos heal at " + e.Wall.UTC().Format(time.RFC3339)
			}
		}
	}
	if len(actions) == 0 {
		return text + "; no fault was on it; to be rid of it: chaos target down"
	}
	return text + "; to heal it: chaos heal"
}
