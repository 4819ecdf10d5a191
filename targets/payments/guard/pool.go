package guard

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"chaos/targets/payments/telemetry"
)

// ErrFull is returned when a pool has no place and no room to wait.
var ErrFull = errors.New("pool is full")

// Pool is a bulkhead: a number of places, and a queue of callers that may wait
// for one in the order they came.
type Pool struct {
	name    string
	places  chan struct{}
	waiting atomic.Int64
	queue   int64
	patient time.Duration
	metrics *telemetry.Metrics
}

// Unbounded as a queue lets any number of callers wait.
const Unbounded = -1

// NewPool makes a pool of places with a queue of at most queue callers that
// wait at most patient (0 is for ever).
func NewPool(name string, places, queue int, patient time.Duration, m *telemetry.Metrics) *Pool {
	return &Pool{name: name, places: make(chan struct{}, places), queue: int64(queue), patient: patient, metrics: m}
}

// Enter takes a place; leave gives it back. ErrFull means that there was none
// within the pool's limits.
func (p *Pool) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case p.places <- struct{}{}:
	default:
		if err := p.wait(ctx); err != nil {
			return nil, err
		}
	}
	g := p.metrics.Inflight.WithLabelValues(p.name)
	g.Inc()
	return func() { <-p.places; g.Dec() }, nil
}

func (p *Pool) wait(ctx context.Context) error {
	if n := p.waiting.Add(1); p.queue != Unbounded && n > p.queue {
		p.waiting.Add(-1)
		return ErrFull
	}
	start := time.Now()
	defer func() { p.waiting.Add(-1); p.metrics.Waited(p.name, start) }()
	var late <-chan time.Time
	if p.patient > 0 {
		t := time.NewTimer(p.patient)
		defer t.Stop()
		late = t.C
	}
	select {
	case p.places <- struct{}{}:
		return nil
	case <-late:
		return ErrFull
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Busy is how many places are taken.
func (p *Pool) Busy() int { return len(p.places) }

// Share is which share of the places is taken.
func (p *Pool) Share() float64 { return float64(len(p.places)) / float64(cap(p.places)) }

// Held is how many callers have a place or wait for one.
func (p *Pool) Held() int { return len(p.places) + int(p.waiting.Load()) }
