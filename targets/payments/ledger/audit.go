package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"chaos/targets/payments/database"
)

// Record is one flat line of an audit.
type Record struct {
	Type        string `json:"type"` // payment, ledger, refund
	Key         string `json:"key"`  // the payment's client key
	ID          string `json:"id"`
	Txn         string `json:"txn,omitempty"`
	Ref         string `json:"ref,omitempty"` // the payment's id
	RefundKey   string `json:"refund_key,omitempty"`
	Account     string `json:"account,omitempty"`
	State       string `json:"state,omitempty"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency,omitempty"`
	TraceID     string `json:"trace_id,omitempty"`
	At          string `json:"at"`
}

// Audit hands out all rows of client keys with the prefix, as they were at one
// moment. Ledger amounts are signed: debit +, credit −.
func (b *Books) Audit(ctx context.Context, prefix string, each func(Record) error) error {
	const dump = `SELECT 'payment', client_key, id::text, '', '', '', '', state, amount_minor, currency, trace_id, updated_at FROM payments WHERE starts_with(client_key, $1)
	UNION ALL
	SELECT 'ledger', p.client_key, l.id::text, l.txn::text, p.id::text, '', l.account, '', l.amount_minor, p.currency, '', l.created_at FROM ledger_entries l JOIN payments p ON p.id = l.payment_id WHERE starts_with(p.client_key, $1)
	UNION ALL
	SELECT 'refund', p.client_key, r.id::text, '', p.id::text, r.client_key, '', r.state, r.amount_minor, p.currency, r.trace_id, r.updated_at FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE starts_with(p.client_key, $1)`
	rows, err := b.Audits.Query(ctx, dump, prefix)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	var r Record
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&r.Type, &r.Key, &r.ID, &r.Txn, &r.Ref, &r.RefundKey, &r.Account, &r.State, &r.AmountMinor, &r.Currency, &r.TraceID, &at}, func() error {
		r.At = at.UTC().Format(time.RFC3339Nano)
		return each(r)
	})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// AuditOutbox hands out the events of client keys with the prefix.
func (b *Books) AuditOutbox(ctx context.Context, prefix string, add func(any) error) error {
	return b.DB.Audit(ctx, database.AuditOutbox, prefix, add)
}
