package invariant

import (
	"fmt"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// effects are the records of which an event may make one.
func effects() []string { return []string{"notification", "revenue"} }

// duplicates finds events with more than one effect (DOMAIN.md I-8): two notifications or two bookings of revenue
// by one event, two reservations for one order whose payment was captured once, and an event that one consumer
// took twice. That an event is delivered more than once is legal, and counted.
func duplicates(b *books, f *verdict.Finding) {
	var bad []offence
	for _, typ := range effects() {
		byEvent := func(r *journal.AuditRecord) journal.ID { return idOf(r.Ref) }
		many := countBy(b.rows[typ], byEvent)
		for _, r := range b.rows[typ] {
			f.N++
			if id := byEvent(r); many[id] > 1 {
				bad = append(bad, offence{account: b.accountOf(r), off: r.Amount, record: r, note: fmt.Sprintf("event %s had a %s %d times", r.Ref, typ, many[id])})
				many[id] = 0 // said
			}
		}
	}
	for i := range b.orders {
		o := &b.orders[i]
		f.N += o.reservations
		if o.reservations > max(1, o.captures) {
			bad = append(bad, offence{account: o.account, record: o.row, id: o.id, note: fmt.Sprintf("%d reservations for one order", o.reservations)})
		}
	}
	for _, r := range b.log.twice {
		bad = append(bad, offence{account: b.accountOf(r), record: r, note: fmt.Sprintf("%s took event %s twice", r.Account, r.ID)})
	}
	b.conclude(f, bad, ruling{noun: "events with two effects", pass: fmt.Sprintf("each of %d effects is the only one of its event", f.N)})
	f.Why += fmt.Sprintf("; %d events are in the log again", b.log.again)
	if n, ok := b.counted("redeliveries_total"); ok {
		f.Why += fmt.Sprintf(", %.0f deliveries were repeated", n)
	}
}
