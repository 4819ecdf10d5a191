// Package text writes a Document for a terminal or a CI log: verdicts first, then one timeline and
// one table of checks per variant. It writes no colour and no control character.
package text

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"chaos/internal/report"
	"chaos/internal/verdict"
)

const (
	columns     = 72 // of a timeline
	maxEvidence = 3  // witnesses shown per invariant; the other formats show all
)

// Format writes report.txt.
func Format() report.Format {
	return report.Format{Name: "text", File: "report.txt", Write: Write}
}

// Write writes the summary in one call.
func Write(w io.Writer, doc *report.Document) error {
	var out bytes.Buffer
	head(&out, doc)
	for i := range doc.Variants {
		variant(&out, &doc.Variants[i])
	}
	for _, c := range doc.Contrasts {
		contrast(&out, c)
	}
	if doc.Command != "" {
		fmt.Fprintf(&out, "\nrepeat: %s\n", line(doc.Command))
	}
	_, err := w.Write(out.Bytes())
	return err
}

// line makes text from outside one line.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }

func head(out *bytes.Buffer, doc *report.Document) {
	name := line(doc.Experiment)
	if name == "" {
		name = "(no experiment)"
	}
	if doc.Profile != "" {
		name += " (" + line(doc.Profile) + ")"
	}
	fmt.Fprintf(out, "%s: %d of %s as expected, exit %d, seed %d\n", name, doc.Met, report.Plural(len(doc.Variants), "variant"), doc.Exit, doc.Seed)
	if doc.Hypothesis != "" {
		fmt.Fprintf(out, "  %s\n", line(doc.Hypothesis))
	}
	for _, n := range doc.Notes {
		fmt.Fprintf(out, "  note: %s\n", line(n))
	}
	t := table(out)
	for _, v := range doc.Variants {
		met := v.Expectation()
		if !v.Met {
			met = strings.ToUpper(met)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\texpected %s\n", line(v.Name), v.Status, met, line(v.Expected))
	}
	flush(t)
}

// table aligns columns; its writes go to memory and cannot fail.
func table(out *bytes.Buffer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

func flush(t *tabwriter.Writer) { _ = t.Flush() } // into a bytes.Buffer

func variant(out *bytes.Buffer, v *report.Variant) {
	fmt.Fprintf(out, "\n%s: %s\n", line(v.Name), v.Verdict())
	for _, why := range v.Why {
		fmt.Fprintf(out, "  why: %s\n", line(why))
	}
	if !v.Met && v.MetWhy != "" {
		fmt.Fprintf(out, "  expectation: %s\n", line(v.MetWhy))
	}
	load := v.FocusLoad()
	if s := v.Strip(load, columns); len(s.Lines) > 0 {
		fmt.Fprintf(out, "\n  %s\n", line(s.Title(load.Name)))
		for l := range strings.Lines(s.String()) {
			out.WriteString("    " + l)
		}
	}
	checks(out, v)
	faults(out, v)
	telemetry(out, v)
	honesty(out, v)
	for _, n := range append(append([]string{}, v.Notes...), v.Damage...) {
		fmt.Fprintf(out, "  note: %s\n", line(n))
	}
}

func checks(out *bytes.Buffer, v *report.Variant) {
	if slos := v.SLOs(); len(slos) > 0 {
		out.WriteString("\n")
		t := table(out)
		fmt.Fprintln(t, "  SLO\twindow\ttarget\tobserved\tbound\tn\tbad\tverdict\tburn")
		for _, f := range slos {
			burn := ""
			if f.Budget != nil {
				burn = report.Times(f.Budget.BurnRate)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", line(f.Check), line(f.Window), line(f.Want), line(f.Got), line(f.Bound),
				report.Count(f.N), report.Count(f.Bad), outcome(f), burn)
		}
		flush(t)
	}
	if found := v.Invariants(); len(found) > 0 {
		out.WriteString("\n")
		t := table(out)
		fmt.Fprintln(t, "  INVARIANT\twant\tgot\tn\tverdict")
		for _, f := range found {
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", line(f.Check), line(f.Want), line(f.Got), report.Count(f.N), outcome(f))
		}
		flush(t)
		for _, f := range found {
			evidence(out, v, f)
		}
	}
}

func outcome(f verdict.Finding) string {
	if f.Certified {
		return f.Outcome.String() + ", certified"
	}
	return f.Outcome.String()
}

func evidence(out *bytes.Buffer, v *report.Variant, f verdict.Finding) {
	for i, e := range f.Evidence {
		if i == maxEvidence {
			fmt.Fprintf(out, "    … %s in all\n", report.Count(max(f.Count, len(f.Evidence))))
			return
		}
		fmt.Fprintf(out, "    %s\n", line(strings.Join(witness(e, v.Impact.Currency), "  ")))
	}
}

func witness(e verdict.Evidence, currency string) []string {
	var words []string
	for _, w := range []struct{ name, value string }{{"key", e.Key}, {"ref", e.Ref}, {"trace", e.Trace}, {"", e.Note}} {
		if w.value != "" {
			words = append(words, strings.TrimSpace(w.name+" "+w.value))
		}
	}
	if e.Amount != 0 {
		words = append(words, report.Money(e.Amount, currency))
	}
	return words
}

func faults(out *bytes.Buffer, v *report.Variant) {
	if len(v.Faults) == 0 {
		return
	}
	out.WriteString("\n")
	t := table(out)
	fmt.Fprintln(t, "  FAULT\tplace\tstate\tbit\tasked\tdelivered")
	for _, f := range v.Faults {
		fmt.Fprintf(t, "  %s (%s)\t%s\t%s\t%s\t%s\t%s\n", line(f.ID), line(f.Kind), line(f.Place), f.State, bit(f), line(f.Asked), line(f.Delivered))
	}
	flush(t)
	for _, f := range v.Faults {
		if f.Why != "" {
			fmt.Fprintf(out, "    %s: %s\n", line(f.ID), line(f.Why))
		}
	}
}

func bit(f report.Fault) string {
	switch {
	case !f.Measured:
		return "not measured"
	case f.Bit:
		return "yes"
	default:
		return "NO"
	}
}

func honesty(out *bytes.Buffer, v *report.Variant) {
	if len(v.Honesty) == 0 {
		return
	}
	out.WriteString("\n")
	t := table(out)
	fmt.Fprintln(t, "  GENERATOR\twindow\tplanned\tsent\tover 50 ms late\tworst")
	for _, h := range v.Honesty {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", line(h.Load), line(h.Window), report.Count(h.Planned), report.Count(h.Sent), report.Count(h.Late), report.Time(h.WorstLate))
	}
	flush(t)
}

func contrast(out *bytes.Buffer, c report.Contrast) {
	fmt.Fprintf(out, "\n%s: what the dashboards said, what happened to the money\n", line(c.Variant))
	t := table(out)
	fmt.Fprintln(t, "  \ttechnical SLIs\tbusiness")
	for _, r := range c.Rows {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", line(r.Label), line(r.Technical), line(r.Business))
	}
	flush(t)
}
