package payments

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chaos/targets/payments/ledger"
	"chaos/targets/payments/wire"
)

// retry_attempts is what decides the number of requests on the wire.
func testRetrySwitches(t *testing.T, dsn string) {
	for _, c := range []struct {
		preset   string
		single   map[string]string
		attempts int
		code     int
	}{
		{"naive", nil, 3, 502},
		{"naive", map[string]string{"RETRY_ATTEMPTS": "1"}, 1, 502},
		{"mutant:accept_mode=sync", map[string]string{"RETRY_BUDGET": "off", "PSP_TIMEOUT": "30s"}, 2, 502},
		{"mutant:accept_mode=sync", map[string]string{"PSP_TIMEOUT": "30s"}, 2, 502}, // the first retry is in the budget
	} {
		r := newRig(t, dsn, options{preset: c.preset, single: c.single, idle: true})
		r.breaks(func(*http.Request) cutPoint { return cutBefore })
		r.want(r.pay("k"+t.Name()+c.preset+fmt.Sprint(c.single)), c.code, "")
		if r.attempts() != c.attempts {
			t.Errorf("%s %v: %d attempts, want %d", c.preset, c.single, r.attempts(), c.attempts)
		}
	}
}

func testNaiveChargesTwice(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "naive"})
	var n atomic.Int64
	r.breaks(func(*http.Request) cutPoint {
		if n.Add(1) == 1 {
			return cutAfter
		}
		return pass
	})
	r.want(r.pay("a"), 201, "captured")
	if got := r.charges()["a"]; got != 2 {
		t.Errorf("%d charges: naive must charge again under a new key", got)
	}
	r.breaks(nil)
	first, second := r.pay("b"), r.pay("b")
	if first.ID == second.ID || r.charges()["b"] != 2 {
		t.Error("idempotency_api=off must make a second payment of a key")
	}
}

// One pool for everything: reads wait behind charges, and a client that left
// is served all the same.
func testNaiveWorksForThoseWhoLeft(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "naive", single: map[string]string{"SYNC_WORKERS": "2"}})
	p := r.want(r.pay("first"), 201, "captured")
	release := r.holds()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.public.URL+"/v1/payments", strings.NewReader(order))
			if err != nil {
				t.Error(err)
				return
			}
			q.Header.Set(wire.IdempotencyHeader, fmt.Sprint("left", i))
			if _, err := http.DefaultClient.Do(q); err == nil {
				t.Error("the client must be cut")
			}
		})
	}
	r.eventually("two are charged, two wait", func() bool { return r.service.shared.Held() == 4 && r.attempts() == 3 })
	cancel()
	all.Wait()
	read := make(chan answer, 1)
	go func() { read <- r.send(http.MethodGet, "/v1/payments/"+p.ID, "", "") }()
	select {
	case <-read:
		t.Error("the read must wait behind the charges")
	case <-time.After(300 * time.Millisecond):
	}
	release()
	r.want(<-read, 200, "captured")
	r.eventually("all 5 are charged", func() bool { return len(r.charges()) == 5 })
}

// The incident: with W = 2 and K = 3, of 20 at once 5 are charged, all are
// answered 202, nothing is logged above INFO, and the service thinks it is done.
func testMemqueue(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "naive-queue", single: map[string]string{"MEMQUEUE_WORKERS": "2", "MEMQUEUE_DEPTH": "3"}})
	release := r.holds()
	busy := func() int { return r.service.queue.depth() }
	for i := range 2 {
		r.want(r.pay(fmt.Sprint("k", i)), 202, "pending")
	}
	r.reached(2)
	var last answer
	for i := 2; i < 20; i++ { // neither they nor a read wait for the charges, which are held
		last = r.want(r.pay(fmt.Sprint("k", i)), 202, "pending")
	}
	r.want(r.send(http.MethodGet, "/v1/payments/"+last.ID, "", ""), 200, "pending")
	if busy() != 5 {
		t.Errorf("depth %d, want 5", busy())
	}
	release()
	r.eventually("the queue is empty", func() bool { return busy() == 0 })
	if n := len(r.charges()); n != 5 {
		t.Errorf("%d charges, want 5", n)
	}
	states := map[string]int{}
	for _, l := range dump(t, r.internal.URL+"/internal/audit") {
		if l.Type == "payment" {
			states[l.State]++
		}
	}
	if states["CAPTURED"] != 5 || states["INITIATED"] != 15 {
		t.Errorf("states %v", states)
	}
	if s := r.log.String(); strings.Contains(s, "WARN") || strings.Contains(s, "ERROR") {
		t.Errorf("the loss must be silent: %s", s)
	}
}

func testReads(t *testing.T, dsn string) {
	var reads atomic.Int64
	r := newRig(t, dsn, options{preset: "resilient", single: map[string]string{"PSP_TIMEOUT": "3s"}, store: func(s Store) Store { return counting{s, &reads} }})
	p := r.want(r.pay("a"), 201, "captured")
	r.want(r.send(http.MethodGet, "/v1/payments/"+p.ID, "", ""), 200, "captured")
	if reads.Load() != 0 {
		t.Error("a settled payment must be in the cache already")
	}
	r.want(r.refund("r", p.ID, 500), 201, "refunded")
	r.want(r.send(http.MethodGet, "/v1/payments/"+p.ID, "", ""), 200, "refunded")
	r.want(r.send(http.MethodGet, "/v1/payments/none", "", ""), 404, "")
	release := r.holds()
	pending := r.want(r.pay("b"), 202, "pending")
	reads.Store(0)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { r.want(r.send(http.MethodGet, "/v1/payments/"+pending.ID, "", ""), 200, "pending") })
	}
	all.Wait()
	if n := reads.Load(); n < 1 || n > 10 {
		t.Errorf("%d reads of the books for 20 at once", n)
	}
	release()
	r.until(pending.ID, "captured")
}

// counting is a store whose reads are slow and counted.
type counting struct {
	Store
	reads *atomic.Int64
}

func (c counting) Get(ctx context.Context, id string) (p ledger.Payment, err error) {
	c.reads.Add(1)
	time.Sleep(100 * time.Millisecond)
	return c.Store.Get(ctx, id)
}

func testBadRequests(t *testing.T, dsn string) {
	r := resilient(t, dsn)
	for _, body := range []string{`{}`, `x`, strings.Replace(order, "500", "-1", 1), strings.Replace(order, "500", "0.5", 1), strings.Replace(order, "EUR", "euro", 1)} {
		r.want(r.send(http.MethodPost, "/v1/payments", "k", body), 400, "")
	}
	r.want(r.send(http.MethodPost, "/v1/payments", "", order), 400, "")
	r.want(r.send(http.MethodPost, "/v1/refunds", "k", `{"payment_id":"x"}`), 400, "")
	if r.attempts() != 0 {
		t.Error("a bad request reached the processor")
	}
}

func testSettled(t *testing.T, dsn string) {
	r := newRig(t, dsn, options{preset: "resilient", single: impatient()})
	pending := func(prefix string) string {
		res, err := http.Get(r.internal.URL + "/internal/settled?prefix=" + prefix)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b strings.Builder
		if err := res.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	release := r.holds()
	a := r.want(r.pay("run1-a"), 202, "pending")
	if got := pending("run1-"); !strings.Contains(got, `{"pending":1}`) {
		t.Errorf("open payment: %s", got)
	}
	if got := pending("run2-"); !strings.Contains(got, `{"pending":0}`) {
		t.Errorf("other prefix: %s", got)
	}
	release()
	r.until(a.ID, "captured")
	if got := pending("run1-"); !strings.Contains(got, `{"pending":0}`) {
		t.Errorf("settled payment: %s", got)
	}
}
