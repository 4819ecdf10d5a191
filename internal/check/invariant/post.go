package invariant

import (
	"strings"

	"chaos/internal/journal"
)

// post writes one audit record into its account.
func (b *books) post(r *journal.AuditRecord) {
	n, key, found := b.find(r)
	if r.Type == "ledger" {
		b.ledger = append(b.ledger, entry{r, n})
		return
	}
	if !found {
		if r.Type != "payment" && (r.Type == "charge" || b.settlers[r.Source]) && succeeded(r.State) {
			b.orphans = append(b.orphans, r)
		}
		return
	}
	if n < 0 {
		n = b.at(key)
	}
	a := &b.accounts[n]
	switch r.Type {
	case "payment":
		a.row(r)
	case "charge":
		if succeeded(r.State) {
			a.charges++
			a.charged += r.Amount
			a.chargesTrace = r.Trace
		}
	case "refund":
		switch {
		case !b.settlers[r.Source]:
			if strings.EqualFold(r.State, "PENDING") {
				a.open++
			}
		case succeeded(r.State):
			a.refunded += r.Amount
			if r.Amount >= a.amount {
				a.refunds++
			}
		}
	}
}

// row takes in a row of the payments' book.
func (a *account) row(r *journal.AuditRecord) {
	state := strings.ToUpper(r.State)
	a.payments++
	if !terminal(state) {
		a.open++
	}
	if a.payments == 1 || settled(state) || !settled(a.state) {
		a.state = state
	}
	if a.amount == 0 {
		a.amount = r.Amount
	}
}

// succeeded reports whether a charge or refund in this state moved money.
func succeeded(state string) bool {
	switch strings.ToLower(state) {
	case "succeeded", "captured", "settled", "done", "":
		return true
	}
	return false
}

// terminal reports whether a payment in this state has come to its end.
func terminal(state string) bool {
	return state == "CAPTURED" || state == "DECLINED" || state == "REFUNDED"
}

// settled reports whether it is known of a payment in this state whether the money was taken.
func settled(state string) bool { return terminal(state) || state == "REFUNDING" }

// taken reports whether the money of a payment in this state was taken, be it given back since.
func taken(state string) bool {
	return state == "CAPTURED" || state == "REFUNDING" || state == "REFUNDED"
}
