//go:build whole

package node

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"chaos/targets/payments/pgtest"
)

func soldOut(body string) string { return strings.Replace(body, "sku-01", "sku-soldout", 1) }
func declined(body string) string {
	return strings.Replace(body, `"tok"`, `"tok_declined"`, 1)
}

func TestShop(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nine processes and a PostgreSQL")
	}
	pg := pgtest.Start(t)
	for name, test := range map[string]func(*testing.T, *pgtest.Server){
		"OrderToTheEnd":             testOrderToTheEnd,
		"OneKeyOneOrder":            testOneKeyOneOrder,
		"ServicesDieAtAnyMoment":    testServicesDie,
		"BrokerAway":                testBrokerAway,
		"OrchestratorDiesWhilePaid": testOrchestratorDies,
		"SoftDependencyDown":        testSoftDependency,
		"RollingRestart":            testRollingRestart,
		"OneOrderIsOneTrace":        testOneTrace,
	} {
		t.Run(name, func(t *testing.T) { test(t, pg) })
	}
}

func testOrderToTheEnd(t *testing.T, pg *pgtest.Server) {
	s := newShop(t, pg)
	s.behave(`{"refund_fail_first":3}`)
	a := s.place("a", basket)
	s.reaches(a.ID, "confirmed")
	if got := s.get(a.ID); len(got.Recommendations) != 3 && len(got.Degraded) == 0 {
		t.Errorf("recommendations: %s", got.text)
	}
	b := s.place("b", soldOut(basket))
	s.reaches(b.ID, "cancelled") // c8: the refund is refused three times, and done
	c := s.place("c", declined(basket))
	s.reaches(c.ID, "cancelled")
	s.want(s.order("c", declined(basket)), 402, "cancelled")
	s.behave(`{"slow_fraction":1,"slow_ms":1500}`)
	d := s.place("d", basket)
	if d.code != 202 || d.State != "pending" {
		t.Errorf("a slow charge: %d %s", d.code, d.text)
	}
	s.reaches(d.ID, "confirmed")
	books := s.sound()
	if len(books.orders) != 4 || len(books.charges) != 3 || len(books.refunds) != 1 {
		t.Errorf("%d orders, %d charges, %d refunds", len(books.orders), len(books.charges), len(books.refunds))
	}
	if n := count(books.notifications, "account", "order_cancelled"); n != 2 {
		t.Errorf("%d customers heard of a cancellation", n)
	}
	if a := s.do(http.MethodGet, s.nodes["notify"].internal, "/internal/revenue", "", ""); !strings.Contains(a.text, `"revenue_minor":1000`) {
		t.Errorf("revenue: %s", a.text)
	}
}

// c9: whatever a client repeats, one key is one order, and its answer stays.
func testOneKeyOneOrder(t *testing.T, pg *pgtest.Server) {
	s := newShop(t, pg)
	s.behave(`{"median_ms":100}`)
	var mu sync.Mutex
	codes, ids := map[int]int{}, map[string]bool{}
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			a := s.order("one", basket)
			mu.Lock()
			defer mu.Unlock()
			if codes[a.code]++; a.ID != "" {
				ids[a.ID] = true
			}
		})
	}
	all.Wait()
	if codes[201]+codes[202] == 0 || codes[201]+codes[202]+codes[409] != 30 || len(ids) != 1 {
		t.Errorf("codes %v, ids %v", codes, ids)
	}
	s.want(s.order("one", strings.Replace(basket, "500", "501", 1)), 422, "")
	sold := s.place("two", soldOut(basket))
	s.reaches(sold.ID, "cancelled")
	if again := s.want(s.order("two", soldOut(basket)), 201, "paid"); again.ID != sold.ID || sold.PaymentID != "" && again.PaymentID != sold.PaymentID {
		t.Errorf("the answer of a key changed: %s", again.text)
	}
	s.want(s.order("bad", strings.Replace(basket, `"qty":2`, `"qty":0`, 1)), 400, "")
	if b := s.sound(); len(b.orders) != 2 || len(b.charges) != 2 {
		t.Errorf("%d orders, %d charges", len(b.orders), len(b.charges))
	}
}

// c1 to c9: each service is killed again and again while orders come in, a share
// of which can't be delivered. Wherever it died, all witnesses agree afterwards.
func testServicesDie(t *testing.T, pg *pgtest.Server) {
	s := newShop(t, pg)
	s.behave(`{"median_ms":60,"sigma":0.6,"decline_rate":0.05}`)
	var all sync.WaitGroup
	for i := range 150 {
		body := basket
		if i%5 == 0 {
			body = soldOut(basket)
		}
		all.Go(func() { s.place(fmt.Sprint("k", i), body) })
		if i%15 == 14 {
			victim := []string{"orders", "payments-a", "inventory", "notify", "payments-b"}[i/15%5]
			s.kill(victim)
			s.start(victim)
		}
		time.Sleep(10 * time.Millisecond)
	}
	all.Wait()
	b := s.sound()
	if len(b.orders) != 150 {
		t.Errorf("%d orders of 150", len(b.orders))
	}
	if n := count(b.orders, "state", "CANCELLED"); n < 30 {
		t.Errorf("%d cancelled: those that could not be delivered alone are 30", n)
	}
}

// c5: what was committed while the broker was away is told when it is back.
func testBrokerAway(t *testing.T, pg *pgtest.Server) {
	s := newShop(t, pg)
	a := s.place("a", basket)
	s.reaches(a.ID, "confirmed")
	s.settle()
	s.nats.Down()
	for i := range 10 {
		b := s.place(fmt.Sprint("k", i), basket)
		s.reaches(b.ID, "paid")
	}
	s.until("the outbox shows what waits", func() bool {
		return strings.Contains(s.do(http.MethodGet, s.nodes["orders"].internal, "/metrics", "", "").text, "outbox_unpublished 10")
	})
	s.nats.Up()
	if b := s.sound(); count(b.orders, "state", "CONFIRMED") != 11 {
		t.Errorf("%d confirmed of 11", count(b.orders, "state", "CONFIRMED"))
	}
}

// c8: orders dies after the money was taken, and comes back when everybody else
// is done.
func testOrchestratorDies(t *testing.T, pg *pgtest.Server) {
	s := newShop(t, pg)
	s.behave(`{"median_ms":400}`)
	var all sync.WaitGroup
	for i := range 8 {
		body := basket
		if i%2 == 0 {
			body = soldOut(basket)
		}
		all.Go(func() { s.order(fmt.Sprint("k", i), body) })
	}
	s.until("the processor has the charges", func() bool {
		return strings.Contains(s.do(http.MethodGet, s.nodes["psp"].internal, "/admin/stats", "", "").text, `"attempts":8`)
	})
	s.kill("orders")
	all.Wait()
	s.until("inventory has decided", func() bool {
		return count(s.dump("inventory", "/internal/audit"), "type", "reservation") == 8
	})
	s.start("orders")
	s.ready("orders")
	s.until("all came to an end", func() bool {
		b := s.books()
		return count(b.orders, "state", "CONFIRMED") == 4 && count(b.orders, "state", "CANCELLED") == 4
	})
	s.sound()
}

// Without recommendations an order is an answer all the same, and says so.
func testSoftDependency(t *testing.T, pg *pgtest.Server) {
	s := newShop(t, pg)
	a := s.place("a", basket)
	s.kill("recs")
	s.until("an order without recommendations, flagged", func() bool {
		got := s.get(a.ID)
		return got.code == 200 && fmt.Sprint(got.Degraded) == "[recommendations]" && len(got.Recommendations) == 0
	})
	s.start("recs")
	s.ready("recs")
	s.until("recommendations are back", func() bool { return len(s.get(a.ID).Recommendations) > 0 })
	if err := s.nodes["recs"].pause(true); err != nil {
		t.Fatal(err)
	}
	s.until("an order whose enrichment is pending", func() bool {
		got := s.get(a.ID)
		return got.code == 200 && got.Enrichment == "pending"
	})
	if err := s.nodes["recs"].pause(false); err != nil {
		t.Fatal(err)
	}
	s.sound()
}

// Every service is restarted in turn under load, with SIGTERM: no request fails.
func testRollingRestart(t *testing.T, pg *pgtest.Server) {
	// Nobody is refused for being late: this is about who is cut off.
	s := newShop(t, pg, "PAYSYS_VERSION=v2", "PAYSYS_SWITCH_DEADLINE_PROPAGATION=off", "PAYSYS_SWITCH_SHED=off", "PAYSYS_SWITCH_ORDERS_TIMEOUT=60s",
		"PAYSYS_SWITCH_ORDER_PAY_TIMEOUT=60s", "PAYSYS_SWITCH_PSP_TIMEOUT=60s")
	stop := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(15 * time.Millisecond):
			}
			all.Go(func() {
				a := s.order(fmt.Sprint("k", i), basket)
				if a.code == 201 || a.code == 202 {
					a.code = s.get(a.ID).code
				}
				p := s.do(http.MethodPost, s.nodes["gateway-b"].public, "/v1/payments", s.key(fmt.Sprint("p", i)), `{"amount_minor":100,"currency":"EUR","card_token":"tok","merchant":"m-1"}`)
				if p.code == 201 || p.code == 202 {
					p.code = 200
				}
				mu.Lock()
				defer mu.Unlock()
				codes[a.code]++
				codes[p.code]++
			})
		}
	})
	for _, name := range []string{"payments-a", "payments-b", "inventory", "notify", "recs"} {
		s.end(name)
		s.start(name)
		s.ready(name)
	}
	close(stop)
	all.Wait()
	if len(codes) != 1 || codes[200] < 50 {
		t.Errorf("answers: %v", codes)
	}
	if a := s.do(http.MethodGet, s.nodes["payments-b"].internal, "/metrics", "", ""); !strings.Contains(a.text, `build_info{role="payments",version="v2"} 1`) {
		t.Error("the build is not labelled")
	}
	s.sound()
}
