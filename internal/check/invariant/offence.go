package invariant

import (
	"fmt"
	"strconv"
	"strings"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// evidenceMax is how many offenders a finding names; its Count is whole.
const evidenceMax = 20

// offence is one place where something is wrong.
type offence struct {
	account int   // −1 = nobody's
	off     int64 // money, signed
	note    string
	record  *journal.AuditRecord // what shows it, where that is not the account alone
	id      journal.ID           // of the order or payment that it is about
}

// ruling is how an invariant words what it found.
type ruling struct {
	noun   string // what an offender is: "charged twice"
	pass   string // one sentence for when there is none
	unsure int    // more that may be, because their outcome is not known
}

// conclude counts offences and decides: any is a Fail. With none for certain, what is not known makes it
// Inconclusive; with some it widens the count to an interval.
func (b *books) conclude(f *verdict.Finding, bad []offence, r ruling) {
	f.Count, f.Bad = len(bad), len(bad)
	f.Got = strconv.Itoa(len(bad)) + " " + r.noun
	if r.unsure > 0 {
		f.Got = fmt.Sprintf("%s ∈ [%d, %d]", r.noun, len(bad), len(bad)+r.unsure)
	}
	for _, o := range bad {
		f.Amount += max(o.off, -o.off)
		if len(f.Evidence) < evidenceMax {
			f.Evidence = append(f.Evidence, b.witness(o))
		}
	}
	switch {
	case len(bad) > 0:
		f.Outcome = verdict.Fail
		f.Why = bad[0].note
		if len(bad) > 1 {
			f.Why += fmt.Sprintf("; %d in all", len(bad))
		}
	case r.unsure > 0:
		f.Outcome = verdict.Inconclusive
		f.Why = fmt.Sprintf("the outcome of %d payments is still unknown, so up to %d may be %s", r.unsure, r.unsure, r.noun)
	case f.N == 0:
		f.Outcome = verdict.Inconclusive
		f.Why = "there was nothing to judge"
	default:
		f.Outcome = verdict.Pass
		f.Why = r.pass
	}
}

// witness names an offence so that a reader can follow it.
func (b *books) witness(o offence) verdict.Evidence {
	var e verdict.Evidence
	if o.account >= 0 {
		e = b.evidence(&b.accounts[o.account], o.note)
	}
	if r := o.record; r != nil {
		if key, ok := parseID(r.Key); ok && e.Key == "" {
			e.Key = key.String()
		}
		if e.Ref = r.Ref; e.Ref == "" {
			e.Ref = r.ID
		}
		if _, ok := parseID(e.Ref); ok {
			e.Ref = strings.ReplaceAll(e.Ref, "-", "")
		}
		if _, ok := parseID(r.Trace); ok && e.Trace == "" {
			e.Trace = r.Trace
		}
		if e.Amount == 0 && r.Type != "stock" && r.Type != "reservation" { // pieces are no money
			e.Amount = r.Amount
		}
	}
	if !o.id.Zero() {
		e.Ref = o.id.String()
	}
	if o.off != 0 {
		e.Amount = o.off
	}
	e.Note = o.note
	return e
}

// evidence names one payment.
func (b *books) evidence(a *account, note string) verdict.Evidence {
	e := verdict.Evidence{Key: a.key.String(), Amount: a.amount, Note: note, Trace: a.chargesTrace}
	for i := max(0, a.first); a.first >= 0 && i < len(b.h.Samples); i++ {
		s := &b.h.Samples[i]
		if s.Key != a.key {
			continue
		}
		if e.Trace == "" && !s.Trace.Zero() || i == a.first {
			e.Trace = s.Trace.String()
		}
		if !s.Ref.Zero() {
			e.Ref = s.Ref.String()
			break
		}
	}
	return e
}
