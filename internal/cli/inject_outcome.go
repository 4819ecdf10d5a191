package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// What became of an injection.
const (
	itBit         = "bit"
	itDidNotBite  = "did not bite"
	itIsLeft      = "residue"
	itWasStopped  = "interrupted"
	itFailed      = "error"
	stateReverted = "reverted"
	stateLeft     = "left"
	stateNotMade  = "not made"
	stateHeld     = "held back"
)

// injection is what chaos inject --json prints: a pure function of the journal.
type injection struct {
	ID      string           `json:"id"`
	Kind    string           `json:"kind"`
	Target  string           `json:"target"`
	Runtime string           `json:"runtime"`
	With    json.RawMessage  `json:"with"`
	For     time.Duration    `json:"for_ns"`
	Seed    uint64           `json:"seed"`
	Outcome string           `json:"outcome"` // bit, did not bite, residue, interrupted, error
	Actions []injectedAction `json:"actions"`
	Error   string           `json:"error,omitempty"`
	Dir     string           `json:"dir"`
}

// injectedAction is what became of the fault on one place.
type injectedAction struct {
	ID        string        `json:"id"`
	Place     string        `json:"place"`
	State     string        `json:"state"` // reverted, left, not made, held back
	Bit       bool          `json:"bit"`
	Asked     string        `json:"asked,omitempty"`
	Delivered string        `json:"delivered,omitempty"`
	Why       string        `json:"why,omitempty"` // it did not bite, or is left
	Active    time.Duration `json:"active_ns"`
	Undo      string        `json:"undo"`
}

// injected reads the outcome out of the journal.
func injected(info journal.RunInfo, f engine.Fault, length time.Duration, events []journal.Event, failed error) injection {
	r := injection{ID: info.ID, Kind: f.Kind, Target: info.Target, Runtime: info.Runtime, With: info.Faults[0].With, For: length, Seed: info.Seed}
	outstanding, unread := engine.Outstanding(events)
	for k := range max(1, f.Times) {
		for _, act := range f.Round(k) {
			r.Actions = append(r.Actions, became(act, outstanding, events))
		}
	}
	all := func(is func(injectedAction) bool) bool {
		return !slices.ContainsFunc(r.Actions, func(a injectedAction) bool { return !is(a) })
	}
	failed = errors.Join(failed, unread)
	switch {
	case len(outstanding) > 0:
		r.Outcome = itIsLeft
	case failed != nil && !errors.Is(failed, context.Canceled):
		r.Outcome, r.Error = itFailed, failed.Error()
	case failed != nil:
		r.Outcome = itWasStopped
	case all(func(a injectedAction) bool { return a.Bit || a.State == stateHeld }):
		r.Outcome = itBit
	default:
		r.Outcome = itDidNotBite
	}
	return r
}

// became is what the journal says of one action; of several measurements the last counts.
func became(act fault.Action, outstanding []fault.Action, events []journal.Event) injectedAction {
	out := injectedAction{ID: act.ID, Place: act.Place, State: stateNotMade, Undo: act.Undo}
	for _, e := range events {
		if e.Action != act.ID {
			continue
		}
		switch e.Type {
		case journal.EventIntent:
			out.State = stateReverted
		case journal.EventMeasured:
			var b verdict.Bite
			if json.Unmarshal(e.Detail, &b) == nil { // unreadable: it did not bite, as far as anybody can prove
				out.Bit, out.Asked, out.Delivered, out.Why, out.Active = b.Bit, b.Asked, b.Delivered, b.Why, b.Active
			}
		case journal.EventHeld:
			out.State, out.Why = stateHeld, e.Err
		case journal.EventStuck:
			out.Why = e.Err
		}
	}
	if slices.ContainsFunc(outstanding, func(a fault.Action) bool { return a.ID == act.ID }) {
		out.State = stateLeft
	}
	return out
}

// report prints the outcome and ends the command with its code.
func (i *injecting) report(r injection, dir string, failed error) error {
	r.Dir = i.short(dir)
	if i.json {
		if err := i.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, act := range r.Actions {
			fmt.Fprintf(i.Stdout, "%s on %s: %s\n", r.Kind, act.Place, act.words())
		}
		if text := r.often(); text != "" {
			fmt.Fprintln(i.Stdout, text)
		}
	}
	switch r.Outcome {
	case itBit:
		return nil
	case itDidNotBite:
		return exit(verdict.ExitNoEvidence, errors.New("healed, but it did not bite"))
	case itIsLeft:
		return exit(verdict.ExitResidue, errors.New("something is left; it is named above; to heal it: chaos heal"))
	case itWasStopped:
		i.say("interrupted: healed")
		return exit(verdict.ExitInterrupted, nil)
	}
	return harness(failed)
}

// often sums up a fault that was made more than once; "" when it was not.
func (r injection) often() string {
	if len(r.Actions) == 0 || !slices.ContainsFunc(r.Actions[1:], func(a injectedAction) bool { return a.Place == r.Actions[0].Place }) {
		return ""
	}
	bit, there := 0, time.Duration(0)
	for _, a := range r.Actions {
		there += a.Active
		if a.Bit {
			bit++
		}
	}
	return fmt.Sprintf("%s: %d of %d times, there for %.1f s in all", r.Kind, bit, len(r.Actions), there.Seconds())
}

// words say what became of an action.
func (a injectedAction) words() string {
	text := ""
	if a.Asked != "" {
		text = "asked " + a.Asked + "; "
	}
	if a.Delivered != "" {
		text += "delivered " + a.Delivered + "; "
	}
	switch {
	case a.State == stateNotMade:
		return "not made"
	case a.State == stateHeld:
		return "held back: " + a.Why
	case a.State == stateLeft:
		return text + "LEFT: " + a.Why
	case a.Bit:
		return text + fmt.Sprintf("bit, held %.1f s, reverted", a.Active.Seconds())
	}
	return text + "did not bite: " + a.Why + "; reverted"
}
