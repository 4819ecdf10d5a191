package payments

import (
	"context"
	"sync/atomic"

	"chaos/targets/payments/ledger"
	"chaos/targets/payments/telemetry"
)

// memqueue is the accept mode of the story: W workers behind a channel of K
// places. It loses what does not fit, silently, and everything when the
// process ends.
type memqueue struct {
	service *Service
	places  chan ledger.Payment
	busy    atomic.Int64
}

func newMemqueue(v *Service) *memqueue {
	return &memqueue{service: v, places: make(chan ledger.Payment, v.set.MemqueueDepth)}
}

func (q *memqueue) start(ctx context.Context) {
	for range q.service.set.MemqueueWorkers {
		go q.work(ctx)
	}
}

// offer drops the payment when the queue is full. That is the bug.
func (q *memqueue) offer(p ledger.Payment) {
	select {
	case q.places <- p:
	default:
	}
}

// depth is the work that the queue knows about; dropped payments are not in it.
func (q *memqueue) depth() int { return len(q.places) + int(q.busy.Load()) }

func (q *memqueue) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-q.places:
			q.busy.Add(1)
			q.service.server.Metrics.Inflight.WithLabelValues("memqueue").Inc()
			q.charge(context.WithoutCancel(ctx), p)
			q.service.server.Metrics.Inflight.WithLabelValues("memqueue").Dec()
			q.busy.Add(-1)
		}
	}
}

func (q *memqueue) charge(ctx context.Context, p ledger.Payment) {
	v := q.service
	t := telemetry.Join(p.Traceparent)
	t.Tenant = p.Tenant
	ctx, span := v.server.Start(telemetry.WithTrace(ctx, t), "queue worker", telemetry.Inside)
	defer span.Done("")
	permit, err := v.processor.request.Allow()
	out := outcome{result: notSent, reason: "breaker"}
	if err == nil {
		out = v.processor.post(ctx, v.charge(p, v.processor.request, v.set.PSPTimeout), permit)
	}
	v.conclude(ctx, &p, out)
	if p.State == ledger.Captured {
		v.refundsOf(ctx, p)
	}
}

// refundsOf does the refunds that came before the payment was captured.
func (v *Service) refundsOf(ctx context.Context, p ledger.Payment) {
	rs, err := v.store.RefundsOf(ctx, p.ID)
	if err != nil {
		v.warn(ctx, "refunds not read", err, p.ID)
		return
	}
	for _, r := range rs {
		if permit, err := v.processor.request.Allow(); err == nil {
			v.concludeRefund(ctx, &r, v.processor.post(ctx, v.refundCall(r, v.processor.request), permit))
		}
	}
}
