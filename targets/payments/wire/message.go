package wire

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"chaos/targets/payments/telemetry"
)

// Names of headers.
const (
	IdempotencyHeader = "Idempotency-Key"
	APIKeyHeader      = "X-Api-Key"
	ShedHeader        = "X-Shed"
	DeadlineHeader    = "X-Deadline"
	DeadlineAtHeader  = "X-Deadline-At"
	// DrainHeader is on the refusals of a node that is stopping.
	DrainHeader = "X-Draining"
	// MaxKey bounds client keys.
	MaxKey = 255
)

// PaymentRequest is the body of POST /v1/payments.
type PaymentRequest struct {
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
	CardToken   string `json:"card_token"`
	Merchant    string `json:"merchant"`
	// The order that is paid, when there is one; it comes back in events.
	OrderID string `json:"order_id,omitempty"`
	SKU     string `json:"sku,omitempty"`
	Qty     int64  `json:"qty,omitempty"`
}

// Check says what is wrong with the request.
func (p PaymentRequest) Check() error {
	switch {
	case p.AmountMinor <= 0:
		return errors.New("amount_minor must be a positive whole number")
	case len(p.Currency) != 3 || strings.ToUpper(p.Currency) != p.Currency:
		return errors.New("currency must be three capital letters")
	case p.CardToken == "" || p.Merchant == "":
		return errors.New("card_token and merchant are required")
	}
	return nil
}

// Payment is the answer about a payment.
type Payment struct {
	ID          string `json:"id"`
	State       string `json:"state"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
	Reason      string `json:"reason,omitempty"`
}

// OrderRequest is the body of POST /v1/orders.
type OrderRequest struct {
	SKU         string `json:"sku"`
	Qty         int64  `json:"qty"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
	CardToken   string `json:"card_token"`
	Merchant    string `json:"merchant"`
}

// maxQty bounds an order: more is a typing error.
const maxQty = 10_000

// Check says what is wrong with the request.
func (o OrderRequest) Check() error {
	if o.SKU == "" || o.Qty <= 0 || o.Qty > maxQty {
		return fmt.Errorf("sku and a qty from 1 to %d are required", maxQty)
	}
	return PaymentRequest{AmountMinor: o.AmountMinor, Currency: o.Currency, CardToken: o.CardToken, Merchant: o.Merchant}.Check()
}

// Order is the answer about an order. Recommendations, Degraded and Enrichment
// are the gateway's part of GET /v1/orders/{id}.
type Order struct {
	ID          string `json:"id"`
	State       string `json:"state"` // pending, paid, confirmed, compensating, cancelled
	PaymentID   string `json:"payment_id,omitempty"`
	SKU         string `json:"sku"`
	Qty         int64  `json:"qty"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
	Reason      string `json:"reason,omitempty"`

	Recommendations []string `json:"recommendations,omitempty"`
	Degraded        []string `json:"degraded,omitempty"`   // parts that are missing
	Enrichment      string   `json:"enrichment,omitempty"` // "pending": parts come later
}

// RefundRequest is the body of POST /v1/refunds.
type RefundRequest struct {
	PaymentID   string `json:"payment_id"`
	AmountMinor int64  `json:"amount_minor"`
}

// Refund is the answer about a refund.
type Refund struct {
	ID          string `json:"id"`
	PaymentID   string `json:"payment_id"`
	State       string `json:"state"`
	AmountMinor int64  `json:"amount_minor"`
}

// ChargeRequest is the body of the processor's POST /charges and /refunds.
type ChargeRequest struct {
	Reference   string `json:"reference"`
	OrderKey    string `json:"order_key"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency,omitempty"`
	CardToken   string `json:"card_token,omitempty"`
}

// Charge is the processor's answer about a charge or refund.
type Charge struct {
	ID          string `json:"id"`
	Reference   string `json:"reference"`
	State       string `json:"state"` // pending, succeeded, declined
	AmountMinor int64  `json:"amount_minor"`
	Reason      string `json:"reason,omitempty"`
}

// Failure is the body of every refusal.
type Failure struct {
	Error  string `json:"error"`
	Detail string `json:"detail,omitempty"`
}

// Read decodes one JSON object and nothing after it.
func Read(r *http.Request, into any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if len(data) > MaxBody {
		return fmt.Errorf("body is longer than %d bytes", MaxBody)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("body is not valid JSON for this route: %w", err)
	}
	return nil
}

// Write answers with JSON.
func Write(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // the client is gone; the request's log line stands
}

// Refuse answers with a Failure and puts the reason into the log line.
func Refuse(w http.ResponseWriter, code int, reason, detail string) {
	telemetry.Describe(w, reason, "")
	Write(w, code, Failure{Error: reason, Detail: detail})
}

// Shed refuses with 503 and the promise that nothing happened: the caller may
// try again, with the same key or another.
func Shed(w http.ResponseWriter, reason string, after time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(after.Round(time.Second).Seconds()))))
	w.Header().Set(ShedHeader, "1")
	Refuse(w, http.StatusServiceUnavailable, reason, "nothing was done; try again later")
}

// SetDeadline passes on how much time is left. It is a duration in whole
// milliseconds, not a point in time: clocks differ between nodes.
func SetDeadline(h http.Header, left time.Duration) {
	h.Set(DeadlineHeader, strconv.FormatInt(max(0, left.Milliseconds()), 10))
}

// TimeLeft reads what SetDeadline wrote.
func TimeLeft(h http.Header) (time.Duration, bool) {
	ms, err := strconv.ParseInt(h.Get(DeadlineHeader), 10, 64)
	if err != nil || ms < 0 {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// Deadlines passes on and reads how much time is left in one of two forms: what is left of it, which is right, or
// the point in time when it is over, which holds only as far as the clocks of both nodes agree.
type Deadlines struct {
	Absolute bool
	Now      func() time.Time // the node's clock; only the absolute form reads it
}

// Set passes on how much time is left.
func (d Deadlines) Set(h http.Header, left time.Duration) {
	if !d.Absolute {
		SetDeadline(h, left)
		return
	}
	h.Set(DeadlineAtHeader, d.Now().Add(left).UTC().Format(time.RFC3339Nano))
}

// Left reads what Set of the caller wrote; never less than nothing.
func (d Deadlines) Left(h http.Header) (time.Duration, bool) {
	if !d.Absolute {
		return TimeLeft(h)
	}
	at, err := time.Parse(time.RFC3339Nano, h.Get(DeadlineAtHeader))
	if err != nil {
		return 0, false
	}
	return max(0, at.Sub(d.Now())), true
}

// Token lets only requests with the bearer token through.
func Token(token string, next http.Handler) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			Refuse(w, http.StatusUnauthorized, "unauthorized", "internal routes need Authorization: Bearer <PAYSYS_INTERNAL_TOKEN>")
			return
		}
		next.ServeHTTP(w, r)
	})
}
