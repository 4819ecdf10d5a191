package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"chaos/targets/payments/database"
	"chaos/targets/payments/events"
)

// Payment is one row.
type Payment struct {
	ID, Tenant, ClientKey string
	State                 State
	Version               int
	AmountMinor           int64
	Currency, CardToken   string
	Merchant, TraceID     string
	Reason                string
	Asked                 int  // how often the processor may have been told to charge
	InRequest             bool // a request that its client waits for owns it now
	OrderID, SKU          string
	Traceparent           string // of the request that made it
	Qty                   int64
}

// Order is a payment to be made.
type Order struct {
	Payment
	// Unique makes the client key stand for one payment; Fingerprint tells
	// whether a later use of the key means the same.
	Unique      bool
	Fingerprint string
	// Hold keeps the background away for this long.
	Hold time.Duration
}

const paymentColumns = `id::text, tenant, client_key, state, version, amount_minor, currency, card_token, merchant, trace_id, reason, asked, in_request AND held_until > now(), order_id, sku, qty, traceparent`

func scanPayment(row pgx.Row) (p Payment, err error) {
	err = row.Scan(&p.ID, &p.Tenant, &p.ClientKey, &p.State, &p.Version, &p.AmountMinor, &p.Currency, &p.CardToken, &p.Merchant, &p.TraceID, &p.Reason, &p.Asked, &p.InRequest, &p.OrderID, &p.SKU, &p.Qty, &p.Traceparent)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, ErrNotFound
	}
	return p, err
}

// Create writes the payment as INITIATED. When the key has made a payment
// before, that one is returned and made is false.
func (b *Books) Create(ctx context.Context, o Order) (p Payment, made bool, err error) {
	insert := `INSERT INTO payments (id, tenant, client_key, state, amount_minor, currency, card_token, merchant, trace_id, asked, in_request, held_until, order_id, sku, qty, traceparent)
		SELECT $1::uuid, $2, $3, 'INITIATED', $4::bigint, $5, $6, $7, $8, CASE WHEN $9 THEN 1 ELSE 0 END, $9, now() + $10::bigint * interval '1 microsecond', $11, $12, $13::bigint, $14 `
	args := []any{o.ID, o.Tenant, o.ClientKey, o.AmountMinor, o.Currency, o.CardToken, o.Merchant, o.TraceID, o.InRequest, o.Hold.Microseconds(), o.OrderID, o.SKU, o.Qty, o.Traceparent}
	if o.Unique {
		insert = `WITH k AS (INSERT INTO idempotency_keys (tenant, kind, client_key, fingerprint, resource_id) VALUES ($2, 'payment', $3, $15, $1::uuid) ON CONFLICT DO NOTHING RETURNING 1) ` +
			insert + `FROM k `
		args = append(args, o.Fingerprint)
	}
	err = b.Use(ctx, b.Requests, "create payment", func(ctx context.Context, c *pgxpool.Conn) error {
		p, err = scanPayment(c.QueryRow(ctx, insert+`RETURNING `+paymentColumns, args...))
		if made = err == nil; made || !o.Unique || !errors.Is(err, ErrNotFound) {
			return err
		}
		// Somebody has the key: a key that is taken stays taken, so reading it now is safe.
		var fingerprint, id string
		err = c.QueryRow(ctx, `SELECT fingerprint, resource_id::text FROM idempotency_keys WHERE tenant = $1 AND kind = 'payment' AND client_key = $2`, o.Tenant, o.ClientKey).Scan(&fingerprint, &id)
		if err != nil {
			return errors.Join(database.ErrNoEffect, err)
		}
		if fingerprint != o.Fingerprint {
			return ErrKeyReused
		}
		if p, err = scanPayment(c.QueryRow(ctx, `SELECT `+paymentColumns+` FROM payments WHERE id = $1`, id)); err != nil {
			return errors.Join(database.ErrNoEffect, err)
		}
		return nil
	})
	return p, made, err
}

// Get reads a payment.
func (b *Books) Get(ctx context.Context, id string) (p Payment, err error) {
	if uuid.Validate(id) != nil {
		return p, ErrNotFound
	}
	err = b.Use(ctx, b.Requests, "read payment", func(ctx context.Context, c *pgxpool.Conn) error {
		p, err = scanPayment(c.QueryRow(ctx, `SELECT `+paymentColumns+` FROM payments WHERE id = $1`, id))
		return err
	})
	return p, err
}

// Settle makes a payment CAPTURED or DECLINED and books it, in one statement.
// changed is false when it had a final state already; p is the row as it is.
// told are the events that become true with it.
func (b *Books) Settle(ctx context.Context, id string, to State, pspID, reason string, told ...events.Row) (p Payment, changed bool, err error) {
	if to != Captured && to != Declined {
		return p, false, fmt.Errorf("settle payment: %s is not an outcome", to)
	}
	args := []any{id, to, pspID, reason, uuid.NewString()}
	publish := ""
	if len(told) > 0 {
		publish = `,
	o AS (
		INSERT INTO outbox (event_id, subject, client_key, traceparent, payload) SELECT $6::uuid, $7, $8, $9, $10::jsonb FROM p)`
		args = append(args, told[0].EventID, told[0].Subject, told[0].Key, told[0].Traceparent, told[0].Payload)
	}
	settle := `WITH p AS (
		UPDATE payments SET state = $2, psp_id = $3, reason = $4, version = version + 1, in_request = false, updated_at = now()
		WHERE id = $1 AND state IN ('INITIATED', 'UNKNOWN') RETURNING *),
	l AS (
		INSERT INTO ledger_entries (txn, payment_id, account, amount_minor)
		SELECT $5::uuid, p.id, a.account, a.sign * p.amount_minor FROM p, (VALUES ('psp_clearing', 1), ('merchant', -1)) AS a (account, sign)
		WHERE p.state = 'CAPTURED')` + publish + `
	SELECT ` + paymentColumns + ` FROM p`
	err = b.Use(ctx, b.Background, "settle payment", func(ctx context.Context, c *pgxpool.Conn) error {
		p, err = scanPayment(c.QueryRow(ctx, settle, args...))
		if changed = err == nil; changed || !errors.Is(err, ErrNotFound) {
			return err
		}
		p, err = scanPayment(c.QueryRow(ctx, `SELECT `+paymentColumns+` FROM payments WHERE id = $1`, id))
		return err
	})
	return p, changed, err
}

// HandOver gives a payment that has no outcome to the background, which may
// take it after the given time. With unsure the processor may have charged, so
// the state becomes UNKNOWN.
func (b *Books) HandOver(ctx context.Context, id string, unsure bool, after time.Duration) error {
	return b.Use(ctx, b.Background, "hand payment over", func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `UPDATE payments SET state = CASE WHEN $2 THEN 'UNKNOWN' ELSE state END, in_request = false,
			version = version + CASE WHEN $2 AND state = 'INITIATED' THEN 1 ELSE 0 END,
			held_until = now() + $3::bigint * interval '1 microsecond', updated_at = now()
			WHERE id = $1 AND state IN ('INITIATED', 'UNKNOWN')`, id, unsure, after.Microseconds())
		return err
	})
}

// Claim takes up to limit payments of the given states that nobody holds, the
// longest waiting first, for the time of the lease. Asked is what it was
// before: 0 means that the processor certainly knows nothing.
func (b *Books) Claim(ctx context.Context, states []State, limit int, lease time.Duration) (ps []Payment, err error) {
	// The states are part of the text, not a parameter: only so does the
	// planner know that the partial index of open payments has the rows.
	claim := `WITH due AS (
		SELECT id, asked FROM payments WHERE state IN (` + quoted(states) + `) AND held_until <= now()
		ORDER BY held_until LIMIT $1 FOR UPDATE SKIP LOCKED)
	UPDATE payments AS p SET held_until = now() + $2::bigint * interval '1 microsecond', asked = p.asked + 1, in_request = false
	FROM due WHERE p.id = due.id
	RETURNING p.id::text, tenant, client_key, state, version, amount_minor, currency, card_token, merchant, trace_id, reason, due.asked, in_request, order_id, sku, qty, traceparent`
	err = b.Use(ctx, b.Background, "claim payments", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, claim, limit, lease.Microseconds())
		if err != nil {
			return err
		}
		ps, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (Payment, error) { return scanPayment(r) })
		return err
	})
	return ps, err
}

func quoted(states []State) string {
	list := make([]string, 0, len(states))
	for _, s := range states {
		list = append(list, "'"+string(s)+"'")
	}
	return strings.Join(list, ", ")
}

// Open counts what is not settled: payments without an outcome and refunds
// not done, of client keys with the prefix. oldest is the age of the oldest
// payment among them.
func (b *Books) Open(ctx context.Context, prefix string) (n int, oldest time.Duration, err error) {
	const open = `SELECT count(*) + (SELECT count(*) FROM refunds r JOIN payments q ON q.id = r.payment_id WHERE r.state = 'PENDING' AND starts_with(q.client_key, $1)),
		coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE state <> 'REFUNDING')), 0)::float8
		FROM payments WHERE state IN ('INITIATED', 'UNKNOWN', 'REFUNDING') AND starts_with(client_key, $1)`
	var seconds float64
	err = b.Use(ctx, b.Audits, "count open payments", func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, open, prefix).Scan(&n, &seconds)
	})
	return n, time.Duration(seconds * float64(time.Second)), err
}
