package invariant

import (
	"strings"

	"chaos/internal/journal"
)

// order is all that anybody knows of one order, by its id.
type order struct {
	id      journal.ID
	account int
	row     *journal.AuditRecord // nil: it is not on the books
	state   string
	told    told // by the broker's log

	reservations int
	held         int // of these, that hold or sold stock
	captures     int // different events that say that its payment was captured
	sku          string
}

// over reports whether an order in this state has come to its end.
func (o *order) over() bool { return o.state == "CONFIRMED" || o.state == "CANCELLED" }

// orderOf returns the order with an id, opening it when there is none.
func (b *books) orderOf(id journal.ID, r *journal.AuditRecord) *order {
	i, ok := b.byOrder[id]
	if !ok {
		i = len(b.orders)
		b.byOrder[id] = i
		b.orders = append(b.orders, order{id: id, account: b.accountOf(r)})
	}
	return &b.orders[i]
}

// accountOf returns the account of the key that a record bears, or −1.
func (b *books) accountOf(r *journal.AuditRecord) int {
	if key, ok := b.ours(r.Key); ok {
		if n, ok := b.byKey[key]; ok {
			return n
		}
	}
	return -1
}

// readOrders takes in the orders and what is reserved for them.
func (b *books) readOrders() {
	n := len(b.rows["order"])
	b.orders, b.byOrder = make([]order, 0, n), make(map[journal.ID]int, n)
	for _, r := range b.rows["order"] {
		o := b.orderOf(idOf(r.ID), r)
		o.row, o.state, o.sku = r, strings.ToUpper(r.State), r.Account
	}
	for _, r := range b.rows["reservation"] {
		o := b.orderOf(idOf(r.Ref), r)
		o.reservations++
		if o.row == nil {
			o.sku = r.Account
		}
		if holds(r.State) {
			o.held++
		}
	}
}

// holds reports whether a reservation in this state has stock.
func holds(state string) bool {
	return strings.EqualFold(state, "HELD") || strings.EqualFold(state, "SOLD")
}

// account returns the order's account, or one that nobody has.
func (b *books) accountOfOrder(o *order) *account {
	if o.account < 0 {
		return &account{first: -1}
	}
	return &b.accounts[o.account]
}
