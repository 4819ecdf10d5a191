package report

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// intent is the part of an intent's Detail that a report shows (the JSON of fault.Action).
type intent struct {
	Fault string          `json:"fault"`
	Kind  string          `json:"kind"`
	Place string          `json:"place"`
	Args  json.RawMessage `json:"args"`
	Undo  string          `json:"undo"`
}

// faults joins what was planned, what the journal saw, and what the bites measured, in the order of
// the plan and then of the journal. A planned fault without any event stays "planned".
func faults(h *journal.History, c *clockwork, bites []verdict.Bite, r *redactor) []Fault {
	byAction := map[string]*Fault{}
	var order []string
	for _, e := range h.Events {
		if e.Action == "" {
			continue
		}
		f := byAction[e.Action]
		if f == nil {
			f = &Fault{Action: e.Action, State: StatePlanned}
			f.ID, _, _ = strings.Cut(e.Action, "#")
			byAction[e.Action] = f
			order = append(order, e.Action)
		}
		follow(f, e, c, r)
	}
	for _, f := range byAction {
		if f.Span && f.State != StateReverted {
			f.To = c.rel(c.end) // not known to be gone
		}
	}
	for _, b := range bites {
		f := byAction[b.Action]
		if f == nil {
			f = &Fault{Action: b.Action, State: StatePlanned}
			byAction[b.Action] = f
			order = append(order, b.Action)
		}
		bitten(f, b, r)
	}
	return arrange(h.Run.Faults, byAction, order, r)
}

// follow moves a fault along its life cycle, as drawn in package fault.
func follow(f *Fault, e journal.Event, c *clockwork, r *redactor) {
	switch e.Type {
	case journal.EventIntent:
		var in intent
		detail(e, &in)
		f.State, f.Kind, f.Place, f.Undo, f.With = StateIntended, in.Kind, in.Place, in.Undo, r.pairs(in.Args)
		f.ID = first(in.Fault, f.ID)
	case journal.EventActive:
		f.State, f.Span, f.From = StateActive, true, c.rel(e.At)
	case journal.EventReverting:
		f.To = max(c.rel(e.At), f.From)
	case journal.EventReverted, journal.EventHealed:
		f.State, f.Healed, f.Why = StateReverted, c.rel(e.At), ""
		if f.Span && f.To == 0 {
			f.To = f.Healed
		}
	case journal.EventHeld:
		f.Why = "held back: " + e.Err
	case journal.EventStuck:
		f.State, f.Why = StateStuck, e.Err
	}
}

func bitten(f *Fault, b verdict.Bite, r *redactor) {
	f.ID, f.Kind, f.Place = first(b.Fault, f.ID), first(b.Kind, f.Kind), first(b.Place, f.Place)
	f.Measured, f.Bit, f.Asked, f.Delivered = true, b.Bit, b.Asked, b.Delivered
	f.Why = first(f.Why, b.Why)
	f.Detail = r.pairs(b.Detail)
}

// arrange puts the faults into the order of the plan and adds what was planned but never begun.
func arrange(planned []journal.FaultInfo, byAction map[string]*Fault, order []string, r *redactor) []Fault {
	var out []Fault
	for _, p := range planned {
		begun := 0
		for _, action := range order {
			f := byAction[action]
			if f.ID != p.ID {
				continue
			}
			plannedPart(f, p, r)
			if each := p.Actions / max(1, p.Times); each > 0 { // made several times: planned at its own
				f.At += time.Duration(begun/each) * (p.For + p.Pause)
			}
			begun++
			out = append(out, *f)
		}
		if begun == 0 {
			f := Fault{Action: p.ID, State: StatePlanned}
			plannedPart(&f, p, r)
			out = append(out, f)
		}
	}
	for _, action := range order {
		f := byAction[action]
		if !slices.ContainsFunc(planned, func(p journal.FaultInfo) bool { return p.ID == f.ID }) {
			out = append(out, *f)
		}
	}
	return out
}

func plannedPart(f *Fault, p journal.FaultInfo, r *redactor) {
	f.ID, f.Kind, f.Undo = p.ID, first(f.Kind, p.Kind), first(f.Undo, p.Undo)
	f.At, f.For = p.At, p.For
	if len(p.With) > 0 {
		f.With = r.pairs(p.With)
	}
	for _, x := range f.With {
		if f.Place == "" && (x.Name == "node" || x.Name == "edge") {
			f.Place = x.Value
		}
	}
}

// firstActive is when the first fault was seen active, on the report's clock.
func firstActive(faults []Fault) (at time.Duration, ok bool) {
	for _, f := range faults {
		if f.Span && (!ok || f.From < at) {
			at, ok = f.From, true
		}
	}
	return at, ok
}
