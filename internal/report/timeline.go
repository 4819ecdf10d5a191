package report

import (
	"slices"
	"strconv"
	"time"

	"chaos/internal/journal"
)

const (
	maxPoints = 600  // points of one load; a longer run gets longer points
	minP99    = 1000 // samples below which a p99 would be made of fewer than ten
)

// loads computes course and totals of every load. Replays and preparations are left out.
func loads(h *journal.History, c *clockwork, lost map[journal.ID]bool) []Load {
	step := pointStep(c.stop - c.origin)
	n := int((c.stop - c.origin + step - 1) / step)
	out := make([]Load, len(h.Run.Loads))
	bins := make([][]bin, len(out))
	for i, l := range h.Run.Loads {
		out[i] = Load{Name: l.Name, Op: l.Op, Node: l.Node, Rate: l.Rate, Arrivals: l.Arrivals, Timeout: l.Timeout, Effect: l.Effect, Step: step}
		bins[i] = make([]bin, n)
	}
	for i := range h.Samples {
		s := &h.Samples[i]
		if at := int((s.Due - c.origin) / step); int(s.Op) < len(out) && s.Windowed() && s.Due >= c.origin && at < n {
			bins[s.Op][at].add(s, out[s.Op].Timeout, lost)
		}
	}
	for i := range out {
		for at := range bins[i] {
			out[i].Points = append(out[i].Points, bins[i][at].point(time.Duration(at)*step))
		}
		out[i].Totals = totals(h, journal.OpID(i), out[i].Timeout, lost)
	}
	return out
}

// pointStep is the shortest round step with which a run of this length has at most maxPoints points.
func pointStep(length time.Duration) time.Duration {
	steps := []time.Duration{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600}
	for _, s := range steps {
		if length <= s*time.Second*maxPoints {
			return s * time.Second
		}
	}
	return steps[len(steps)-1] * time.Second
}

// bin collects the requests of one point or window.
type bin struct {
	good, bad, excluded, lost int
	latency                   []time.Duration
}

func (b *bin) add(s *journal.Sample, timeout time.Duration, lost map[journal.ID]bool) {
	switch s.Class {
	case journal.Excluded:
		b.excluded++
		return
	case journal.Good:
		b.good++
		if lost[s.Key] {
			b.lost++
		}
	default:
		b.bad++
	}
	d, ended := s.Latency()
	if !ended {
		d = timeout
	}
	b.latency = append(b.latency, max(0, d))
}

func (b *bin) point(at time.Duration) Point {
	slices.Sort(b.latency)
	return Point{At: at, Good: b.good, Bad: b.bad, Excluded: b.excluded, Lost: b.lost,
		P50: quantile(b.latency, 50), P90: quantile(b.latency, 90), Max: quantile(b.latency, 100)}
}

// quantile is the smallest value with at least percent of the sorted values at or below it (nearest
// rank: index ⌈n·p/100⌉ − 1); 0 when there is none.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// totals are the sums of one load in the windows that reports show.
func totals(h *journal.History, op journal.OpID, timeout time.Duration, lost map[journal.ID]bool) []Total {
	var out []Total
	for _, name := range []string{"baseline", "fault", "recovery"} {
		w, ok := h.Windows[name]
		if !ok || w.Empty() {
			continue
		}
		var b bin
		outcomes := map[string]int{}
		for _, s := range h.Between(w) {
			if s.Op == op && s.Windowed() {
				b.add(&s, timeout, lost)
				outcomes[outcomeName(&s)]++
			}
		}
		p := b.point(0)
		t := Total{Window: name, Good: b.good, Bad: b.bad, Excluded: b.excluded, Lost: b.lost, P50: p.P50, P90: p.P90, Max: p.Max}
		if len(b.latency) >= minP99 {
			t.P99 = quantile(b.latency, 99)
		}
		t.Outcomes = ranked(outcomes)
		out = append(out, t)
	}
	return out
}

func outcomeName(s *journal.Sample) string {
	switch {
	case s.Err != journal.ErrNone:
		return s.Err.String()
	case s.Status != 0:
		return strconv.Itoa(int(s.Status))
	default:
		return "never ended"
	}
}

// ranked lists counts, the largest first, equal ones by name.
func ranked(counts map[string]int) []Outcome {
	out := make([]Outcome, 0, len(counts))
	for name, n := range counts {
		out = append(out, Outcome{Name: name, Count: n})
	}
	slices.SortFunc(out, func(a, b Outcome) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}
