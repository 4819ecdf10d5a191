// Package guard holds the defences that stand in front of a dependency:
// circuit breaker, retry with backoff and budget, and bulkheads.
package guard

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// ErrOpen is returned instead of a call while a breaker is open.
var ErrOpen = errors.New("circuit breaker is open")

// ErrNotAsked is reported for a call that was allowed and never made: it says nothing about the
// dependency, so it must not close a half-open breaker.
var ErrNotAsked = errors.New("the dependency was not asked")

// bucketsPerWindow is how finely a breaker's window rolls.
const bucketsPerWindow = 8

// Trip says when a breaker opens and for how long. It opens when at least
// MinCalls of the last Window failed in a share of Ratio or more, or after
// Consecutive failures in a row (0 is never).
type Trip struct {
	Window      time.Duration
	MinCalls    uint32
	Ratio       float64
	Consecutive uint32
	Open        time.Duration
	Probes      uint32 // calls let through to find out whether it may close
}

// Breaker stops calls to a dependency that fails. A nil Breaker, as the switch
// makes it, lets everything through.
type Breaker struct {
	two *gobreaker.TwoStepCircuitBreaker[any]
}

// NewBreaker makes a breaker whose state is shown by the gauge (0 closed,
// 1 half-open, 2 open). onOpen may be nil; it must not call the breaker.
func NewBreaker(name string, t Trip, state *prometheus.GaugeVec, onOpen func()) *Breaker {
	gauge := state.WithLabelValues(name)
	return &Breaker{gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:         name,
		MaxRequests:  max(1, t.Probes),
		Interval:     t.Window,
		BucketPeriod: t.Window / bucketsPerWindow,
		Timeout:      t.Open,
		IsExcluded:   func(err error) bool { return errors.Is(err, ErrNotAsked) },
		ReadyToTrip: func(c gobreaker.Counts) bool {
			if t.Consecutive > 0 && c.ConsecutiveFailures >= t.Consecutive {
				return true
			}
			return c.Requests >= t.MinCalls && float64(c.TotalFailures) >= t.Ratio*float64(c.Requests)
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			gauge.Set(float64(to))
			if from == gobreaker.StateClosed && to == gobreaker.StateOpen && onOpen != nil {
				onOpen()
			}
		},
	})}
}

// Allow asks for one call. The caller must report its outcome: nil is success.
func (b *Breaker) Allow() (func(error), error) {
	if b == nil {
		return func(error) {}, nil
	}
	done, err := b.two.Allow()
	if err != nil {
		return nil, ErrOpen
	}
	return done, nil
}

// State says how it stands, for spans.
func (b *Breaker) State() string {
	if b == nil {
		return "none"
	}
	return b.two.State().String()
}

// Room bounds a batch of calls by what the breaker would let through: all of
// them, a few probes, or none.
func (b *Breaker) Room(n int) int {
	if b == nil {
		return n
	}
	switch b.two.State() {
	case gobreaker.StateClosed:
		return n
	case gobreaker.StateHalfOpen:
		return min(n, 1)
	default:
		return 0
	}
}
