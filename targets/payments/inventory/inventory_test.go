package inventory

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	paysys "chaos/targets/payments"
	"chaos/targets/payments/database"
	"chaos/targets/payments/events"
	"chaos/targets/payments/natstest"
	"chaos/targets/payments/pgtest"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
)

type rig struct {
	t *testing.T
	v *Service
}

func newRig(t *testing.T, pg *pgtest.Server, n *natstest.Server, offset time.Duration, single map[string]string) rig {
	t.Helper()
	set, err := switches.Resolve("resilient", single)
	if err != nil {
		t.Fatal(err)
	}
	set.DatabaseTimeout = 20 * time.Second // the machine may be busy
	db, err := database.Open(context.Background(), pg.Of(t, paysys.InventorySchema), set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	b, err := events.Dial(n.URL(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	server := telemetry.Server{Log: telemetry.NewLogger(io.Discard, "inventory", "test", time.Now), Metrics: telemetry.NewMetrics(),
		Clock: func() time.Time { return time.Now().Add(offset) }}
	return rig{t, New(settings.Settings{Switches: set}, db, b, server)}
}

// hears applies an event, as the consumer does.
func (r rig) hears(kind, order, sku string, qty int64) {
	r.t.Helper()
	e := events.Fill(events.Event{Type: kind, Key: "k", OrderID: order, PaymentID: "p", SKU: sku, Qty: qty}, time.Now())
	err := r.v.events.Transact(context.Background(), r.v.db.Background, "test", func(ctx context.Context, tx *events.Tx) error { return r.v.hear(ctx, tx, e) })
	if err != nil {
		r.t.Fatal(err)
	}
}

// is compares the reservations of an order, the free pieces of a sku and what
// was told.
func (r rig) is(order, sku, states string, free int64, told string) {
	r.t.Helper()
	var gotStates, gotTold string
	var gotFree int64
	err := r.v.db.Audits.QueryRow(context.Background(), `SELECT (SELECT coalesce(string_agg(state, ' ' ORDER BY created_at), '') FROM reservations WHERE order_id = $1),
		(SELECT free FROM stock WHERE sku = $2), (SELECT coalesce(string_agg(subject, ' ' ORDER BY seq), '') FROM outbox WHERE payload->>'order_id' = $1)`, order, sku).Scan(&gotStates, &gotFree, &gotTold)
	if err != nil {
		r.t.Fatal(err)
	}
	if got, want := fmt.Sprint(gotStates, "|", gotFree, "|", gotTold), fmt.Sprint(states, "|", free, "|", told); got != want {
		r.t.Errorf("got %s, want %s", got, want)
	}
}

// asks sends a request to the internal port.
func (r rig) asks(method, path, body string) (int, string) {
	mux := http.NewServeMux()
	r.v.Internal(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestInventory(t *testing.T) {
	pg, n := pgtest.Start(t), natstest.Start(t)
	const all = 1_000_000_000
	t.Run("HeldSoldReleased", func(t *testing.T) {
		r := newRig(t, pg, n, 0, nil)
		sold, gone := uuid.NewString(), uuid.NewString()
		r.hears(events.PaymentCaptured, sold, "sku-01", 3)
		r.is(sold, "sku-01", "HELD", all-3, "inventory.reserved")
		r.hears(events.OrderConfirmed, sold, "", 0)
		r.is(sold, "sku-01", "SOLD", all-3, "inventory.reserved")
		r.hears(events.PaymentCaptured, gone, "sku-01", 2)
		r.hears(events.OrderCancelled, gone, "", 0)
		r.is(gone, "sku-01", "RELEASED", all-3, "inventory.reserved")
		r.hears(events.OrderCancelled, gone, "", 0) // again: nothing more comes back
		r.is(gone, "sku-01", "RELEASED", all-3, "inventory.reserved")
	})
	t.Run("SoldOut", func(t *testing.T) {
		r := newRig(t, pg, n, 0, nil)
		o := uuid.NewString()
		r.hears(events.PaymentCaptured, o, "sku-soldout", 1)
		r.is(o, "sku-soldout", "REJECTED", 0, "inventory.rejected")
		r.hears(events.PaymentCaptured, "", "sku-01", 1) // a payment without an order
		r.hears("payment.framed", o, "sku-01", 1)        // a type of newer writers
		r.is(o, "sku-01", "REJECTED", all, "inventory.rejected")
	})
	t.Run("NotOnTheShelf", func(t *testing.T) {
		r := newRig(t, pg, n, 0, nil)
		o := uuid.NewString()
		if code, text := r.asks(http.MethodPut, "/admin/behaviour", `{"missing_share":1}`); code != 200 {
			t.Fatal(code, text)
		}
		r.hears(events.PaymentCaptured, o, "sku-01", 1)
		r.is(o, "sku-01", "REJECTED", all, "inventory.rejected") // the books keep what they have
		r.asks(http.MethodPut, "/admin/behaviour", `{"missing_share":0}`)
		r.hears(events.PaymentCaptured, uuid.NewString(), "sku-01", 1)
		if _, text := r.asks(http.MethodGet, "/admin/stats", ""); strings.TrimSpace(text) != `{"asked":2,"missing":1}` {
			t.Errorf("stats: %s", text)
		}
		for _, bad := range []string{`{"missing_share":1.1}`, `{"missing":1}`, `{}{}`, `[]`} {
			if code, text := r.asks(http.MethodPut, "/admin/behaviour", bad); code != 400 || !strings.Contains(text, "behaviour unchanged") {
				t.Errorf("%s: %d %s", bad, code, text)
			}
		}
	})
	t.Run("CancelledBeforePaid", func(t *testing.T) {
		r := newRig(t, pg, n, 0, nil)
		o := uuid.NewString()
		r.hears(events.OrderCancelled, o, "", 0)
		r.hears(events.PaymentCaptured, o, "sku-01", 1)
		r.is(o, "sku-01", "", all, "")
	})
	t.Run("HoldsRunOut", func(t *testing.T) {
		for _, c := range []struct {
			clock  string
			offset time.Duration
			state  string
			free   int64
			told   string
		}{
			{"database", 15 * time.Minute, "HELD", all - 1, "inventory.reserved"},
			{"local", 0, "HELD", all - 1, "inventory.reserved"},
			{"local", 15 * time.Minute, "RELEASED", all, "inventory.reserved inventory.rejected"},
		} {
			r := newRig(t, pg, n, c.offset, map[string]string{"clock": c.clock})
			o := uuid.NewString()
			r.hears(events.PaymentCaptured, o, "sku-01", 1)
			if err := r.v.expireOnce(context.Background()); err != nil {
				t.Fatal(err)
			}
			r.is(o, "sku-01", c.state, c.free, c.told)
		}
	})
	t.Run("WithoutTheInboxTwiceIsTwice", func(t *testing.T) {
		r := newRig(t, pg, n, 0, nil)
		o := uuid.NewString()
		r.hears(events.PaymentCaptured, o, "sku-01", 1)
		r.hears(events.PaymentCaptured, o, "sku-01", 1) // hear is behind the inbox
		r.is(o, "sku-01", "HELD HELD", all-2, "inventory.reserved inventory.reserved")
	})
}
