package invariant

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

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
		if a.unresolved() {
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
	case !settled(a.state):
		return fmt.Sprintf("acknowledged, but still %s when everything should be settled", a.state)
	case a.charges > 0:
		return ""
	case a.state == "CAPTURED" || a.state == "REFUNDING":
		return a.state + " on the books, but the processor has no charge"
	case a.captured:
		return "acknowledged as captured (201), but the processor has no charge"
	}
	return ""
}

// hearing is how long after the answer to a payment a counter of errors may still move because of it: counters are
// read each second.
const hearing = 2 * time.Second

// silence counts those of the lost that nobody was told about: the client saw 2xx, no WARN or ERROR line bears the
// payment's trace or key, and no counter of errors moved while it was on its way. A counter does not say of whom it
// speaks, so each count may have been of one of them. Without any log nothing can be said.
func (b *books) silence(gone []*account, f *verdict.Finding) string {
	if len(b.h.Logs) == 0 {
		return "; whether silently can't be said: there are no logs"
	}
	lostKeys := make(map[journal.ID]bool, len(gone))
	for _, a := range gone {
		lostKeys[a.key] = false
	}
	traces := make(map[journal.ID]journal.ID) // trace → key
	var ways []journal.Window
	for i := range b.h.Samples {
		s := &b.h.Samples[i]
		if _, is := lostKeys[s.Key]; !is {
			continue
		}
		ways = append(ways, journal.Window{From: s.Sent, To: max(s.Sent, s.Done) + hearing})
		if !s.Trace.Zero() {
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
	words := "; %d of them silently: the client saw 2xx and no WARN or ERROR line bears their trace or key (the target tells no metrics)"
	if counted, told := errorsDuring(b.h, ways); told {
		words = "; %d of them silently: the client saw 2xx, no WARN or ERROR line bears their trace or key, and no error counter moved"
		if silent = max(0, silent-counted); counted > 0 {
			words = "; at least %d of them silently: the client saw 2xx, no WARN or ERROR line bears their trace or key, and " +
				fmt.Sprintf("the error counters moved by no more than %d while they were on their way", counted)
		}
	}
	f.Silent = &silent
	return fmt.Sprintf(words, silent)
}

// errorsDuring is by how much the counters of errors moved in any of the windows.
func errorsDuring(h *journal.History, ways []journal.Window) (counted int, told bool) {
	all, told := rises(h)
	slices.SortFunc(ways, func(x, y journal.Window) int { return cmp.Compare(x.From, y.From) })
	slices.SortFunc(all, func(x, y rise) int { return cmp.Compare(x.at, y.at) })
	sum, next, until := 0.0, 0, time.Duration(-1)
	for _, r := range all {
		for next < len(ways) && ways[next].From <= r.at {
			until = max(until, ways[next].To)
			next++
		}
		if r.at < until {
			sum += r.by
		}
	}
	return int(min(sum, math.MaxInt32)), told
}

// loud reports whether a log line of this level is meant to be noticed.
func loud(level string) bool {
	switch strings.ToUpper(level) {
	case "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL", "PANIC":
		return true
	}
	return false
}
