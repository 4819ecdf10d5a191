package markdown

import (
	"io"
	"net/url"

	"chaos/internal/report"
)

func writeIndex(w io.Writer, s *report.Suite) error {
	var p page
	p.linef("# Chaos experiments\n")
	p.linef("%s **%d of %s as expected** · exit %d", sign(s.Exit), s.Met, report.Plural(s.All, "variant"), s.Exit)
	grid(&p, s.Newest, s.Variants)
	if len(s.Earlier) > 0 {
		p.details(report.Plural(len(s.Earlier), "earlier run"))
		grid(&p, s.Earlier, s.Variants)
		p.end()
	}
	for _, b := range s.Broken {
		p.linef("\n**Unreadable:** %s: %s", code(b.Dir), text(b.Why))
	}
	_, err := w.Write(p.Bytes())
	return err
}

// grid is experiments by variants; a cell without a run is a dash.
func grid(p *page, runs []report.SuiteRun, variants []string) {
	if len(runs) == 0 {
		return
	}
	names := []string{"experiment", "profile"}
	for _, v := range variants {
		names = append(names, text(v))
	}
	p.header(append(names, "started", ">took", ">exit")...)
	for _, r := range runs {
		cells := []string{"[" + text(r.Experiment) + "](./" + url.PathEscape(r.Dir) + "/report.md)", text(r.Profile)}
		for _, name := range variants {
			cell := "–"
			if v := r.Variant(name); v.Name != "" {
				cell = mark(v.Status) + " as expected"
				if !v.Met {
					cell = mark(v.Status) + " **unexpected**"
				}
			}
			cells = append(cells, cell)
		}
		p.row(append(cells, report.Date(r.Started), report.Time(r.Duration), text(report.Count(r.Exit)))...)
	}
}
