package journal

import (
	"sync/atomic"
	"time"
)

const (
	liveBucket  = 100 * time.Millisecond
	liveBuckets = 1200 // × liveBucket = 120 s: the longest window of a guard
)

// counter is a count that belongs to one epoch: the high half is the number of the bucket in time,
// the low half the count. A counter of an older epoch starts again at zero, so buckets are reused
// without a lock and without a moment in which they are half cleared.
type counter struct{ v atomic.Uint64 }

func (c *counter) add(epoch uint32) {
	for {
		old := c.v.Load()
		next := old + 1
		if had := uint32(old >> 32); had < epoch {
			next = uint64(epoch)<<32 | 1
		} else if had > epoch {
			return // older than what the ring covers
		}
		if c.v.CompareAndSwap(old, next) {
			return
		}
	}
}

func (c *counter) get(epoch uint32) int {
	v := c.v.Load()
	if uint32(v>>32) != epoch {
		return 0
	}
	return int(uint32(v))
}

// bucket counts the requests of one load that were due in one liveBucket.
type bucket struct {
	invoked counter
	done    [3]counter // by Class
}

// live is the sliding view of the last 120 s, by due time, that guards look at.
type live struct{ ops [][]bucket }

func newLive(ops int) *live {
	l := &live{ops: make([][]bucket, ops)}
	for i := range l.ops {
		l.ops[i] = make([]bucket, liveBuckets)
	}
	return l
}

// epochOf numbers buckets from 1, so that the zero counter belongs to none.
func epochOf(at time.Duration) uint32 { return uint32(max(0, at)/liveBucket) + 1 }

func (l *live) at(op OpID, epoch uint32) *bucket {
	if int(op) >= len(l.ops) {
		return nil
	}
	return &l.ops[op][epoch%liveBuckets]
}

func (l *live) invoked(s *Sample) {
	e := epochOf(s.Due)
	if b := l.at(s.Op, e); b != nil && s.Windowed() {
		b.invoked.add(e)
	}
}

func (l *live) completed(s *Sample) {
	e := epochOf(s.Due)
	if b := l.at(s.Op, e); b != nil && s.Windowed() && s.Class <= Excluded {
		b.done[s.Class].add(e)
	}
}

// since counts what was due in (now − d, now], to the bucket: the oldest bucket counts only when it
// lies in the window whole.
func (l *live) since(now, d time.Duration, op OpID) Counts {
	d = min(d, (liveBuckets-1)*liveBucket)
	first, last := epochOf(max(0, now-d)+liveBucket-1), epochOf(now)
	overdue := epochOf(now-OverdueAfter) - 1 // the last bucket of which every request is old enough
	if now < OverdueAfter {
		overdue = 0
	}
	var c Counts
	for e := first; e <= last; e++ {
		b := l.at(op, e)
		if b == nil {
			return Counts{}
		}
		good, bad, excluded := b.done[Good].get(e), b.done[Bad].get(e), b.done[Excluded].get(e)
		c.Good, c.Bad, c.Excluded = c.Good+good, c.Bad+bad, c.Excluded+excluded
		if e <= overdue {
			c.Overdue += max(0, b.invoked.get(e)-good-bad-excluded)
		}
	}
	return c
}
