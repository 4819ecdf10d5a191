package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chaos/internal/fault"
)

// Moment is a moment of another fault from which a fault counts its At; the zero value is the start of
// phase fault.
type Moment struct {
	Fault    string
	Reverted bool // its last activation was seen to be gone; else its first was seen to be there
}

// Span is one planned activation of a fault, from the start of phase fault. What follows another fault's
// moment follows the real one in the run, which comes later by what injecting or healing took.
type Span struct{ From, To time.Duration }

// rounds is how often the fault is made.
func (f Fault) rounds() int { return max(1, f.Times) }

// Round are the actions of one activation, from 0: the same on the same places, each with an id of its own.
func (f Fault) Round(k int) []fault.Action {
	actions := slices.Clone(f.Actions)
	for i := range actions {
		if k > 0 {
			actions[i].ID = fmt.Sprintf("%s#%d", f.ID, k*len(actions)+i+1)
		}
	}
	return actions
}

// Spans are the planned activations of every fault, by its id. Faults that wait for each other, or for one
// that there is not, are an error.
func (p *Plan) Spans() (map[string][]Span, error) {
	all := make(map[string][]Span)
	for len(all) < len(p.Faults) {
		placed := len(all)
		for _, f := range p.Faults {
			zero, known := origin(f.After, all)
			if all[f.ID] != nil || !known {
				continue
			}
			for k := range f.rounds() {
				from := zero + f.At + time.Duration(k)*(f.For+f.Pause)
				all[f.ID] = append(all[f.ID], Span{from, from + f.For})
			}
		}
		if len(all) == placed {
			return nil, fmt.Errorf("some faults wait for each other, for one that there is not, or share an id")
		}
	}
	return all, nil
}

// origin is the planned moment that a fault counts from.
func origin(m Moment, all map[string][]Span) (time.Duration, bool) {
	spans := all[m.Fault]
	switch {
	case m.Fault == "":
		return 0, true
	case len(spans) == 0:
		return 0, false
	case m.Reverted:
		return spans[len(spans)-1].To, true
	}
	return spans[0].From, true
}

// milestones are what other faults may wait for of one fault.
type milestones struct {
	active, reverted chan struct{}
	over             chan struct{} // nothing more happens to it
}

func newMilestones(faults []Fault) map[string]milestones {
	all := make(map[string]milestones, len(faults))
	for _, f := range faults {
		all[f.ID] = milestones{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	}
	return all
}

// await waits for a moment. came is false when it will never come: that fault is stuck, or waited in vain itself.
func await(ctx context.Context, m Moment, of map[string]milestones) (came bool, err error) {
	if m.Fault == "" {
		return true, nil
	}
	want := of[m.Fault].active
	if m.Reverted {
		want = of[m.Fault].reverted
	}
	select {
	case <-want:
		return true, nil
	case <-of[m.Fault].over:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	select { // both may have come at once
	case <-want:
		return true, nil
	default:
		return false, nil
	}
}
