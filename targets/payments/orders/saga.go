package orders

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"chaos/targets/payments/events"
	"chaos/targets/payments/guard"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	// stockWait is how long a paid order waits for its stock before the money
	// goes back.
	stockWait = 45 * time.Second
	// askAgain is how long an order whose payment is pending waits for its event.
	askAgain = 2 * time.Second

	reasonDeclined = "declined"
	reasonWaited   = "reservation_timeout"
)

// said is what payments answered.
type said int

const (
	saidNothing said = iota // no answer, or one that settles nothing
	saidPending
	saidPaid
	saidDeclined
)

// pay asks payments to take the money, with the client's own key: asking twice
// takes it once.
func (v *Service) pay(ctx context.Context, o Order, limit time.Duration) (Order, said) {
	body, err := json.Marshal(wire.PaymentRequest{AmountMinor: o.AmountMinor, Currency: o.Currency, CardToken: o.CardToken, Merchant: o.Merchant, OrderID: o.ID, SKU: o.SKU, Qty: o.Qty})
	if err != nil { // a PaymentRequest always encodes
		return o, saidNothing
	}
	reply, err := v.call(ctx, "/v1/payments", o.ClientKey, body, limit)
	var answer wire.Payment
	if err == nil {
		_ = json.Unmarshal(reply.Body, &answer) // a refusal has no payment in it
	}
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	switch {
	case err == nil && reply.Code == http.StatusCreated:
		return v.paid(ctx, o, answer.ID), saidPaid
	case err == nil && reply.Code == http.StatusPaymentRequired:
		return v.advance(ctx, o, step{from: []State{Pending}, to: Cancelled, paymentID: answer.ID, reason: reasonDeclined}, events.OrderCancelled), saidDeclined
	}
	after, what := v.sweeper.again(o.Tries), saidNothing
	if err == nil && reply.Code == http.StatusAccepted {
		after, what = askAgain, saidPending
		o.PaymentID = answer.ID
	}
	if err := v.store.release(ctx, o.ID, o.PaymentID, after); err != nil {
		v.warn(ctx, "order not released", err, o) // its lease runs out
	}
	return o, what
}

// paid notes that the money is there.
func (v *Service) paid(ctx context.Context, o Order, paymentID string) Order {
	if v.memory != nil {
		o.PaymentID, o.State = paymentID, v.memory.raise(o.ID, Paid)
		return o
	}
	return v.advance(ctx, o, step{from: []State{Pending}, to: Paid, paymentID: paymentID, hold: v.stockWait}, "")
}

// advance makes a transition outside of an event. When it can't be written the
// order stays as it is, and its lease runs out.
func (v *Service) advance(ctx context.Context, o Order, t step, kind string) Order {
	told := events.Prepared{After: func(context.Context) {}}
	if kind != "" {
		e := o
		e.PaymentID, e.Reason = t.paymentID, t.reason
		if e.PaymentID == "" {
			e.PaymentID = o.PaymentID
		}
		told = v.events.Prepare(ctx, e.event(kind))
	}
	ctx, span := sagaStep(ctx, o.ID, t)
	after, moved, err := v.store.advance(ctx, o.ID, t, told.Rows)
	span.Done(stepOutcome(moved, err))
	if err != nil {
		v.warn(ctx, "transition not written", err, o)
		return o
	}
	if moved {
		told.After(ctx)
		v.ended(after)
	}
	return after
}

// sagaStep begins the span of a transition.
func sagaStep(ctx context.Context, id string, t step) (context.Context, telemetry.Span) {
	return telemetry.Step(ctx, "saga to "+string(t.to), telemetry.Inside, attribute.String("order_id", id), attribute.StringSlice("from", texts(t.from)), attribute.String("reason", t.reason))
}

func stepOutcome(moved bool, err error) string {
	switch {
	case moved:
		return "ok"
	case err == nil || errors.Is(err, ErrNotFound):
		return "" // the order is elsewhere already
	default:
		return "error"
	}
}

// ended counts an order that came to its end.
func (v *Service) ended(o Order) {
	if o.State == Confirmed || o.State == Cancelled {
		v.server.Metrics.Orders.WithLabelValues(map[State]string{Confirmed: "confirmed", Cancelled: "cancelled"}[o.State]).Inc()
		if v.memory != nil {
			v.memory.drop(o.ID)
		}
	}
}

// call sends one POST to payments, or as many as retry_where=all says.
func (v *Service) call(ctx context.Context, path, key string, body []byte, limit time.Duration) (wire.Reply, error) {
	v.retry.First()
	for attempt := 1; ; attempt++ {
		reply, err := v.send(ctx, path, key, body, limit, attempt)
		failed := err != nil || reply.Code >= http.StatusInternalServerError
		if !failed || !v.set.RetryEverywhere || !v.retry.Again(attempt) || guard.Pause(ctx, v.retry.Delay(attempt)) != nil {
			return reply, err
		}
	}
}

func (v *Service) send(ctx context.Context, path, key string, body []byte, limit time.Duration, attempt int) (wire.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx, span := v.server.Call(ctx, dependency, attempt)
	h := http.Header{"Content-Type": {"application/json"}, wire.IdempotencyHeader: {key}}
	if t, ok := telemetry.TraceOf(ctx); ok {
		h.Set(telemetry.TraceHeader, t.Header())
		h.Set(telemetry.TenantHeader, t.Tenant)
	}
	if v.set.DeadlinePropagation {
		v.deadline.Set(h, limit)
	}
	start := time.Now()
	reply, err := v.payments.Do(ctx, http.MethodPost, path, h, body)
	outcome := "ok"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		outcome = "timeout"
	case err != nil:
		outcome = "connection"
	case reply.Code >= http.StatusInternalServerError:
		outcome = "http_" + strconv.Itoa(reply.Code)
	}
	span.Done(outcome)
	v.server.Metrics.Attempts.WithLabelValues(dependency, strconv.Itoa(attempt), outcome).Inc()
	if outcome != "ok" {
		v.server.Log.WarnContext(ctx, "payments call failed", "dependency", dependency, "attempt", attempt, "outcome", outcome, "reason", outcome, "duration_ms", telemetry.Milliseconds(time.Since(start)))
	}
	return reply, err
}

// hear applies an event of payments or inventory to its order.
func (v *Service) hear(ctx context.Context, tx *events.Tx, e events.Event) error {
	if uuid.Validate(e.OrderID) != nil || v.memory != nil && !v.memory.has(e.OrderID) {
		return nil // not about an order, or about one that this process knows nothing of
	}
	switch e.Type {
	case events.PaymentCaptured:
		if v.memory != nil {
			v.memory.raise(e.OrderID, Paid)
			return nil
		}
		return v.apply(ctx, tx, e, step{from: []State{Pending}, to: Paid, paymentID: e.PaymentID, hold: v.stockWait}, "")
	case events.PaymentFailed:
		return v.apply(ctx, tx, e, step{from: []State{Pending}, to: Cancelled, paymentID: e.PaymentID, reason: reasonDeclined}, events.OrderCancelled)
	case events.InventoryReserved:
		return v.apply(ctx, tx, e, step{from: []State{Pending, Paid}, to: Confirmed, paymentID: e.PaymentID}, events.OrderConfirmed)
	case events.InventoryRejected:
		if !v.set.Compensation {
			return v.apply(ctx, tx, e, step{from: []State{Pending, Paid}, to: Cancelled, paymentID: e.PaymentID, reason: e.Reason}, events.OrderCancelled)
		}
		tx.AfterCommit(func(ctx context.Context) { v.compensate(ctx, e.OrderID) })
		return v.apply(ctx, tx, e, step{from: []State{Pending, Paid}, to: Compensating, paymentID: e.PaymentID, reason: e.Reason}, "")
	case events.PaymentRefunded:
		return v.apply(ctx, tx, e, step{from: []State{Compensating}, to: Cancelled}, events.OrderCancelled)
	}
	return nil // a type that newer writers have
}

// apply makes a transition and tells of it. An order that is elsewhere stays
// there: events may come late, and in another order.
func (v *Service) apply(ctx context.Context, tx *events.Tx, e events.Event, t step, kind string) error {
	ctx, span := sagaStep(ctx, e.OrderID, t)
	o, err := move(ctx, tx, e.OrderID, t, nil)
	span.Done(stepOutcome(err == nil, err))
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	tx.AfterCommit(func(context.Context) { v.ended(o) })
	if kind != "" {
		v.events.Emit(ctx, tx, o.event(kind))
	}
	return nil
}

// compensate gives the money back: by the sweeper, which does not give up, or in
// memory by a goroutine, which dies with the process.
func (v *Service) compensate(ctx context.Context, id string) {
	if v.memory == nil {
		v.sweeper.nudge()
		return
	}
	v.memory.raise(id, Compensating)
	go func() {
		for tries := 1; ; tries++ {
			o, err := v.store.get(ctx, id)
			if err == nil && v.refund(ctx, o) {
				return
			}
			if guard.Pause(ctx, v.sweeper.again(tries)) != nil {
				return
			}
		}
	}()
}

// refund asks payments to give the money of an order back. done means that the
// order is cancelled; else the event will say so, or it is asked again.
func (v *Service) refund(ctx context.Context, o Order) (done bool) {
	body, err := json.Marshal(wire.RefundRequest{PaymentID: o.PaymentID, AmountMinor: o.AmountMinor})
	if err != nil { // a RefundRequest always encodes
		return false
	}
	key := o.ClientKey
	if len(key)+len(refundSuffix) > wire.MaxKey {
		key = o.ID
	}
	reply, err := v.call(ctx, "/v1/refunds", key+refundSuffix, body, v.set.OrderPayTimeout)
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	// 422: there is nothing to give back, or it went back already.
	if err == nil && (reply.Code == http.StatusCreated || reply.Code == http.StatusUnprocessableEntity) {
		v.advance(ctx, o, step{from: []State{Compensating}, to: Cancelled}, events.OrderCancelled)
		return true
	}
	if err := v.store.release(ctx, o.ID, "", v.sweeper.again(o.Tries)); err != nil {
		v.warn(ctx, "order not released", err, o)
	}
	return false
}

// refundSuffix makes the key of an order's refund of the order's own.
const refundSuffix = ":refund"

func (v *Service) warn(ctx context.Context, msg string, err error, o Order) {
	v.server.Log.WarnContext(ctx, msg, "dependency", "postgres", "outcome", "error", "reason", err.Error(), "order_id", o.ID)
}

// memory is the naive saga: states between the beginning and the end are
// nowhere else, and end with the process.
type memory struct {
	mu     sync.Mutex
	states map[string]State
}

func (m *memory) put(id string, s State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states[id] = s
}

// raise sets the state of an order that is known and returns the state it has.
func (m *memory) raise(id string, s State) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.states[id]; known {
		m.states[id] = s
	}
	return s
}

func (m *memory) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.states[id]
	return known
}

func (m *memory) state(id string, otherwise State) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, known := m.states[id]; known {
		return s
	}
	return otherwise
}

func (m *memory) drop(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.states, id)
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.states)
}
