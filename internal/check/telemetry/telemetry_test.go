package telemetry

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/trace"
	"chaos/internal/verdict"
)

// story is a run of 500 payments, 100 of them bad, each with a whole trace: gateway → payments → postgres.
func story() *checktest.Story {
	s := checktest.NewStory(checktest.PayLoad(50))
	s.Drive("pay", 3*time.Second, 31*time.Second, 500, func(i int, x *journal.Sample) {
		if i%5 == 0 {
			x.Class, x.Result, x.Status = journal.Bad, journal.Unknown, 500
		}
	})
	s.H.Run.Telemetry = &journal.TelemetryInfo{
		Traces: true, Logs: &journal.LogSchema{Nodes: []string{"gateway", "payments"}, Required: []string{"msg"}},
		Map: &trace.Declared{Nodes: map[string]string{}, Edges: []trace.DeclaredEdge{
			{Name: "gateway->payments", From: "gateway", To: "payments"}, {Name: "payments->postgres", From: "payments", To: "postgres"},
		}},
	}
	s.H.Lint = map[string]journal.LogLint{"gateway": {Lines: 10}, "payments": {Lines: 20}}
	for i := range s.H.Samples {
		id := trace.ID(s.H.Samples[i].Trace)
		span := func(n, parent byte, kind trace.Kind, service string, attrs ...trace.Attr) trace.Span {
			x := trace.Span{Trace: id, ID: trace.SpanID{n}, Parent: trace.SpanID{parent}, Kind: kind, Service: service, Attrs: attrs}
			if parent == 0 {
				x.Parent = trace.ClientSpan(id)
			}
			return x
		}
		s.H.Spans = append(s.H.Spans, span(1, 0, trace.Server, "gateway"), span(2, 1, trace.Client, "gateway"), span(3, 2, trace.Server, "payments"),
			span(4, 3, trace.Client, "payments", trace.Attr{Key: "db.system", Value: "postgresql"}))
	}
	return s
}

// orphan takes the gateway's client span of the n-th bad operation away.
func orphan(s *checktest.Story, n int) {
	for i := range s.H.Samples {
		if x := &s.H.Samples[i]; x.Class == journal.Bad {
			if n--; n < 0 {
				s.H.Spans = slices.DeleteFunc(s.H.Spans, func(sp trace.Span) bool {
					return sp.Trace == trace.ID(x.Trace) && sp.ID == trace.SpanID{2}
				})
				return
			}
		}
	}
}

func TestConformance(t *testing.T) {
	broken := story()
	for i := range 10 {
		orphan(broken, i)
	}
	broken.H.Lint["gateway"] = journal.LogLint{Lines: 5, Violations: 1, First: []journal.Violation{{Line: 3, Why: "it is no JSON object", Text: "panic"}}}
	broken.H.Run.Telemetry.Map.Edges = broken.H.Run.Telemetry.Map.Edges[:1]
	for _, e := range Table() {
		t.Run(e.Name, func(t *testing.T) { checktest.Run(t, e.New(), broken.H) })
		if e.New().Name() != e.Name {
			t.Errorf("%s calls itself %s", e.Name, e.New().Name())
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		check, name string
		change      func(*checktest.Story)
		want        verdict.Outcome
		says        string
	}{
		{"trace_completeness", "whole", func(*checktest.Story) {}, verdict.Pass, "100 of 100"},
		{"trace_completeness", "on the line", func(s *checktest.Story) { orphan(s, 0) }, verdict.Pass, "99 of 100"},
		{"trace_completeness", "below", func(s *checktest.Story) { orphan(s, 0); orphan(s, 1) }, verdict.Fail, "2 of 100 bad operations can't be followed"},
		{"trace_completeness", "no spans", func(s *checktest.Story) { s.H.Spans = nil }, verdict.Inconclusive, "no span"},
		{"trace_completeness", "nothing bad", func(s *checktest.Story) {
			for i := range s.H.Samples {
				s.H.Samples[i].Class = journal.Good
			}
		}, verdict.Inconclusive, "no operation went wrong"},
		{"trace_completeness", "never sent", func(s *checktest.Story) {
			for i := range s.H.Samples {
				s.H.Samples[i].Err = []journal.ErrClass{journal.ErrRefused, journal.ErrNotSent}[i%2]
			}
		}, verdict.Inconclusive, "no operation went wrong"},
		{"trace_completeness", "lost on the way", func(s *checktest.Story) {
			orphan(s, 0)
			orphan(s, 1)
			s.Event(32*time.Second, journal.EventTelemetry, "", journal.Telemetry{Spans: 1999, Refused: 1})
		}, verdict.Inconclusive, "1 spans were lost after the target had sent them"},
		{"trace_completeness", "collector restarted", func(s *checktest.Story) {
			orphan(s, 0)
			orphan(s, 1)
			s.Event(32*time.Second, journal.EventTelemetry, "", journal.Telemetry{Restarts: 1})
		}, verdict.Inconclusive, "restarted"},
		{"log_schema", "kept", func(*checktest.Story) {}, verdict.Pass, "each of 30 log lines"},
		{"log_schema", "broken", func(s *checktest.Story) { s.H.Lint["payments"] = journal.LogLint{Lines: 20, Violations: 2} }, verdict.Fail, "2 of 30"},
		{"log_schema", "a silent node", func(s *checktest.Story) { delete(s.H.Lint, "payments") }, verdict.Inconclusive, "nothing was logged by payments"},
		{"log_schema", "silence", func(s *checktest.Story) { s.H.Lint = nil }, verdict.Inconclusive, "no log lines"},
		{"log_schema", "no schema", func(s *checktest.Story) { s.H.Run.Telemetry.Logs = nil }, verdict.Inconclusive, "declares no log schema"},
		{"no_drift", "as declared", func(*checktest.Story) {}, verdict.Pass, "each of 2 edges"},
		{"no_drift", "unused", func(s *checktest.Story) {
			s.H.Run.Telemetry.Map.Edges = append(s.H.Run.Telemetry.Map.Edges, trace.DeclaredEdge{Name: "gateway->redis", From: "gateway", To: "redis"})
		}, verdict.Fail, "0 undeclared, 1 unused"},
		{"no_drift", "undeclared", func(s *checktest.Story) { s.H.Run.Telemetry.Map.Edges = s.H.Run.Telemetry.Map.Edges[1:] }, verdict.Fail, "1 undeclared, 0 unused"},
		{"no_drift", "unseen", func(s *checktest.Story) {
			s.H.Run.Telemetry.Map.Edges = append(s.H.Run.Telemetry.Map.Edges, trace.DeclaredEdge{Name: "psp->x", From: "psp", To: "x"})
		}, verdict.Inconclusive, "psp->x"},
		{"no_drift", "unused and lost", func(s *checktest.Story) {
			s.H.Run.Telemetry.Map.Edges = append(s.H.Run.Telemetry.Map.Edges, trace.DeclaredEdge{Name: "gateway->redis", From: "gateway", To: "redis"})
			s.Event(32*time.Second, journal.EventTelemetry, "", journal.Telemetry{OverLimit: 4})
		}, verdict.Inconclusive, "4 spans were lost"},
		{"no_drift", "no map", func(s *checktest.Story) { s.H.Run.Telemetry.Map = nil }, verdict.Inconclusive, "does not say"},
	} {
		s := story()
		c.change(s)
		check, err := Table().New(c.check)
		if err != nil {
			t.Fatal(err)
		}
		f := check.Judge(s.H)
		if text := fmt.Sprint(f.Got, " ", f.Why); f.Outcome != c.want || !strings.Contains(text, c.says) {
			t.Errorf("%s, %s: %v: %s, want %v: %s", c.check, c.name, f.Outcome, text, c.want, c.says)
		}
	}
}

func TestOfAll(t *testing.T) {
	s := story()
	orphan(s, 0)
	c := Completeness{Target: 0.999, Of: ofAll}
	if f := c.Judge(s.H); f.Outcome != verdict.Fail || f.N != 500 || f.Count != 1 || len(f.Evidence) != 1 || len(f.Evidence[0].Trace) != 32 || !strings.Contains(f.Got, "99.8%") {
		t.Errorf("%+v", f)
	}
}

func TestDemands(t *testing.T) {
	for _, e := range Table() {
		d := e.New().(interface{ Demands(journal.RunInfo) error })
		if d.Demands(story().H.Run) != nil || d.Demands(journal.RunInfo{}) == nil || d.Demands(journal.RunInfo{Telemetry: &journal.TelemetryInfo{}}) == nil {
			t.Errorf("%s demands the wrong things", e.Name)
		}
	}
}
