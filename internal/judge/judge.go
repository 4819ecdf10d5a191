// Package judge folds checks and a history into a verdict. It does no I/O and knows no kinds, so a run
// can be judged again offline with the same result, and engine and judge agree about the baseline.
//
//	checks ──▶ findings ──▶ lateness, canary ──┐
//	events ──▶ residue, errors, guards, bites ─┼──▶ reasons ──▶ the worst is the status ──▶ expectation
//	samples ─▶ generator's honesty ────────────┘
package judge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// reason is one thing that speaks for a status other than PASS.
type reason struct {
	status verdict.Status
	text   string
}

// rank is the order in which statuses win: what somebody must heal now, then what makes a run say less
// about the target.
func rank(s verdict.Status) int {
	order := [...]verdict.Status{verdict.RESIDUE, verdict.ERROR, verdict.ABORTED, verdict.INVALID, verdict.FAIL, verdict.INCONCLUSIVE}
	if i := slices.Index(order[:], s); i >= 0 {
		return i
	}
	return len(order)
}

// Judge folds what the checks find in a history, and whether that can be believed, into a verdict.
// PASS is what is left when nothing speaks against it and at least one check was evaluated.
func Judge(checks []check.Check, h *journal.History) verdict.Verdict {
	if h == nil {
		h = &journal.History{}
	}
	a := assess(checks, h)
	v := verdict.Verdict{
		Run: h.Run.ID, Experiment: h.Run.Experiment, Variant: h.Run.Variant,
		Findings: a.findings, Honesty: a.honesty, Notes: a.notes,
	}
	v.Bites = bites(h)
	reasons := slices.Concat(harness(h), residue(h), leftBehind(h), ended(h), a.reasons, unproven(h, v.Bites), outcomes(a.findings))
	if !invalidBaseline(a.reasons) {
		reasons = append(reasons, gated(h)...)
	}
	slices.SortStableFunc(reasons, func(x, y reason) int { return cmp.Compare(rank(x.status), rank(y.status)) })
	v.Status = verdict.PASS
	if len(reasons) > 0 {
		v.Status = reasons[0].status
	}
	for _, r := range reasons {
		v.Why = append(v.Why, r.text)
	}
	v.Notes = append(v.Notes, notes(h)...)
	for _, f := range v.Findings {
		v.FalseFails += f.Alpha
	}
	expect(&v, h.Run.Expect)
	forItsReason(&v, h)
	return v
}

// forItsReason takes an expectation back that came true by accident: INVALID is expected of a fault that
// does not bite, not of a busy machine, and ABORTED of what a fault did.
func forItsReason(v *verdict.Verdict, h *journal.History) {
	if !v.Met || len(h.Run.Faults) == 0 || len(v.Why) == 0 {
		return
	}
	switch {
	case v.Status == verdict.INVALID && len(unproven(h, v.Bites)) == 0:
		v.Met, v.MetWhy = false, "INVALID, but not because a fault was seen not to bite: "+v.Why[0]
	case v.Status == verdict.ABORTED && len(h.Find(journal.EventActive)) == 0:
		v.Met, v.MetWhy = false, "ABORTED before any fault was active: "+v.Why[0]
	}
}

// outcomes are the reasons that the findings give. What the baseline says is assess's.
func outcomes(findings []verdict.Finding) []reason {
	if len(findings) == 0 {
		return []reason{{verdict.INCONCLUSIVE, "no check was evaluated"}}
	}
	var reasons []reason
	for _, f := range findings {
		switch {
		case f.Outcome == verdict.Fail && f.Window != verdict.WindowBaseline:
			reasons = append(reasons, reason{verdict.FAIL, say(f, "failed")})
		case f.Outcome != verdict.Pass && f.Outcome != verdict.Fail:
			reasons = append(reasons, reason{verdict.INCONCLUSIVE, say(f, "can't be decided")})
		}
	}
	return reasons
}

// say words a finding as a reason.
func say(f verdict.Finding, what string) string {
	text := f.Check + " " + what
	if f.Window != "" {
		text += " in window " + f.Window
	}
	if f.Got != "" {
		text += fmt.Sprintf(": wanted %s, got %s", f.Want, f.Got)
	}
	if f.Why != "" {
		text += " (" + f.Why + ")"
	}
	return text
}

// expect compares with what the experiment said. Without a word in run.json, PASS is expected.
func expect(v *verdict.Verdict, raw json.RawMessage) {
	v.Expect = verdict.Expectation{Status: verdict.PASS}
	if len(raw) > 0 && string(raw) != "null" {
		var e verdict.Expectation
		if err := json.Unmarshal(raw, &e); err != nil {
			v.Expect = verdict.Expectation{}
			v.MetWhy = fmt.Sprintf("what was expected can't be read: %v", err)
			return
		}
		v.Expect = e
	}
	v.Met, v.MetWhy = v.Expect.Met(v)
}
