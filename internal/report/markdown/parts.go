package markdown

import (
	"fmt"
	"strings"

	"chaos/internal/report"
	"chaos/internal/verdict"
)

func faults(p *page, doc *report.Document) {
	written := false
	for _, v := range doc.Variants {
		for _, f := range v.Faults {
			if !written {
				p.linef("\n## What was injected, and how it was seen to bite")
				p.header("variant", "fault", "place", "state", "bit", "asked", "delivered", "active", "undo")
				written = true
			}
			active := "–"
			if f.Span {
				active = fmt.Sprintf("%s … %s", report.Offset(f.From), report.Offset(f.To))
			}
			state := f.State
			if f.Why != "" {
				state += "<br>" + text(f.Why)
			}
			p.row(text(v.Name), "**"+text(f.ID)+"**<br>"+code(f.Kind), text(f.Place), state, bit(f), text(f.Asked)+pairs(f.With), text(f.Delivered)+pairs(f.Detail), active, text(f.Undo))
		}
	}
}

func bit(f report.Fault) string {
	switch {
	case !f.Measured:
		return "not measured"
	case f.Bit:
		return "✅ yes"
	default:
		return "❌ no"
	}
}

func pairs(list []report.Pair) string {
	var b strings.Builder
	for _, x := range list {
		x = x.Words()
		b.WriteString("<br>" + text(strings.TrimPrefix(x.Name+": ", ": ")) + text(x.Value))
	}
	return b.String()
}

func honesty(p *page, doc *report.Document) {
	var rows [][]string
	for _, v := range doc.Variants {
		for _, h := range v.Honesty {
			rows = append(rows, []string{text(v.Name), text(h.Window), text(h.Load), report.Count(h.Planned), report.Count(h.Sent),
				report.Ratio(h.Sent, h.Planned), report.Count(h.Late), report.Ratio(h.Late, h.Sent), report.Time(h.WorstLate)})
		}
	}
	if len(rows) == 0 {
		return
	}
	p.linef("\n## Was the generator honest?")
	p.header("variant", "window", "load", ">planned", ">sent", ">share", ">over 50 ms late", ">share", ">worst")
	for _, r := range rows {
		p.row(r...)
	}
	written := false
	for _, v := range doc.Variants {
		for _, c := range v.Canary {
			if !written {
				p.header("variant", "window", ">canary ticks", ">over 50 ms late", ">share")
				written = true
			}
			p.row(text(v.Name), text(c.Window), report.Count(c.Ticks), report.Count(c.Late), report.Ratio(c.Late, c.Ticks))
		}
	}
}

func traffic(p *page, doc *report.Document) {
	var rows [][]string
	for _, v := range doc.Variants {
		for _, l := range v.Loads {
			for _, t := range l.Totals {
				p99 := "–"
				if t.P99 > 0 {
					p99 = report.Time(t.P99)
				}
				outcomes := make([]string, 0, len(t.Outcomes))
				for _, o := range t.Outcomes {
					outcomes = append(outcomes, text(o.Name)+" × "+report.Count(o.Count))
				}
				rows = append(rows, []string{text(v.Name), text(l.Name), text(t.Window), report.Count(t.Good), report.Count(t.Bad), report.Count(t.Excluded),
					report.Time(t.P50), report.Time(t.P90), p99, report.Time(t.Max), strings.Join(outcomes, ", ")})
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	p.details("requests per load and window")
	p.header("variant", "load", "window", ">good", ">bad", ">excluded", ">p50", ">p90", ">p99", ">max", "answers")
	for _, r := range rows {
		p.row(r...)
	}
	p.end()
}

func story(p *page, doc *report.Document) {
	for _, v := range doc.Variants {
		if len(v.Moments) == 0 {
			continue
		}
		p.details("events of " + v.Name + ", UTC")
		p.header("UTC", ">offset", "what")
		for _, m := range v.Moments {
			what := text(m.Text)
			if m.Kind == report.MomentTrouble {
				what = "**" + what + "**"
			}
			p.row(report.Clock(m.Wall), report.Offset(m.At), what)
		}
		p.end()
	}
}

func environment(p *page, doc *report.Document) {
	for _, v := range doc.Variants {
		for _, n := range v.Notes {
			p.linef("\n**Note** (%s). %s", text(v.Name), text(n))
		}
		for _, d := range v.Damage {
			p.linef("\n**Damage** (%s). %s", text(v.Name), text(d))
		}
	}
	if len(doc.Variants) > 0 && len(doc.Variants[0].Environment) > 0 {
		p.details("environment")
		p.header("", "")
		for _, x := range doc.Variants[0].Environment {
			p.row(text(x.Name), text(x.Value))
		}
		p.end()
	}
	if doc.Command != "" {
		p.linef("\n## Repeat it\n\n%s", strings.TrimRight(report.BlockMarkdown(doc.Command, "sh"), "\n"))
	}
}

// Index writes index.md: the verdict grid of many experiments.
func Index() report.IndexFormat {
	return report.IndexFormat{Name: "markdown", File: "index.md", Write: writeIndex}
}

func sign(exit int) string {
	if exit == verdict.ExitOK {
		return "✅"
	}
	return "❌"
}
