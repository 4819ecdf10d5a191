package slo

import (
	"fmt"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// What recovered means: so many whole seconds in a row, each with enough samples and good enough.
const (
	recoverSeconds = 5
	recoverSamples = 10
	recoverGood    = 0.95
	recoverRate    = 40 // load per second under which a second too often has too few samples
)

// recovered judges recovery_time(x): how long after the last verified heal the load was well again.
type recovered struct {
	name string
	ind  indicator
	max  time.Duration
}

// Name is the objective's name.
func (r *recovered) Name() string { return r.name }

// Window is recovery, which begins with the last verified heal.
func (r *recovered) Window() string { return windowRecovery }

// Load is the name of the load judged.
func (r *recovered) Load() string { return r.ind.load }

// RecoveryMax is the longest recovery allowed.
func (r *recovered) RecoveryMax() (time.Duration, bool) { return r.max, true }

// Judge judges by when requests were due.
func (r *recovered) Judge(h *journal.History) verdict.Finding { return r.judge(h, byDue) }

// JudgeBySent judges by when they were sent.
func (r *recovered) JudgeBySent(h *journal.History) verdict.Finding { return r.judge(h, bySent) }

func (r *recovered) judge(h *journal.History, c clock) verdict.Finding {
	f := verdict.Finding{
		Check: r.name, Kind: kindSLO, Window: windowRecovery, Load: r.ind.load, SLI: r.ind.text,
		Want: fmt.Sprintf("≤ %v after the heal", r.max), Got: "nothing",
	}
	w, op, why := locate(h, windowRecovery, r.ind.load)
	if why != "" {
		f.Short, f.Why = true, why
		return f
	}
	seconds := make([]tally, min(int(w.Len()/time.Second), maxSeconds))
	each(h, w, op, c, func(s *journal.Sample) {
		at := s.Due
		if c == bySent {
			at = s.Sent
		}
		k := int((at - w.From) / time.Second)
		_, ended := took(s, c)
		if k < 0 || k >= len(seconds) || ended && s.Class == journal.Excluded {
			return
		}
		seconds[k].n++
		f.N++
		if !ended || s.Class != journal.Good {
			seconds[k].bad++
			f.Bad++
		}
	})
	r.decide(&f, seconds, w)
	return f
}

// maxSeconds bounds the work on a hostile window; it is longer than any experiment.
const maxSeconds = 24 * 3600

// decide compares when it had recovered at the latest (a second with too few samples is not good) and
// at the earliest (it may have been) with max.
func (r *recovered) decide(f *verdict.Finding, seconds []tally, w journal.Window) {
	if len(seconds) < recoverSeconds || f.N == 0 {
		f.Short, f.Why = true, fmt.Sprintf("%s of load and %s requests after the heal can't show %d whole seconds", span(w.Len()), count(f.N), recoverSeconds)
		return
	}
	latest, seen := firstGood(seconds, false)
	earliest, possible := firstGood(seconds, true)
	f.Got = fmt.Sprintf("did not recover in %s", span(w.Len()))
	if seen {
		f.Got = fmt.Sprintf("recovered %v after the heal", latest)
	}
	switch {
	case seen && latest <= r.max:
		f.Outcome = verdict.Pass
		f.Why = fmt.Sprintf("from then on %d whole seconds in a row had at least %d %% good", recoverSeconds, int(recoverGood*100))
	case !possible || earliest > r.max:
		f.Outcome = verdict.Fail
		f.Why = fmt.Sprintf("no %d whole seconds in a row with at least %d %% good began within %v", recoverSeconds, int(recoverGood*100), r.max)
	default:
		f.Short, f.Why = true, fmt.Sprintf("seconds with fewer than %d samples leave open when it recovered", recoverSamples)
	}
}

// firstGood is the start of the first recoverSeconds good seconds in a row.
func firstGood(seconds []tally, sparse bool) (at time.Duration, ok bool) {
	run := 0
	for k, s := range seconds {
		good := float64(s.n-s.bad) >= recoverGood*float64(s.n)-1e-9
		if s.n < recoverSamples {
			good = sparse
		}
		if !good {
			run = 0
			continue
		}
		if run++; run == recoverSeconds {
			return time.Duration(k+1-recoverSeconds) * time.Second, true
		}
	}
	return 0, false
}
