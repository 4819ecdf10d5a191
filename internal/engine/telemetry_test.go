package engine

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/collect"
	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/trace"
)

// told is a system that sends spans: each at a time after the start.
type told struct {
	*bench
	began  time.Time
	at     []time.Duration
	read   int
	broken error
	refuse uint64
	reads  []time.Duration
}

func (s *told) Spans(context.Context) (target.SpanReader, error) {
	s.began = time.Now()
	return s, s.broken
}
func (s *told) Addresses() (map[string][]string, error) { return nil, nil }
func (s *told) Counts() collect.Counts {
	return collect.Counts{Received: uint64(s.read), Refused: s.refuse}
}
func (s *told) Restarts() int { return 0 }
func (s *told) Read(_ context.Context, use func([]trace.Span) error) (bool, error) {
	now := time.Since(s.began)
	s.reads = append(s.reads, now)
	if s.read == len(s.at) || s.at[s.read] > now {
		return false, nil
	}
	if err := use([]trace.Span{{Trace: trace.ID{1}, ID: trace.SpanID{byte(s.read + 1)}}}); err != nil {
		return false, err
	}
	s.read++
	return s.read < len(s.at) && s.at[s.read] <= now, nil
}

// counter is a probe that fails on every third question.
type counter struct{ asked int }

func (c *counter) Read(context.Context, target.System) ([]journal.Reading, int, error) {
	if c.asked++; c.asked%3 == 0 {
		return nil, 0, errors.New("no answer")
	}
	return []journal.Reading{{Name: "asked", Value: float64(c.asked)}}, 1, nil
}

// listened runs a plan with telemetry and returns what was noted of it.
func listened(t *testing.T, s *told, change func(*Plan)) (*memory, journal.Telemetry, journal.Event) {
	t.Helper()
	p := planOf(&breaker{bite: true})
	p.Topology = s.topology
	p.Probes = []Probe{{Source: journal.SourceMetrics + "a", Probe: &counter{}}}
	if change != nil {
		change(p)
	}
	m := newMemory(p.Info)
	if err := Run(t.Context(), p, s, m, Options{Gate: holds}); err != nil {
		t.Fatal(err)
	}
	events := m.find(journal.EventTelemetry)
	if len(events) != 1 {
		t.Fatalf("%d events of telemetry", len(events))
	}
	var got journal.Telemetry
	if err := json.Unmarshal(events[0].Detail, &got); err != nil {
		t.Fatal(err)
	}
	return m, got, events[0]
}

func TestSpansAndMetricsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &told{bench: newBench(), refuse: 7}
		for i := range 5 {
			s.at = append(s.at, time.Duration(i)*time.Second)
		}
		m, got, _ := listened(t, s, nil)
		if len(m.spans) != 5 || got.Spans != 5 || got.Kept != 5 || got.Refused != 7 || got.Lost() != 7 {
			t.Errorf("%d spans, told %+v", len(m.spans), got)
		}
		up, asked := 0, 0
		for _, r := range m.readings {
			switch {
			case r.Source != "metrics:a":
			case r.Name == journal.MetricsUp:
				up += int(r.Value)
			case r.Name == "asked":
				asked++
			}
		}
		if asked == 0 || up != asked || got.Scrapes != asked || got.ScrapeFailed["metrics:a"] == 0 || got.SeriesLost != asked {
			t.Errorf("%d answers, up %d, told %+v", asked, up, got)
		}
		settled, last := m.find(journal.EventSettled), m.readings[len(m.readings)-1]
		if len(settled) != 1 || last.Source != "metrics:a" || last.At < settled[0].At {
			t.Errorf("the last reading %+v is older than what the witnesses were asked about: settled %+v", last, settled)
		}
	})
}

// TestLateSpansAreWaitedFor: those that a node may still hold when the load stops.
func TestLateSpansAreWaitedFor(t *testing.T) {
	for flush, want := range map[time.Duration]int{0: 1, 20 * time.Second: 2} {
		synctest.Test(t, func(t *testing.T) {
			s := &told{bench: newBench(), at: []time.Duration{0, 40 * time.Second}}
			s.topology.Traces = &target.Traces{Flush: flush}
			m, _, _ := listened(t, s, func(p *Plan) {
				p.Phases = Phases{Warmup: time.Second, Baseline: 9 * time.Second, Fault: 10 * time.Second, Recovery: 5 * time.Second, Settle: time.Second}
				p.Faults = nil
			})
			if len(m.spans) != want {
				t.Errorf("flush %v: %d spans, want %d; read at %v", flush, len(m.spans), want, s.reads)
			}
		})
	}
}

func TestACollectorThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &told{bench: newBench(), broken: errors.New("no collector there")}
		_, got, e := listened(t, s, nil)
		if got.Spans != 0 || !strings.Contains(e.Err, "no collector there") {
			t.Errorf("told %+v, %q", got, e.Err)
		}
	})
}

// TestADiskThatFailsCountsNothing: spans that were not kept are given again, and are not counted as kept.
func TestADiskThatFailsCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &told{bench: newBench(), at: []time.Duration{0}}
		p := planOf(&breaker{bite: true})
		p.Topology = s.topology
		m := newMemory(p.Info)
		m.err = errors.New("disk full")
		_ = Run(t.Context(), p, s, m, Options{Gate: holds})
		for _, e := range m.find(journal.EventTelemetry) {
			if !strings.Contains(e.Err, "disk full") {
				t.Errorf("%s, %q", e.Detail, e.Err)
			}
		}
		if s.read != 0 {
			t.Error("spans that were not kept count as read")
		}
	})
}
