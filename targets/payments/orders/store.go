package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"chaos/targets/payments/database"
	"chaos/targets/payments/events"
	"chaos/targets/payments/switches"
)

// State of an order.
type State string

// The states of an order. CONFIRMED and CANCELLED are final.
const (
	Pending      State = "PENDING"
	Paid         State = "PAID"
	Confirmed    State = "CONFIRMED"
	Compensating State = "COMPENSATING"
	Cancelled    State = "CANCELLED"
)

// Errors that callers tell apart.
var (
	ErrNotFound  = errors.New("not found")
	ErrKeyReused = errors.New("idempotency key was used with another body")
)

// Order is one row.
type Order struct {
	ID, Tenant, ClientKey string
	State                 State
	SKU                   string
	Qty, AmountMinor      int64
	Currency, CardToken   string
	Merchant              string
	TraceID, Traceparent  string
	PaymentID, Reason     string
	Tries                 int
	InRequest             bool // a request that its client waits for owns it now
}

// event is what others hear of the order.
func (o Order) event(kind string) events.Event {
	return events.Event{Type: kind, Key: o.ClientKey, Tenant: o.Tenant, OrderID: o.ID, PaymentID: o.PaymentID, AmountMinor: o.AmountMinor,
		Currency: o.Currency, SKU: o.SKU, Qty: o.Qty, Reason: o.Reason}
}

const columns = `id::text, tenant, client_key, state, sku, qty, amount_minor, currency, card_token, merchant, trace_id, traceparent, payment_id, reason, tries, in_request AND held_until > now()`

func scan(row pgx.Row) (o Order, err error) {
	err = row.Scan(&o.ID, &o.Tenant, &o.ClientKey, &o.State, &o.SKU, &o.Qty, &o.AmountMinor, &o.Currency, &o.CardToken, &o.Merchant, &o.TraceID, &o.Traceparent, &o.PaymentID, &o.Reason, &o.Tries, &o.InRequest)
	if errors.Is(err, pgx.ErrNoRows) {
		return o, ErrNotFound
	}
	return o, err
}

func texts(states []State) (out []string) {
	for _, s := range states {
		out = append(out, string(s))
	}
	return out
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Store keeps orders in PostgreSQL, on its clock.
type Store struct{ *database.DB }

// Open makes the store's pools. It does not connect.
func Open(ctx context.Context, dsn string, s switches.Set) (*Store, error) {
	db, err := database.Open(ctx, dsn, s)
	if err != nil {
		return nil, err
	}
	return &Store{db}, nil
}

// Ready says what is missing.
func (s *Store) Ready(ctx context.Context) error {
	return s.Has(ctx, "orders.sql", "orders", "idempotency_keys", "outbox", "inbox")
}

// create writes the order as PENDING, held by its request, together with its
// events. When the key has made an order before, that one is returned and made
// is false.
func (s *Store) create(ctx context.Context, o Order, unique bool, print string, hold time.Duration, told []events.Row) (made bool, out Order, err error) {
	args := []any{o.ID, o.Tenant, o.ClientKey, o.SKU, o.Qty, o.AmountMinor, o.Currency, o.CardToken, o.Merchant, o.TraceID, o.Traceparent, hold.Microseconds()}
	key, from := "", ""
	if unique {
		args = append(args, print)
		key = `k AS (INSERT INTO idempotency_keys (tenant, client_key, fingerprint, resource_id) VALUES ($2, $3, $13, $1::uuid) ON CONFLICT DO NOTHING RETURNING 1), `
		from = ` FROM k`
	}
	insert := `WITH ` + key + `n AS (INSERT INTO orders (id, tenant, client_key, state, sku, qty, amount_minor, currency, card_token, merchant, trace_id, traceparent, in_request, held_until)
		SELECT $1::uuid, $2, $3, 'PENDING', $4, $5::bigint, $6::bigint, $7, $8, $9, $10, $11, true, now() + $12::bigint * interval '1 microsecond'` + from + ` RETURNING *)`
	insert, args = tell(insert, "n", args, told)
	err = s.Use(ctx, s.Requests, "create order", func(ctx context.Context, c *pgxpool.Conn) error {
		out, err = scan(c.QueryRow(ctx, insert+` SELECT `+columns+` FROM n`, args...))
		if made = err == nil; made || !unique || !errors.Is(err, ErrNotFound) {
			return err
		}
		// Somebody has the key: a key that is taken stays taken, so reading it now is safe.
		var fingerprint, id string
		err := c.QueryRow(ctx, `SELECT fingerprint, resource_id::text FROM idempotency_keys WHERE tenant = $1 AND client_key = $2`, o.Tenant, o.ClientKey).Scan(&fingerprint, &id)
		if err == nil && fingerprint != print {
			return ErrKeyReused
		}
		if err == nil {
			out, err = scan(c.QueryRow(ctx, `SELECT `+columns+` FROM orders WHERE id = $1`, id))
		}
		if err != nil {
			return errors.Join(database.ErrNoEffect, err)
		}
		return nil
	})
	return made, out, err
}

// tell adds the outbox row of an event to a statement; from is the part of it
// whose rows make the event true.
func tell(statement, from string, args []any, told []events.Row) (string, []any) {
	for _, e := range told {
		n := len(args)
		statement += fmt.Sprintf(`, o AS (INSERT INTO outbox (event_id, subject, client_key, traceparent, payload) SELECT $%d::uuid, $%d, $%d, $%d, $%d::jsonb FROM %s)`,
			n+1, n+2, n+3, n+4, n+5, from)
		args = append(args, e.EventID, e.Subject, e.Key, e.Traceparent, e.Payload)
	}
	return statement, args
}

// get reads an order.
func (s *Store) get(ctx context.Context, id string) (o Order, err error) {
	if uuid.Validate(id) != nil {
		return o, ErrNotFound
	}
	err = s.Use(ctx, s.Requests, "read order", func(ctx context.Context, c *pgxpool.Conn) error {
		o, err = scan(c.QueryRow(ctx, `SELECT `+columns+` FROM orders WHERE id = $1`, id))
		return err
	})
	return o, err
}

// step is one transition of an order.
type step struct {
	from      []State
	to        State
	paymentID string // empty leaves it
	reason    string // empty leaves it
	hold      time.Duration
}

// move makes a transition with its events. ErrNotFound: the order is not in a
// state that it can be made from.
func move(ctx context.Context, q querier, id string, t step, told []events.Row) (Order, error) {
	statement, args := tell(`WITH m AS (UPDATE orders SET state = $2, version = version + 1, payment_id = CASE WHEN $3 <> '' THEN $3 ELSE payment_id END,
		reason = CASE WHEN $4 <> '' THEN $4 ELSE reason END, tries = 0, in_request = false, held_until = now() + $5::bigint * interval '1 microsecond', updated_at = now()
		WHERE id = $1::uuid AND state = ANY($6::text[]) RETURNING *)`, "m", []any{id, t.to, t.paymentID, t.reason, t.hold.Microseconds(), texts(t.from)}, told)
	return scan(q.QueryRow(ctx, statement+` SELECT `+columns+` FROM m`, args...))
}

// advance is move outside of a transaction. When the order has gone on
// meanwhile, it is returned as it is and moved is false.
func (s *Store) advance(ctx context.Context, id string, t step, told []events.Row) (o Order, moved bool, err error) {
	err = s.Use(ctx, s.Background, "advance order", func(ctx context.Context, c *pgxpool.Conn) error {
		o, err = move(ctx, c, id, t, told)
		if moved = err == nil; moved || !errors.Is(err, ErrNotFound) {
			return err
		}
		o, err = scan(c.QueryRow(ctx, `SELECT `+columns+` FROM orders WHERE id = $1::uuid`, id))
		return err
	})
	return o, moved, err
}

// release gives an order to the sweeper, which may take it after the given time.
func (s *Store) release(ctx context.Context, id, paymentID string, after time.Duration) error {
	return s.Use(ctx, s.Background, "release order", func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `UPDATE orders SET in_request = false, payment_id = CASE WHEN $2 <> '' THEN $2 ELSE payment_id END, held_until = now() + $3::bigint * interval '1 microsecond', updated_at = now()
			WHERE id = $1::uuid AND state IN ('PENDING', 'PAID', 'COMPENSATING')`, id, paymentID, after.Microseconds())
		return err
	})
}

// claim takes up to limit orders that nobody holds, the longest waiting first.
func (s *Store) claim(ctx context.Context, limit int, lease time.Duration) (os []Order, err error) {
	const claim = `WITH due AS (
		SELECT id FROM orders WHERE state IN ('PENDING', 'PAID', 'COMPENSATING') AND held_until <= now()
		ORDER BY held_until LIMIT $1 FOR UPDATE SKIP LOCKED)
	UPDATE orders SET held_until = now() + $2::bigint * interval '1 microsecond', tries = tries + 1, in_request = false FROM due WHERE orders.id = due.id
	RETURNING orders.id::text, tenant, client_key, state, sku, qty, amount_minor, currency, card_token, merchant, trace_id, traceparent, payment_id, reason, tries, false`
	err = s.Use(ctx, s.Background, "claim orders", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, claim, limit, lease.Microseconds())
		if err != nil {
			return err
		}
		os, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (Order, error) { return scan(r) })
		return err
	})
	return os, err
}

// open counts orders of keys with the prefix that have not come to an end.
func (s *Store) open(ctx context.Context, prefix string) (n int, err error) {
	err = s.Use(ctx, s.Audits, "count open orders", func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `SELECT count(*) FROM orders WHERE state IN ('PENDING', 'PAID', 'COMPENSATING') AND starts_with(client_key, $1)`, prefix).Scan(&n)
	})
	return n, err
}

const auditOrders = `SELECT 'order', client_key, id::text, payment_id, sku, state, amount_minor, currency, trace_id, updated_at FROM orders WHERE starts_with(client_key, $1)`
