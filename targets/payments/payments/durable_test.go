package payments

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chaos/targets/payments/events"
	"chaos/targets/payments/ledger"
	"chaos/targets/payments/wire"
)

var errCrash = errors.New("crash")

func resilient(t *testing.T, dsn string) *rig { return newRig(t, dsn, options{preset: "resilient"}) }

func testIdempotencyTable(t *testing.T, dsn string) {
	r := resilient(t, dsn)
	first := r.want(r.pay("a"), 201, "captured")
	again := r.want(r.pay("a"), 201, "captured")
	if first.ID == "" || again.ID != first.ID || first.Header.Get("Location") != "/v1/payments/"+first.ID {
		t.Errorf("first %s, again %s", first.ID, again.ID)
	}
	r.want(r.send(http.MethodPost, "/v1/payments", "a", strings.Replace(order, "500", "501", 1)), 422, "")
	declined := r.want(r.send(http.MethodPost, "/v1/payments", "d", strings.Replace(order, `"tok"`, `"tok_declined"`, 1)), 402, "declined")
	if declined.Reason != "insufficient_funds" {
		t.Errorf("reason %q", declined.Reason)
	}
	r.want(r.send(http.MethodPost, "/v1/payments", "d", strings.Replace(order, `"tok"`, `"tok_declined"`, 1)), 402, "declined")
	release := r.holds()
	done := make(chan answer)
	go func() { done <- r.pay("slow") }()
	r.reached(3)
	if busy := r.want(r.pay("slow"), 409, ""); busy.Header.Get("Retry-After") == "" {
		t.Error("409 without Retry-After")
	}
	release()
	r.want(<-done, 201, "captured")
	r.agree()
}

func testPendingIsReplayed(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "resilient", single: impatient()})
	release := r.holds()
	pending := r.want(r.pay("later"), 202, "pending")
	if a := r.pay("later"); a.Code != 202 || a.ID != pending.ID {
		t.Errorf("replay of a pending payment: %d %s", a.Code, a.Text)
	}
	release()
	r.until(pending.ID, "captured")
	r.want(r.pay("later"), 201, "captured")
	r.agree()
}

func testFiftyAtOnce(t *testing.T, dsn string) {
	r := resilient(t, dsn)
	r.behave(`{"median_ms":100}`)
	var codes [600]atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { codes[r.pay("one").Code].Add(1) })
	}
	all.Wait()
	if codes[201].Load() < 1 || codes[201].Load()+codes[409].Load() != 50 {
		t.Errorf("201: %d, 409: %d", codes[201].Load(), codes[409].Load())
	}
	if n := r.charges()["one"]; n != 1 || r.attempts() != 1 {
		t.Errorf("%d charges, %d attempts", n, r.attempts())
	}
	r.agree()
}

func testRefunds(t *testing.T, dsn string) {
	r := resilient(t, dsn)
	p := r.want(r.pay("a"), 201, "captured")
	r.want(r.refund("r", p.ID, 500), 201, "refunded")
	r.want(r.refund("r", p.ID, 500), 201, "refunded")
	r.want(r.refund("r2", p.ID, 1), 422, "")
	r.want(r.refund("r3", "9b2c3c9e-7a43-4b7e-9d53-111111111111", 1), 404, "")
	r.until(p.ID, "refunded")
	r.want(r.pay("a"), 201, "captured") // the payment's own answer stays
	d := r.want(r.send(http.MethodPost, "/v1/payments", "d", strings.Replace(order, `"tok"`, `"tok_declined"`, 1)), 402, "declined")
	r.want(r.refund("r4", d.ID, 500), 422, "")
	r.behave(`{"refund_fail_first":3}`)
	q := r.want(r.pay("b"), 201, "captured")
	r.want(r.refund("r5", q.ID, 500), 202, "pending")
	r.until(q.ID, "refunded")
	r.want(r.refund("r5", q.ID, 500), 201, "refunded")
	r.agree()
}

func testRefundWhilePending(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "resilient", single: impatient()})
	release := r.holds()
	p := r.want(r.pay("a"), 202, "pending")
	r.want(r.refund("r", p.ID, 500), 202, "pending")
	d := r.want(r.send(http.MethodPost, "/v1/payments", "d", strings.Replace(order, `"tok"`, `"tok_declined"`, 1)), 202, "pending")
	r.want(r.refund("rd", d.ID, 500), 202, "pending")
	release()
	r.until(p.ID, "refunded")
	r.until(d.ID, "declined")
	r.eventually("the refund of a declined payment ends as refused", func() bool { return r.refund("rd", d.ID, 500).Code == 422 })
	r.agree()
}

// Every charge takes longer than a request waits: all answers come in time,
// everything is captured once later.
func testSlowProcessor(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "resilient", single: impatient()})
	r.behave(`{"slow_fraction":1,"slow_ms":8000}`) // an answer waits 1 s; the rest is for a busy machine
	var ids [20]string
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			ids[i] = r.want(r.pay(fmt.Sprint("k", i)), 202, "pending").ID // and not 201, when it is charged
		})
	}
	all.Wait()
	for _, id := range ids {
		r.until(id, "captured")
	}
	if r.attempts() != len(ids) {
		t.Errorf("%d attempts for %d payments: a slow charge must be asked for, not sent again", r.attempts(), len(ids))
	}
	r.agree()
}

// failing is a store that breaks at one point, as a crash there would.
type failing struct {
	Store
	settles atomic.Int64 // this many writes of an outcome fail
	creates atomic.Int64
}

func (f *failing) Settle(ctx context.Context, id string, to ledger.State, pspID, reason string, told ...events.Row) (ledger.Payment, bool, error) {
	if f.settles.Add(-1) >= 0 {
		return ledger.Payment{}, false, errCrash
	}
	return f.Store.Settle(ctx, id, to, pspID, reason, told...)
}

func (f *failing) Create(ctx context.Context, o ledger.Order) (ledger.Payment, bool, error) {
	o.Hold = min(o.Hold, 300*time.Millisecond) // so that the test does not wait out a real lease
	if f.creates.Add(-1) >= 0 {
		return ledger.Payment{}, false, errCrash
	}
	return f.Store.Create(ctx, o)
}

func testCrashPoints(t *testing.T, dsn string) {
	var f *failing
	r := newRig(t, dsn, options{preset: "resilient", store: func(s Store) Store { f = &failing{Store: s}; return f }})

	f.creates.Store(1) // c1: before the row
	if a := r.pay("c1"); a.Code != 500 || r.attempts() != 0 {
		t.Errorf("c1: %d, %d attempts", a.Code, r.attempts())
	}
	r.want(r.pay("c1"), 201, "captured")

	// c2: the row is written, the processor was never called.
	o := ledger.Order{Payment: ledger.Payment{ID: "7d444840-9dc0-11d1-b245-5ffdce74fad2", Tenant: "tenant-01", ClientKey: "c2", AmountMinor: 500, Currency: "EUR", CardToken: "tok", Merchant: "m", InRequest: true},
		Unique: true, Fingerprint: fingerprint(wire.PaymentRequest{AmountMinor: 500, Currency: "EUR", CardToken: "tok", Merchant: "m"})}
	if _, _, err := f.Create(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	r.until(o.ID, "captured")
	r.want(r.pay("c2"), 201, "captured")

	// c3: charged, the answer is lost, and the retry's too.
	r.breaks(func(q *http.Request) cutPoint {
		if q.URL.Path == "/charges" && q.Method == http.MethodPost {
			return cutAfter
		}
		return pass
	})
	c3 := r.want(r.pay("c3"), 202, "pending")
	r.until(c3.ID, "captured")
	r.breaks(nil)

	f.settles.Store(1) // c4: the answer came, its writing failed
	c4 := r.want(r.pay("c4"), 202, "pending")
	r.until(c4.ID, "captured")

	// c9: all is written, the client did not hear of it.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	release, before := r.holds(), r.attempts()
	go func() { r.reached(before + 1); cancel() }()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.public.URL+"/v1/payments", strings.NewReader(order))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set(wire.IdempotencyHeader, "c9")
	q.Header.Set("X-Tenant", "tenant-01")
	if _, err := http.DefaultClient.Do(q); err == nil {
		t.Error("c9: the client must be cut")
	}
	release()
	r.eventually("c9: the replay finds the payment", func() bool { return r.pay("c9").Code == 201 })
	r.agree()
}

func testReconcileOff(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "mutant:reconcile"})
	r.breaks(func(*http.Request) cutPoint { return cutAfter })
	a := r.want(r.pay("a"), 202, "pending")
	r.breaks(nil)
	time.Sleep(1500 * time.Millisecond)
	r.want(r.send(http.MethodGet, "/v1/payments/"+a.ID, "", ""), 200, "pending")
	if r.charges()["a"] != 1 {
		t.Error("the mutant must show: charged, and stuck")
	}
}

// A fifth of the answers is lost after the charge: still one charge each, and
// the wire carries no attempt that the retry did not make.
func testDroppedAnswers(t *testing.T, dsn string) {
	r := resilient(t, dsn)
	var n, cut atomic.Int64
	r.breaks(func(q *http.Request) cutPoint {
		if q.Method == http.MethodPost && n.Add(1)%5 == 0 {
			cut.Add(1)
			return cutAfter
		}
		return pass
	})
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			for a := r.pay(fmt.Sprint("k", i)); a.Code != 201; a = r.pay(fmt.Sprint("k", i)) {
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	all.Wait()
	if got, most := int64(r.attempts()), 60+cut.Load(); got > most {
		t.Errorf("%d attempts, more than 60 payments and %d lost answers explain", got, cut.Load())
	}
	r.agree()
}

func testBreaker(t *testing.T, dsn string) {
	r := resilient(t, dsn)
	r.breaks(func(*http.Request) cutPoint { return answer500 })
	var ids [60]string
	for batch := range 3 { // at once, so that 20 failures are within the breaker's window
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { ids[20*batch+i] = r.want(r.pay(fmt.Sprint("k", 20*batch+i)), 202, "pending").ID })
		}
		all.Wait()
	}
	during := r.attempts()
	if during > 60 {
		t.Errorf("%d attempts while the processor failed: breaker and budget must keep them under the payments", during)
	}
	r.breaks(nil)
	healed := time.Now()
	for _, id := range ids {
		r.until(id, "captured")
	}
	t.Logf("%d attempts in the outage, all settled %v after it", during, time.Since(healed))
	r.agree()
}

func testFullBulkhead(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "resilient", single: map[string]string{"SYNC_WORKERS": "2", "PSP_TIMEOUT": "30s"}})
	release := r.holds()
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() { r.want(r.pay(fmt.Sprint("held", i)), 201, "captured") })
	}
	r.reached(2)
	a := r.want(r.pay("extra"), 202, "pending") // while both places are held
	release()
	all.Wait()
	r.until(a.ID, "captured")
	r.agree()
}

func testPassedDeadline(t *testing.T, dsn string) {
	r := resilient(t, dsn)
	q, err := http.NewRequest(http.MethodPost, r.public.URL+"/v1/payments", strings.NewReader(order))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set(wire.IdempotencyHeader, "late")
	wire.SetDeadline(q.Header, 20*time.Millisecond)
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get(wire.ShedHeader) != "1" || res.Header.Get("Retry-After") == "" || r.attempts() != 0 {
		t.Errorf("%d %v, %d attempts", res.StatusCode, res.Header, r.attempts())
	}
	if n := len(dump(t, r.internal.URL+"/internal/audit")); n != 0 {
		t.Errorf("%d rows of a request that was refused", n)
	}
}

func testNoDatabase(t *testing.T, dsn string) {
	r := resilient(t, "host=/nonexistent user=x dbname=x")
	a := r.want(r.pay("a"), 503, "")
	if a.Header.Get(wire.ShedHeader) != "1" || a.Header.Get("Retry-After") == "" {
		t.Errorf("not a clean refusal: %v", a.Header)
	}
	if err := r.service.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "postgres") {
		t.Errorf("ready: %v", err)
	}
}
