package journal

import (
	"path/filepath"
	"testing"

	"chaos/internal/trace"
)

// benchSpans are like what an instrumented service sends: ten attributes, few different texts.
func benchSpans(n int) []trace.Span {
	spans := someSpans(n)
	for i := range spans {
		spans[i].Trace = trace.ID{byte(i), byte(i >> 8), byte(i >> 16), 1}
		for _, key := range []string{"http.request.method", "url.path", "server.address", "server.port", "http.response.status_code", "attempt", "breaker_state", "deadline_left_ms", "tenant"} {
			spans[i].Attrs = append(spans[i].Attrs, trace.Attr{Key: key, Value: "value of " + key})
		}
	}
	return spans
}

// BenchmarkSpans is what a run does with spans that came: masked, packed, written.
func BenchmarkSpans(b *testing.B) {
	j, err := Create(filepath.Join(b.TempDir(), "run"), RunInfo{}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	const each = 1000
	spans := benchSpans(each)
	n := 0
	for b.Loop() {
		j.spans.kept = 0 // a run has a limit; this has none
		if _, err := j.Spans(spans); err != nil {
			b.Fatal(err)
		}
		n += each
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "spans/s")
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReadSpans reads 300,000 spans back, indexes them and draws the map: what judging and reporting
// a run of 25,000 requests over twelve spans each takes beside the rest.
func BenchmarkReadSpans(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "run")
	j, err := Create(dir, RunInfo{}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := j.Spans(benchSpans(300_000)); err != nil {
		b.Fatal(err)
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		h, err := Read(dir)
		if err != nil || len(h.Spans) != 300_000 {
			b.Fatalf("%v, %d spans", err, len(h.Spans))
		}
		trace.Observe(trace.NewIndex(h.Spans), trace.Declared{})
	}
}
