//go:build whole

package node

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"chaos/targets/payments/pgtest"
)

// probe shows what a switch does: resilient is what it answers with every defence
// on, mutant what it answers with this one turned.
type probe struct {
	turn              string // switch or switch=value
	resilient, mutant string
	env               []string
	ask               func(*shop) string
}

func probes() []probe {
	return []probe{
		{"saga", "confirmed", "pending", nil, orchestratorDies},
		{"compensation", "1 refunds", "0 refunds", nil, func(s *shop) string {
			a := s.place("sold", soldOut(basket))
			s.reaches(a.ID, "cancelled")
			s.settle()
			return fmt.Sprint(len(s.books().refunds), " refunds")
		}},
		{"degrade_recs", "200", "502", nil, func(s *shop) string {
			a := s.place("a", basket)
			s.kill("recs")
			defer func() { s.start("recs"); s.ready("recs") }()
			return fmt.Sprint(s.get(a.ID).code)
		}},
		{"degrade_psp", "202", "502", nil, func(s *shop) string {
			s.behave(`{"slow_fraction":1,"slow_ms":5000}`)
			defer s.behave(`{"slow_fraction":0}`)
			return fmt.Sprint(s.do(http.MethodPost, s.nodes["gateway-a"].public, "/v1/payments", s.key("psp"),
				`{"amount_minor":100,"currency":"EUR","card_token":"tok","merchant":"m-1"}`).code)
		}},
		{"publish", "1 told", "0 told", nil, func(s *shop) string {
			s.reaches(s.place("warm", basket).ID, "confirmed")
			s.settle()
			s.nats.Down()
			a := s.place("untold", basket)
			s.nats.Up()
			s.until("the broker is back", func() bool { return s.reads("notify", "/internal/events") })
			after := s.place("after", basket) // the relay keeps the order, so this one is told last
			s.until("a later order is told", func() bool { return s.told(after.ID) > 0 })
			return fmt.Sprint(s.told(a.ID), " told")
		}},
		{"clock", "HELD", "RELEASED", nil, clockIsWrong},
		{"recs_timeout=60s", "pending", "", nil, func(s *shop) string {
			a := s.place("b", basket)
			if err := s.nodes["recs"].pause(true); err != nil {
				s.t.Fatal(err)
			}
			got := make(chan answer)
			go func() { got <- s.get(a.ID) }()
			time.Sleep(time.Second)
			if err := s.nodes["recs"].pause(false); err != nil {
				s.t.Fatal(err)
			}
			return (<-got).Enrichment
		}},
		{"order_pay_timeout=100ms", "paid at once: true", "paid at once: false", nil, func(s *shop) string { return fmt.Sprint("paid at once: ", s.paidAtOnce("slow", 201)) }},
		{"orders_timeout=100ms", "paid at once: true", "paid at once: false", nil, func(s *shop) string { return fmt.Sprint("paid at once: ", s.paidAtOnce("slower", 201)) }},
	}
}

// paidAtOnce tells whether one of some orders whose charge takes half a second
// is answered with the code.
func (s *shop) paidAtOnce(name string, code int) bool {
	s.behave(`{"slow_fraction":1,"slow_ms":500}`)
	defer s.behave(`{"slow_fraction":0}`)
	for i := range 10 {
		if s.order(fmt.Sprint(name, i), basket).code == code {
			return true
		}
	}
	return false
}

// told counts how often the broker has that an order was created.
func (s *shop) told(id string) (n int) {
	for _, e := range s.dump("notify", "/internal/events") {
		if e.is("state", "order.created") && e.is("ref", id) {
			n++
		}
	}
	return n
}

// reads tells whether a dump of the node is whole.
func (s *shop) reads(node, path string) bool {
	return strings.Contains(s.do(http.MethodGet, s.nodes[node].internal, path+"?prefix="+s.run, "", "").text, `"type":"end"`)
}

// orchestratorDies kills orders when the money is about to be taken, and tells
// what became of the order when everybody else was done.
func orchestratorDies(s *shop) string {
	s.abandon("dead")
	s.until("inventory has decided", func() bool { return count(s.dump("inventory", "/internal/audit"), "type", "reservation") > 0 })
	s.start("orders")
	s.ready("orders")
	s.settle()
	for _, o := range s.books().orders {
		if o.is("key", s.key("dead")) {
			return strings.ToLower(o["state"].(string))
		}
	}
	return "no order"
}

// abandon places an order and kills orders while the processor has the charge.
func (s *shop) abandon(name string) {
	s.behave(`{"slow_fraction":1,"slow_ms":400}`)
	defer s.behave(`{"slow_fraction":0}`)
	before := s.attempts()
	done := make(chan struct{})
	go func() { defer close(done); s.order(name, basket) }()
	s.until("the processor has the charge", func() bool { return s.attempts() != before })
	s.kill("orders")
	<-done
}

func (s *shop) attempts() string {
	_, text, _ := strings.Cut(s.do(http.MethodGet, s.nodes["psp"].internal, "/admin/stats", "", "").text, `"attempts":`)
	return strings.SplitN(text, ",", 2)[0]
}

// clockIsWrong tells what became of a hold that is seconds old.
func clockIsWrong(s *shop) string {
	if a := s.do(http.MethodPut, s.nodes["inventory"].internal, "/admin/clock", "", `{"offset_ms":900000}`); a.code != 200 {
		s.t.Fatal(a.text)
	}
	s.abandon("held")
	defer func() { s.start("orders"); s.ready("orders") }()
	state := func() string {
		for _, r := range s.dump("inventory", "/internal/audit") {
			if r.is("type", "reservation") && r.is("key", s.key("held")) {
				return r["state"].(string)
			}
		}
		return ""
	}
	s.until("there is a hold", func() bool { return state() != "" })
	time.Sleep(3 * time.Second) // three rounds of the expiry
	return state()
}

// Each switch of the chain changes what the system does, and says how.
func TestShopSwitches(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nine processes for each switch")
	}
	pg := pgtest.Start(t)
	resilient := newShop(t, pg)
	for _, p := range probes() {
		t.Run(p.turn, func(t *testing.T) {
			resilient.t = t
			if got := p.ask(resilient); got != p.resilient {
				t.Errorf("resilient: %q, want %q", got, p.resilient)
			}
			mutant := newShop(t, pg, append([]string{"PAYSYS_PRESET=mutant:" + p.turn}, p.env...)...)
			if got := p.ask(mutant); got != p.mutant {
				t.Errorf("mutant: %q, want %q", got, p.mutant)
			}
		})
	}
	resilient.t = t
}
