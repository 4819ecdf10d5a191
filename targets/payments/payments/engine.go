package payments

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"chaos/targets/payments/guard"
	"chaos/targets/payments/ledger"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
)

const (
	// pollInterval is how often due work is looked for when nothing nudges.
	pollInterval = 250 * time.Millisecond
	// pollGap is the least time between two looks.
	pollGap = 20 * time.Millisecond
	// longestGap bounds the wait before an open payment is looked at again.
	longestGap = 3 * time.Second
	// refundShare: one round in so many begins with refunds.
	refundShare = 4
)

// engine finishes in the background what requests left open. The rows are the
// queue: an engine that dies loses nothing, its leases run out.
//
//	claim ─▶ asked before? ─▶ ask the processor ─▶ charged, declined: settle
//	  │ never                     └─ underway: later; missing: charge
//	  └──────────────────────────▶ charge ─▶ settle, or UNKNOWN and later
type engine struct {
	service *Service
	wake    chan struct{}
	places  chan struct{}
	work    sync.WaitGroup
	rounds  int // of run alone

	mu  sync.Mutex
	rng *rand.Rand
}

func newEngine(v *Service) *engine {
	return &engine{
		service: v, wake: make(chan struct{}, 1), places: make(chan struct{}, v.set.BackgroundWorkers),
		rng: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2)),
	}
}

// nudge says that there may be work now.
func (e *engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// spread is a time in [d/2, d), bounded by longestGap.
func (e *engine) spread(d time.Duration) time.Duration {
	d = min(d, longestGap)
	e.mu.Lock()
	defer e.mu.Unlock()
	return d/2 + time.Duration(e.rng.Int64N(int64(d/2)))
}

// draw is a number in [0, 1).
func (e *engine) draw() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rng.Float64()
}

// states are the payments that the switches let the background take. Memqueue
// has no claim on its rows: what the queue lost stays lost.
func (e *engine) states() []ledger.State {
	set := e.service.set
	switch {
	case set.AcceptMode == switches.AcceptDurable && set.Reconcile, set.AcceptMode == switches.AcceptSync && set.Reconcile:
		return []ledger.State{ledger.Initiated, ledger.Unknown}
	case set.AcceptMode == switches.AcceptDurable:
		return []ledger.State{ledger.Initiated}
	case set.Reconcile:
		return []ledger.State{ledger.Unknown}
	}
	return nil
}

func (e *engine) run(ctx context.Context) {
	states := e.states()
	if len(states) == 0 {
		<-ctx.Done()
		return
	}
	defer e.work.Wait()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		e.round(ctx, states)
		if guard.Pause(ctx, pollGap) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case <-e.wake:
		}
	}
}

// round claims as much as there are free places. Every refundShare-th round begins with refunds, so that
// a backlog of payments, which takes every place that comes free, can't starve them.
func (e *engine) round(ctx context.Context, states []ledger.State) {
	v := e.service
	lease := v.set.PSPBackgroundTimeout + finishTime + leaseSlack
	free := v.processor.background.Room(cap(e.places) - len(e.places))
	if free == 0 {
		return
	}
	e.rounds++
	durable := v.set.AcceptMode == switches.AcceptDurable
	refundsFirst := durable && e.rounds%refundShare == 0
	if refundsFirst {
		free -= e.claimRefunds(ctx, free, lease)
	}
	if free > 0 {
		free -= e.claimPayments(ctx, states, free, lease)
	}
	if durable && !refundsFirst && free > 0 {
		e.claimRefunds(ctx, free, lease)
	}
}

// claimPayments starts on at most free payments and returns how many.
func (e *engine) claimPayments(ctx context.Context, states []ledger.State, free int, lease time.Duration) int {
	ps, err := e.service.store.Claim(ctx, states, free, lease)
	if err != nil {
		e.failed(ctx, "claim payments", err)
		return 0
	}
	for _, p := range ps {
		e.spawn(ctx, "settle payment", p.Traceparent, p.Tenant, func(ctx context.Context) { e.payment(ctx, p) })
	}
	if free-len(ps) < refundShare && len(ps) > 0 {
		e.nudge()
	}
	return len(ps)
}

// claimRefunds is claimPayments for refunds.
func (e *engine) claimRefunds(ctx context.Context, free int, lease time.Duration) int {
	rs, err := e.service.store.ClaimRefunds(ctx, free, lease)
	if err != nil {
		e.failed(ctx, "claim refunds", err)
		return 0
	}
	for _, r := range rs {
		e.spawn(ctx, "settle refund", r.Traceparent, r.Tenant, func(ctx context.Context) { e.refund(ctx, r) })
	}
	return len(rs)
}

func (e *engine) failed(ctx context.Context, doing string, err error) {
	if ctx.Err() == nil {
		e.service.server.Log.WarnContext(ctx, "background waits for the books", "reason", err.Error(), "dependency", "postgres", "outcome", doing)
	}
}

// spawn does one piece of work beside the others. It goes on when the node is
// told to stop: the node waits for it.
func (e *engine) spawn(ctx context.Context, what, traceparent, tenant string, do func(context.Context)) {
	e.places <- struct{}{}
	e.work.Add(1)
	g := e.service.server.Metrics.Inflight.WithLabelValues("background")
	g.Inc()
	t := telemetry.Join(traceparent)
	t.Tenant = tenant
	ctx = telemetry.WithTrace(context.WithoutCancel(ctx), t)
	go func() {
		defer e.work.Done()
		ctx, span := e.service.server.Start(ctx, what, telemetry.Inside)
		do(ctx)
		span.Done("")
		g.Dec()
		<-e.places
		e.nudge()
	}()
}

// payment brings one claimed payment forward. Asking counts for the breaker
// like charging: either shows whether the processor is there.
func (e *engine) payment(ctx context.Context, p ledger.Payment) {
	v := e.service
	permit, err := v.processor.background.Allow()
	if err != nil {
		e.putBack(ctx, p)
		return
	}
	if p.Asked > 0 && v.set.Reconcile {
		known, err := v.processor.ask(ctx, p.ID)
		if err != nil {
			permit(err)
			v.warn(ctx, "processor not asked", err, p.ID)
			v.conclude(ctx, &p, outcome{result: uncertain, reason: "ask"})
			return
		}
		if known.result != missing {
			permit(nil)
			if known.result == charged || known.result == declined {
				v.server.Metrics.Mismatches.Inc()
			}
			v.conclude(ctx, &p, known)
			return
		}
	}
	c := v.charge(p, v.processor.background, v.set.PSPBackgroundTimeout)
	c.tries = 1 // the next look is the retry
	v.conclude(ctx, &p, v.processor.post(ctx, c, permit))
}

func (e *engine) putBack(ctx context.Context, p ledger.Payment) {
	if err := e.service.store.HandOver(ctx, p.ID, false, e.spread(firstAsk)); err != nil {
		e.service.warn(ctx, "payment not handed over", err, p.ID)
	}
}

func (e *engine) refund(ctx context.Context, r ledger.Refund) {
	v := e.service
	if r.PaymentState == ledger.Declined {
		if err := v.store.FailRefund(ctx, r.ID, "payment declined"); err != nil {
			v.warn(ctx, "refund not ended", err, r.PaymentID)
		}
		v.server.Metrics.Refunds.WithLabelValues("failed").Inc()
		return
	}
	permit, err := v.processor.background.Allow()
	if err != nil {
		v.concludeRefund(ctx, &r, outcome{result: notSent, reason: "breaker"})
		return
	}
	c := v.refundCall(r, v.processor.background)
	c.timeout, c.total, c.tries = v.set.PSPBackgroundTimeout, v.set.PSPBackgroundTimeout+syncSlack, 1
	v.concludeRefund(ctx, &r, v.processor.post(ctx, c, permit))
}
