package vegeta

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"chaos/internal/journal"
)

// arrivals is an analytic schedule: the n-th due time depends on the seed alone, never on how long a
// request took.
type arrivals struct {
	start time.Duration
	gap   float64    // mean seconds between two arrivals
	rng   *rand.Rand // nil = constant
	n     uint64
	at    float64 // seconds since start
}

// newArrivals starts a schedule: its first arrival is one gap after start.
func newArrivals(process string, rate float64, start time.Duration, rng *rand.Rand) *arrivals {
	a := &arrivals{start: start, gap: 1 / rate}
	if process == Poisson {
		a.rng = rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
	}
	return a
}

// next is the due time of the next arrival.
func (a *arrivals) next() time.Duration {
	a.n++
	if a.rng == nil {
		a.at = float64(a.n) * a.gap // not a sum: no drift
	} else {
		a.at += a.rng.ExpFloat64() * a.gap
	}
	return a.start + max(1, time.Duration(a.at*float64(time.Second)))
}

// request is one planned request. All that is random in it follows from its trace id, so that a
// replay can be made from what the journal keeps.
type request struct {
	seq   uint64
	due   time.Duration
	trace journal.ID
}

// plan hands out the requests of one run in order, and remembers those that the pacer let go but no
// worker has taken yet.
type plan struct {
	mu      sync.Mutex
	from    *arrivals
	rng     *rand.Rand
	head    request // the next one
	waiting map[uint64]request
}

func newPlan(from *arrivals, rng *rand.Rand) *plan {
	p := &plan{from: from, rng: rng, waiting: make(map[uint64]request)}
	p.head = p.draw(0)
	return p
}

func (p *plan) draw(seq uint64) request {
	return request{seq: seq, due: p.from.next(), trace: newTrace(p.rng)}
}

// newTrace draws a W3C trace id, which must not be zero.
func newTrace(rng *rand.Rand) (id journal.ID) {
	hi, lo := rng.Uint64(), rng.Uint64()|1
	for i := range 8 {
		id[i], id[8+i] = byte(hi>>(56-8*i)), byte(lo>>(56-8*i))
	}
	return id
}

// due is when the next request is due.
func (p *plan) due() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.head.due
}

// release lets the next request go: a worker may take it now.
func (p *plan) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[p.head.seq] = p.head
	p.head = p.draw(p.head.seq + 1)
}

// take gives a released request to a worker, once.
func (p *plan) take(seq uint64) (request, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.waiting[seq]
	delete(p.waiting, seq)
	return r, ok
}

// remaining gives away what was due before stop and never taken: what was released without a worker
// to take it, then what the pacer never came to.
func (p *plan) remaining(stop time.Duration, use func(request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(p.waiting)) {
		use(p.waiting[seq])
	}
	clear(p.waiting)
	for ; p.head.due < stop; p.head = p.draw(p.head.seq + 1) {
		use(p.head)
	}
}

// lastChance is how long after the end of the load a request is still sent that was due before it:
// a pacer that wakes a few milliseconds late must not count as requests that were never sent.
const lastChance = 50 * time.Millisecond

// pacer implements Vegeta's Pacer. It waits inside Pace, where it can be interrupted, and always
// returns 0: Vegeta's own sleep can't be.
type pacer struct {
	ctx    context.Context
	plan   *plan
	now    func() time.Duration
	rate   float64
	timer  *time.Timer
	stopAt func() time.Duration // the end of the load: fixed by the first call, which is made when ctx is done
}

func newPacer(ctx context.Context, p *plan, now func() time.Duration, rate float64) *pacer {
	timer := time.NewTimer(0)
	timer.Stop()
	return &pacer{ctx: ctx, plan: p, now: now, rate: rate, timer: timer, stopAt: sync.OnceValue(now)}
}

// Pace returns when the next request is due, or says stop when ctx is done and nothing is due any more.
func (p *pacer) Pace(time.Duration, uint64) (wait time.Duration, stop bool) {
	due := p.plan.due()
	if left := due - p.now(); left > 0 && p.ctx.Err() == nil {
		p.timer.Reset(left)
		select {
		case <-p.timer.C:
		case <-p.ctx.Done():
		}
	}
	if p.ctx.Err() != nil {
		if end := p.stopAt(); due >= end || p.now() > end+lastChance {
			return 0, true
		}
	}
	p.plan.release()
	return 0, false
}

// Rate implements Vegeta's Pacer.
func (p *pacer) Rate(time.Duration) float64 { return p.rate }

func (p *pacer) close() { p.timer.Stop() }
