package markdown

import (
	"strings"

	"chaos/internal/report"
)

// telemetry tells what each variant's target told of itself: figures, the map that spans draw, and single
// operations, followed.
func telemetry(p *page, doc *report.Document) {
	written := false
	for i := range doc.Variants {
		v := &doc.Variants[i]
		if v.Telemetry == nil {
			continue
		}
		if !written {
			p.linef("\n## Telemetry")
			written = true
		}
		one(p, v)
	}
}

func one(p *page, v *report.Variant) {
	t := v.Telemetry
	facts := make([]string, len(t.Facts))
	for i, f := range t.Facts {
		facts[i] = text(f.Name) + ": " + text(f.Value)
	}
	p.linef("\n**%s** · %s", text(v.Name), strings.Join(facts, " · "))
	for _, s := range t.Troubles {
		p.linef("\n⚠️ %s", text(s))
	}
	for _, s := range t.Drift {
		p.linef("\n🔀 **Drift.** %s", text(s))
	}
	if len(t.Unseen) > 0 {
		p.linef("\nTheir callers send no spans: %s.", text(strings.Join(t.Unseen, ", ")))
	}
	if len(t.Calls) > 0 {
		p.details("dependency map of " + v.Name + ", drawn from spans")
		p.header("from", "to", "edge in target.yaml", ">calls", ">errors", ">p50", ">p99")
		for _, c := range t.Calls {
			edge := text(strings.Join(c.Edges, ", "))
			if c.Undeclared {
				edge = "**none**"
			}
			p.row(text(c.From), text(c.To), edge, report.Count(c.Calls), report.Count(c.Errors), report.Time(c.P50), report.Time(c.P99))
		}
		p.end()
	}
	for _, e := range t.Exemplars {
		p.details("one operation of " + v.Name + " followed: " + e.Title)
		p.linef("trace %s\n", code(e.Trace))
		p.linef("%s", strings.TrimRight(report.BlockMarkdown(strings.Join(e.Lines, "\n"), "text"), "\n"))
		p.end()
	}
}
