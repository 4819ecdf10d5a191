package verdict

import (
	"strings"
	"testing"
)

func TestExpectation(t *testing.T) {
	find := func(check, window string, o Outcome) Finding {
		return Finding{Check: check, Window: window, Outcome: o}
	}
	fail := Expectation{Status: FAIL, Because: []string{"a"}}
	for _, c := range []struct {
		name string
		e    Expectation
		v    Verdict
		met  bool
		why  string
	}{
		{"pass", Expectation{Status: PASS}, Verdict{Status: PASS}, true, "PASS, as expected"},
		{"pass, but failed", Expectation{Status: PASS}, Verdict{Status: FAIL, Findings: []Finding{find("b", "fault", Fail), find("b", "settled", Fail), find("c", "baseline", Fail)}}, false, "expected PASS, got FAIL: failed: b"},
		{"pass, but inconclusive", Expectation{Status: PASS}, Verdict{Status: INCONCLUSIVE, Why: []string{"noise"}}, false, "expected PASS, got INCONCLUSIVE: noise"},
		{"fail", fail, Verdict{Status: FAIL, Findings: []Finding{find("a", "baseline", Pass), find("a", "fault", Fail), find("a", "settled", Pass), find("b", "fault", Fail), find("c", "fault", Inconclusive)}}, true, "because of a; failed as well: b"},
		{"failed in the baseline only", fail, Verdict{Status: FAIL, Findings: []Finding{find("a", "baseline", Fail), find("a", "fault", Pass), find("b", "fault", Fail)}}, false, "because of a, which is Pass; it failed for another reason: b"},
		{"judged in the baseline only", fail, Verdict{Status: FAIL, Findings: []Finding{find("a", "baseline", Fail)}}, false, "which was judged in no window after the baseline"},
		{"inconclusive wins over pass", fail, Verdict{Status: FAIL, Findings: []Finding{find("a", "fault", Inconclusive), find("a", "settled", Pass)}}, false, "which is Inconclusive"},
		{"no reason named", Expectation{Status: FAIL}, Verdict{Status: FAIL}, false, "no check is named"},
		{"no power", fail, Verdict{Status: PASS, Variant: "naive"}, false, "no power: variant naive was expected to fail a and passed"},
		{"invalid", Expectation{Status: INVALID}, Verdict{Status: INVALID, Why: []string{"no bite"}}, true, "INVALID, as expected: no bite"},
		{"aborted, but passed", Expectation{Status: ABORTED}, Verdict{Status: PASS}, false, "expected ABORTED, got PASS"},
		{"nothing", Expectation{}, Verdict{}, false, "ERROR can't be expected"},
		{"residue", Expectation{Status: RESIDUE}, Verdict{Status: RESIDUE}, false, "RESIDUE can't be expected"},
		{"inconclusive", Expectation{Status: INCONCLUSIVE}, Verdict{Status: INCONCLUSIVE}, false, "INCONCLUSIVE can't be expected"},
	} {
		if met, why := c.e.Met(&c.v); met != c.met || !strings.Contains(why, c.why) {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, met, why, c.met, c.why)
		}
	}
}
