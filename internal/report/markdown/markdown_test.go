package markdown_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	gtext "github.com/yuin/goldmark/text"

	"chaos/internal/report"
	"chaos/internal/report/markdown"
	"chaos/internal/report/reporttest"
)

func TestConformance(t *testing.T) { reporttest.Run(t, markdown.Format()) }

// TestRendered reads the reports as GitHub does: every table is a table with whole rows, and of the
// text from outside nothing becomes a link, an image or HTML.
func TestRendered(t *testing.T) {
	for _, c := range reporttest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			var out bytes.Buffer
			if err := markdown.Write(&out, report.Build(c.Runs)); err != nil {
				t.Fatal(err)
			}
			tables := wholeRows(t, out.String())
			if parsed := parse(t, out.Bytes(), false); parsed != tables {
				t.Errorf("%d tables were written, %d are read", tables, parsed)
			}
		})
	}
}

func TestIndexRendered(t *testing.T) {
	runs := []report.SuiteRun{}
	for _, c := range reporttest.Cases() {
		runs = append(runs, report.Summary(reporttest.Nasty, report.Build(c.Runs)))
	}
	var out bytes.Buffer
	s := report.NewSuite(runs, []report.Broken{{Dir: reporttest.Nasty, Why: reporttest.Nasty}})
	if err := markdown.Index().Write(&out, s); err != nil {
		t.Fatal(err)
	}
	wholeRows(t, out.String())
	if n := parse(t, out.Bytes(), true); n == 0 {
		t.Error("the index has no table")
	}
}

// wholeRows counts the tables and checks that each row has as many cells as its head.
func wholeRows(t *testing.T, page string) (tables int) {
	t.Helper()
	cells := 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| ") {
			cells = 0
			continue
		}
		n := strings.Count(line, "|") - strings.Count(line, `\|`)
		if cells == 0 {
			cells = n
			tables++
		}
		if n != cells {
			t.Errorf("%d cells instead of %d: %s", n-1, cells-1, line)
		}
	}
	return tables
}

// parse walks what goldmark reads with GitHub's extensions and counts the tables.
func parse(t *testing.T, page []byte, links bool) (tables int) {
	t.Helper()
	md := goldmark.New(goldmark.WithExtensions(extension.GFM))
	doc := md.Parser().Parse(gtext.NewReader(page))
	details := 0
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.AutoLink, *ast.Image:
			t.Errorf("a %s was made of text from outside", n.Kind())
		case *ast.Link:
			if d := string(n.Destination); !links || !strings.HasPrefix(d, "./") || !strings.HasSuffix(d, "/report.md") {
				t.Errorf("a link to %q was made", d)
			}
		case *ast.RawHTML:
			if got := string(n.Segments.Value(page)); got != "<br>" {
				t.Errorf("HTML got through: %s", got)
			}
		case *ast.HTMLBlock:
			block := string(n.Lines().Value(page))
			details += strings.Count(block, "<details>") - strings.Count(block, "</details>")
			inner := strings.NewReplacer("<details>", "", "</details>", "", "<summary>", "", "</summary>", "").Replace(block)
			if strings.ContainsAny(inner, "<>") {
				t.Errorf("HTML got through: %s", block)
			}
		case *east.Table:
			tables++
		case *ast.Heading:
			if n.Level > 2 {
				t.Errorf("a heading was made of text from outside")
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if details != 0 {
		t.Errorf("%d details are not closed", details)
	}
	return tables
}
