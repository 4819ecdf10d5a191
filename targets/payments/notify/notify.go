// Package notify is the role that tells people: customers by message, and
// managers by the revenue. It also reads the broker's log out for auditors.
package notify

import (
	"context"
	"net/http"
	"time"

	"chaos/targets/payments/database"
	"chaos/targets/payments/events"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

// Service is the notify role.
type Service struct {
	server   telemetry.Server
	db       *database.DB
	broker   *events.Broker
	consumer *events.Consumer
}

// New makes the service. It connects to nothing yet.
func New(s settings.Settings, db *database.DB, broker *events.Broker, server telemetry.Server) *Service {
	v := &Service{server: server, db: db, broker: broker}
	publisher := events.NewPublisher(db, broker, s.Switches.PublishInline, server) // for its transactions; notify tells nobody
	v.consumer = events.NewConsumer("notify", []string{events.OrderCreated, events.OrderConfirmed, events.OrderCancelled, events.PaymentCaptured, events.PaymentRefunded},
		s.Switches, db, broker, publisher, server, v.hear)
	return v
}

// Public: nobody calls notify; it hears events.
func (v *Service) Public(*http.ServeMux) {}

// Internal are the routes of auditors, and of managers.
func (v *Service) Internal(mux *http.ServeMux) {
	mux.HandleFunc("GET /internal/audit", v.audit)
	mux.HandleFunc("GET /internal/events", v.log)
	mux.HandleFunc("GET /internal/revenue", v.revenue)
	mux.HandleFunc("GET /internal/settled", v.settled)
}

// Ready is about what the service cannot work without.
func (v *Service) Ready(ctx context.Context) error {
	return v.db.Has(ctx, "notify.sql", "notifications", "revenue", "revenue_daily", "inbox")
}

// Run does the work until the context ends.
func (v *Service) Run(ctx context.Context) { v.consumer.Run(ctx) }

// message is what a customer is told about an event; "" is nothing.
func message(kind string) string {
	switch kind {
	case events.OrderCreated:
		return "order_received"
	case events.OrderConfirmed:
		return "order_confirmed"
	case events.OrderCancelled:
		return "order_cancelled"
	}
	return ""
}

func (v *Service) hear(ctx context.Context, tx *events.Tx, e events.Event) error {
	switch e.Type {
	case events.PaymentCaptured:
		book(ctx, tx, e, e.AmountMinor)
		return nil
	case events.PaymentRefunded:
		book(ctx, tx, e, -e.AmountMinor)
		return nil
	}
	kind := message(e.Type)
	if kind == "" {
		return nil
	}
	t, _ := telemetry.TraceOf(ctx)
	tx.Queue(ctx, `INSERT INTO notifications (event_id, order_id, client_key, tenant, kind, trace_id) VALUES ($1, $2, $3, $4, $5, $6)`, e.ID, e.OrderID, e.Key, e.Tenant, kind, t.ID)
	tx.AfterCommit(func(context.Context) { v.server.Metrics.Notified.WithLabelValues(kind).Inc() })
	return nil
}

// book adds to the revenue, or takes away.
func book(ctx context.Context, tx *events.Tx, e events.Event, amount int64) {
	tx.Queue(ctx, `WITH r AS (INSERT INTO revenue (event_id, client_key, payment_id, amount_minor) VALUES ($1, $2, $3, $4::bigint) RETURNING created_at, amount_minor)
		INSERT INTO revenue_daily (day, amount_minor) SELECT created_at::date, amount_minor FROM r
		ON CONFLICT (day) DO UPDATE SET amount_minor = revenue_daily.amount_minor + excluded.amount_minor`, e.ID, e.Key, e.PaymentID, amount)
}

const (
	auditNotifications = `SELECT 'notification', client_key, id::text, event_id::text, kind, order_id, 0::bigint, '', trace_id, created_at FROM notifications WHERE starts_with(client_key, $1)`
	auditRevenue       = `SELECT 'revenue', client_key, id::text, event_id::text, 'revenue', payment_id, amount_minor, '', '', created_at FROM revenue WHERE starts_with(client_key, $1)`
)

// audit is GET /internal/audit?prefix=.
func (v *Service) audit(w http.ResponseWriter, r *http.Request) {
	v.cut(r, wire.Dump(w, func(add func(any) error) error {
		return v.db.Audit(r.Context(), auditNotifications+" UNION ALL "+auditRevenue+" UNION ALL "+database.AuditInbox, r.URL.Query().Get("prefix"), add)
	}))
}

// log is GET /internal/events?prefix=: who subscribes to what at the broker, and its log.
func (v *Service) log(w http.ResponseWriter, r *http.Request) {
	v.cut(r, wire.Dump(w, func(add func(any) error) error {
		err := v.broker.Subscriptions(r.Context(), func(consumer, typ string) error {
			return add(wire.Record{Type: "subscription", ID: consumer + "/" + typ, Account: consumer, State: typ, At: v.server.Now().UTC().Format(time.RFC3339Nano)})
		})
		if err != nil {
			return err
		}
		return v.broker.Log(r.Context(), r.URL.Query().Get("prefix"), func(_ uint64, e events.Event) error {
			ref := e.OrderID
			if ref == "" {
				ref = e.PaymentID
			}
			return add(wire.Record{Type: "event", Key: e.Key, ID: e.ID, Ref: ref, Account: e.PaymentID, State: e.Type, AmountMinor: e.AmountMinor, Currency: e.Currency, At: e.At.UTC().Format(time.RFC3339Nano)})
		})
	}))
}

func (v *Service) cut(r *http.Request, err error) {
	if err != nil {
		v.server.Log.WarnContext(r.Context(), "audit cut", "reason", err.Error())
		panic(http.ErrAbortHandler) // a cut dump must look cut
	}
}

// revenue is GET /internal/revenue: what a product manager looks at.
func (v *Service) revenue(w http.ResponseWriter, r *http.Request) {
	var total int64
	if err := v.db.Audits.QueryRow(r.Context(), `SELECT coalesce(sum(amount_minor), 0)::bigint FROM revenue_daily`).Scan(&total); err != nil {
		wire.Refuse(w, http.StatusServiceUnavailable, "postgres", err.Error())
		return
	}
	wire.Write(w, http.StatusOK, map[string]int64{"revenue_minor": total})
}

// settled is GET /internal/settled: events that it has not taken.
func (v *Service) settled(w http.ResponseWriter, r *http.Request) {
	lag, err := v.consumer.Lag(r.Context())
	if err != nil {
		wire.Refuse(w, http.StatusServiceUnavailable, "nats", err.Error())
		return
	}
	wire.Write(w, http.StatusOK, map[string]int{"pending": lag})
}
