// Package inventory is the role that owns the stock: it holds pieces for orders
// that were paid, and gives them free again when an order is cancelled or its
// hold runs out.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"chaos/targets/payments/database"
	"chaos/targets/payments/events"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	// holdTime is how long a piece is held for an order that is not confirmed.
	holdTime    = 10 * time.Minute
	expiryEvery = time.Second
	expiryBatch = 100

	reasonSoldOut = "out_of_stock"
	reasonExpired = "expired"
)

// Service is the inventory role.
type Service struct {
	set      switches.Set
	server   telemetry.Server
	db       *database.DB
	events   *events.Publisher
	consumer *events.Consumer
	shelf    *shelf
}

// New makes the service. It connects to nothing yet.
func New(s settings.Settings, db *database.DB, broker *events.Broker, server telemetry.Server) *Service {
	v := &Service{set: s.Switches, server: server, db: db, shelf: newShelf(), events: events.NewPublisher(db, broker, s.Switches.PublishInline, server)}
	v.consumer = events.NewConsumer("inventory", []string{events.PaymentCaptured, events.OrderConfirmed, events.OrderCancelled}, s.Switches, db, broker, v.events, server, v.hear)
	return v
}

// Public: nobody calls the inventory; it hears events.
func (v *Service) Public(*http.ServeMux) {}

// Internal are the routes of auditors and of the harness.
func (v *Service) Internal(mux *http.ServeMux) {
	v.shelf.internal(mux)
	mux.HandleFunc("GET /internal/audit", v.audit)
	mux.HandleFunc("GET /internal/settled", v.settled)
}

// Ready is about what the service cannot work without.
func (v *Service) Ready(ctx context.Context) error {
	return v.db.Has(ctx, "inventory.sql", "stock", "reservations", "cancelled", "outbox", "inbox")
}

// Run does the work until the context ends.
func (v *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { v.events.Run(ctx) })
	all.Go(func() { v.consumer.Run(ctx) })
	all.Go(func() { v.expire(ctx) })
	all.Wait()
}

func (v *Service) hear(ctx context.Context, tx *events.Tx, e events.Event) error {
	if e.OrderID == "" {
		return nil // a payment without an order
	}
	switch e.Type {
	case events.PaymentCaptured:
		return v.reserve(ctx, tx, e)
	case events.OrderConfirmed:
		tx.Queue(ctx, `UPDATE reservations SET state = 'SOLD', updated_at = now() WHERE order_id = $1 AND state = 'HELD'`, e.OrderID)
		return nil
	case events.OrderCancelled:
		return v.release(ctx, tx, e)
	}
	return nil // a type that newer writers have
}

// expiry is when a hold begins to run out: by the database's clock, or by the
// writer's of the event, which only works while all clocks agree.
func (v *Service) expiry(e events.Event) *time.Time {
	if !v.set.ClockLocal {
		return nil
	}
	t := e.At.Add(holdTime)
	return &t
}

// reserving takes the pieces and writes the reservation with one statement, unless the order is cancelled already: it
// is rejected when the pieces are missing ($11, the reason) or sold out.
const reserving = `WITH c AS (SELECT FROM cancelled WHERE order_id = $2::text),
	s AS (UPDATE stock SET free = free - $8::bigint WHERE sku = $7::text AND free >= $8::bigint AND $11::text = '' AND NOT EXISTS (SELECT FROM c) RETURNING 1)
	INSERT INTO reservations (id, order_id, client_key, tenant, trace_id, payment_id, sku, qty, state, reason, expires_at)
	SELECT $1::uuid, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::bigint, CASE WHEN h.held THEN 'HELD' ELSE 'REJECTED' END,
		CASE WHEN h.held THEN '' WHEN $11::text <> '' THEN $11::text ELSE $12::text END, coalesce($9::timestamptz, now() + $10::bigint * interval '1 microsecond')
	FROM (SELECT EXISTS (SELECT FROM s) AS held) h WHERE NOT EXISTS (SELECT FROM c) RETURNING state, reason`

// reserve holds pieces for a paid order, or says that there are none.
func (v *Service) reserve(ctx context.Context, tx *events.Tx, e events.Event) error {
	missing := ""
	if v.shelf.misses() {
		missing = reasonMissing
	}
	t, _ := telemetry.TraceOf(ctx)
	answer := e
	var state string
	err := tx.QueryRow(ctx, reserving, uuid.NewString(), e.OrderID, e.Key, e.Tenant, t.ID, e.PaymentID, e.SKU, e.Qty, v.expiry(e), holdTime.Microseconds(), missing, reasonSoldOut).Scan(&state, &answer.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // it was cancelled before
	}
	if err != nil {
		return fmt.Errorf("write reservation: %w", err)
	}
	tx.AfterCommit(func(context.Context) {
		v.server.Metrics.Reservations.WithLabelValues(state).Inc()
		v.shelf.count(missing != "")
	})
	answer.Type = events.InventoryRejected
	if state == "HELD" {
		answer.Type = events.InventoryReserved
	}
	v.events.Emit(ctx, tx, answer)
	return nil
}

// release gives the pieces of a cancelled order free, and remembers it: the
// payment's event may come later.
func (v *Service) release(ctx context.Context, tx *events.Tx, e events.Event) error {
	if _, err := tx.Exec(ctx, `INSERT INTO cancelled (order_id) VALUES ($1) ON CONFLICT DO NOTHING`, e.OrderID); err != nil {
		return fmt.Errorf("remember cancellation: %w", err)
	}
	_, err := tx.Exec(ctx, `WITH r AS (UPDATE reservations SET state = 'RELEASED', reason = 'cancelled', updated_at = now() WHERE order_id = $1 AND state IN ('HELD', 'SOLD') RETURNING sku, qty)
		UPDATE stock SET free = free + r.qty FROM (SELECT sku, sum(qty) AS qty FROM r GROUP BY sku) r WHERE stock.sku = r.sku`, e.OrderID)
	if err != nil {
		return fmt.Errorf("release stock: %w", err)
	}
	return nil
}

// expire gives holds free that ran out, and says so.
func (v *Service) expire(ctx context.Context) {
	tick := time.NewTicker(expiryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := v.expireOnce(ctx); err != nil && ctx.Err() == nil {
			v.server.Log.WarnContext(ctx, "expiry waits for the database", "dependency", "postgres", "outcome", "error", "reason", err.Error())
		}
	}
}

func (v *Service) expireOnce(ctx context.Context) error {
	var now *time.Time
	if v.set.ClockLocal {
		t := v.server.Now()
		now = &t
	}
	return v.events.Transact(ctx, v.db.Background, "expire holds", func(ctx context.Context, tx *events.Tx) error {
		rows, err := tx.Query(ctx, `WITH due AS (SELECT id FROM reservations WHERE state = 'HELD' AND expires_at <= coalesce($1, now()) ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED),
			r AS (UPDATE reservations SET state = 'RELEASED', reason = $3, updated_at = now() FROM due WHERE reservations.id = due.id RETURNING reservations.*),
			s AS (UPDATE stock SET free = free + g.qty FROM (SELECT sku, sum(qty) AS qty FROM r GROUP BY sku) g WHERE stock.sku = g.sku)
			SELECT order_id, client_key, tenant, payment_id, sku, qty, trace_id FROM r`, now, expiryBatch, reasonExpired)
		if err != nil {
			return err
		}
		type gone struct {
			events.Event
			trace string
		}
		all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (g gone, err error) {
			err = r.Scan(&g.OrderID, &g.Key, &g.Tenant, &g.PaymentID, &g.SKU, &g.Qty, &g.trace)
			return g, err
		})
		for _, g := range all {
			g.Type, g.Reason = events.InventoryRejected, reasonExpired
			t := telemetry.Resume(g.trace)
			t.Tenant = g.Tenant
			v.events.Emit(telemetry.WithTrace(ctx, t), tx, g.Event)
			tx.AfterCommit(func(context.Context) { v.server.Metrics.Reservations.WithLabelValues(reasonExpired).Inc() })
		}
		return err
	})
}

const (
	auditReservations = `SELECT 'reservation', client_key, id::text, order_id, sku, state, qty, '', trace_id, updated_at FROM reservations WHERE starts_with(client_key, $1)`
	auditStock        = `SELECT 'stock', '', sku, '', sku, CASE n WHEN 1 THEN 'initial' ELSE 'free' END, CASE n WHEN 1 THEN initial ELSE free END, '', '', now() FROM stock, (VALUES (1), (2)) AS v (n)`
)

// audit is GET /internal/audit?prefix=. Stock has no key: it is all there is.
func (v *Service) audit(w http.ResponseWriter, r *http.Request) {
	err := wire.Dump(w, func(add func(any) error) error {
		return v.db.Audit(r.Context(), auditReservations+" UNION ALL "+auditStock+" UNION ALL "+database.AuditOutbox+" UNION ALL "+database.AuditInbox, r.URL.Query().Get("prefix"), add)
	})
	if err != nil {
		v.server.Log.WarnContext(r.Context(), "audit cut", "reason", err.Error())
		panic(http.ErrAbortHandler) // a cut dump must look cut
	}
}

// settled is GET /internal/settled?prefix=: events it has not taken, or told.
func (v *Service) settled(w http.ResponseWriter, r *http.Request) {
	waiting, _, err := v.events.Unpublished(r.Context(), r.URL.Query().Get("prefix"))
	lag := 0
	if err == nil {
		lag, err = v.consumer.Lag(r.Context())
	}
	if err != nil {
		wire.Refuse(w, http.StatusServiceUnavailable, "dependency", err.Error())
		return
	}
	wire.Write(w, http.StatusOK, map[string]int{"pending": waiting + lag})
}
