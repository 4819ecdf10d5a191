package slo

import (
	"fmt"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// kindSLO is what findings of this package call themselves.
const kindSLO = "slo"

// ratio judges a share of good requests in one window: availability, under, rejected_cleanly, and
// quantile as "the share that took at most max is at least q".
type ratio struct {
	name, window string
	ind          indicator
	target       float64
	max          time.Duration // quantile
	timeout      time.Duration // the client's
}

// Name is the objective's name.
func (r *ratio) Name() string { return r.name }

// Window is the window judged.
func (r *ratio) Window() string { return r.window }

// Load is the name of the load judged.
func (r *ratio) Load() string { return r.ind.load }

// MinN is the planned number of requests in the window under which no Pass is given.
func (r *ratio) MinN() int { return minPlanned(r.target) }

// Judge judges by when requests were due.
func (r *ratio) Judge(h *journal.History) verdict.Finding { return r.judge(h, lens{clock: byDue}) }

// JudgeBySent judges as if time counted from the sending and requests that were never sent had not
// been planned: what is still a Fail then is not the generator's lateness.
func (r *ratio) JudgeBySent(h *journal.History) verdict.Finding {
	return r.judge(h, lens{clock: bySent})
}

// JudgeWithSlack judges as if every limit on time were larger by slack: what is still a Fail then is not
// the doing of a machine that stalled for no longer than that.
func (r *ratio) JudgeWithSlack(h *journal.History, slack time.Duration) verdict.Finding {
	return r.judge(h, lens{clock: byDue, slack: slack})
}

func (r *ratio) judge(h *journal.History, look lens) verdict.Finding {
	f := verdict.Finding{
		Check: r.name, Kind: kindSLO, Window: r.window, Load: r.ind.load, SLI: r.ind.text, Want: r.want(), Got: "nothing",
		Need: r.MinN(), Latency: r.ind.shape != availability,
	}
	w, op, why := locate(h, r.window, r.ind.load)
	if why != "" {
		f.Short, f.Why = true, why
		return f
	}
	t := r.ind.measure(h, w, op, look, r.max, r.timeout)
	f.N, f.Bad = t.n, t.bad
	if t.n == 0 {
		f.Short, f.Why = true, fmt.Sprintf("no request of load %s to judge in window %s (%s excluded)", r.ind.load, r.window, count(t.excluded))
		return f
	}
	f.Alpha = alphaFail
	f.Got = r.got(&t)
	f.Budget = budget(t.bad, t.n, r.target)
	r.decide(&f, &t, planned(t.recorded, h.Run.Loads[op].Rate, w.Len()))
	return f
}

// decide is the rule of docs/judging.md: Fail by the upper bound, Pass by the point estimate and
// enough samples, else Inconclusive.
func (r *ratio) decide(f *verdict.Finding, t *tally, planned int) {
	floor := zeroFailures(r.target)
	f.Short = planned < f.Need || planned-t.excluded < floor
	high, low := upper(t.bad, t.n, alphaFail), lower(t.bad, t.n, alphaCertify)
	met := float64(t.n-t.bad) >= r.target*float64(t.n)-1e-9*float64(t.n)
	switch {
	case high < r.target:
		f.Outcome = verdict.Fail
		f.Bound = fmt.Sprintf("upper 99 %% bound %s < %s", percent(high), percent(r.target))
		f.Why = fmt.Sprintf("%s of %s bad, %s allowed", count(t.bad), count(t.n), number(f.Budget.Allowed))
	case f.Short && planned < f.Need:
		f.Why = fmt.Sprintf("too few samples: %s planned, %s needed for a target of %s", count(planned), count(f.Need), percent(r.target))
	case f.Short:
		f.Why = fmt.Sprintf("too few samples: %s planned, but %s of them excluded; %s needed for a target of %s",
			count(planned), count(t.excluded), count(floor), percent(r.target))
	case met:
		f.Outcome = verdict.Pass
		f.Certified = low >= r.target
		f.Bound = fmt.Sprintf("lower 95 %% bound %s", percent(low))
		f.Why = fmt.Sprintf("%s of %s bad, %s allowed", count(t.bad), count(t.n), number(f.Budget.Allowed))
	default:
		f.Bound = fmt.Sprintf("upper 99 %% bound %s ≥ %s", percent(high), percent(r.target))
		f.Why = fmt.Sprintf("missed within noise: %s of %s bad, %s allowed, but that can be chance", count(t.bad), count(t.n), number(f.Budget.Allowed))
	}
}

func (r *ratio) want() string {
	if r.ind.shape == quantile {
		return fmt.Sprintf("p%s ≤ %v", number(r.ind.q*100), r.max)
	}
	return "≥ " + percent(r.target)
}

func (r *ratio) got(t *tally) string {
	if r.ind.shape != quantile {
		return percent(1 - float64(t.bad)/float64(t.n))
	}
	at := t.at(r.ind.q)
	if at >= r.timeout {
		return fmt.Sprintf("p%s ≥ %v (the client's timeout)", number(r.ind.q*100), r.timeout)
	}
	return fmt.Sprintf("p%s = %s", number(r.ind.q*100), span(at))
}

// locate finds the window and the load in a history; why says what is missing.
func locate(h *journal.History, window, load string) (w journal.Window, op journal.OpID, why string) {
	if h == nil {
		return w, 0, "there is no history"
	}
	op, ok := h.Load(load)
	if !ok {
		return w, 0, fmt.Sprintf("the run has no load %s", load)
	}
	w, ok = h.Windows[window]
	if !ok || w.Empty() {
		return w, 0, fmt.Sprintf("window %s is empty", window)
	}
	return w, op, ""
}

// budgetMonth is the time that an error budget is for.
const budgetMonth = 30 * 24 * time.Hour

// budget accounts what a window used of its error budget. It infers nothing: allowed = (1−T)·n,
// burn = (b/n)/(1−T), and a share of 30 days that lasts t is burn·t/30 d (SRE Workbook, ch. 5).
func budget(bad, n int, target float64) *verdict.Budget {
	burn := float64(bad) / float64(n) / (1 - target)
	return &verdict.Budget{
		Allowed: (1 - target) * float64(n), Used: float64(bad), BurnRate: burn,
		Share1h: burn * float64(time.Hour) / float64(budgetMonth),
		Share6h: burn * float64(6*time.Hour) / float64(budgetMonth),
	}
}
