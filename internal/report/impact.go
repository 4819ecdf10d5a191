package report

import (
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// effectPayment is the effect whose fate the witnesses can tell.
const effectPayment = "payment"

// lostKeys are the keys that were accepted but that no witness knows as charged or closed, for
// placing them on the timeline. The number is the check's to say: when the two disagree, nil is
// returned and nothing is placed, rather than two numbers shown.
func lostKeys(h *journal.History, findings []verdict.Finding) map[journal.ID]bool {
	lost, ok := lostFinding(findings)
	if !ok || len(h.Audit) == 0 {
		return nil
	}
	known := make(map[string]bool, len(h.Audit))
	for _, a := range h.Audit {
		if a.Type == "charge" || a.Type == effectPayment && closedWithoutCharge(a.State) {
			known[a.Key] = true
		}
	}
	keys := map[journal.ID]bool{}
	for i := range h.Samples {
		s := &h.Samples[i]
		if accepted(h, s) && !known[s.Key.String()] {
			keys[s.Key] = true
		}
	}
	if len(keys) != lost.Count {
		return nil
	}
	return keys
}

// accepted reports whether the target acknowledged that a payment will happen.
func accepted(h *journal.History, s *journal.Sample) bool {
	return int(s.Op) < len(h.Run.Loads) && h.Run.Loads[s.Op].Effect == effectPayment &&
		s.Result == journal.OK && s.Status >= 200 && s.Status < 300
}

func closedWithoutCharge(state string) bool {
	switch strings.ToUpper(state) {
	case "DECLINED", "CANCELLED", "REFUNDED":
		return true
	}
	return false
}

// lostFinding is the failed invariant that counts accepted work that disappeared: the one that says
// how much of it was silent.
func lostFinding(findings []verdict.Finding) (verdict.Finding, bool) {
	for _, f := range findings {
		if f.Kind != kindSLO && f.Silent != nil && f.Count > 0 {
			return f, true
		}
	}
	return verdict.Finding{}, false
}

// impact counts what happened from the first fault until the load stopped; without a fault, over the
// window "run".
func impact(h *journal.History, c *clockwork, v *Variant) Impact {
	im := Impact{Currency: currency(h)}
	from, to := c.origin, c.stop
	if at, ok := firstActive(v.Faults); ok {
		from = at + c.origin
	} else if w, ok := h.Windows["run"]; ok {
		from, to = w.From, w.To
	}
	seconds := map[time.Duration]bool{}
	for _, s := range h.Between(journal.Window{From: from, To: to}) {
		if !s.Windowed() || s.Class == journal.Excluded {
			continue
		}
		im.Requests++
		if s.Class != journal.Bad {
			continue
		}
		if im.Bad == 0 {
			im.FirstBad = c.rel(s.Due)
		}
		im.Bad++
		im.LastBad = c.rel(s.Due)
		seconds[c.rel(s.Due).Truncate(time.Second)] = true
	}
	im.BadSeconds = len(seconds)
	for _, f := range v.Findings {
		if f.Kind != kindSLO && f.Outcome == verdict.Fail {
			im.Breaches = append(im.Breaches, Breach{Check: f.Check, Count: f.Count, N: f.N, Silent: copied(f.Silent), Amount: f.Amount})
		}
		if f.Budget != nil && f.Window != "baseline" && (im.Worst == nil || f.Budget.BurnRate > im.Worst.Budget.BurnRate) {
			im.Worst = &Burn{Check: f.Check, Window: f.Window, Budget: *f.Budget}
		}
	}
	for _, e := range h.Find(journal.EventResolved) {
		var r journal.Resolution
		if detail(e, &r) {
			im.Unknown, im.Unresolved = r.Unknown, r.Unresolved
		}
	}
	return im
}

func currency(h *journal.History) string {
	for _, a := range h.Audit {
		if a.Currency != "" {
			return a.Currency
		}
	}
	return ""
}
