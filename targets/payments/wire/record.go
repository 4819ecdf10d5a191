package wire

import (
	"net/http"
)

// Record is one flat line of an audit dump.
type Record struct {
	Type        string `json:"type"`
	Key         string `json:"key"` // the client's idempotency key
	ID          string `json:"id"`
	Ref         string `json:"ref,omitempty"`     // the id of what it is about
	Account     string `json:"account,omitempty"` // sku, consumer, kind of message
	State       string `json:"state,omitempty"`
	AmountMinor int64  `json:"amount_minor"` // money, or pieces of stock
	Currency    string `json:"currency,omitempty"`
	TraceID     string `json:"trace_id,omitempty"`
	At          string `json:"at"`
}

// Dump answers with what fill adds, and looks cut when fill fails.
func Dump(w http.ResponseWriter, fill func(add func(any) error) error) error {
	lines := NewLines(w)
	err := fill(lines.Add)
	if err == nil {
		err = lines.End()
	}
	return err
}
