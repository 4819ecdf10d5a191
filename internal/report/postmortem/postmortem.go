// Package postmortem writes postmortem.md: the sections that Google's SRE book, PagerDuty and
// Atlassian ask for, with every fact that the run knows filled in and TODO(owner) where only a person
// knows. It speaks of systems, not of people.
package postmortem

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"chaos/internal/report"
	"chaos/internal/verdict"
)

// Owner marks what a person has to write. It is meant to be seen.
const Owner = "TODO(owner)"

// meetingWithin is when the review has to be held, in calendar days that hold five business days.
const meetingWithin = 7 * 24 * time.Hour

// Format writes postmortem.md.
func Format() report.Format {
	return report.Format{Name: "postmortem", File: "postmortem.md", Write: Write}
}

// page is the text under construction, about one variant of doc.
type page struct {
	bytes.Buffer
	doc *report.Document
	v   *report.Variant
}

func (p *page) linef(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }
func (p *page) row(cells ...string)              { p.linef("| %s |", strings.Join(cells, " | ")) }
func (p *page) head(names ...string) {
	p.linef("")
	p.row(names...)
	p.row(strings.Split(strings.Repeat("--- ", len(names)-1)+"---", " ")...)
}

func text(s string) string { return report.EscapeMarkdown(s) }

// Write writes the postmortem of the variant that has most to teach: the first whose expectation did
// not come true, else the first that failed, else the first.
func Write(w io.Writer, doc *report.Document) error {
	p := &page{doc: doc, v: subject(doc)}
	p.title()
	p.summary()
	p.trigger()
	p.impact()
	p.detection()
	p.response()
	p.causes()
	p.resolution()
	p.timeline()
	p.lessons()
	p.actions()
	p.remaining()
	p.runbook()
	p.support()
	_, err := w.Write(p.Bytes())
	return err
}

func subject(doc *report.Document) *report.Variant {
	for _, wanted := range []func(*report.Variant) bool{
		func(v *report.Variant) bool { return !v.Met },
		func(v *report.Variant) bool { return v.Status == verdict.FAIL },
		func(*report.Variant) bool { return true },
	} {
		for i := range doc.Variants {
			if wanted(&doc.Variants[i]) {
				return &doc.Variants[i]
			}
		}
	}
	return &report.Variant{Name: "nothing was run", Status: verdict.INCONCLUSIVE}
}

func (p *page) title() {
	name := p.doc.Experiment
	if name == "" {
		name = "no experiment"
	}
	p.linef("# Postmortem: %s, variant %s\n", text(name), text(p.v.Name))
	meeting := Owner
	if !p.v.Started.IsZero() {
		meeting = "by " + p.v.Started.Add(meetingWithin).Format("2006-01-02") + ", " + Owner
	}
	p.linef("- **Date:** %s", or(report.Date(p.v.Started), Owner))
	p.linef("- **Status:** draft · **Verdict:** %s (expected %s)", p.v.Verdict(), text(p.v.Expected))
	p.linef("- **Owner:** %s · **Authors:** %s", Owner, Owner)
	p.linef("- **Review meeting:** %s", meeting)
	p.linef("\nThis describes how a system behaved. It asks what made the behaviour possible, not who.")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (p *page) summary() {
	p.linef("\n## Summary\n")
	im := p.v.Impact
	p.linef("In experiment %s (%s profile), variant %s came out **%s**.", text(or(p.doc.Experiment, "?")), text(or(p.doc.Profile, "?")), text(p.v.Name), p.v.Status)
	for _, f := range p.v.Faults {
		if f.Span {
			p.linef("%s on %s was active for %s.", text(f.Kind), text(or(f.Place, "?")), report.Time(f.To-f.From))
		}
	}
	if im.Requests > 0 {
		p.linef("From then until the load stopped, %s of %s requests were bad (%s), spread over %s.", report.Count(im.Bad), report.Count(im.Requests),
			report.Ratio(im.Bad, im.Requests), report.Plural(im.BadSeconds, "second"))
	}
	for _, b := range im.Breaches {
		p.linef("Invariant **%s** was broken %s.", text(b.Check), breach(b, im.Currency))
	}
	for _, why := range p.v.Why {
		p.linef("\n- %s", text(why))
	}
	if len(p.doc.Variants) < 2 {
		return
	}
	p.head("variant", "verdict", "expected")
	for _, v := range p.doc.Variants {
		p.row(text(v.Name), v.Verdict(), text(v.Expected))
	}
}

// breach is a broken invariant in numbers.
func breach(b report.Breach, currency string) string {
	words := "for " + report.Count(b.Count)
	if b.N > 0 {
		words += " of " + report.Count(b.N)
	}
	if b.Silent != nil {
		words += fmt.Sprintf(", %s of them silently", report.Count(*b.Silent))
	}
	if b.Amount != 0 {
		words += ", " + text(report.Money(b.Amount, currency))
	}
	return words
}

func (p *page) trigger() {
	p.linef("\n## Lead-up, trigger, fault\n")
	p.linef("Hypothesis: %s", text(or(p.doc.Hypothesis, "none stated")))
	if len(p.v.Faults) == 0 {
		p.linef("\nNo fault was planned or made.")
	}
	for _, f := range p.v.Faults {
		p.linef("\n- **%s**: %s on %s, %s. Asked: %s. Delivered: %s.", text(f.ID), text(f.Kind), text(or(f.Place, "?")), f.State,
			text(or(f.Asked, "not measured")), text(or(f.Delivered, "not measured")))
		for _, x := range f.With {
			x = x.Words()
			p.linef("  - %s: %s", text(or(x.Name, "value")), text(x.Value))
		}
	}
	p.linef("\nWhat had changed before (deploys, configuration, traffic): %s", Owner)
}

func (p *page) impact() {
	p.linef("\n## Impact")
	im := p.v.Impact
	p.head("what", "how much")
	p.row("requests, from the first fault until the load stopped", report.Count(im.Requests))
	p.row("bad", fmt.Sprintf("%s (%s)", report.Count(im.Bad), report.Ratio(im.Bad, im.Requests)))
	p.row("seconds with bad requests", report.Count(im.BadSeconds))
	p.row("outcomes unknown when the load stopped, still unknown after replay", fmt.Sprintf("%s, %s", report.Count(im.Unknown), report.Count(im.Unresolved)))
	for _, b := range im.Breaches {
		p.row("invariant "+text(b.Check)+" broken", breach(b, im.Currency))
	}
	if w := im.Worst; w != nil {
		p.row("fastest burn: "+text(w.Check)+" in window "+text(w.Window), report.BudgetWords(&w.Budget))
		p.row("projected to 6 h", report.Percent(w.Budget.Share6h)+" of a 30-day budget")
	}
	for _, c := range p.doc.Contrasts {
		if c.Variant == p.v.Name {
			p.linef("\nWhat the dashboards said, what happened to the money:")
			p.head("", "technical SLIs", "business")
			for _, r := range c.Rows {
				p.row(text(r.Label), text(r.Technical), text(r.Business))
			}
		}
	}
	p.linef("\nCustomers and accounts concerned: %s", Owner)
}

func (p *page) detection() {
	p.linef("\n## Detection\n")
	failed := 0
	for _, f := range p.v.Findings {
		if f.Outcome == verdict.Fail {
			failed++
			p.linef("- %s (%s) saw it in window %s: want %s, got %s.", text(f.Check), text(f.Kind), text(or(f.Window, "run")), text(f.Want), text(f.Got))
		}
	}
	if failed == 0 {
		p.linef("No check failed.")
	}
	if at, ok := active(p.v); ok && p.v.Impact.Bad > 0 {
		p.linef("\nThe first bad request was due %s after the fault was seen active.", report.Time(max(0, p.v.Impact.FirstBad-at)))
	}
	p.linef("\nWhich alert would have fired in production, after how long: %s", Owner)
	p.linef("\nHow could that time be halved? %s", Owner)
}

func active(v *report.Variant) (at time.Duration, ok bool) {
	for _, f := range v.Faults {
		if f.Span && (!ok || f.From < at) {
			at, ok = f.From, true
		}
	}
	return at, ok
}

func (p *page) response() {
	p.linef("\n## Response\n\nWho was called, what was tried, in which order: %s", Owner)
}
