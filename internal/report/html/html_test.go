package html_test

import (
	"bytes"
	"strings"
	"testing"

	"chaos/internal/report"
	"chaos/internal/report/html"
	"chaos/internal/report/reporttest"
)

func TestConformance(t *testing.T) { reporttest.Run(t, html.Format()) }

// TestSelfContained checks that no page loads anything or runs anything.
func TestSelfContained(t *testing.T) {
	for _, c := range reporttest.Cases() {
		page := render(t, report.Build(c.Runs))
		for _, bad := range []string{"<script", "<iframe", "<object", "<embed", "<form", "<base", "@import", "href=\"javascript", "src=\"", "onerror=\"", "ZgotmplZ"} {
			if i := strings.Index(page, bad); i >= 0 {
				t.Errorf("%s: the page has %q: %s", c.Name, bad, page[max(0, i-60):min(len(page), i+60)])
			}
		}
		if !strings.Contains(page, `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:;`) {
			t.Errorf("%s: no Content-Security-Policy", c.Name)
		}
		if n := strings.Count(page, "<img"); n > 0 {
			t.Errorf("%s: %d images", c.Name, n)
		}
	}
}

func TestFirstScreen(t *testing.T) {
	page := render(t, report.Build(reporttest.Pair()))
	first, _, ok := strings.Cut(page, "Service level objectives</h2>")
	if !ok {
		t.Fatal("no table of objectives")
	}
	for _, want := range []string{"<b>2 of 2</b> as expected", "While Redis is down", "</span>PASS</p>", "</span>FAIL</p>", `class="band"`, "baseline</text>", "redis-down</text>", "p90 "} {
		if !strings.Contains(first, want) {
			t.Errorf("the first screen lacks %q", want)
		}
	}
}

func TestSilentLossIsContrasted(t *testing.T) {
	page := render(t, report.Build(reporttest.Silent()))
	for _, want := range []string{"green: 2 of 2 SLO judgements pass", "red: 86.9", "accepted, but lost", `class="lamp green"`, `class="lamp red"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func render(t *testing.T, doc *report.Document) string {
	t.Helper()
	var out bytes.Buffer
	if err := html.Write(&out, doc); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// BenchmarkReport is a pair of 200,000 samples each, built and rendered. The budget is 1 s.
func BenchmarkReport(b *testing.B) {
	runs := reporttest.Big(200_000)
	b.ResetTimer()
	for b.Loop() {
		var out bytes.Buffer
		if err := html.Write(&out, report.Build(runs)); err != nil {
			b.Fatal(err)
		}
	}
}
