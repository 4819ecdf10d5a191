package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"chaos/targets/payments/events"
)

// Refund is one row, with what the processor needs of its payment.
type Refund struct {
	ID, PaymentID, OrderKey string
	State                   RefundState
	AmountMinor             int64
	TraceID, Tenant         string
	Asked                   int
	InRequest               bool
	PaymentState            State
	OrderID, Currency       string
	Traceparent             string // of the request that made it
}

// RefundOrder is a refund to be made.
type RefundOrder struct {
	ID, PaymentID, Tenant, ClientKey, TraceID, Traceparent string
	AmountMinor                                            int64
	Unique                                                 bool
	Fingerprint                                            string
	Hold                                                   time.Duration
	// AllowPending takes a refund of a payment without an outcome and keeps it
	// until there is one.
	AllowPending bool
}

const refundColumns = `r.id::text, r.payment_id::text, p.client_key, r.state, r.amount_minor, r.trace_id, r.tenant, r.asked, r.in_request AND r.held_until > now(), p.state, p.order_id, p.currency, r.traceparent`

func scanRefund(row pgx.Row) (r Refund, err error) {
	err = row.Scan(&r.ID, &r.PaymentID, &r.OrderKey, &r.State, &r.AmountMinor, &r.TraceID, &r.Tenant, &r.Asked, &r.InRequest, &r.PaymentState, &r.OrderID, &r.Currency, &r.Traceparent)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, ErrNotFound
	}
	return r, err
}

// CreateRefund writes a PENDING refund; a refund of all that is left makes a
// CAPTURED payment REFUNDING. When the key has made a refund before, that one
// is returned and made is false. Refusals: ErrNotFound, ErrDeclined,
// ErrOverRefund, ErrPending, ErrKeyReused.
func (b *Books) CreateRefund(ctx context.Context, o RefundOrder) (r Refund, made bool, err error) {
	if uuid.Validate(o.PaymentID) != nil {
		return r, false, ErrNotFound
	}
	err = b.Transact(ctx, b.Requests, "create refund", func(ctx context.Context, tx pgx.Tx) error {
		// The payment's row is locked first: refunds of one payment are made one
		// after the other, and none is made while an outcome is being written.
		p, err := scanPayment(tx.QueryRow(ctx, `SELECT `+paymentColumns+` FROM payments WHERE id = $1 FOR UPDATE`, o.PaymentID))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		missing := err != nil
		if o.Unique {
			if r, err = refundOfKey(ctx, tx, o); err == nil || !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		if missing {
			return ErrNotFound
		}
		if r, err = insertRefund(ctx, tx, o, p); err == nil {
			made = true
		}
		return err
	})
	return r, made && err == nil, err
}

func refundOfKey(ctx context.Context, tx pgx.Tx, o RefundOrder) (r Refund, err error) {
	var fingerprint, id string
	err = tx.QueryRow(ctx, `SELECT fingerprint, resource_id::text FROM idempotency_keys WHERE tenant = $1 AND kind = 'refund' AND client_key = $2`, o.Tenant, o.ClientKey).Scan(&fingerprint, &id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return r, ErrNotFound
	case err != nil:
		return r, err
	case fingerprint != o.Fingerprint:
		return r, ErrKeyReused
	}
	return scanRefund(tx.QueryRow(ctx, `SELECT `+refundColumns+` FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE r.id = $1`, id))
}

func insertRefund(ctx context.Context, tx pgx.Tx, o RefundOrder, p Payment) (Refund, error) {
	r := Refund{ID: o.ID, PaymentID: p.ID, OrderKey: p.ClientKey, State: RefundPending, AmountMinor: o.AmountMinor, TraceID: o.TraceID, Tenant: o.Tenant, PaymentState: p.State, OrderID: p.OrderID, Currency: p.Currency, Traceparent: o.Traceparent}
	pending := p.State == Initiated || p.State == Unknown
	switch {
	case p.State == Declined:
		return r, ErrDeclined
	case pending && !o.AllowPending:
		return r, ErrPending
	}
	if r.InRequest = !pending; pending {
		o.Hold = 0 // due as soon as the payment has an outcome
	}
	if o.Unique {
		// The primary key refuses the loser of a race for one key; it asks again.
		_, err := tx.Exec(ctx, `INSERT INTO idempotency_keys (tenant, kind, client_key, fingerprint, resource_id) VALUES ($1, 'refund', $2, $3, $4::uuid)`, o.Tenant, o.ClientKey, o.Fingerprint, o.ID)
		if err != nil {
			return r, err
		}
	}
	var total int64
	err := tx.QueryRow(ctx, `WITH made AS (INSERT INTO refunds (id, payment_id, tenant, client_key, state, amount_minor, trace_id, in_request, held_until, traceparent)
		VALUES ($1::uuid, $2::uuid, $3, $4, 'PENDING', $5::bigint, $6, $7, now() + $8::bigint * interval '1 microsecond', $9) RETURNING amount_minor)
		SELECT (SELECT amount_minor FROM made) + coalesce(sum(amount_minor), 0)::bigint FROM refunds WHERE payment_id = $2::uuid AND state <> 'FAILED'`,
		o.ID, p.ID, o.Tenant, o.ClientKey, o.AmountMinor, o.TraceID, r.InRequest, o.Hold.Microseconds(), o.Traceparent).Scan(&total)
	switch {
	case err != nil:
		return r, err
	case total > p.AmountMinor:
		return r, ErrOverRefund
	case total == p.AmountMinor && p.State == Captured:
		r.PaymentState = Refunding
		_, err = tx.Exec(ctx, `UPDATE payments SET state = 'REFUNDING', version = version + 1, updated_at = now() WHERE id = $1`, p.ID)
	}
	return r, err
}

// FinishRefund makes a refund DONE and books it; when all of the payment went
// back, the payment is REFUNDED. changed is false when it was final already. told
// are the events that become true with it.
func (b *Books) FinishRefund(ctx context.Context, r Refund, told ...events.Row) (p Payment, changed bool, err error) {
	err = b.Transact(ctx, b.Background, "finish refund", func(ctx context.Context, tx pgx.Tx) error {
		if p, err = scanPayment(tx.QueryRow(ctx, `SELECT `+paymentColumns+` FROM payments WHERE id = $1 FOR UPDATE`, r.PaymentID)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `WITH r AS (
			UPDATE refunds SET state = 'DONE', in_request = false, updated_at = now() WHERE id = $1 AND state = 'PENDING' RETURNING *)
			INSERT INTO ledger_entries (txn, payment_id, account, amount_minor)
			SELECT $2::uuid, r.payment_id, a.account, a.sign * r.amount_minor FROM r, (VALUES ('merchant', 1), ('psp_clearing', -1)) AS a (account, sign)`, r.ID, uuid.NewString())
		if changed = err == nil && tag.RowsAffected() > 0; !changed {
			return err
		}
		for _, e := range told {
			if _, err := tx.Exec(ctx, `INSERT INTO outbox (event_id, subject, client_key, traceparent, payload) VALUES ($1, $2, $3, $4, $5)`,
				e.EventID, e.Subject, e.Key, e.Traceparent, e.Payload); err != nil {
				return err
			}
		}
		after, err := scanPayment(tx.QueryRow(ctx, `UPDATE payments SET state = 'REFUNDED', version = version + 1, updated_at = now()
			WHERE id = $1 AND state IN ('CAPTURED', 'REFUNDING')
			AND amount_minor = (SELECT sum(amount_minor) FROM refunds WHERE payment_id = $1 AND state = 'DONE') RETURNING `+paymentColumns, r.PaymentID))
		if errors.Is(err, ErrNotFound) { // a part of it went back
			return nil
		}
		p = after
		return err
	})
	return p, changed && err == nil, err
}

// FailRefund ends a refund that can never be done.
func (b *Books) FailRefund(ctx context.Context, id, reason string) error {
	return b.updateRefund(ctx, "fail refund", `UPDATE refunds SET state = 'FAILED', reason = $2, in_request = false, updated_at = now() WHERE id = $1 AND state = 'PENDING'`, id, reason)
}

// HandOverRefund gives a refund to the background, which may take it after the
// given time.
func (b *Books) HandOverRefund(ctx context.Context, id string, after time.Duration) error {
	return b.updateRefund(ctx, "hand refund over", `UPDATE refunds SET in_request = false, held_until = now() + $2::bigint * interval '1 microsecond' WHERE id = $1 AND state = 'PENDING'`, id, after.Microseconds())
}

func (b *Books) updateRefund(ctx context.Context, doing, sql string, args ...any) error {
	return b.Use(ctx, b.Background, doing, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, sql, args...)
		return err
	})
}

// ClaimRefunds takes up to limit refunds that nobody holds and whose payment
// has an outcome, for the time of the lease. A payment that goes back as a
// whole becomes REFUNDING.
func (b *Books) ClaimRefunds(ctx context.Context, limit int, lease time.Duration) (rs []Refund, err error) {
	const claim = `WITH due AS (
		SELECT r.id FROM refunds r JOIN payments p ON p.id = r.payment_id
		WHERE r.state = 'PENDING' AND r.held_until <= now() AND p.state IN ('CAPTURED', 'REFUNDING', 'DECLINED')
		ORDER BY r.held_until LIMIT $1 FOR UPDATE OF r SKIP LOCKED),
	taken AS (
		UPDATE refunds SET held_until = now() + $2::bigint * interval '1 microsecond', asked = refunds.asked + 1, in_request = false
		FROM due WHERE refunds.id = due.id RETURNING refunds.*),
	going AS (
		UPDATE payments SET state = 'REFUNDING', version = version + 1, updated_at = now()
		WHERE state = 'CAPTURED' AND id IN (SELECT payment_id FROM taken)
		AND amount_minor = (SELECT sum(amount_minor) FROM refunds WHERE payment_id = payments.id AND state <> 'FAILED'))
	SELECT ` + refundColumns + ` FROM taken r JOIN payments p ON p.id = r.payment_id`
	err = b.Use(ctx, b.Background, "claim refunds", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, claim, limit, lease.Microseconds())
		if err != nil {
			return err
		}
		rs, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (Refund, error) { return scanRefund(r) })
		return err
	})
	return rs, err
}

// RefundsOf lists the pending refunds of a payment.
func (b *Books) RefundsOf(ctx context.Context, paymentID string) (rs []Refund, err error) {
	err = b.Use(ctx, b.Background, "read refunds", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, `SELECT `+refundColumns+` FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE r.payment_id = $1 AND r.state = 'PENDING'`, paymentID)
		if err != nil {
			return err
		}
		rs, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (Refund, error) { return scanRefund(r) })
		return err
	})
	return rs, err
}
