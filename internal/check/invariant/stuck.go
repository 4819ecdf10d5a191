package invariant

import (
	"fmt"

	"chaos/internal/verdict"
)

// stuck finds payments, refunds and orders that have not come to an end at the settle deadline (DOMAIN.md
// I-4). An acknowledged payment of which it is not known whether the money was taken is no_lost_payment's, and
// so is its order.
//
// An unknown outcome without a row anywhere may still be on its way: it widens the count.
func stuck(b *books, f *verdict.Finding) {
	var bad []offence
	halted := make(map[int]string) // accounts, by their first order that is not over
	var nobody []offence
	for i := range b.orders {
		o := &b.orders[i]
		if o.row == nil {
			continue
		}
		f.N++
		if o.over() || b.accountOfOrder(o).gone() {
			continue
		}
		why := fmt.Sprintf("the order is still %s when everything should be settled", o.state)
		if o.account < 0 {
			nobody = append(nobody, offence{account: -1, record: o.row, id: o.id, note: why})
		} else if halted[o.account] == "" {
			halted[o.account] = why
		}
	}
	unsure := 0
	for i := range b.accounts {
		a := &b.accounts[i]
		f.N += a.payments
		switch {
		case a.gone():
		case a.open > 0:
			bad = append(bad, offence{account: i, off: a.amount, note: a.halted(halted[i])})
		case halted[i] != "":
			bad = append(bad, offence{account: i, off: a.amount, note: halted[i]})
		case a.unresolved() && a.payments == 0:
			unsure++
		}
	}
	b.conclude(f, append(bad, nobody...), ruling{noun: "stuck", unsure: unsure, pass: fmt.Sprintf("each of %d payments and orders has come to its end", f.N)})
}

// gone reports whether no_lost_payment names the payment.
func (a *account) gone() bool { return a.acked && a.lost() != "" }

// halted says where an open payment stands.
func (a *account) halted(order string) string {
	why := fmt.Sprintf("the payment is still %s when everything should be settled", a.state)
	if terminal(a.state) {
		why = "a refund, or another payment with this key, is still open when everything should be settled"
	}
	if order != "" {
		why += "; " + order
	}
	return why
}

// blamed reports whether another invariant names the account, so that sums over all of them can't be expected
// to agree about it.
func (b *books) blamed(i int) bool {
	a := &b.accounts[i]
	return a.gone() || a.ghost() != "" || a.double() || a.open > 0 || a.moved
}
