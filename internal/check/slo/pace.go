package slo

import (
	"fmt"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// pace judges rate(x): good answers per second of the window must be at most max. It is what a quota
// or a limiter promises.
type pace struct {
	name, window string
	ind          indicator
	max          float64 // per second
}

// Name is the objective's name.
func (p *pace) Name() string { return p.name }

// Window is the window judged.
func (p *pace) Window() string { return p.window }

// Load is the name of the load judged.
func (p *pace) Load() string { return p.ind.load }

// Judge judges by when requests were due.
func (p *pace) Judge(h *journal.History) verdict.Finding { return p.judge(h, byDue) }

// JudgeBySent counts what was sent in the window: a generator that catches up is not admitted more.
func (p *pace) JudgeBySent(h *journal.History) verdict.Finding { return p.judge(h, bySent) }

func (p *pace) judge(h *journal.History, c clock) verdict.Finding {
	f := verdict.Finding{
		Check: p.name, Kind: kindSLO, Window: p.window, Load: p.ind.load, SLI: p.ind.text,
		Want: fmt.Sprintf("≤ %s/s", number(p.max)), Got: "nothing",
	}
	w, op, why := locate(h, p.window, p.ind.load)
	if why != "" {
		f.Short, f.Why = true, why
		return f
	}
	good := 0
	each(h, w, op, c, func(s *journal.Sample) {
		f.N++
		if _, ended := took(s, c); ended && s.Class == journal.Good {
			good++
		}
	})
	if good == 0 { // a dead target keeps every quota
		f.Short, f.Why = true, fmt.Sprintf("none of %s requests of load %s in window %s was answered well", count(f.N), p.ind.load, p.window)
		return f
	}
	seconds := w.Len().Seconds()
	seen, low := float64(good)/seconds, rateLower(good, alphaFail)/seconds
	f.Alpha = alphaFail
	f.Got = number(seen) + "/s"
	f.Why = fmt.Sprintf("%s good answers in %s", count(good), span(w.Len()))
	switch {
	case seen <= p.max:
		f.Outcome = verdict.Pass
	case low > p.max:
		f.Outcome = verdict.Fail
		f.Bound = fmt.Sprintf("lower 99 %% bound %s/s > %s/s", number(low), number(p.max))
	default:
		f.Bound = fmt.Sprintf("lower 99 %% bound %s/s ≤ %s/s", number(low), number(p.max))
		f.Why = "missed within noise: " + f.Why
	}
	return f
}
