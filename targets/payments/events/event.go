// Package events carries facts between services: an outbox that is written in
// the transaction of the change, a relay that publishes it, and consumers that
// take each event once.
//
//	change + outbox row ─commit─▶ relay ─▶ JetStream ─▶ pull consumer ─▶ inbox row + effect ─commit─▶ ack
package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Types of events; each is also the subject that it is published on.
const (
	OrderCreated      = "order.created"
	OrderConfirmed    = "order.confirmed"
	OrderCancelled    = "order.cancelled"
	PaymentCaptured   = "payment.captured"
	PaymentFailed     = "payment.failed"
	PaymentRefunded   = "payment.refunded"
	InventoryReserved = "inventory.reserved"
	InventoryRejected = "inventory.rejected"
)

// version of the events that are written. Readers take any: unknown fields and
// types are ignored, so that a newer writer does not stop an older reader.
const version = 1

// Event is one fact.
type Event struct {
	Version     int       `json:"v"`
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	At          time.Time `json:"at"` // by the writer's clock
	Key         string    `json:"key"`
	Tenant      string    `json:"tenant"`
	OrderID     string    `json:"order_id,omitempty"`
	PaymentID   string    `json:"payment_id,omitempty"`
	RefundID    string    `json:"refund_id,omitempty"`
	AmountMinor int64     `json:"amount_minor,omitempty"`
	Currency    string    `json:"currency,omitempty"`
	SKU         string    `json:"sku,omitempty"`
	Qty         int64     `json:"qty,omitempty"`
	Reason      string    `json:"reason,omitempty"`
}

// Parse reads an event. Version 2 calls the amount "amount": a reader that
// lives beside newer writers takes both names.
func Parse(data []byte) (Event, error) {
	var e struct {
		Event
		Amount int64 `json:"amount"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return Event{}, fmt.Errorf("event is not JSON: %w", err)
	}
	if e.ID == "" || e.Type == "" {
		return Event{}, errors.New("event has no id or no type")
	}
	if e.AmountMinor == 0 {
		e.AmountMinor = e.Amount
	}
	return e.Event, nil
}
