package invariant

import (
	"fmt"
	"strconv"
	"strings"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// lost finds acknowledged payments (2xx) that after the settle deadline have no payment in a terminal
// state, or are CAPTURED, or were answered 201, without any charge at the processor (DOMAIN.md I-1).
//
// A payment whose outcome the client never learnt promises nothing, but its answer may have been lost
// on the way: those widen the count to an interval, and with none lost for certain it is Inconclusive.
func lost(b *books, f *verdict.Finding) {
	var gone []*account
	unresolved := 0
	for i := range b.accounts {
		a := &b.accounts[i]
		if a.doubt && !a.known {
			unresolved++
		}
		if !a.acked {
			continue
		}
		f.N++
		if why := a.lost(); why != "" {
			gone = append(gone, a)
			f.Amount += a.amount
			if len(f.Evidence) < evidenceMax {
				f.Evidence = append(f.Evidence, b.evidence(a, why))
			}
		}
	}
	f.Count, f.Bad = len(gone), len(gone)
	f.Got = strconv.Itoa(len(gone)) + " lost"
	if unresolved > 0 {
		f.Got = fmt.Sprintf("lost ∈ [%d, %d]", len(gone), len(gone)+unresolved)
	}
	switch {
	case f.N == 0:
		f.Why = "no payment was acknowledged"
	case len(gone) > 0:
		f.Outcome = verdict.Fail
		f.Why = fmt.Sprintf("%d of %d acknowledged payments are gone (%.3g %%)", len(gone), f.N, 100*float64(len(gone))/float64(f.N))
		f.Why += b.silence(gone, f)
	case unresolved > 0:
		f.Why = fmt.Sprintf("the outcome of %d payments is still unknown, so up to %d may be lost", unresolved, unresolved)
	default:
		f.Outcome = verdict.Pass
		f.Why = fmt.Sprintf("each of %d acknowledged payments is on the books", f.N)
	}
}

// lost says in which way an acknowledged payment is lost, or "".
func (a *account) lost() string {
	switch {
	case a.payments == 0:
		return "acknowledged, but there is no payment on the books"
	case !terminal(a.state):
		return fmt.Sprintf("acknowledged, but still %s when everything should be settled", a.state)
	case a.charges > 0:
		return ""
	case a.state == "CAPTURED":
		return "CAPTURED on the books, but the processor has no charge"
	case a.captured:
		return "acknowledged as captured (201), but the processor has no charge"
	}
	return ""
}

// silence counts those of the lost that nobody was told about: the client saw 2xx, and no WARN or
// ERROR line bears the payment's trace or key. Without any log nothing can be said.
func (b *books) silence(gone []*account, f *verdict.Finding) string {
	if len(b.h.Logs) == 0 {
		return "; whether silently can't be said: there are no logs"
	}
	lostKeys := make(map[journal.ID]bool, len(gone))
	for _, a := range gone {
		lostKeys[a.key] = false
	}
	traces := make(map[journal.ID]journal.ID) // trace → key
	for i := range b.h.Samples {
		s := &b.h.Samples[i]
		if _, is := lostKeys[s.Key]; is && !s.Trace.Zero() {
			traces[s.Trace] = s.Key
		}
	}
	for i := range b.h.Logs {
		l := &b.h.Logs[i]
		if !loud(l.Level) {
			continue
		}
		if trace, ok := parseID(l.Trace); ok {
			if key, is := traces[trace]; is {
				lostKeys[key] = true
			}
		}
		if key, ok := parseID(l.Key); ok {
			if _, is := lostKeys[key]; is {
				lostKeys[key] = true
			}
		}
	}
	silent := 0
	for _, told := range lostKeys {
		if !told {
			silent++
		}
	}
	f.Silent = &silent
	return fmt.Sprintf("; %d of them silently: the client saw 2xx and no WARN or ERROR line bears their trace or key (error counters are not read)", silent)
}

// loud reports whether a log line of this level is meant to be noticed.
func loud(level string) bool {
	switch strings.ToUpper(level) {
	case "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL", "PANIC":
		return true
	}
	return false
}

// evidence names one payment so that a reader can follow it.
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
