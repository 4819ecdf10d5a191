package report

import (
	"fmt"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

const (
	month         = 30 * 24 * time.Hour // W of the budget formula
	defaultTarget = 0.999               // when no SLO says another
)

// contrast computes the table "what the dashboards said, what happened to the money" for a run that
// lost accepted work. ok is false for every other run.
//
//	share of a 30-day budget used if it lasted t: C = e·t / ((1 − T)·W)
//	projected losses in t: lost ÷ length of the window × t
func contrast(run Run, v *Variant) (Contrast, bool) {
	lost, ok := lostFinding(v.Findings)
	if !ok || run.History == nil || lost.N == 0 {
		return Contrast{}, false
	}
	c := Contrast{Variant: v.Name}
	count, n, length := placeLosses(run.History, v, lost)
	share := float64(count) / float64(n)
	c.Technical = c.technicalState(v, fmt.Sprintf("red: %s of %s accepted are settled; %s are lost", Percent(1-share), Count(n), Count(count)))

	known := lost.Count - *lost.Silent
	target, name := budgetTarget(v)
	budget := func(t time.Duration) string {
		return Percent(share * t.Hours() / ((1 - target) * month.Hours()))
	}
	tech1, tech6 := technicalBudget(v)
	c.Rows = append(c.Rows, ContrastRow{
		Label:     fmt.Sprintf("30-day budget if fixed in 1 h / 6 h (target %s, %s)", Percent(target), name),
		Technical: Percent(tech1) + " / " + Percent(tech6),
		Business:  budget(time.Hour) + " / " + budget(6*time.Hour) + freeze(share*6/((1-target)*month.Hours())),
	}, ContrastRow{
		Label:     "payments lost, money",
		Technical: Count(known) + " known",
		Business:  fmt.Sprintf("%s of %s accepted; %s", Count(lost.Count), Count(lost.N), Money(lost.Amount, v.Impact.Currency)),
	}, ContrastRow{
		Label:     "of these, nobody was told",
		Technical: fmt.Sprintf("%s of %s: the caller got a good answer, and nothing complained", Count(*lost.Silent), Count(lost.Count)),
		Business:  "found only by asking independent witnesses",
	})
	if length > 0 {
		six := float64(count) / length.Seconds() * (6 * time.Hour).Seconds()
		money := float64(lost.Amount) / float64(lost.Count) * six
		c.Rows = append(c.Rows, ContrastRow{
			Label:     "projected to 6 h at this rate",
			Technical: Number(roundTo3(six*float64(known)/float64(lost.Count))) + " known",
			Business:  fmt.Sprintf("about %s lost; %s", Number(roundTo3(six)), Money(int64(roundTo3(money)), v.Impact.Currency)),
		})
	}
	return c, true
}

// freezeAt is the share of a 30-day budget from which feature work stops, by the policy of the story.
const freezeAt = 0.8

func freeze(share float64) string {
	if share < freezeAt {
		return ""
	}
	return fmt.Sprintf(", so feature work stops (from %s)", Percent(freezeAt))
}

// placeLosses is how many of how many accepted were lost over which time: in the fault's window when
// the witnesses place them, else in the window of the check.
func placeLosses(h *journal.History, v *Variant, lost verdict.Finding) (count, n int, length time.Duration) {
	w := h.Windows["fault"]
	keys := lostKeys(h, v.Findings)
	if keys != nil && !w.Empty() {
		for _, s := range h.Between(w) {
			if s.Windowed() && accepted(h, &s) {
				n++
				if keys[s.Key] {
					count++
				}
			}
		}
		if count > 0 {
			return count, n, w.Len()
		}
	}
	return lost.Count, lost.N, h.Windows[first(lost.Window, "run")].Len()
}

// technicalState adds the row of states and says whether every SLO outside the baseline passed.
func (c *Contrast) technicalState(v *Variant, business string) bool {
	passed, all := 0, 0
	for _, f := range v.SLOs() {
		if f.Window == "baseline" {
			continue
		}
		all++
		if f.Outcome == verdict.Pass {
			passed++
		}
	}
	green := all > 0 && passed == all
	words := "red"
	if green {
		words = "green"
	}
	words = fmt.Sprintf("%s: %d of %d SLO judgements pass", words, passed, all)
	if l := v.FocusLoad(); l != nil {
		for _, t := range l.Totals {
			if t.Window == "fault" && t.Good+t.Bad > 0 {
				words += fmt.Sprintf("; %s %s good, p90 %s", l.Name, Ratio(t.Good, t.Good+t.Bad), Time(t.P90))
			}
		}
	}
	c.Rows = append(c.Rows, ContrastRow{Label: "state during the fault", Technical: words, Business: business})
	return green
}

// budgetTarget is the target of the first ratio SLO, from its own accounting: 1 − allowed ÷ n.
func budgetTarget(v *Variant) (target float64, name string) {
	for _, f := range v.SLOs() {
		if f.Budget != nil && f.N > 0 && f.Budget.Allowed > 0 && f.Budget.Allowed < float64(f.N) {
			return 1 - f.Budget.Allowed/float64(f.N), f.Check
		}
	}
	return defaultTarget, "no SLO says another"
}

func technicalBudget(v *Variant) (hour, six float64) {
	for _, f := range v.SLOs() {
		if f.Budget != nil && f.Window != "baseline" {
			hour, six = max(hour, f.Budget.Share1h), max(six, f.Budget.Share6h)
		}
	}
	return hour, six
}

// roundTo3 keeps three significant digits: a projection has no more.
func roundTo3(f float64) float64 {
	unit := 1.0
	for f/unit >= 1000 {
		unit *= 10
	}
	return float64(int64(f/unit+0.5)) * unit
}
