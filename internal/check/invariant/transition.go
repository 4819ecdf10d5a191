package invariant

import (
	"fmt"
	"strings"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// paymentChain is how a payment goes on. PENDING is what the API calls one without an outcome.
func paymentChain() chain {
	return newChain([]string{"PENDING", "INITIATED", "UNKNOWN", "DECLINED", "CAPTURED", "REFUNDING", "REFUNDED"}, []string{"DECLINED", "REFUNDED"})
}

// orderChain is how an order goes on.
func orderChain() chain {
	return newChain([]string{"PENDING", "PAID", "CONFIRMED", "COMPENSATING", "CANCELLED"}, []string{"CONFIRMED", "CANCELLED"})
}

// illegal finds payments and orders that left a terminal state or went backwards: what was known of them at some
// time, from answers, reads and the broker's log, is held against what came later and against the books at
// the end. What no_lost_payment, no_stuck_payment or no_ghost_charge names is theirs.
func (b *books) illegal() map[journal.ID]string {
	moved := make(map[journal.ID]string)
	payments, orders := paymentChain(), orderChain()
	read := make(map[journal.ID]string) // the furthest that was read
	looks := reads(b.h, func(string) bool { return true })
	for from := 0; from < len(looks); {
		to := from + 1
		for to < len(looks) && looks[to].id == looks[from].id {
			to++
		}
		id, c := looks[from].id, payments
		if _, is := b.byOrder[id]; is {
			c = orders
		}
		last, wrong := c.walk(looks[from:to])
		read[id] = last
		if wrong != "" {
			moved[id] = "read by clients, it " + wrong
		}
		from = to
	}
	for _, r := range b.rows["payment"] {
		id := idOf(r.ID)
		if b.log.about[id] != 0 || read[id] != "" {
			b.followed++
		}
		if why := b.strayed(r, id, read[id], payments); why != "" {
			moved[id] = why
		}
		if n, _, _ := b.find(r); n >= 0 && moved[id] != "" {
			b.accounts[n].moved = true
		}
	}
	for i := range b.orders {
		o := &b.orders[i]
		if o.row == nil {
			continue
		}
		if o.told != 0 || read[o.id] != "" {
			b.followed++
		}
		for _, before := range append(o.told.orderStates(), read[o.id]) {
			if why := orders.step(before, o.state); why != "" && o.over() && moved[o.id] == "" {
				moved[o.id] = "by the broker's log or a read, and then the books, it " + why
			}
		}
	}
	return moved
}

// strayed says how a payment's row contradicts what was known of it before, or "".
func (b *books) strayed(r *journal.AuditRecord, id journal.ID, read string, c chain) string {
	state := strings.ToUpper(r.State)
	n, _, found := b.find(r)
	if !found || n < 0 || !settled(state) {
		return ""
	}
	a := &b.accounts[n]
	if a.gone() || a.ghost() != "" {
		return ""
	}
	before := append(b.log.about[id].paymentStates(), read)
	if a.payments == 1 && a.clash == 0 {
		switch {
		case a.captured:
			before = append(before, "CAPTURED")
		case a.declined && !a.acked:
			before = append(before, "DECLINED")
		}
	}
	for _, s := range before {
		if why := c.step(s, state); why != "" {
			return "by an answer, a read or the broker's log, and then the books, it " + why
		}
	}
	return ""
}

// paymentStates are the states that the log says a payment was in.
func (t told) paymentStates() (states []string) {
	if t&(paymentCaptured|paymentRefunded) != 0 {
		states = append(states, "CAPTURED") // a refund may have been of a part
	}
	if t&paymentFailed != 0 {
		states = append(states, "DECLINED")
	}
	return states
}

// orderStates are the states that the log says an order was in.
func (t told) orderStates() (states []string) {
	if t&orderConfirmed != 0 {
		states = append(states, "CONFIRMED")
	}
	if t&orderCancelled != 0 {
		states = append(states, "CANCELLED")
	}
	return states
}

// transitions reports illegal ones (DOMAIN.md I-11).
func transitions(b *books, f *verdict.Finding) {
	var bad []offence
	judge := func(n int, id journal.ID, r *journal.AuditRecord) {
		if why := b.moved[id]; why != "" {
			bad = append(bad, offence{account: n, record: r, id: id, note: fmt.Sprintf("the %s: %s", r.Type, why)})
		}
	}
	f.N = b.followed
	for _, r := range b.rows["payment"] {
		n, _, _ := b.find(r)
		if n >= 0 && b.accounts[n].answers > 0 {
			f.N++
		}
		judge(n, idOf(r.ID), r)
	}
	for i := range b.orders {
		if o := &b.orders[i]; o.row != nil {
			judge(o.account, o.id, o.row)
		}
	}
	b.conclude(f, bad, ruling{noun: "illegal", pass: fmt.Sprintf("by %d answers, reads and accounts of the broker's log nothing left its end or went backwards", f.N)})
}
