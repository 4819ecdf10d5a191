package spec

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The moments of a fault that another can follow.
const (
	momentActive   = "active"
	momentReverted = "reverted"
)

// Moment is a moment of another fault; the zero value is the start of phase fault.
type Moment struct {
	Fault    string
	Reverted bool // the last activation was seen to be gone; else the first was seen to be there
}

// Follows is the moment that at counts from.
func (f Fault) Follows() Moment {
	id, moment, _ := strings.Cut(strings.Join(strings.Fields(f.After), " "), " ")
	return Moment{Fault: id, Reverted: moment == momentReverted}
}

// checkSchedule refuses, with the profile applied, faults without a length, faults that wait for each other
// and faults that reach past their phase; and fills in when each starts as planned.
func (e *Experiment) checkSchedule() (errs Errors) {
	for i := range e.Faults {
		f := &e.Faults[i]
		errs = append(errs, f.checkLength()...)
		errs = append(errs, f.checkRepeats()...)
		errs = append(errs, e.checkAfter(f)...)
	}
	if len(errs) > 0 {
		return errs
	}
	return e.place()
}

// checkLength sees to for and until: exactly one of them.
func (f *Fault) checkLength() (errs Errors) {
	until := f.Node.Get("until")
	switch hasFor := !f.Node.Get("for").Absent(); {
	case until.Absent() && !hasFor:
		return append(errs, f.Node.fail("say how long it lasts: for: 10s, or until: 40s", "missing key %q in fault %s", "for", f.ID))
	case until.Absent():
	case hasFor:
		return append(errs, until.fail("write one of them", "fault %s has both for and until", f.ID))
	case f.After != "":
		return append(errs, until.fail("write for", "until counts from the start of phase fault, but when fault %s starts is only known in the run (after: %s)", f.ID, f.After))
	case f.Times > 1:
		return append(errs, until.fail("write for: the length of one of them", "fault %s is made %d times, and until ends only one", f.ID, f.Times))
	default:
		f.For = f.Until - f.At
	}
	if f.For <= 0 {
		errs = append(errs, f.lengthNode().fail("", "fault %s lasts no time", f.ID))
	}
	return errs
}

// lengthNode is where the fault's length is written.
func (f *Fault) lengthNode() Node {
	if n := f.Node.Get("until"); !n.Absent() {
		return n
	}
	return f.Node.At("for")
}

func (f *Fault) checkRepeats() (errs Errors) {
	pause := f.Node.Get("pause")
	switch {
	case f.Times < 1: // refused by its range
	case f.Times == 1 && !pause.Absent():
		errs = append(errs, pause.fail("add times", "fault %s is made once, so there is no pause", f.ID))
	case f.Times > 1 && f.Pause <= 0:
		errs = append(errs, f.Node.At("times").fail("add pause: 5s", "fault %s is made %d times: say how long it pauses between them", f.ID, f.Times))
	}
	return errs
}

func (e *Experiment) checkAfter(f *Fault) (errs Errors) {
	after := f.Node.Get("after")
	if after.Absent() {
		return nil
	}
	words, moments := strings.Fields(f.After), []string{momentActive, momentReverted}
	switch {
	case len(words) != 2:
		return append(errs, after.fail("write <id> active or <id> reverted; at is added to it", "after %q is not a moment of another fault", f.After))
	case words[0] == f.ID:
		errs = append(errs, after.fail("", "fault %s can't wait for itself", f.ID))
	case e.fault(words[0]) == nil:
		errs = append(errs, after.unknown("fault", words[0], e.faultIDs()))
	}
	if !slices.Contains(moments, words[1]) {
		errs = append(errs, after.Within(strings.Index(f.After, words[1])).unknown("moment", words[1], moments))
	}
	return errs
}

// place finds out when each fault starts and ends as planned.
func (e *Experiment) place() (errs Errors) {
	placed := map[string]bool{"": true}
	for progress := true; progress; {
		progress = false
		for i := range e.Faults {
			f, m := &e.Faults[i], e.Faults[i].Follows()
			if placed[f.ID] || !placed[m.Fault] {
				continue
			}
			f.Start = f.At
			if other := e.fault(m.Fault); other != nil && m.Reverted {
				f.Start += other.End
			} else if other != nil {
				f.Start += other.Start
			}
			f.End = f.Start + time.Duration(f.Times)*f.For + time.Duration(f.Times-1)*f.Pause
			placed[f.ID], progress = true, true
		}
	}
	for _, f := range e.Faults {
		switch {
		case !placed[f.ID]:
			errs = append(errs, f.Node.At("after").fail("", "fault %s waits for itself: after %s", f.ID, e.chain(f)))
		case f.End > e.Phases.Fault:
			errs = append(errs, f.lengthNode().fail("", "fault %s reaches past the end of phase fault: %s > %v", f.ID, f.sum(), e.Phases.Fault))
		}
	}
	return errs
}

// chain tells whom a fault waits for, up to the first that comes twice.
func (e *Experiment) chain(f Fault) string {
	var ids []string
	for next := f.Follows().Fault; ; next = e.fault(next).Follows().Fault {
		ids = append(ids, next)
		if slices.Contains(ids[:len(ids)-1], next) || next == f.ID {
			return strings.Join(ids, ", which is after ")
		}
	}
}

// sum says how the end of a fault comes about.
func (f Fault) sum() string {
	text := fmt.Sprintf("at %v + for %v", f.At, f.For)
	if f.Follows().Fault != "" {
		text = fmt.Sprintf("%s (at %v as planned) + %s", f.After, f.Start-f.At, text)
	}
	if f.Times > 1 {
		text += fmt.Sprintf(", %d times with %v between them,", f.Times, f.Pause)
	}
	return text
}
