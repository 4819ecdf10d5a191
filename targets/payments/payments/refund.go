package payments

import (
	"context"
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

// refund is POST /v1/refunds. The row is the promise: what cannot be done at
// once is done by the background (durable), or is left alone (sync).
func (v *Service) refund(w http.ResponseWriter, r *http.Request) {
	var body wire.RefundRequest
	key := r.Header.Get(wire.IdempotencyHeader)
	err := wire.Read(r, &body)
	if err == nil {
		err = checkKey(key)
	}
	if err == nil && (body.PaymentID == "" || body.AmountMinor <= 0) {
		err = errors.New("payment_id and a positive amount_minor are required")
	}
	if err != nil {
		wire.Refuse(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	t, _ := telemetry.TraceOf(r.Context())
	ctx := context.WithoutCancel(r.Context())
	ref, made, err := v.store.CreateRefund(ctx, ledger.RefundOrder{
		ID: uuid.NewString(), PaymentID: body.PaymentID, Tenant: t.Tenant, ClientKey: key, TraceID: t.ID, Traceparent: t.Header(), AmountMinor: body.AmountMinor,
		Unique: v.set.IdempotencyAPI, Fingerprint: fingerprint(body), Hold: v.set.PSPTimeout + finishTime + leaseSlack,
		AllowPending: v.set.AcceptMode != switches.AcceptSync,
	})
	switch {
	case err != nil:
		v.refuse(w, r, err)
	case !made && ref.InRequest && ref.State == ledger.RefundPending:
		w.Header().Set("Retry-After", "1")
		wire.Refuse(w, http.StatusConflict, "in_progress", "the first request with this key is still being processed")
	case made && ref.InRequest:
		v.refundNow(ctx, w, ref)
	default:
		if made {
			v.engine.nudge()
		}
		v.answerRefund(w, ref)
	}
}

// refundNow asks the processor while the client waits.
func (v *Service) refundNow(ctx context.Context, w http.ResponseWriter, ref ledger.Refund) {
	out := outcome{result: notSent, reason: "bulkhead"}
	leave, err := func() {}, error(nil)
	if v.shared == nil {
		leave, err = v.refunds.Enter(ctx)
	}
	if err == nil {
		defer leave()
		permit, open := v.processor.request.Allow()
		if out.reason = "breaker"; open == nil {
			out = v.processor.post(ctx, v.refundCall(ref, v.processor.request), permit)
		}
	}
	v.concludeRefund(ctx, &ref, out)
	if ref.State == ledger.RefundPending && v.set.AcceptMode == switches.AcceptSync {
		wire.Refuse(w, http.StatusBadGateway, "outcome_unknown", "the processor did not answer: "+out.reason)
		return
	}
	v.answerRefund(w, ref)
}

func (v *Service) refundCall(r ledger.Refund, b *guard.Breaker) call {
	c := call{
		path: "/refunds", key: r.ID, breaker: b, timeout: v.set.PSPTimeout, total: v.set.PSPTimeout + syncSlack, tries: v.set.RetryAttempts,
		body: wire.ChargeRequest{Reference: r.PaymentID, OrderKey: r.OrderKey, AmountMinor: r.AmountMinor},
	}
	if !v.set.DeadlinePropagation {
		c.total = c.timeout * time.Duration(c.tries)
	}
	return c
}

// concludeRefund writes what the processor said, or hands the refund on.
func (v *Service) concludeRefund(ctx context.Context, r *ledger.Refund, out outcome) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	if out.result != charged {
		if out.result == missing {
			v.server.Metrics.Mismatches.Inc()
			v.warn(ctx, "processor knows no charge to refund", errors.New("unknown_charge"), r.PaymentID)
		}
		if err := v.store.HandOverRefund(ctx, r.ID, v.again(r.Asked)); err != nil {
			v.warn(ctx, "refund not handed over", err, r.PaymentID)
		}
		return
	}
	told := v.events.Prepare(ctx, events.Event{Type: events.PaymentRefunded, Key: r.OrderKey, Tenant: r.Tenant, OrderID: r.OrderID, PaymentID: r.PaymentID,
		RefundID: r.ID, AmountMinor: r.AmountMinor, Currency: r.Currency})
	p, changed, err := v.store.FinishRefund(ctx, *r, told.Rows...)
	if err != nil {
		v.warn(ctx, "refund not written", err, r.PaymentID)
		return
	}
	r.State = ledger.RefundDone
	if changed {
		told.After(ctx)
		v.server.Metrics.Refunds.WithLabelValues("done").Inc()
		v.remember(ctx, p)
	}
}

func (v *Service) answerRefund(w http.ResponseWriter, r ledger.Refund) {
	code, state := http.StatusAccepted, "pending"
	switch r.State {
	case ledger.RefundDone:
		code, state = http.StatusCreated, "refunded"
	case ledger.RefundFailed:
		v.server.Metrics.Refunds.WithLabelValues("failed").Inc()
		wire.Refuse(w, http.StatusUnprocessableEntity, "declined", "a declined payment cannot be refunded")
		return
	}
	telemetry.Describe(w, "", r.PaymentID)
	wire.Write(w, code, wire.Refund{ID: r.ID, PaymentID: r.PaymentID, State: state, AmountMinor: r.AmountMinor})
}
