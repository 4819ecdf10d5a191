package html_test

import (
	"strconv"
	"strings"
	"testing"

	dom "golang.org/x/net/html"

	"chaos/internal/report"
	"chaos/internal/report/reporttest"
)

// TestTablesAreRectangles lays every table out as a browser does: each row must fill exactly the columns
// of its head, with what rowspans carry down from the rows above.
func TestTablesAreRectangles(t *testing.T) {
	for _, c := range reporttest.Cases() {
		for i := range c.Runs {
			for j := range c.Runs[i].Verdict.Findings {
				c.Runs[i].Verdict.Findings[j].Why = "because"
			}
		}
		page, err := dom.Parse(strings.NewReader(render(t, report.Build(c.Runs))))
		if err != nil {
			t.Fatal(err)
		}
		tables := 0
		for n := range page.Descendants() {
			if n.Data == "table" {
				tables++
				rectangle(t, c.Name, n)
			}
		}
		if tables == 0 && len(c.Runs) > 0 {
			t.Errorf("%s: no table", c.Name)
		}
	}
}

func rectangle(t *testing.T, name string, table *dom.Node) {
	t.Helper()
	columns := 0
	var carried []int // for each column, rows that a rowspan still covers
	for n := range table.Descendants() {
		if n.Data != "tr" {
			continue
		}
		width := 0
		for i := range carried {
			if carried[i] > 0 {
				carried[i]--
				width++
			}
		}
		var spans []int
		for cell := range n.ChildNodes() {
			if cell.Data != "td" && cell.Data != "th" {
				continue
			}
			width += attribute(cell, "colspan")
			for range attribute(cell, "colspan") {
				spans = append(spans, attribute(cell, "rowspan")-1)
			}
		}
		carried = append(carried, spans...)
		if columns == 0 {
			columns = width
		}
		if width != columns {
			t.Errorf("%s: a row of %d columns in a table of %d: %.120s", name, width, columns, text(n))
			return
		}
	}
}

func attribute(n *dom.Node, key string) int {
	for _, a := range n.Attr {
		if a.Key == key {
			if v, err := strconv.Atoi(a.Val); err == nil {
				return v
			}
		}
	}
	return 1
}

func text(n *dom.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == dom.TextNode {
			b.WriteString(strings.TrimSpace(d.Data) + " ")
		}
	}
	return b.String()
}
