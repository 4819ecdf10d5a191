package postmortem

import (
	"strings"

	"chaos/internal/report"
	"chaos/internal/verdict"
)

// causes compares the variants: what differs between one that stood the same fault and one that did
// not is the defence that was missing.
func (p *page) causes() {
	p.linef("\n## Root causes and contributing factors\n")
	for i := range p.doc.Variants {
		o := &p.doc.Variants[i]
		if o.Name != p.v.Name && o.Status == verdict.PASS && p.v.Status == verdict.FAIL {
			p.linef("- Variant %s stood the same fault and seed. What it has and %s has not is the missing defence.", text(o.Name), text(p.v.Name))
		}
	}
	for _, l := range p.v.Loads {
		for _, t := range l.Totals {
			if t.Window == "fault" && t.Bad > 0 {
				p.linef("- %s during the fault: %s bad of %s; answers: %s.", text(l.Name), report.Count(t.Bad), report.Count(t.Good+t.Bad), answers(t))
			}
		}
	}
	p.linef("\nFive whys:\n")
	for i := range 5 {
		p.linef("%d. %s", i+1, Owner)
	}
}

func answers(t report.Total) string {
	var words []string
	for _, o := range t.Outcomes {
		words = append(words, text(o.Name)+" × "+report.Count(o.Count))
	}
	return strings.Join(words, ", ")
}

func (p *page) resolution() {
	p.linef("\n## Resolution and recovery\n")
	for _, f := range p.v.Faults {
		switch f.State {
		case report.StateReverted:
			p.linef("- %s was seen gone at %s (undo: %s).", text(f.Action), report.Offset(f.Healed), text(or(f.Undo, "not stated")))
		case report.StateStuck, report.StateActive, report.StateIntended:
			p.linef("- **%s is not known to be gone** (%s): %s. Undo: %s.", text(f.Action), f.State, text(or(f.Why, "the journal ends")), text(or(f.Undo, "not stated")))
		}
	}
	for _, f := range p.v.Findings {
		if strings.HasPrefix(f.SLI, "recovery_time(") {
			p.linef("- Recovery (%s): %s, wanted %s: %s.", text(f.Check), text(f.Got), text(f.Want), f.Outcome)
		}
	}
	p.linef("\nWhat ended it in production: %s", Owner)
}

func (p *page) timeline() {
	p.linef("\n## Timeline (UTC)")
	if len(p.v.Moments) == 0 {
		p.linef("\nNo events were recorded. %s", Owner)
		return
	}
	p.head("UTC", "offset", "event")
	for _, m := range p.v.Moments {
		p.row(report.Clock(m.Wall), report.Offset(m.At), text(m.Text))
	}
}

func (p *page) lessons() {
	p.linef("\n## What went well\n")
	for _, f := range p.v.Findings {
		if f.Outcome == verdict.Pass && f.Window != "baseline" {
			p.linef("- %s held in window %s: %s.", text(f.Check), text(or(f.Window, "run")), text(f.Got))
		}
	}
	p.linef("- %s", Owner)
	p.linef("\n## What went wrong\n")
	for _, f := range p.v.Findings {
		if f.Outcome == verdict.Fail {
			p.linef("- %s: want %s, got %s. %s", text(f.Check), text(f.Want), text(f.Got), text(f.Why))
		}
	}
	p.linef("- %s", Owner)
	p.linef("\n## Where we got lucky\n")
	for _, f := range p.v.Findings {
		if f.Outcome == verdict.Inconclusive {
			p.linef("- %s could not be decided: %s.", text(f.Check), text(or(f.Why, "too little evidence")))
		}
	}
	p.linef("- %s", Owner)
}

// actions proposes one action per failed check; a person decides.
func (p *page) actions() {
	p.linef("\n## Action items (proposals until someone owns them)")
	p.head("type", "action", "owner", "ticket", "due")
	for _, f := range p.v.Findings {
		switch {
		case f.Outcome == verdict.Fail && f.Silent != nil && *f.Silent > 0:
			p.row("detect", "Alert on accepted but unsettled work; "+text(f.Check)+" was broken without any signal", Owner, Owner, Owner)
			fallthrough
		case f.Outcome == verdict.Fail:
			p.row("prevent", "Make "+text(f.Check)+" hold under this fault: want "+text(f.Want)+", got "+text(f.Got), Owner, Owner, Owner)
		case f.Outcome == verdict.Inconclusive:
			p.row("process", "Gather enough evidence to decide "+text(f.Check), Owner, Owner, Owner)
		}
	}
	for i := range p.doc.Variants {
		if o := &p.doc.Variants[i]; o.Name != p.v.Name && o.Status == verdict.PASS && p.v.Status == verdict.FAIL {
			p.row("mitigate", "Adopt what variant "+text(o.Name)+" has and "+text(p.v.Name)+" has not", Owner, Owner, Owner)
		}
	}
	p.row("process", "Repeat "+report.CodeMarkdown(or(p.doc.Command, "the experiment"))+" and keep it in CI; it closes this postmortem when it passes", Owner, Owner, Owner)
}

func (p *page) remaining() {
	p.linef("\n## Recurrence, backlog\n\nHas this fault been seen before, and was an action for it left open? %s", Owner)
	p.linef("\n## Messaging\n\n- Internal: %s\n- External: %s", Owner, Owner)
}
