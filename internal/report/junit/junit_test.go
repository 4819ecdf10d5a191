package junit_test

import (
	"bytes"
	"encoding/xml"
	"testing"

	"chaos/internal/report"
	"chaos/internal/report/junit"
	"chaos/internal/report/reporttest"
	"chaos/internal/verdict"
)

func TestConformance(t *testing.T) { reporttest.Run(t, junit.Format()) }

type parsed struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Cases    []struct {
		Name    string    `xml:"name,attr"`
		Failure *struct{} `xml:"failure"`
		Error   *struct{} `xml:"error"`
		Skipped *struct{} `xml:"skipped"`
		Out     string    `xml:"system-out"`
	} `xml:"testsuite>testcase"`
}

func write(t *testing.T, runs []report.Run) parsed {
	t.Helper()
	var out bytes.Buffer
	if err := junit.Write(&out, report.Build(runs)); err != nil {
		t.Fatal(err)
	}
	var p parsed
	if err := xml.Unmarshal(out.Bytes(), &p); err != nil {
		t.Fatalf("not XML: %v", err)
	}
	failures, errors := 0, 0
	for _, c := range p.Cases {
		if c.Failure != nil {
			failures++
		}
		if c.Error != nil {
			errors++
		}
		if c.Skipped != nil {
			t.Errorf("%s is skipped", c.Name)
		}
	}
	if len(p.Cases) != p.Tests || failures != p.Failures || errors != p.Errors {
		t.Errorf("attributes say %d/%d/%d, the cases are %d/%d/%d", p.Tests, p.Failures, p.Errors, len(p.Cases), failures, errors)
	}
	return p
}

func TestMetExpectationsPass(t *testing.T) {
	p := write(t, reporttest.Pair())
	if p.Failures != 0 || p.Errors != 0 {
		t.Errorf("both variants did as expected, but there are %d failures and %d errors", p.Failures, p.Errors)
	}
	found := false
	for _, c := range p.Cases {
		found = found || c.Out == "FAIL as expected, expected FAIL because payments-available"
	}
	if !found {
		t.Error("no test case says that naive failed as expected")
	}
}

func TestUnmetExpectations(t *testing.T) {
	for _, test := range []struct {
		status           verdict.Status
		expect           verdict.Status
		failures, errors int
	}{
		{verdict.FAIL, verdict.PASS, 1, 0},
		{verdict.PASS, verdict.FAIL, 1, 0},
		{verdict.INVALID, verdict.PASS, 0, 1},
		{verdict.INCONCLUSIVE, verdict.PASS, 0, 1},
		{verdict.ABORTED, verdict.PASS, 0, 1},
		{verdict.RESIDUE, verdict.PASS, 0, 1},
		{verdict.ERROR, verdict.PASS, 0, 1},
	} {
		p := write(t, []report.Run{{Verdict: verdict.Verdict{Status: test.status, Expect: verdict.Expectation{Status: test.expect}}}})
		if p.Failures != test.failures || p.Errors != test.errors {
			t.Errorf("%s where %s was expected: %d failures and %d errors, want %d and %d", test.status, test.expect, p.Failures, p.Errors, test.failures, test.errors)
		}
	}
}

func TestUnmetChecks(t *testing.T) {
	v := verdict.Verdict{Status: verdict.PASS, Expect: verdict.Expectation{Status: verdict.FAIL, Because: []string{"a"}}, Findings: []verdict.Finding{
		{Check: "a", Window: "fault", Outcome: verdict.Pass},         // should have failed: failure
		{Check: "a", Window: "baseline", Outcome: verdict.Pass},      // the baseline must hold: passes
		{Check: "b", Window: "fault", Outcome: verdict.Fail},         // failure
		{Check: "c", Window: "fault", Outcome: verdict.Pass},         // passes
		{Check: "d", Window: "fault", Outcome: verdict.Inconclusive}, // error
	}}
	p := write(t, []report.Run{{Verdict: v}})
	if p.Failures != 3 || p.Errors != 1 || p.Tests != 6 {
		t.Errorf("%d tests, %d failures, %d errors, want 6, 3, 1", p.Tests, p.Failures, p.Errors)
	}
}

func TestNothingIsAnError(t *testing.T) {
	if p := write(t, nil); p.Errors != 1 {
		t.Errorf("no run gives %d errors, want 1", p.Errors)
	}
}
