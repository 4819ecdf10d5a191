package slo

import (
	"slices"
	"time"

	"chaos/internal/journal"
)

// clock says from when a request's time counts.
type clock uint8

const (
	byDue  clock = iota // from when it was due: what a user would have seen
	bySent              // from when it was sent: what a late generator can't be blamed for
)

// lens is how requests are looked at: by which clock, and with how much more time than the limit says.
type lens struct {
	clock
	slack time.Duration
}

// tally is what one SLI saw in one window.
type tally struct {
	recorded int // requests of the load, sent or not
	excluded int
	n, bad   int             // judged, and bad among them
	times    []time.Duration // for quantile: bad ones count as the client's timeout
}

// each calls f for the requests of a load in a window, by when they were due. By sent, the window is
// that of the sending, and a request that was never sent is not the target's doing.
func each(h *journal.History, w journal.Window, op journal.OpID, c clock, f func(*journal.Sample)) {
	samples := h.Between(w)
	if c == bySent { // sent is never before due, so earlier ones may have been sent in the window
		samples = h.Between(journal.Window{From: -1 << 62, To: w.To})
	}
	for i := range samples {
		s := &samples[i]
		if s.Op != op || !s.Windowed() {
			continue
		}
		if c == bySent && (s.Sent == 0 || !w.Contains(s.Sent)) {
			continue
		}
		f(s)
	}
}

// took is the request's time; ok is false when it never ended (or its record is absurd).
func took(s *journal.Sample, c clock) (d time.Duration, ok bool) {
	from := s.Due
	if c == bySent {
		from = s.Sent
	}
	if s.Done <= 0 || s.Done < from {
		return 0, false
	}
	return s.Done - from, true
}

// measure counts one window. max is the quantile SLI's limit.
func (i indicator) measure(h *journal.History, w journal.Window, op journal.OpID, look lens, max, timeout time.Duration) tally {
	var t tally
	limit := i.limit + look.slack
	max += look.slack
	each(h, w, op, look.clock, func(s *journal.Sample) {
		t.recorded++
		d, ended := took(s, look.clock)
		excluded := ended && s.Class == journal.Excluded
		if excluded && i.shape != rejected {
			t.excluded++
			return
		}
		t.n++
		good := ended && s.Class == journal.Good
		switch i.shape {
		case under:
			good = good && d < limit
		case rejected:
			clean := (s.Status == 503 || s.Status == 429) && s.Flags&journal.FlagRetryAfter != 0
			good = ended && clean && d < limit
		case quantile:
			if !good {
				d = timeout
			}
			t.times = append(t.times, d)
			good = good && d <= max
		}
		if !good {
			t.bad++
		}
	})
	return t
}

// at is the smallest time that at least a share of q did not exceed (nearest rank); 0 without any.
func (t *tally) at(q float64) time.Duration {
	if len(t.times) == 0 {
		return 0
	}
	slices.Sort(t.times)
	rank := int(q*float64(len(t.times)) + 1 - 1e-9)
	return t.times[min(max(rank, 1), len(t.times))-1]
}
