package invariant

import (
	"fmt"
	"strings"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// reservations finds stock and orders that disagree (DOMAIN.md I-6): stock held or sold for an order that was
// cancelled or that nobody knows, a confirmed order without stock, and a sku whose initial stock is not what is
// free and what is held (an oversell).
//
// An order that has not come to an end is no_stuck_payment's, one that is told of but not on the books
// saga_consistent's, and one that left its end no_illegal_transition's.
func reservations(b *books, f *verdict.Finding) {
	var bad []offence
	explained := make(map[string]bool) // skus whose stock is off by an offence that is named
	for i := range b.orders {
		o := &b.orders[i]
		f.N += o.reservations
		if note := o.misheld(); note != "" && b.moved[o.id] == "" {
			explained[o.sku] = true
			bad = append(bad, offence{account: o.account, record: o.row, id: o.id, note: note})
		}
	}
	for _, s := range b.stock() {
		f.N++
		if s.initial != s.free+s.held && !explained[s.sku] {
			bad = append(bad, offence{account: -1, record: s.row, note: fmt.Sprintf("%s: %d pieces at first, now %d free and %d held or sold", s.sku, s.initial, s.free, s.held)})
		}
	}
	b.conclude(f, bad, ruling{noun: "orphans", pass: fmt.Sprintf("%d reservations and stocks agree with the orders", f.N)})
	f.Amount = 0 // pieces are no money
}

// misheld says in which way an order and its stock disagree, or "".
func (o *order) misheld() string {
	switch {
	case o.row == nil && o.told == 0 && o.held > 0:
		return "stock is held for an order that nobody knows"
	case o.row == nil:
	case o.state == "CANCELLED" && o.held > 0:
		return "stock is held for an order that is CANCELLED"
	case o.state == "CONFIRMED" && o.held == 0:
		return "the order is CONFIRMED, but no stock is held for it"
	}
	return ""
}

// stock is what the books say of one sku, in pieces.
type stock struct {
	sku                 string
	initial, free, held int64
	row                 *journal.AuditRecord
}

// stock adds up by sku, as the skus first appear.
func (b *books) stock() []stock {
	var all []stock
	at := make(map[string]int)
	of := func(r *journal.AuditRecord) *stock {
		i, ok := at[r.Account]
		if !ok {
			i = len(all)
			at[r.Account] = i
			all = append(all, stock{sku: r.Account, row: r})
		}
		return &all[i]
	}
	for _, r := range b.rows["stock"] {
		switch s := of(r); {
		case strings.EqualFold(r.State, "initial"):
			s.initial += r.Amount
		case strings.EqualFold(r.State, "free"):
			s.free += r.Amount
		}
	}
	for _, r := range b.rows["reservation"] {
		if holds(r.State) {
			of(r).held += r.Amount
		}
	}
	return all
}
