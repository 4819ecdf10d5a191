package invariant

import (
	"fmt"

	"chaos/internal/verdict"
)

// sagas finds orders that ended otherwise than their money (DOMAIN.md I-9): CONFIRMED without a charge that was
// kept, CANCELLED with one, or told of by the broker's log and not on the books. Whether a confirmed order has
// its stock is no_orphan_reservation's to say, and an order that has not come to an end no_stuck_payment's.
//
// What no_lost_payment, no_ghost_charge or no_illegal_transition names is not judged again.
func sagas(b *books, f *verdict.Finding) {
	var bad []offence
	for i := range b.orders {
		o := &b.orders[i]
		a := b.accountOfOrder(o)
		f.N++
		if o.row == nil {
			if o.told != 0 {
				bad = append(bad, offence{account: o.account, id: o.id, note: "the broker's log tells of an order that is not on the books"})
			}
			continue
		}
		if why := o.inconsistent(a); why != "" && b.moved[o.id] == "" && !a.gone() && a.ghost() == "" {
			off := a.charged - a.refunded
			if !a.keeps() {
				off = a.amount
			}
			bad = append(bad, offence{account: o.account, off: off, record: o.row, id: o.id, note: why})
		}
	}
	b.conclude(f, bad, ruling{noun: "inconsistent", pass: fmt.Sprintf("each of %d orders ended as its money did", f.N)})
}

// inconsistent says how an order and its money disagree, or "".
func (o *order) inconsistent(a *account) string {
	switch {
	case o.state == "CONFIRMED" && !a.keeps():
		return "CONFIRMED, but the processor keeps no charge of it"
	case o.state == "CANCELLED" && a.keeps():
		return fmt.Sprintf("CANCELLED, but of %d charged only %d were given back", a.charged, a.refunded)
	}
	return ""
}
