// Package ledger keeps payments, refunds and the double-entry books in
// PostgreSQL. Every change of state is one transaction that also writes the
// books, on the database's clock:
//
//	INITIATED ──▶ CAPTURED ──▶ REFUNDING ──▶ REFUNDED
//	    │  └────▶ DECLINED
//	    └──▶ UNKNOWN ──▶ CAPTURED | DECLINED
package ledger

import (
	"context"
	"errors"

	"chaos/targets/payments/database"
	"chaos/targets/payments/switches"
)

// State of a payment.
type State string

// The states of a payment. CAPTURED, DECLINED and REFUNDED are final as far as
// nobody asks for a refund.
const (
	Initiated State = "INITIATED"
	Unknown   State = "UNKNOWN"
	Captured  State = "CAPTURED"
	Declined  State = "DECLINED"
	Refunding State = "REFUNDING"
	Refunded  State = "REFUNDED"
)

// RefundState is the state of one refund.
type RefundState string

// The states of a refund.
const (
	RefundPending RefundState = "PENDING"
	RefundDone    RefundState = "DONE"
	RefundFailed  RefundState = "FAILED"
)

// Accounts of the books. A capture debits clearing (the processor owes us) and
// credits the merchant (we owe them); a refund is the reverse.
const (
	AccountClearing = "psp_clearing"
	AccountMerchant = "merchant"
)

// Errors that callers tell apart.
var (
	ErrNotFound   = errors.New("not found")
	ErrKeyReused  = errors.New("idempotency key was used with another body")
	ErrDeclined   = errors.New("the payment was declined")
	ErrOverRefund = errors.New("more would be refunded than was paid")
	ErrPending    = errors.New("the payment is still pending")
)

// NoEffect says whether a failed call certainly wrote nothing.
func NoEffect(err error) bool { return database.NoEffect(err) }

// Books are the payments' tables.
type Books struct {
	*database.DB
}

// Open makes the books' pools. It does not connect.
func Open(ctx context.Context, dsn string, s switches.Set) (*Books, error) {
	db, err := database.Open(ctx, dsn, s)
	if err != nil {
		return nil, err
	}
	return &Books{DB: db}, nil
}

// Ready says what is missing: the database, or the tables in it.
func (b *Books) Ready(ctx context.Context) error {
	return b.Has(ctx, "schema.sql", "payments", "idempotency_keys", "refunds", "ledger_entries", "merchants", "outbox")
}
