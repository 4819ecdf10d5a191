package slowdisk

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// tally is what came of it so far; who traces writes it, and who looks reads it.
type tally struct {
	passed atomic.Uint64 // beside the rest: it is counted with each system call

	mu sync.Mutex
	Answer
}

func (t *tally) now() Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.Answer
	a.Counts = maps.Clone(t.Counts)
	a.Passed = t.passed.Load()
	return a
}

// began counts a call that is held.
func (t *tally) began() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Held++
}

// lost counts one whose process has ended meanwhile.
func (t *tally) lost() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Held--
}

// done counts one that was let go.
func (t *tally) done(op string, asked, added time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Held--
	c := t.Counts[op]
	t.Counts[op] = Count{N: c.N + 1, Asked: c.Asked + asked, Added: c.Added + added}
}
