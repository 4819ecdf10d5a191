package invariant

import (
	"fmt"
	"strings"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// told is what the broker's log tells of a payment or an order: one bit for each type of event.
type told uint16

// The types of events that follow from the states of payments, orders and reservations.
const (
	orderCreated told = 1 << iota
	orderConfirmed
	orderCancelled
	paymentCaptured
	paymentFailed
	paymentRefunded
	stockReserved
	stockRejected
)

// toldBy is the bit of an event's type; 0 for types that follow from nothing.
func toldBy(typ string) told {
	switch typ {
	case "order.created":
		return orderCreated
	case "order.confirmed":
		return orderConfirmed
	case "order.cancelled":
		return orderCancelled
	case "payment.captured":
		return paymentCaptured
	case "payment.failed":
		return paymentFailed
	case "payment.refunded":
		return paymentRefunded
	case "inventory.reserved":
		return stockReserved
	case "inventory.rejected":
		return stockRejected
	}
	return 0
}

// subject is what an event is about: of a payment's events the payment (account), else the order (ref).
func subject(r *journal.AuditRecord) journal.ID {
	if strings.HasPrefix(r.State, "payment.") && r.Account != "" {
		return idOf(r.Account)
	}
	return idOf(r.Ref)
}

// logged is one event of the broker's log.
type logged struct {
	record *journal.AuditRecord
	taken  uint64 // one bit for each consumer
}

// eventLog is the broker's log, with who took what of it.
type eventLog struct {
	events    []logged               // each once, in order
	at        map[journal.ID]int     // by event id
	about     map[journal.ID]told    // by payment or order
	consumers []string               // the bits, in order; more than maxConsumers are not told apart
	wants     map[string]uint64      // by type of event: consumers that subscribe to it
	heard     uint64                 // consumers with an inbox; what the others took is not known
	declared  bool                   // the broker says who subscribes; else whoever took one event of a type wants them all
	again     int                    // copies beyond the first in the log
	unlogged  []*journal.AuditRecord // outbox and inbox rows of events that the log lacks
	twice     []*journal.AuditRecord // inbox rows of an event that its consumer had taken before
}

// maxConsumers is how many consumers are told apart.
const maxConsumers = 64

// bit returns the bit of a consumer, 0 when there are too many.
func (l *eventLog) bit(name string) uint64 {
	for i, known := range l.consumers {
		if known == name {
			return 1 << i
		}
	}
	if len(l.consumers) == maxConsumers {
		return 0
	}
	l.consumers = append(l.consumers, name)
	return 1 << (len(l.consumers) - 1)
}

// readEvents takes in the broker's log, the outboxes and the inboxes.
func (b *books) readEvents() {
	n := len(b.rows["event"])
	l := &b.log
	l.events, l.wants = make([]logged, 0, n), make(map[string]uint64)
	l.at, l.about = make(map[journal.ID]int, n), make(map[journal.ID]told, n/2)
	for _, r := range b.rows["event"] {
		id := idOf(r.ID)
		if _, known := l.at[id]; known {
			l.again++
			continue
		}
		l.at[id] = len(l.events)
		l.events = append(l.events, logged{record: r})
		b.readEvent(r)
	}
	for _, r := range b.rows["subscription"] {
		l.declared = true
		l.wants[r.State] |= l.bit(r.Account)
	}
	for _, r := range b.rows["outbox"] {
		if _, known := l.at[idOf(r.ID)]; !known {
			l.unlogged = append(l.unlogged, r)
		}
	}
	for _, r := range b.rows["inbox"] {
		bit := l.bit(r.Account)
		l.heard |= bit
		if !l.declared {
			l.wants[r.State] |= bit
		}
		i, known := l.at[idOf(r.ID)]
		if !known {
			l.unlogged = append(l.unlogged, r)
			continue
		}
		if l.events[i].taken&bit != 0 {
			l.twice = append(l.twice, r)
		}
		l.events[i].taken |= bit
	}
}

// readEvent takes in what one event tells of a payment or an order.
func (b *books) readEvent(r *journal.AuditRecord) {
	bit := toldBy(r.State)
	if bit == 0 {
		return
	}
	b.log.about[subject(r)] |= bit
	switch {
	case bit&(orderCreated|orderConfirmed|orderCancelled) != 0:
		b.orderOf(idOf(r.Ref), r).told |= bit
	case bit == paymentCaptured:
		if i, ok := b.byOrder[idOf(r.Ref)]; ok {
			b.orders[i].captures++
		}
	}
}

// lostEvents finds events that must be there and are not (DOMAIN.md I-7): one that the state of a payment, an
// order or a reservation requires, or that was promised (an outbox row) or taken (an inbox row), but that the
// broker's log lacks; and one that the log has, but that a subscriber has not taken.
//
// Whoever took one event of a type subscribes to it, unless the broker itself says who does. Of a subscriber without any
// inbox row it is not known what it took: with nothing lost for certain that is Inconclusive. What
// no_illegal_transition or no_orphan_reservation names has no state that requires anything.
func lostEvents(b *books, f *verdict.Finding) {
	var bad []offence
	missing := make(map[lostEvent]bool)
	lose := func(r *journal.AuditRecord, typ, why string) {
		n := b.accountOf(r)
		e := lostEvent{n, typ}
		if n < 0 {
			e.account = -2 - len(missing) // nobody's: each stands alone
		}
		if !missing[e] {
			missing[e] = true
			bad = append(bad, offence{account: n, record: r, note: fmt.Sprintf("%s is not in the broker's log, but %s", typ, why)})
		}
	}
	for _, r := range b.log.unlogged {
		lose(r, r.State, map[string]string{"outbox": "it was promised in an outbox", "inbox": r.Account + " has taken it"}[r.Type])
	}
	f.N = len(b.log.events)
	b.required(func(r *journal.AuditRecord, typ, why string) { f.N++; lose(r, typ, why) })
	for _, e := range b.log.events {
		r := e.record
		lacking := b.log.wants[r.State] & b.log.heard &^ e.taken
		for i, name := range b.log.consumers {
			if lacking&(1<<i) != 0 {
				bad = append(bad, offence{account: b.accountOf(r), record: r, note: fmt.Sprintf("%s is in the broker's log, but %s has not taken it", r.State, name)})
			}
		}
	}
	f.Want = "0 lost"
	b.conclude(f, bad, ruling{noun: "lost", pass: fmt.Sprintf("each of %d events is in the log and was taken by each of its subscribers", f.N)})
	if deaf := b.log.deaf(); deaf != "" {
		if f.Outcome == verdict.Pass {
			f.Outcome, f.Why = verdict.Inconclusive, "no event is missing in the log"
		}
		f.Why += "; what was taken by " + deaf + " is not known: no witness has an inbox record of it"
	}
	if !b.log.declared {
		f.Why += "; who subscribes was inferred from the inboxes"
	}
}

// deaf are the subscribers of whom no inbox is known.
func (l *eventLog) deaf() string {
	if l.heard == 0 && !l.declared {
		return "anybody"
	}
	var names []string
	for i, name := range l.consumers {
		if l.heard&(1<<i) == 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// lostEvent tells one missing event from another.
type lostEvent struct {
	account int
	typ     string
}

// required calls lose for each event that a state requires and the log lacks.
func (b *books) required(lose func(r *journal.AuditRecord, typ, why string)) {
	need := func(r *journal.AuditRecord, about journal.ID, bit told, typ string) {
		if b.log.about[about]&bit == 0 && b.moved[about] == "" {
			lose(r, typ, fmt.Sprintf("the %s is %s", r.Type, r.State))
		}
	}
	for _, r := range b.rows["payment"] {
		id, state := idOf(r.ID), strings.ToUpper(r.State)
		switch {
		case taken(state):
			need(r, id, paymentCaptured, "payment.captured")
		case state == "DECLINED":
			need(r, id, paymentFailed, "payment.failed")
		}
	}
	for _, r := range b.rows["refund"] {
		if !b.settlers[r.Source] && strings.EqualFold(r.State, "DONE") {
			need(r, idOf(r.Ref), paymentRefunded, "payment.refunded")
		}
	}
	for i := range b.orders {
		o := &b.orders[i]
		if o.row == nil {
			continue
		}
		need(o.row, o.id, orderCreated, "order.created")
		switch o.state {
		case "CONFIRMED":
			need(o.row, o.id, orderConfirmed, "order.confirmed")
		case "CANCELLED":
			need(o.row, o.id, orderCancelled, "order.cancelled")
		}
	}
	for _, r := range b.rows["reservation"] {
		id := idOf(r.Ref)
		switch o := &b.orders[b.byOrder[id]]; {
		case strings.EqualFold(r.State, "REJECTED"):
			need(r, id, stockRejected, "inventory.rejected")
		case o.misheld() == "":
			need(r, id, stockReserved, "inventory.reserved")
		}
	}
}
