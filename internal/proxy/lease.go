package proxy

import (
	"sync"
	"time"
)

// Bounds of a lease.
const (
	minLease = 100 * time.Millisecond
	maxLease = 24 * time.Hour
)

// LeaseState is the answer of GET and PUT /lease.
type LeaseState struct {
	Epoch       string `json:"epoch"`
	TTLMS       int64  `json:"ttl_ms"`       // 0: no lease
	RemainingMS int64  `json:"remaining_ms"` // until all toxics go; 0 when the lease ran out or there is none
	Expired     uint64 `json:"expired"`      // how often it ran out while something was not neutral
}

// lease calls expire when nobody touched it for its ttl. The next touch starts it
// again, so that a toxic never outlives the last sign of life by more than the ttl.
//
//	none ◄─ ttl 0 ─ running ─ ttl passed ─► expired ─ touch ─► running
//	                 ▲   │
//	                 └───┘ touch
type lease struct {
	mu      sync.Mutex
	ttl     time.Duration
	until   time.Time
	timer   *time.Timer
	expire  func() bool // true: something was not neutral
	expired uint64
	stopped bool
}

// set changes the ttl and starts it anew.
func (l *lease) set(ttl time.Duration, expire func() bool) {
	l.mu.Lock()
	if expire != nil {
		l.expire = expire
	}
	l.ttl = ttl
	l.mu.Unlock()
	l.touch()
}

// touch is a sign of life.
func (l *lease) touch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.until = time.Time{}
	if l.ttl == 0 || l.stopped {
		return
	}
	l.until = time.Now().Add(l.ttl)
	var timer *time.Timer
	timer = time.AfterFunc(l.ttl, func() { l.ring(&timer) })
	l.timer = timer
}

// ring runs when the timer fired, unless a touch came first.
func (l *lease) ring(timer **time.Timer) {
	l.mu.Lock()
	stale := l.timer != *timer
	if !stale {
		l.timer, l.until = nil, time.Time{}
	}
	l.mu.Unlock()
	if !stale && l.expire() {
		l.mu.Lock()
		l.expired++
		l.mu.Unlock()
	}
}

func (l *lease) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

func (l *lease) state(epoch string) LeaseState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LeaseState{Epoch: epoch, TTLMS: l.ttl.Milliseconds(), Expired: l.expired}
	if !l.until.IsZero() {
		s.RemainingMS = max(0, time.Until(l.until).Milliseconds())
	}
	return s
}
