package proxy

import (
	"container/heap"
	"sync"
	"time"
)

// alarm wakes this process when a chunk is due. The deadlines of the runtime wake it too, but an idle process sleeps
// in whole milliseconds and the kernel adds a thousandth of a long sleep (0.3 ms of 300 ms; five times as much when it is nice), which
// it does not do to a timer of its own:
//
//	pump ── due ──▶ alarm (heap of slots) ── earliest ──▶ kernel timer ── wakes ──▶ scheduler ── late deadlines ──▶ pumps
//
// It only wakes: that a pump goes on when it should is still its deadline's work. So an alarm that can't be had, as on another system
// than Linux, costs precision and nothing else. The zero value is ready.
type alarm struct {
	mu      sync.Mutex
	begun   time.Time
	slots   slots // that are to come, the earliest first
	known   map[slot]bool
	armed   slot // what the timer is set to; 0: nothing
	timer   kernelTimer
	missing bool // there is no timer, or not any more
	ended   sync.WaitGroup
}

// kernelTimer is a timer with its own interrupt.
type kernelTimer interface {
	set(d time.Duration) error
	wait() bool // until it goes off; false: it is closed
	close()
}

// grid is the length of a slot: so much later than asked a timer may go off, and so often it may at most.
const grid = 50 * time.Microsecond

// slot is a moment on the grid, counted from the first.
type slot int64

// slots is a heap.
type slots []slot

func (s slots) Len() int           { return len(s) }
func (s slots) Less(i, j int) bool { return s[i] < s[j] }
func (s slots) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *slots) Push(x any)        { *s = append(*s, x.(slot)) }
func (s *slots) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// at has the process woken at t.
func (a *alarm) at(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.missing || a.timer == nil && !a.start(newKernelTimer) {
		return
	}
	s := slot((t.Sub(a.begun) + grid - 1) / grid)
	if a.known[s] {
		return
	}
	a.known[s] = true
	heap.Push(&a.slots, s)
	a.arm()
}

// start makes the timer and listens to it, until close. The caller holds mu.
func (a *alarm) start(timer func() (kernelTimer, error)) bool {
	t, err := timer()
	if err != nil {
		a.missing = true
		return false
	}
	a.timer, a.begun, a.known = t, time.Now(), map[slot]bool{}
	a.ended.Go(func() {
		for t.wait() {
			a.rang()
		}
	})
	return true
}

// rang forgets what has passed and sets the timer to what is next.
func (a *alarm) rang() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = 0
	now := slot(time.Since(a.begun) / grid)
	for len(a.slots) > 0 && a.slots[0] <= now {
		delete(a.known, heap.Pop(&a.slots).(slot))
	}
	a.arm()
}

// arm sets the timer to the earliest slot, unless it is. The caller holds mu.
func (a *alarm) arm() {
	if a.missing || len(a.slots) == 0 || a.armed != 0 && a.armed <= a.slots[0] {
		return
	}
	a.armed = a.slots[0]
	wait := time.Until(a.begun.Add(time.Duration(a.armed) * grid))
	if err := a.timer.set(max(1, wait)); err != nil { // 0 would switch it off
		a.missing = true
	}
}

// close ends it for good.
func (a *alarm) close() {
	a.mu.Lock()
	a.missing = true
	if a.timer != nil {
		a.timer.close()
	}
	a.mu.Unlock()
	a.ended.Wait()
}
