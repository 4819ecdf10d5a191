// Package markdown writes a Document as report.md, in the Markdown that GitHub renders: tables,
// details, and timelines of block characters. Everything from outside is escaped.
package markdown

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"chaos/internal/report"
	"chaos/internal/verdict"
)

const (
	columns     = 80 // of a timeline
	maxEvidence = 20 // witnesses shown per invariant; report.json has all
)

// Format writes report.md.
func Format() report.Format {
	return report.Format{Name: "markdown", File: "report.md", Write: Write}
}

// page is the Markdown under construction. Its writes go to memory.
type page struct{ bytes.Buffer }

func (p *page) linef(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// row writes one table row of cells that are Markdown already.
func (p *page) row(cells ...string) { p.linef("| %s |", strings.Join(cells, " | ")) }

// header writes a table's head; a name that begins with '>' is a column of numbers.
func (p *page) header(names ...string) {
	rules := make([]string, len(names))
	for i, n := range names {
		rules[i] = "---"
		if right, ok := strings.CutPrefix(n, ">"); ok {
			names[i], rules[i] = right, "---:"
		}
	}
	p.linef("")
	p.row(names...)
	p.row(rules...)
}

// details opens a collapsed part with a summary in plain text; close it with end.
func (p *page) details(summary string) {
	p.linef("\n<details><summary>%s</summary>\n", report.EscapeMarkdownHTML(summary))
}

func (p *page) end() { p.linef("\n</details>") }

func text(s string) string { return report.EscapeMarkdown(s) }
func code(s string) string { return report.CodeMarkdown(s) }

// mark is a status with a sign that does not depend on colour.
func mark(s verdict.Status) string {
	signs := map[verdict.Status]string{verdict.PASS: "✅", verdict.FAIL: "❌", verdict.INCONCLUSIVE: "❔",
		verdict.INVALID: "🚫", verdict.ABORTED: "🛑", verdict.RESIDUE: "☣️", verdict.ERROR: "💥"}
	return signs[s] + " **" + s.String() + "**"
}

func outcome(f verdict.Finding) string {
	signs := map[verdict.Outcome]string{verdict.Pass: "✅", verdict.Fail: "❌", verdict.Inconclusive: "❔"}
	words := signs[f.Outcome] + " " + f.Outcome.String()
	if f.Certified {
		words += ", certified"
	}
	return words
}

// Write writes the report in one call.
func Write(w io.Writer, doc *report.Document) error {
	var p page
	head(&p, doc)
	for i := range doc.Variants {
		timeline(&p, &doc.Variants[i])
	}
	contrasts(&p, doc)
	slos(&p, doc)
	invariants(&p, doc)
	faults(&p, doc)
	telemetry(&p, doc)
	honesty(&p, doc)
	traffic(&p, doc)
	story(&p, doc)
	environment(&p, doc)
	_, err := w.Write(p.Bytes())
	return err
}

func head(p *page, doc *report.Document) {
	name := doc.Experiment
	if name == "" {
		name = "no experiment"
	}
	p.linef("# %s\n", text(name))
	sign := "✅"
	if doc.Exit != verdict.ExitOK {
		sign = "❌"
	}
	p.linef("%s **%d of %s as expected** · exit %d · %s · seed %d · %s", sign, doc.Met, report.Plural(len(doc.Variants), "variant"),
		doc.Exit, text(strings.TrimSpace(doc.Profile+" profile")), doc.Seed, report.Date(doc.Started))
	if doc.Hypothesis != "" {
		p.linef("\n> **Hypothesis.** %s", text(doc.Hypothesis))
	}
	if doc.Source != "" {
		p.linef(">\n> *%s*", text(doc.Source))
	}
	for _, n := range doc.Notes {
		p.linef("\n**Note.** %s", text(n))
	}
	if len(doc.Variants) == 0 {
		return
	}
	p.header("variant", "verdict", "", "expected", "why")
	for _, v := range doc.Variants {
		why := v.Why
		if !v.Met && v.MetWhy != "" {
			why = append([]string{v.MetWhy}, why...)
		}
		cells := make([]string, len(why))
		for i, s := range why {
			cells[i] = text(s)
		}
		p.row(text(v.Name), mark(v.Status), v.Expectation(), text(v.Expected), strings.Join(cells, "<br>"))
	}
}

func timeline(p *page, v *report.Variant) {
	load := v.FocusLoad()
	s := v.Strip(load, columns)
	if len(s.Lines) == 0 {
		return
	}
	p.linef("\n**%s** · %s", text(v.Name), text(s.Title(load.Name)))
	p.linef("\n%s", strings.TrimRight(report.BlockMarkdown(s.String(), "text"), "\n"))
	if len(v.Loads) < 2 {
		return
	}
	p.details("other loads of " + v.Name)
	for i := range v.Loads {
		if l := &v.Loads[i]; l != load {
			if s := v.Strip(l, columns); len(s.Lines) > 0 {
				p.linef("%s\n\n%s", text(s.Title(l.Name)), report.BlockMarkdown(s.String(), "text"))
			}
		}
	}
	p.end()
}

func contrasts(p *page, doc *report.Document) {
	for _, c := range doc.Contrasts {
		p.linef("\n## What the dashboards said, what happened to the money: %s", text(c.Variant))
		p.header("", "technical SLIs", "business")
		for _, r := range c.Rows {
			p.row(text(r.Label), text(r.Technical), text(r.Business))
		}
	}
}

func slos(p *page, doc *report.Document) {
	written := false
	for i := range doc.Variants {
		v := &doc.Variants[i]
		for _, f := range v.SLOs() {
			if !written {
				p.linef("\n## Service level objectives")
				p.header("variant", "SLO", "window", "target", "observed", "bound", ">n", ">bad", "verdict", "error budget")
				written = true
			}
			budget := ""
			if f.Budget != nil {
				budget = report.BudgetWords(f.Budget)
			}
			name := "**" + text(f.Check) + "**"
			if f.SLI != "" {
				name += "<br>" + code(f.SLI)
			}
			judged := outcome(f)
			if f.Why != "" {
				judged += "<br>" + text(f.Why)
			}
			p.row(text(v.Name), name, text(f.Window), text(f.Want), text(f.Got), text(f.Bound), report.Count(f.N), report.Count(f.Bad), judged, budget)
		}
	}
	if written {
		fails := 0.0
		for _, v := range doc.Variants {
			fails = max(fails, v.FalseFails)
		}
		p.linef("\nExpected number of false Fails per run, by the choice of α: %s.", report.Number(fails))
	}
}

func invariants(p *page, doc *report.Document) {
	written := false
	for i := range doc.Variants {
		v := &doc.Variants[i]
		for _, f := range v.Invariants() {
			if !written {
				p.linef("\n## Invariants and checks")
				p.header("variant", "invariant", "want", "got", ">n", "verdict", "money", "silent")
				written = true
			}
			money, silent := "", ""
			if f.Amount != 0 {
				money = text(report.Money(f.Amount, v.Impact.Currency))
			}
			if f.Silent != nil && f.Count > 0 {
				silent = fmt.Sprintf("%s of %s", report.Count(*f.Silent), report.Count(f.Count))
			}
			judged := outcome(f)
			if f.Why != "" {
				judged += "<br>" + text(f.Why)
			}
			p.row(text(v.Name), "**"+text(f.Check)+"**", text(f.Want), text(f.Got), report.Count(f.N), judged, money, silent)
		}
	}
	for i := range doc.Variants {
		for _, f := range doc.Variants[i].Invariants() {
			evidence(p, &doc.Variants[i], f)
		}
	}
}

func evidence(p *page, v *report.Variant, f verdict.Finding) {
	if len(f.Evidence) == 0 {
		return
	}
	shown := f.Evidence[:min(len(f.Evidence), maxEvidence)]
	p.details(fmt.Sprintf("evidence: %s of %s, %d of %s shown", f.Check, v.Name, len(shown), report.Count(max(f.Count, len(f.Evidence)))))
	p.header("key", "reference", "trace", ">amount", "what is wrong")
	for _, e := range shown {
		p.row(code(e.Key), code(e.Ref), code(e.Trace), text(report.Money(e.Amount, v.Impact.Currency)), text(e.Note))
	}
	p.end()
}
