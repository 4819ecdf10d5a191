package guard

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"chaos/targets/payments/switches"
)

const (
	// backoffBase · 2^n is the n-th wait.
	backoffBase = 100 * time.Millisecond
	// backoffCap bounds one wait.
	backoffCap = 5 * time.Second
	// seedSpread is what the "seed" jitter adds at most.
	seedSpread = 100 * time.Millisecond
	// budgetBurst is how many retries a budget saves up at most.
	budgetBurst = 10
)

// Retry decides whether and when a failed call is tried again.
type Retry struct {
	Attempts int
	backoff  bool
	jitter   switches.Jitter
	ratio    float64

	mu     sync.Mutex
	rng    *rand.Rand
	tokens float64
}

// NewRetry makes the retry rule of one dependency.
func NewRetry(s switches.Set, seed uint64) *Retry {
	return &Retry{
		Attempts: s.RetryAttempts, backoff: s.RetryBackoff, jitter: s.RetryJitter, ratio: s.RetryBudget,
		rng: rand.New(rand.NewPCG(seed, 1)), tokens: budgetBurst * s.RetryBudget,
	}
}

// First pays into the budget: called once per operation.
func (r *Retry) First() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = min(budgetBurst, r.tokens+r.ratio)
}

// Again takes a retry from the budget. attempt counts from 1: the tries made.
func (r *Retry) Again(attempt int) bool {
	if attempt >= r.Attempts {
		return false
	}
	if r.ratio == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}

// Delay is the wait after the attempt-th try (counted from 1).
func (r *Retry) Delay(attempt int) time.Duration {
	if !r.backoff {
		return 0
	}
	d := min(backoffCap, backoffBase<<min(attempt-1, 16))
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.jitter {
	case switches.JitterFull:
		return time.Duration(r.rng.Float64() * float64(d))
	case switches.JitterSeed:
		return d + time.Duration(r.rng.Float64()*float64(seedSpread))
	default:
		return d
	}
}

// Pause waits d unless the context ends first; then it returns the cause.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
