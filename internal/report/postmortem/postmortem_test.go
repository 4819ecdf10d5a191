package postmortem_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	gtext "github.com/yuin/goldmark/text"

	"chaos/internal/report"
	"chaos/internal/report/postmortem"
	"chaos/internal/report/reporttest"
)

func TestConformance(t *testing.T) { reporttest.Run(t, postmortem.Format()) }

// TestSections checks that each section is there once, for every case, and that text from outside
// makes no section, link or HTML.
func TestSections(t *testing.T) {
	want := []string{"Summary", "Lead-up, trigger, fault", "Impact", "Detection", "Response", "Root causes and contributing factors",
		"Resolution and recovery", "Timeline (UTC)", "What went well", "What went wrong", "Where we got lucky", "Action items (proposals until someone owns them)",
		"Recurrence, backlog", "Messaging", "Runbook: the first five steps when this signature is seen", "Supporting information"}
	for _, c := range reporttest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			page := write(t, c.Runs)
			var got []string
			doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(gtext.NewReader(page))
			err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
				switch n := n.(type) {
				case *ast.Heading:
					if entering && n.Level > 1 {
						got = append(got, string(n.Lines().Value(page)))
					}
				case *ast.RawHTML, *ast.HTMLBlock, *ast.AutoLink, *ast.Image:
					t.Errorf("text from outside became %s", n.Kind())
				case *ast.Link:
					if d := string(n.Destination); strings.ContainsAny(d, ":/") {
						t.Errorf("text from outside became a link to %s", d)
					}
				}
				return ast.WalkContinue, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("sections:\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

func TestFactsAreFilled(t *testing.T) {
	page := string(write(t, reporttest.Pair()))
	for _, want := range []string{
		"variant naive", "node.stop on redis was active for 9.4", "no_double_charge** was broken for 2 of 1,120, 123.45 EUR",
		"first bad request was due", "Variant resilient stood the same fault", "treat as SEV-1", "80.9", "trace `4bf92f3577b34da6a3ce929d0e0e4736`",
		"09:30:15.000", postmortem.Owner,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the postmortem does not say %q", want)
		}
	}
}

func write(t *testing.T, runs []report.Run) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := postmortem.Write(&out, report.Build(runs)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
