package verdict

import (
	"fmt"
	"slices"
	"strings"
)

// WindowBaseline is the window before any fault. What fails there makes a run INVALID; it can't be the
// reason why a variant was expected to fail.
const WindowBaseline = "baseline"

// WindowFault is the window from the first intent to the last revert.
const WindowFault = "fault"

// Met folds an expectation over what came of the run. FAIL comes true when every check named in
// Because Failed in some window other than the baseline (others may Fail too; Inconclusive is not
// Fail). RESIDUE, ERROR and INCONCLUSIVE can't be expected. why says it in one sentence.
func (e Expectation) Met(v *Verdict) (met bool, why string) {
	switch e.Status {
	case PASS, FAIL, INVALID, ABORTED:
	default:
		return false, fmt.Sprintf("%s can't be expected", e.Status)
	}
	if v.Status != e.Status {
		return false, e.unmet(v)
	}
	if e.Status != FAIL {
		return true, fmt.Sprintf("%s, as expected%s", v.Status, because(v))
	}
	if len(e.Because) == 0 {
		return false, "expected to FAIL, but no check is named as the reason"
	}
	for _, name := range e.Because {
		if outcome, known := outcomeOf(name, v.Findings); outcome != Fail {
			return false, e.spared(v, name, outcome, known)
		}
	}
	why = "FAIL, as expected, because of " + strings.Join(e.Because, ", ")
	if others := othersFailed(v.Findings, e.Because); len(others) > 0 {
		why += "; failed as well: " + strings.Join(others, ", ")
	}
	return true, why
}

// unmet words a status other than the expected one.
func (e Expectation) unmet(v *Verdict) string {
	if e.Status == FAIL && v.Status == PASS {
		return fmt.Sprintf("the experiment has no power: variant %s was expected to fail %s and passed", v.Variant, strings.Join(e.Because, ", "))
	}
	if v.Status == FAIL {
		return fmt.Sprintf("expected %s, got FAIL: failed: %s", e.Status, strings.Join(othersFailed(v.Findings, nil), ", "))
	}
	return fmt.Sprintf("expected %s, got %s%s", e.Status, v.Status, because(v))
}

// spared words that a check which had to Fail did not.
func (e Expectation) spared(v *Verdict, name string, outcome Outcome, known bool) string {
	if !known {
		return fmt.Sprintf("expected to fail because of %s, which was judged in no window after the baseline", name)
	}
	why := fmt.Sprintf("expected to fail because of %s, which is %s", name, outcome)
	if others := othersFailed(v.Findings, nil); len(others) > 0 {
		why += "; it failed for another reason: " + strings.Join(others, ", ")
	}
	return why
}

func because(v *Verdict) string {
	if len(v.Why) == 0 {
		return ""
	}
	return ": " + v.Why[0]
}

// outcomeOf is what a check says over all windows but the baseline: Fail wins over Inconclusive, and
// that over Pass.
func outcomeOf(name string, findings []Finding) (worst Outcome, known bool) {
	for _, f := range findings {
		if f.Check != name || f.Window == WindowBaseline {
			continue
		}
		switch {
		case f.Outcome == Fail:
			return Fail, true
		case !known || f.Outcome == Inconclusive:
			worst = f.Outcome
		}
		known = true
	}
	return worst, known
}

// othersFailed lists the checks that Failed outside of the baseline and are not among named.
func othersFailed(findings []Finding, named []string) []string {
	var names []string
	for _, f := range findings {
		if f.Outcome == Fail && f.Window != WindowBaseline && !slices.Contains(named, f.Check) && !slices.Contains(names, f.Check) {
			names = append(names, f.Check)
		}
	}
	return names
}
