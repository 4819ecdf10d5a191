package orders

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"chaos/targets/payments/telemetry"
)

const (
	sweepPoll = 500 * time.Millisecond
	sweepers  = 16
	// firstAgain doubles with each try, up to longestAgain.
	firstAgain   = 500 * time.Millisecond
	longestAgain = 3 * time.Second
)

// sweeper takes orders that nobody holds one step further. The rows are the
// queue: one that dies loses nothing, its leases run out.
//
//	PENDING ─▶ ask payments with the same key ─▶ PAID | CANCELLED | later
//	PAID, no stock in time ─▶ COMPENSATING
//	COMPENSATING ─▶ refund ─▶ CANCELLED | later
type sweeper struct {
	service *Service
	wake    chan struct{}
	places  chan struct{}
	work    sync.WaitGroup

	mu  sync.Mutex
	rng *rand.Rand
}

func newSweeper(v *Service) *sweeper {
	return &sweeper{service: v, wake: make(chan struct{}, 1), places: make(chan struct{}, sweepers), rng: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))}
}

func (s *sweeper) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// again is when an order is looked at next: soon at first, then less and less
// often, spread so that many of them do not come together.
func (s *sweeper) again(tries int) time.Duration {
	d := min(longestAgain, firstAgain<<min(max(tries-1, 0), 8))
	s.mu.Lock()
	defer s.mu.Unlock()
	return d/2 + time.Duration(s.rng.Int64N(int64(d/2)))
}

func (s *sweeper) run(ctx context.Context) {
	defer s.work.Wait()
	poll := time.NewTicker(sweepPoll)
	defer poll.Stop()
	for {
		s.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case <-s.wake:
		}
	}
}

// round claims as many orders as there are free places.
func (s *sweeper) round(ctx context.Context) {
	v := s.service
	free := cap(s.places) - len(s.places)
	if free == 0 {
		return
	}
	orders, err := v.store.claim(ctx, free, v.set.OrderPayTimeout+leaseSlack)
	if err != nil {
		if ctx.Err() == nil {
			v.warn(ctx, "sweeper waits for the database", err, Order{})
		}
		return
	}
	for _, o := range orders {
		s.places <- struct{}{}
		s.work.Add(1)
		t := telemetry.Join(o.Traceparent)
		t.Tenant = o.Tenant
		work := telemetry.WithTrace(context.WithoutCancel(ctx), t)
		go func() {
			defer s.work.Done()
			ctx, span := v.server.Start(work, "sweep order", telemetry.Inside, attribute.String("order_id", o.ID), attribute.String("state", string(o.State)))
			s.order(ctx, o)
			span.Done("")
			<-s.places
			if len(orders) == free {
				s.nudge()
			}
		}()
	}
}

func (s *sweeper) order(ctx context.Context, o Order) {
	v := s.service
	switch o.State {
	case Pending:
		v.pay(ctx, o, v.set.OrderPayTimeout)
	case Paid:
		if !v.set.Compensation {
			v.hold(ctx, o)
			return
		}
		o = v.advance(ctx, o, step{from: []State{Paid}, to: Compensating, reason: reasonWaited}, "")
		if o.State == Compensating {
			v.refund(ctx, o)
		}
	case Compensating:
		v.refund(ctx, o)
	}
}

// hold waits on for the stock: without compensation there is nothing else.
func (v *Service) hold(ctx context.Context, o Order) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	if err := v.store.release(ctx, o.ID, "", v.stockWait); err != nil {
		v.warn(ctx, "order not released", err, o)
	}
}
