package judge

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// intent is what judge reads of an action's intent.
type intent struct {
	Fault string `json:"fault"`
	Place string `json:"place"`
	Undo  string `json:"undo"`
}

// harness says where the harness itself failed: its record of the run can't be trusted.
func harness(h *journal.History) []reason {
	var reasons []reason
	for _, e := range h.Find(journal.EventError) {
		reasons = append(reasons, reason{verdict.ERROR, "the harness failed: " + e.Err})
	}
	replayed := 0
	for i := range h.Samples {
		if s := &h.Samples[i]; s.Err == journal.ErrReplayed || s.Attempts > 1 && s.Windowed() {
			replayed++
		}
	}
	if replayed > 0 {
		reasons = append(reasons, reason{verdict.ERROR, fmt.Sprintf("the harness failed: its transport sent %d requests more than once", replayed)})
	}
	if len(h.Find(journal.EventRunEnd)) == 0 && len(h.Find(journal.EventInterrupted)) == 0 {
		reasons = append(reasons, reason{verdict.ERROR, "the harness died: the run has no end"})
	}
	return reasons
}

// left is what the events say of one action.
type left struct {
	intent intent
	stuck  string
	open   bool      // at the end of the events
	atEnd  bool      // at the end of the run itself
	healed time.Time // the last time that it was seen gone
}

// residue names every action that was intended and not seen to be gone when the run ended, or is not
// now. A later reverted wins over stuck, but only the run's own: what `chaos heal` mended afterwards,
// the run left broken. A killed run has no end of its own, and is ERROR once it is healed.
func residue(h *journal.History) []reason {
	states, order := actionStates(h)
	var reasons []reason
	for _, action := range order {
		if st := states[action]; st.open || st.atEnd {
			reasons = append(reasons, reason{verdict.RESIDUE, st.say(action)})
		}
	}
	return reasons
}

// actionStates are what the events say of each action, and the actions in the order of their intents.
func actionStates(h *journal.History) (states map[string]*left, order []string) {
	states = make(map[string]*left)
	own := len(journal.Own(h.Events))
	for i, e := range h.Events {
		st := states[e.Action]
		switch e.Type {
		case journal.EventIntent, journal.EventStuck:
			if st == nil {
				st = &left{}
				states[e.Action] = st
				order = append(order, e.Action)
			}
			st.open = true
			if e.Type == journal.EventStuck {
				st.stuck = e.Err
			} else {
				_ = json.Unmarshal(e.Detail, &st.intent) // a damaged intent is named by its action
			}
		case journal.EventReverted, journal.EventHealed:
			if st != nil && e.Err == "" {
				st.open, st.healed = false, e.Wall
			}
		case journal.EventRunEnd:
			for _, st := range states {
				st.atEnd = st.atEnd || st.open && i < own
			}
		}
	}
	return states, order
}

// say words what was left of one action.
func (l *left) say(action string) string {
	text := action
	if l.intent.Place != "" {
		text += " on " + l.intent.Place
	}
	if l.open {
		text += " is not reverted"
	} else {
		text += " was not reverted when the run ended"
	}
	if l.stuck != "" {
		text += ": " + l.stuck
	}
	if !l.open {
		return text + "; healed later by chaos heal at " + l.healed.UTC().Format(time.RFC3339)
	}
	if l.intent.Undo != "" {
		text += "; undo: " + l.intent.Undo
	}
	return text
}

// breached returns the guards that ended the run.
func breached(h *journal.History) []reason {
	var reasons []reason
	for _, e := range h.Find(journal.EventGuard) {
		if e.Err != "" {
			reasons = append(reasons, reason{verdict.ABORTED, "a guard stopped the run: " + e.Err})
		}
	}
	return reasons
}

// ended says what ended the run before its time, or kept it from being evidence.
func ended(h *journal.History) []reason {
	reasons := breached(h)
	if len(h.Find(journal.EventInterrupted)) > 0 {
		reasons = append(reasons, reason{verdict.INVALID, "the run was interrupted"})
	}
	for _, e := range h.Find(journal.EventNodeDied) {
		text := fmt.Sprintf("node %s died, and no fault was on it", e.Subject)
		if e.Err != "" {
			text += ": " + e.Err
		}
		reasons = append(reasons, reason{verdict.INVALID, text})
	}
	if len(h.Damage) > 0 {
		reasons = append(reasons, reason{verdict.INVALID, "the record of the run is damaged: " + strings.Join(h.Damage, "; ")})
	}
	return reasons
}

// gated repeats the gate's word when the findings on the baseline don't show it themselves.
func gated(h *journal.History) []reason {
	for _, e := range h.Find(journal.EventBaseline) {
		if e.Err != "" {
			return []reason{{verdict.INVALID, "the baseline did not hold: " + e.Err}}
		}
	}
	return nil
}

// early reports whether the run ended before its faults were due to have happened.
func early(h *journal.History) bool {
	return len(breached(h)) > 0 || len(h.Find(journal.EventInterrupted)) > 0 || len(gated(h)) > 0
}

// bites are what the faults did, as measured before they were reverted.
func bites(h *journal.History) []verdict.Bite {
	var list []verdict.Bite
	for _, e := range h.Find(journal.EventMeasured) {
		var b verdict.Bite
		if err := json.Unmarshal(e.Detail, &b); err != nil {
			b = verdict.Bite{Why: "the measurement can't be read"}
		}
		if b.Action == "" {
			b.Action = e.Action
		}
		if b.Fault == "" {
			b.Fault = journal.FaultOf(b.Action)
		}
		if e.Err != "" {
			b.Bit, b.Why = false, "it could not be measured: "+e.Err
		}
		list = append(list, b)
	}
	return list
}

// unproven names every planned fault that was not seen to bite: each of its actions must have been
// intended, seen active and measured as biting, but for those that were held back. (Not reverted is RESIDUE.)
func unproven(h *journal.History, bites []verdict.Bite) []reason {
	if early(h) {
		return nil // that reason says more
	}
	seen := make(map[string]map[string]bool) // type → action
	for _, typ := range []string{journal.EventIntent, journal.EventActive} {
		seen[typ] = make(map[string]bool)
		for _, e := range h.Find(typ) {
			seen[typ][e.Action] = true
		}
	}
	bit := make(map[string]verdict.Bite)
	for _, b := range bites {
		bit[b.Action] = b
	}
	held := make(map[string]int)
	for _, e := range h.Find(journal.EventHeld) {
		held[journal.FaultOf(e.Action)]++
	}
	var reasons []reason
	for _, f := range h.Run.Faults {
		actions := actionsOf(f.ID, h)
		switch {
		case len(actions) == 0:
			reasons = append(reasons, reason{verdict.INVALID, fmt.Sprintf("fault %s was never made", f.ID)})
		case len(actions)+held[f.ID] < f.Actions:
			reasons = append(reasons, reason{verdict.INVALID, fmt.Sprintf("fault %s: only %d of its %d actions were made", f.ID, len(actions), f.Actions)})
		}
		for _, action := range actions {
			b, measured := bit[action]
			text := ""
			switch {
			case !seen[journal.EventActive][action]:
				text = "was never seen active"
			case !measured:
				text = "was never measured"
			case !b.Bit:
				text = fmt.Sprintf("did not bite: asked %s, delivered %s", b.Asked, b.Delivered)
				if b.Why != "" {
					text += " (" + b.Why + ")"
				}
			default:
				continue
			}
			reasons = append(reasons, reason{verdict.INVALID, fmt.Sprintf("fault %s: %s %s", f.ID, action, text)})
		}
	}
	return reasons
}

// actionsOf lists the intended actions of one fault.
func actionsOf(fault string, h *journal.History) []string {
	var list []string
	for _, e := range h.Find(journal.EventIntent) {
		var in intent
		_ = json.Unmarshal(e.Detail, &in) // a damaged intent is known by its action's name
		if in.Fault == fault || journal.FaultOf(e.Action) == fault {
			list = append(list, e.Action)
		}
	}
	return list
}
