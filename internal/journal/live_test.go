package journal

import (
	"testing"
	"time"
)

// invokeAt records a request of load 0 due at a time, and its end when class is given.
func invokeAt(j *Journal, seq uint64, due time.Duration, class ...Class) {
	s := Sample{Seq: seq, Due: due, Sent: due}
	j.Invoked(&s)
	for _, c := range class {
		s.Class = c
		j.Completed(&s)
	}
}

func TestLive(t *testing.T) {
	clock := newClock()
	j := create(t, twoLoads, Options{Now: clock.now})
	for i := range uint64(100) { // 10 s, one each 100 ms: good, bad, excluded, unfinished
		due := time.Duration(i) * 100 * time.Millisecond
		if i%4 == 3 {
			invokeAt(j, i, due)
		} else {
			invokeAt(j, i, due, []Class{Good, Bad, Excluded}[i%4])
		}
	}
	replay := Sample{Due: 9 * time.Second, Flags: FlagReplay}
	j.Invoked(&replay)
	clock.advance(10 * time.Second)
	for _, tt := range []struct {
		d    time.Duration
		want Counts
	}{
		{4 * time.Second, Counts{Good: 10, Bad: 10, Excluded: 10, Overdue: 7}}, // 9.1, 9.5, 9.9 s are too young
		{time.Minute, Counts{Good: 25, Bad: 25, Excluded: 25, Overdue: 22}},
		{time.Hour, Counts{Good: 25, Bad: 25, Excluded: 25, Overdue: 22}},
		{500 * time.Millisecond, Counts{Good: 1, Bad: 1, Excluded: 1}},
	} {
		if got := j.Since(tt.d, 0); got != tt.want {
			t.Errorf("Since(%v) = %+v, want %+v", tt.d, got, tt.want)
		}
	}
	if got := j.Since(time.Minute, 1); got != (Counts{}) {
		t.Errorf("the other load has %+v", got)
	}
	if got := j.Since(time.Minute, 77); got != (Counts{}) {
		t.Errorf("no load has %+v", got)
	}
	clock.advance(900 * time.Millisecond)
	if got := j.Since(time.Minute, 0).Overdue; got != 24 { // 9.9 s is overdue only at 10.9 s + its bucket
		t.Errorf("after 0.9 s more: %d overdue", got)
	}
	clock.advance(100 * time.Millisecond)
	if got := j.Since(time.Minute, 0).Overdue; got != 25 {
		t.Errorf("after 1 s more: %d overdue", got)
	}
	invokeAt(j, 1000, 10*time.Second+liveBuckets*liveBucket, Good) // reuses a bucket of 120 s ago
	clock.advance(130 * time.Second)
	if got := j.Since(20*time.Second, 0); got != (Counts{Good: 1}) {
		t.Errorf("after the ring went round: %+v", got)
	}
	late := Sample{Seq: 1001, Due: 10 * time.Second, Class: Good} // its bucket is taken by a newer second
	j.Completed(&late)
	if got := j.Since(20*time.Second, 0); got != (Counts{Good: 1}) {
		t.Errorf("a completion from before the ring counted: %+v", got)
	}
}

func TestLiveFirstSecond(t *testing.T) {
	clock := newClock()
	j := create(t, twoLoads, Options{Now: clock.now})
	invokeAt(j, 0, 0)
	clock.advance(400 * time.Millisecond)
	if got := j.Since(5*time.Second, 0); got != (Counts{}) {
		t.Errorf("got %+v", got)
	}
}
