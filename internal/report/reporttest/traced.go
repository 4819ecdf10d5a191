package reporttest

import (
	"encoding/json"
	"time"

	"chaos/internal/journal"
	"chaos/internal/report"
	"chaos/internal/trace"
	"chaos/internal/verdict"
)

// Traced is a run on a target that tells of itself: spans, of which some were lost, metrics and logs. It
// talks to one whom its map does not have, and not to one whom it has.
func Traced() report.Run {
	s := Scenario{Experiment: "redis-outage", Variant: "resilient", Seed: 9, Pay: Outage{Bad: 0.3, Status: 500, Latency: 400 * time.Millisecond}}
	s.Verdict = verdict.Verdict{Status: verdict.FAIL, Met: true, Expect: expectFail, Bites: bite(), Honesty: honesty()}
	r := s.Run()
	h := r.History
	h.Run.Telemetry = &journal.TelemetryInfo{
		Traces: true, Metrics: []string{"gateway", "payments"}, Logs: &journal.LogSchema{Nodes: []string{"gateway"}, Required: []string{"msg"}},
		Map: &trace.Declared{Nodes: map[string]string{"redis": "redis"}, Edges: []trace.DeclaredEdge{
			{Name: "gateway->payments", From: "gateway", To: "payments", Addrs: []string{"proxy:20000"}},
			{Name: "gateway->redis", From: "gateway", To: "redis", Addrs: []string{"proxy:20001"}},
			{Name: "psp->postgres", From: "psp", To: "postgres", Addrs: []string{"proxy:20002"}},
		}},
	}
	h.Lint = map[string]journal.LogLint{"gateway": {Lines: 1200, Violations: 3}}
	h.Readings = append(h.Readings, journal.Reading{At: faultAt, Source: journal.SourceMetrics + "gateway", Name: "requests_total", Value: 5})
	detail, _ := json.Marshal(journal.Telemetry{Spans: 6200, Kept: 6200, Refused: 12, Scrapes: 60, ScrapeFailed: map[string]int{journal.SourceMetrics + "gateway": 4}})
	h.Events = append(h.Events, journal.Event{At: runEnd, Wall: Start.Add(runEnd), Type: journal.EventTelemetry, Detail: detail, Err: "spans can't be read: no answer"})
	for i := range h.Samples {
		if x := &h.Samples[i]; x.Op == 0 {
			h.Spans = append(h.Spans, spansOf(h.Run.Started, x)...)
		}
	}
	worst := journal.Sample{}
	for _, x := range h.Samples {
		if x.Class == journal.Bad && (worst.Done == 0 || x.Done-x.Due > worst.Done-worst.Due) {
			worst = x
		}
	}
	h.Logs = append(h.Logs, journal.LogLine{Node: "payments", Level: "error", Trace: worst.Trace.String(), Msg: "charge failed", Reason: "timeout",
		TS: journal.Loose(h.Run.Started.Add(worst.Done - 2*time.Millisecond).Format(time.RFC3339Nano))})
	var lost journal.Sample
	for _, x := range h.Samples {
		if x.Op == 0 && x.Class == journal.Good {
			lost = x
			break
		}
	}
	r.Verdict.Findings = []verdict.Finding{
		slo("payments-available", "fault", "availability(pay)", "≥ 99 %", "70.2 %", "≤ 75 % (99 %)", verdict.Fail, 510, 152, 0.01),
		{Check: "no_lost_payment", Kind: "invariant", Window: "run", Want: "0 lost", Got: "1 lost", Outcome: verdict.Fail, N: 1400, Count: 1,
			Evidence: []verdict.Evidence{{Key: lost.Key.String(), Trace: lost.Trace.String(), Amount: lost.Amount, Note: "acknowledged, but there is no payment on the books"}}},
		{Check: "log_schema", Kind: "telemetry", Window: "run", Want: "0 violations", Got: "3 violations in 1200 lines", Outcome: verdict.Fail, N: 1200, Bad: 3, Count: 3},
	}
	return r
}

// spansOf are the spans of one payment.
func spansOf(started time.Time, x *journal.Sample) []trace.Span {
	id := trace.ID(x.Trace)
	span := func(n, parent byte, kind trace.Kind, service, name string, after time.Duration, attrs ...trace.Attr) trace.Span {
		s := trace.Span{Trace: id, ID: trace.SpanID{n}, Parent: trace.SpanID{parent}, Kind: kind, Service: service, Name: name, Attrs: attrs,
			Start: started.Add(x.Sent + after).UnixNano(), Duration: x.Done - x.Sent - 2*after}
		if parent == 0 {
			s.Parent = trace.ClientSpan(id)
		}
		if x.Class == journal.Bad {
			s.Status, s.Message = trace.Failed, "timeout"
		}
		return s
	}
	const step = 300 * time.Microsecond
	return []trace.Span{
		span(1, 0, trace.Server, "gateway", "POST /v1/payments", step),
		span(2, 1, trace.Client, "gateway", "POST", 2*step, trace.Attr{Key: "url.full", Value: "http://proxy:20000/pay"}, trace.Attr{Key: "attempt", Value: "1"}),
		span(3, 2, trace.Server, "payments", "POST /pay", 3*step),
		span(4, 3, trace.Client, "payments", "charge", 4*step, trace.Attr{Key: "server.address", Value: "psp.example.com"}, trace.Attr{Key: "server.port", Value: "443"}),
	}
}
