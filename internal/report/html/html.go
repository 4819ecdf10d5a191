// Package html writes a Document as one self-contained page: no network, no script, dark and light,
// on a phone and on paper. Its charts are SVG drawn here. A Content-Security-Policy allows nothing but
// the page's own style, and everything from outside is escaped by html/template.
package html

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"strings"

	"chaos/internal/report"
	"chaos/internal/verdict"
)

//go:embed page.gohtml parts.gohtml telemetry.gohtml index.gohtml style.css
var files embed.FS

// Format writes report.html.
func Format() report.Format {
	return report.Format{Name: "html", File: "report.html", Write: Write}
}

// Index writes index.html.
func Index() report.IndexFormat {
	return report.IndexFormat{Name: "html", File: "index.html", Write: writeIndex}
}

// view is what the page's template sees.
type view struct {
	CSS     template.CSS
	Doc     *report.Document
	Title   string
	Figures []figure // the load of the first screen, one chart per variant
	Others  []figure // the other loads
	SLOs    []group
	Checks  []group // invariants
	Fails   float64 // expected false Fails per run
	Files   []string
}

// figure is one load of every variant on shared scales.
type figure struct {
	Load     string
	Lost     bool
	Excluded bool
	Faults   bool
	Step     string
	Charts   []chart
}

// group is one check in one window with what each variant showed.
type group struct {
	Check, SLI, Window, Want string
	Rows                     []row
}

type row struct {
	Variant  string
	Currency string
	F        verdict.Finding
}

// Write renders the page and writes it in one call.
func Write(w io.Writer, doc *report.Document) error {
	css, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	title := doc.Experiment
	if title == "" {
		title = "no experiment"
	}
	v := view{CSS: template.CSS(css), Doc: doc, Title: title, Files: []string{"report.md", "report.json", "junit.xml", "postmortem.md"}}
	v.Figures, v.Others = figures(doc)
	v.SLOs = groups(doc, (*report.Variant).SLOs)
	v.Checks = groups(doc, (*report.Variant).Invariants)
	for _, x := range doc.Variants {
		v.Fails = max(v.Fails, x.FalseFails)
	}
	return execute(w, "page.gohtml", v)
}

func writeIndex(w io.Writer, s *report.Suite) error {
	css, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	return execute(w, "index.gohtml", struct {
		CSS template.CSS
		S   *report.Suite
	}{template.CSS(css), s})
}

func execute(w io.Writer, name string, data any) error {
	t, err := template.New(name).Funcs(funcs()).ParseFS(files, "*.gohtml")
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

func funcs() template.FuncMap {
	return template.FuncMap{
		"count": report.Count, "percent": report.Percent, "ratio": report.Ratio, "time": report.Time, "offset": report.Offset,
		"clock": report.Clock, "date": report.Date, "money": report.Money, "number": report.Number, "times": report.Times,
		"plural": report.Plural, "budget": report.BudgetWords,
		"lower":  strings.ToLower,
		"sign":   sign,
		"osign":  outcomeSign,
		"bit":    bit,
		"folder": func(dir string) string { return "./" + url.PathEscape(dir) + "/report.html" },
		"less":   func(n, max int) bool { return n < max },
	}
}

// sign tells a status without colour.
func sign(s verdict.Status) string {
	signs := map[verdict.Status]string{verdict.PASS: "✓", verdict.FAIL: "✕", verdict.INCONCLUSIVE: "?",
		verdict.INVALID: "⊘", verdict.ABORTED: "■", verdict.RESIDUE: "!", verdict.ERROR: "!"}
	return signs[s]
}

func outcomeSign(o verdict.Outcome) string {
	switch o {
	case verdict.Pass:
		return "✓"
	case verdict.Fail:
		return "✕"
	default:
		return "?"
	}
}

func bit(f report.Fault) string {
	switch {
	case !f.Measured:
		return "not measured"
	case f.Bit:
		return "yes"
	default:
		return "no"
	}
}

// groups lays the findings of all variants side by side: by check and window, in order of first
// appearance.
func groups(doc *report.Document, of func(*report.Variant) []verdict.Finding) []group {
	type key struct{ check, window string }
	index := map[key]int{}
	var out []group
	for i := range doc.Variants {
		v := &doc.Variants[i]
		for _, f := range of(v) {
			k := key{f.Check, f.Window}
			at, ok := index[k]
			if !ok {
				at = len(out)
				index[k] = at
				out = append(out, group{Check: f.Check, SLI: f.SLI, Window: f.Window, Want: f.Want})
			}
			out[at].Rows = append(out[at].Rows, row{Variant: v.Name, Currency: v.Impact.Currency, F: f})
		}
	}
	return out
}

// figures draws every load; the one that the first variant's first SLO is about comes first.
func figures(doc *report.Document) (focus, others []figure) {
	var names []string
	seen := map[string]bool{}
	for _, v := range doc.Variants {
		for _, l := range v.Loads {
			if !seen[l.Name] {
				seen[l.Name] = true
				names = append(names, l.Name)
			}
		}
	}
	for _, name := range names {
		f, isFocus := draw(doc, name)
		switch {
		case len(f.Charts) == 0:
		case isFocus:
			focus = append(focus, f)
		default:
			others = append(others, f)
		}
	}
	return focus, others
}
