package postmortem

import (
	"fmt"
	"slices"
	"strings"

	"chaos/internal/report"
	"chaos/internal/verdict"
)

// The burn rates from which an incident is of a severity (SRE Workbook ch. 5, table 5-8).
const (
	burnSEV2 = 14.4 // 2 % of a 30-day budget in 1 h
	burnSEV3 = 6    // 5 % in 6 h
)

// runbook is the first five steps for someone who meets this signature in production, with the facts
// that the experiment knows.
func (p *page) runbook() {
	p.linef("\n## Runbook: the first five steps when this signature is seen\n")
	p.linef("1. **Confirm and size it.** %s Business indicators beat green infrastructure.", p.size())
	p.linef("2. **Scope it.** %s What changed: deploy, configuration, traffic, third party?", p.scope())
	p.linef("3. **Stop the bleeding, reversible first.** Roll back, then open the breaker or stop retries, then shed or limit, then degrade, then scale. %s "+
		"Never purge queues, make new idempotency keys, or restart everything at once.", p.mitigation())
	p.linef("4. **Protect the money.** %s Reconcile before refunding; keep the logs.", p.money())
	p.linef("5. **Declare, escalate, verify.** %s", p.severity())
}

func (p *page) size() string {
	if w := p.v.Impact.Worst; w != nil {
		return fmt.Sprintf("In the experiment %s burnt its budget at %s.", text(w.Check), report.Times(w.Budget.BurnRate))
	}
	return "Which SLI, since when, how fast does the budget burn: " + Owner + "."
}

func (p *page) scope() string {
	var places []string
	for _, f := range p.v.Faults {
		if place := text(f.Place) + " (" + text(f.Kind) + ")"; f.Place != "" && !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	words := "Where it began: " + Owner + "."
	if len(places) > 0 {
		words = "In the experiment it began at " + strings.Join(places, ", ") + "."
	}
	for _, l := range p.v.Loads {
		for _, t := range l.Totals {
			if t.Window == "fault" && t.Bad > 0 {
				words += fmt.Sprintf(" %s then answered %s.", text(l.Name), answers(t))
			}
		}
	}
	return words
}

func (p *page) mitigation() string {
	for i := range p.doc.Variants {
		if o := &p.doc.Variants[i]; o.Status == verdict.PASS && o.Name != p.v.Name {
			return "Variant " + text(o.Name) + " stood this fault: switch to its settings where they can be switched."
		}
	}
	return "What was measured to help: " + Owner + "."
}

func (p *page) money() string {
	im := p.v.Impact
	words := fmt.Sprintf("In the experiment %s outcomes were unknown, %s of them still after replay.", report.Count(im.Unknown), report.Count(im.Unresolved))
	for _, b := range im.Breaches {
		words += fmt.Sprintf(" %s was broken %s.", text(b.Check), breach(b, im.Currency))
	}
	return words
}

func (p *page) severity() string {
	im := p.v.Impact
	burn := 0.0
	if im.Worst != nil {
		burn = im.Worst.Budget.BurnRate
	}
	switch {
	case len(im.Breaches) > 0:
		return "An invariant about money broke in the experiment: treat as SEV-1."
	case burn >= burnSEV2:
		return fmt.Sprintf("Burn %s (SEV-2 from 14.4×).", report.Times(burn))
	case burn >= burnSEV3:
		return fmt.Sprintf("Burn %s (SEV-3 from 6×).", report.Times(burn))
	default:
		return "No invariant broke and no budget burnt fast in the experiment; the severity of what you see: " + Owner + "."
	}
}

func (p *page) support() {
	p.linef("\n## Supporting information\n")
	p.linef("- [report.html](report.html), [report.md](report.md), [report.json](report.json), [junit.xml](junit.xml)")
	p.linef("- Repeat it: %s", report.CodeMarkdown(or(p.doc.Command, "(no command recorded)")))
	traces := 0
	for _, f := range p.v.Findings {
		for _, e := range f.Evidence {
			if e.Trace != "" && traces < 5 {
				traces++
				p.linef("- Exemplar for %s: trace %s, key %s: %s", text(f.Check), report.CodeMarkdown(e.Trace), report.CodeMarkdown(e.Key), text(e.Note))
			}
		}
	}
}
