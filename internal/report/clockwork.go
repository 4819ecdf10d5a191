package report

import (
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
)

// clockwork knows how the offsets of a journal map to the offsets of a report and to UTC.
type clockwork struct {
	h      *journal.History
	origin time.Duration // start of the load; offset 0 of the report
	stop   time.Duration // when the load stopped, on the journal's clock
	end    time.Duration // last thing known, on the journal's clock
	base   time.Time     // UTC of the journal's offset 0
}

// maxRun is the longest run a report can show: an offset beyond it is damage, not time.
const maxRun = 14 * 24 * time.Hour

func newClockwork(h *journal.History) *clockwork {
	c := &clockwork{h: h, base: h.Run.Started.UTC(), origin: -1, stop: -1}
	for _, e := range h.Events {
		if e.At < 0 || e.At > maxRun {
			continue
		}
		c.end = max(c.end, e.At)
		switch {
		case e.Type == journal.EventRunStart && !e.Wall.IsZero():
			c.base = e.Wall.UTC().Add(-e.At)
		case e.Type == journal.EventLoadStart && c.origin < 0:
			c.origin = e.At
		case e.Type == journal.EventLoadStop:
			c.stop = e.At
		}
	}
	if n := len(h.Samples); n > 0 {
		last := c.within(h.Samples[n-1].Due)
		c.end = max(c.end, last)
		if c.origin < 0 {
			c.origin = c.within(h.Samples[0].Due).Truncate(time.Second)
		}
		if c.stop < 0 {
			c.stop = last + time.Nanosecond // half-open: the last request belongs to the run
		}
	}
	c.origin, c.stop = max(0, c.origin), max(c.stop, c.origin, 0)
	return c
}

func (c *clockwork) within(d time.Duration) time.Duration { return min(max(0, d), maxRun) }

// rel turns a journal offset into a report offset. An offset no run can have is brought into range.
func (c *clockwork) rel(at time.Duration) time.Duration { return c.within(at) - c.origin }

// wall is the UTC time of a journal offset.
func (c *clockwork) wall(at time.Duration) time.Time {
	if c.base.IsZero() {
		return time.Time{}
	}
	return c.base.Add(at)
}

// phases are the stretches between phase events; the last ends with what is known.
func (c *clockwork) phases() []Span {
	var out []Span
	for _, e := range c.h.Events {
		if e.Type != journal.EventPhase {
			continue
		}
		if n := len(out); n > 0 {
			out[n-1].To = c.rel(e.At)
		}
		out = append(out, Span{Name: e.Phase, From: c.rel(e.At), To: c.rel(c.end)})
	}
	return out
}

// windows are the history's windows by start, then name.
func (c *clockwork) windows() []Span {
	var out []Span
	for _, w := range c.h.Windows {
		if !w.Empty() {
			out = append(out, Span{Name: w.Name, From: c.rel(w.From), To: c.rel(w.To)})
		}
	}
	slices.SortFunc(out, func(a, b Span) int {
		if a.From != b.From {
			return int(min(max(a.From-b.From, -1), 1))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}
