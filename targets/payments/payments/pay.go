package payments

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"chaos/targets/payments/events"
	"chaos/targets/payments/guard"
	"chaos/targets/payments/ledger"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

// pay is POST /v1/payments.
//
//	durable   place and breaker ok ─▶ row ─▶ charge ─▶ 201 | 402
//	          else, or no answer in time ─────────────▶ 202, the background goes on
//	sync      row ─▶ charge ─▶ 201 | 402, no answer: 502
//	memqueue  row ─▶ queue in memory (full: gone) ────▶ 202
func (v *Service) pay(w http.ResponseWriter, r *http.Request) {
	var body wire.PaymentRequest
	key := r.Header.Get(wire.IdempotencyHeader)
	err := wire.Read(r, &body)
	if err == nil {
		err = body.Check()
	}
	if err == nil {
		err = checkKey(key)
	}
	if err != nil {
		wire.Refuse(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	t, _ := telemetry.TraceOf(r.Context())
	o := ledger.Order{
		Payment: ledger.Payment{ID: uuid.NewString(), Tenant: t.Tenant, ClientKey: key, AmountMinor: body.AmountMinor, Currency: body.Currency,
			CardToken: body.CardToken, Merchant: body.Merchant, TraceID: t.ID, Traceparent: t.Header(), OrderID: body.OrderID, SKU: body.SKU, Qty: body.Qty},
		Unique: v.set.IdempotencyAPI, Fingerprint: fingerprint(body),
	}
	if v.set.AcceptMode == switches.AcceptMemqueue {
		v.payByQueue(w, r, o)
		return
	}
	permit, leave, err := v.admit(r.Context())
	switch {
	case err == nil:
		defer leave()
		v.payNow(w, r, o, permit)
	case v.set.AcceptMode == switches.AcceptDurable && v.set.DegradePSP:
		v.payLater(w, r, o)
	default:
		v.shed(w, err.Error())
	}
}

// admit asks for everything that a synchronous charge needs.
func (v *Service) admit(ctx context.Context) (permit func(error), leave func(), err error) {
	leave = func() {}
	if v.shared == nil {
		if leave, err = v.sync.Enter(ctx); err != nil {
			return nil, nil, errors.New("bulkhead")
		}
	}
	if permit, err = v.processor.request.Allow(); err != nil {
		leave()
		return nil, nil, errors.New("breaker")
	}
	return permit, leave, nil
}

// payNow charges while the client waits. Once the row is written the work goes
// on whether or not the client does.
func (v *Service) payNow(w http.ResponseWriter, r *http.Request, o ledger.Order, permit func(error)) {
	budget := v.set.PSPTimeout
	if left, ok := v.deadline.Left(r.Header); ok && v.set.DeadlinePropagation {
		budget = min(budget, left)
	}
	o.InRequest, o.Hold = true, v.set.PSPTimeout+finishTime+leaseSlack
	ctx := context.WithoutCancel(r.Context())
	p, made, err := v.store.Create(ctx, o)
	if err != nil || !made {
		permit(guard.ErrNotAsked)
		v.replay(w, r, p, err)
		return
	}
	out := v.processor.post(ctx, v.charge(p, v.processor.request, budget), permit)
	v.conclude(ctx, &p, out)
	switch {
	case p.State == ledger.Captured || p.State == ledger.Declined || v.set.AcceptMode == switches.AcceptDurable && v.set.DegradePSP:
		v.answer(w, p)
	default:
		telemetry.Describe(w, "", p.ID)
		wire.Refuse(w, http.StatusBadGateway, "outcome_unknown", "the processor did not answer: "+out.reason)
	}
}

func (v *Service) charge(p ledger.Payment, b *guard.Breaker, timeout time.Duration) call {
	c := call{
		path: "/charges", key: p.ID, breaker: b, timeout: timeout, total: timeout + syncSlack, tries: v.set.RetryAttempts,
		body: wire.ChargeRequest{Reference: p.ID, OrderKey: p.ClientKey, AmountMinor: p.AmountMinor, Currency: p.Currency, CardToken: p.CardToken},
	}
	if !v.set.DeadlinePropagation {
		c.total = timeout * time.Duration(c.tries)
	}
	return c
}

// conclude writes what the processor said. An uncertain payment is UNKNOWN
// until the processor was asked; only its word makes DECLINED.
func (v *Service) conclude(ctx context.Context, p *ledger.Payment, out outcome) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	switch out.result {
	case charged, declined:
		to, what := ledger.Captured, events.PaymentCaptured
		if out.result == declined {
			to, what = ledger.Declined, events.PaymentFailed
		}
		told := v.events.Prepare(ctx, events.Event{Type: what, Key: p.ClientKey, Tenant: p.Tenant, OrderID: p.OrderID, PaymentID: p.ID,
			AmountMinor: p.AmountMinor, Currency: p.Currency, SKU: p.SKU, Qty: p.Qty, Reason: out.reason})
		after, changed, err := v.store.Settle(ctx, p.ID, to, out.pspID, out.reason, told.Rows...)
		if err != nil {
			// The row stays as it is; its lease runs out and the processor is asked.
			v.warn(ctx, "outcome not written", err, p.ID)
			return
		}
		*p = after
		if changed {
			told.After(ctx)
			v.server.Metrics.PaymentSettled(to == ledger.Captured, p.AmountMinor)
			v.remember(ctx, *p)
		}
	default:
		unsure := out.result != notSent
		if err := v.store.HandOver(ctx, p.ID, unsure, v.again(p.Asked)); err != nil {
			v.warn(ctx, "payment not handed over", err, p.ID)
			return
		}
		if unsure {
			p.State = ledger.Unknown
		}
		v.engine.nudge()
	}
}

// again is when an open payment is looked at next: soon at first, then less
// and less often, spread so that many of them do not come together.
func (v *Service) again(asked int) time.Duration {
	return v.engine.spread(firstAsk << min(max(asked-1, 0), 8))
}

// payLater accepts for the background: the row is the promise.
func (v *Service) payLater(w http.ResponseWriter, r *http.Request, o ledger.Order) {
	p, made, err := v.store.Create(context.WithoutCancel(r.Context()), o)
	if err != nil || !made {
		v.replay(w, r, p, err)
		return
	}
	v.engine.nudge()
	v.answer(w, p)
}

// payByQueue is the incident: the answer does not depend on whether the queue
// took the payment, and nothing tells of the ones that it did not take.
func (v *Service) payByQueue(w http.ResponseWriter, r *http.Request, o ledger.Order) {
	p, made, err := v.store.Create(context.WithoutCancel(r.Context()), o)
	if err != nil || !made {
		v.replay(w, r, p, err)
		return
	}
	v.queue.offer(p)
	v.answer(w, p)
}

// replay answers for a key that was used before, or a failed creation.
func (v *Service) replay(w http.ResponseWriter, r *http.Request, p ledger.Payment, err error) {
	switch {
	case err != nil:
		v.refuse(w, r, err)
	case p.InRequest && p.State == ledger.Initiated:
		w.Header().Set("Retry-After", "1")
		telemetry.Describe(w, "", p.ID)
		wire.Refuse(w, http.StatusConflict, "in_progress", "the first request with this key is still being processed")
	default:
		if p.State == ledger.Refunding || p.State == ledger.Refunded {
			p.State = ledger.Captured // the answer to the payment does not change by its refund
		}
		v.answer(w, p)
	}
}

// answer is the body and code of a payment that was taken.
func (v *Service) answer(w http.ResponseWriter, p ledger.Payment) {
	code := http.StatusAccepted
	switch p.State {
	case ledger.Captured:
		code = http.StatusCreated
	case ledger.Declined:
		code = http.StatusPaymentRequired
	}
	if code != http.StatusPaymentRequired {
		v.server.Metrics.Accepted.Inc()
	}
	w.Header().Set("Location", "/v1/payments/"+p.ID)
	telemetry.Describe(w, p.Reason, p.ID)
	wire.Write(w, code, view(p))
}

// refuse answers for an error of the books.
func (v *Service) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		wire.Refuse(w, http.StatusNotFound, "not_found", "there is no such payment")
	case errors.Is(err, ledger.ErrKeyReused):
		wire.Refuse(w, http.StatusUnprocessableEntity, "key_reused", "this key came with another body before")
	case errors.Is(err, ledger.ErrDeclined):
		wire.Refuse(w, http.StatusUnprocessableEntity, "declined", "a declined payment cannot be refunded")
	case errors.Is(err, ledger.ErrOverRefund):
		wire.Refuse(w, http.StatusUnprocessableEntity, "over_refund", "more would be refunded than was paid")
	case errors.Is(err, ledger.ErrPending):
		wire.Refuse(w, http.StatusConflict, "pending", "the payment has no outcome yet")
	default:
		v.failStore(w, r, err)
	}
}

func checkKey(key string) error {
	if key == "" || len(key) > wire.MaxKey {
		return errors.New("header Idempotency-Key of 1 to 255 characters is required")
	}
	return nil
}

// fingerprint tells whether two uses of a key mean the same.
func fingerprint(body any) string {
	data, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
