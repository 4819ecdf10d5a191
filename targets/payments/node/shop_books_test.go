//go:build whole

package node

import (
	"fmt"
	"strings"
)

// flaws lists everything in which the witnesses do not agree. It is the issue's
// invariants in the small: nothing lost, doubled, stuck, orphaned or untold.
func (b books) flaws() (out []string) {
	bad := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	charges, refunds, held := map[any]int{}, map[any]int{}, map[any]int{}
	for _, r := range b.charges {
		charges[r["ref"]]++
	}
	for _, r := range b.refunds {
		refunds[r["ref"]]++
	}
	taken := 0.0
	for _, r := range b.reservations {
		if r.is("state", "HELD") || r.is("state", "SOLD") {
			held[r["ref"]]++
			taken += r["amount_minor"].(float64)
		}
	}
	if b.free+taken != b.initial {
		bad("stock: %v free + %v taken is not %v", b.free, taken, b.initial)
	}
	told := map[string]int{}
	for _, e := range b.events {
		told[fmt.Sprint(e["state"], " ", e["ref"])]++
	}
	for _, o := range b.orders {
		b.order(o, charges, refunds, held, told, bad)
	}
	if n := sum(b.ledger); n != 0 {
		bad("ledger: sum %v", n)
	}
	if got, want := sum(b.revenue), sum(b.charges)-sum(b.refunds); got != want {
		bad("revenue %v, processor %v", got, want)
	}
	messages := map[any]int{}
	for _, n := range b.notifications {
		if messages[n["ref"]]++; messages[n["ref"]] == 2 {
			bad("a customer heard twice of event %v", n["ref"])
		}
	}
	for _, e := range b.events {
		for _, consumer := range subscribers(e["state"].(string)) {
			if b.inbox[fmt.Sprint(consumer, "/", e["id"])] == 0 {
				bad("%s never took %v", consumer, e)
			}
		}
	}
	return out
}

func (b books) order(o row, charges, refunds, held map[any]int, told map[string]int, bad func(string, ...any)) {
	c, r, h := 0, 0, held[o["id"]]
	for _, p := range b.payments {
		if p["key"] == o["key"] {
			c, r = c+charges[p["id"]], r+refunds[p["id"]]
		}
	}
	final := "order." + strings.ToLower(o["state"].(string))
	switch o["state"] {
	case "CONFIRMED":
		if c != 1 || r != 0 || h != 1 {
			bad("confirmed %v: %d charges, %d refunds, %d reservations", o["key"], c, r, h)
		}
	case "CANCELLED":
		if c > 1 || c != r || h != 0 {
			bad("cancelled %v: %d charges, %d refunds, %d reservations", o["key"], c, r, h)
		}
	default:
		bad("stuck: %v", o)
	}
	for _, e := range []string{"order.created", final} {
		if n := told[fmt.Sprint(e, " ", o["id"])]; n != 1 {
			bad("%v: %s was told %d times", o["key"], e, n)
		}
	}
}

// subscribers of an event.
func subscribers(kind string) []string {
	return map[string][]string{
		"order.created": {"notify"}, "order.confirmed": {"notify", "inventory"}, "order.cancelled": {"notify", "inventory"},
		"payment.captured": {"orders", "inventory", "notify"}, "payment.failed": {"orders"}, "payment.refunded": {"orders", "notify"},
		"inventory.reserved": {"orders"}, "inventory.rejected": {"orders"},
	}[kind]
}

// sound waits until nothing is left to do and finds no flaw.
func (s *shop) sound() books {
	s.t.Helper()
	s.settle()
	b := s.books()
	for _, f := range b.flaws() {
		s.t.Error(f)
	}
	return b
}
