package database

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"chaos/targets/payments/wire"
)

// Audit hands out the rows of a query with one parameter, the prefix of keys.
// Its columns are type, key, id, ref, account, state, amount, currency, trace
// id and time.
func (d *DB) Audit(ctx context.Context, query, prefix string, add func(any) error) error {
	rows, err := d.Audits.Query(ctx, query, prefix)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	var r wire.Record
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&r.Type, &r.Key, &r.ID, &r.Ref, &r.Account, &r.State, &r.AmountMinor, &r.Currency, &r.TraceID, &at}, func() error {
		r.At = at.UTC().Format(time.RFC3339Nano)
		return add(r)
	})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Queries for Audit about the tables that services share.
const (
	AuditOutbox = `SELECT 'outbox', client_key, event_id::text, coalesce(payload->>'order_id', payload->>'payment_id', ''), '', subject, coalesce((payload->>'amount_minor')::bigint, 0), '',
		CASE WHEN published_at IS NULL THEN 'waiting' ELSE 'published' END, created_at FROM outbox WHERE starts_with(client_key, $1)`
	AuditInbox = `SELECT 'inbox', client_key, event_id::text, '', consumer, type, 0::bigint, '', '', created_at FROM inbox WHERE starts_with(client_key, $1)`
)
