// Package junit writes a Document as JUnit XML, for CI systems. One suite per experiment; one test
// case per variant and one per check of it. What a test case says is whether the experiment's
// expectation came true, so a naive variant that fails as it should is a passing test.
//
//	expectation met                                            pass, its status in system-out
//	not met: FAIL, or PASS where FAIL was expected             failure
//	not met: INVALID, INCONCLUSIVE, ABORTED, RESIDUE, ERROR    error
//
// Nothing is ever skipped: what could not be decided is an error.
package junit

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"chaos/internal/report"
	"chaos/internal/verdict"
)

// Format writes junit.xml.
func Format() report.Format {
	return report.Format{Name: "junit", File: "junit.xml", Write: Write}
}

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Time     string   `xml:"time,attr"`
	Suites   []suite  `xml:"testsuite"`
}

type suite struct {
	Name       string     `xml:"name,attr"`
	Tests      int        `xml:"tests,attr"`
	Failures   int        `xml:"failures,attr"`
	Errors     int        `xml:"errors,attr"`
	Skipped    int        `xml:"skipped,attr"`
	Time       string     `xml:"time,attr"`
	Timestamp  string     `xml:"timestamp,attr,omitempty"`
	Properties []property `xml:"properties>property,omitempty"`
	Cases      []testcase `xml:"testcase"`
}

type property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type testcase struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Time    string   `xml:"time,attr"`
	Failure *problem `xml:"failure,omitempty"`
	Error   *problem `xml:"error,omitempty"`
	Out     string   `xml:"system-out,omitempty"`
}

type problem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// Write writes the document in one call. An experiment without variants is one error: nothing ran.
func Write(w io.Writer, doc *report.Document) error {
	s := suite{Name: named(doc.Experiment, "experiment"), Time: seconds(doc.Duration), Properties: properties(doc)}
	if !doc.Started.IsZero() {
		s.Timestamp = doc.Started.UTC().Format("2006-01-02T15:04:05")
	}
	for i := range doc.Variants {
		v := &doc.Variants[i]
		class := s.Name + "." + v.Name
		s.Cases = append(s.Cases, ofVariant(class, v))
		for _, f := range v.Findings {
			s.Cases = append(s.Cases, ofFinding(class, v, f))
		}
	}
	if len(s.Cases) == 0 {
		s.Cases = []testcase{{Class: s.Name, Name: "run", Time: seconds(0), Error: &problem{Message: "nothing was run, so there is no evidence", Type: "INCONCLUSIVE"}}}
	}
	for _, c := range s.Cases {
		s.Tests++
		if c.Failure != nil {
			s.Failures++
		}
		if c.Error != nil {
			s.Errors++
		}
	}
	all := suites{Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Time: s.Time, Suites: []suite{s}}
	body, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(bytes.Join([][]byte{[]byte(xml.Header), body, []byte("\n")}, nil))
	return err
}

func named(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", max(0, d).Seconds()) }

func properties(doc *report.Document) []property {
	var out []property
	for _, p := range []property{{"hypothesis", doc.Hypothesis}, {"profile", doc.Profile}, {"seed", fmt.Sprint(doc.Seed)}, {"command", doc.Command},
		{"version", doc.Version}, {"revision", doc.Revision}, {"exit", fmt.Sprint(doc.Exit)}} {
		if p.Value != "" {
			out = append(out, p)
		}
	}
	return out
}

// ofVariant is the test case of a whole run.
func ofVariant(class string, v *report.Variant) testcase {
	c := testcase{Class: class, Name: "verdict", Time: seconds(v.Duration), Out: v.Verdict() + ", expected " + v.Expected}
	if v.Met && v.Status != verdict.RESIDUE && v.Status != verdict.ERROR {
		return c
	}
	p := &problem{Message: c.Out, Type: v.Status.String(), Text: strings.Join(slices.Concat(nonEmpty(v.MetWhy), v.Why), "\n")}
	switch v.Status {
	case verdict.FAIL, verdict.PASS: // PASS: a variant that should have failed, so the experiment has no power
		c.Failure = p
	default:
		c.Error = p
	}
	return c
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// ofFinding is the test case of one check in one window. Under a met expectation it passes whatever
// it found, because that is what the experiment said. Otherwise a check that was named in because:
// must have failed, and every other one must have passed.
func ofFinding(class string, v *report.Variant, f verdict.Finding) testcase {
	c := testcase{Class: class, Name: strings.TrimSpace(f.Check + " " + f.Window), Time: seconds(0), Out: describe(f)}
	if v.Met {
		return c
	}
	p := &problem{Message: fmt.Sprintf("%s: want %s, got %s", f.Outcome, f.Want, f.Got), Type: f.Outcome.String(), Text: describe(f)}
	named := slices.Contains(v.Because, f.Check) && f.Window != "baseline"
	switch {
	case f.Outcome == verdict.Inconclusive:
		c.Error = p
	case named && f.Outcome == verdict.Pass:
		p.Message = "passed, but the experiment says it must fail: " + p.Message
		c.Failure = p
	case !named && f.Outcome == verdict.Fail:
		c.Failure = p
	}
	return c
}

// describe is a finding in lines: figures, reason, witnesses.
func describe(f verdict.Finding) string {
	lines := []string{fmt.Sprintf("%s: want %s, got %s, n %d, bad %d", f.Outcome, f.Want, f.Got, f.N, f.Bad)}
	if f.Bound != "" {
		lines = append(lines, "bound "+f.Bound)
	}
	if f.Why != "" {
		lines = append(lines, f.Why)
	}
	for _, e := range f.Evidence {
		var words []string
		for _, w := range []struct{ name, value string }{{"key ", e.Key}, {"ref ", e.Ref}, {"trace ", e.Trace}, {"", e.Note}} {
			if w.value != "" {
				words = append(words, w.name+w.value)
			}
		}
		if e.Amount != 0 {
			words = append(words, report.Money(e.Amount, ""))
		}
		lines = append(lines, strings.Join(words, ", "))
	}
	return strings.Join(lines, "\n")
}
