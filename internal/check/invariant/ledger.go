package invariant

import (
	"fmt"
	"slices"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// unbalanced finds where the ledger does not balance (DOMAIN.md I-5): a transaction whose entries do
// not sum to zero, entries of a payment that nobody knows, or a payment whose net in the ledger is not
// what the processor holds for it. That net is half of what its accounts hold in absolute terms, which
// needs no names of accounts.
//
// So that each defect trips its own invariant: what the processor holds beyond the agreed amount is
// no_double_charge's, and all of a ghost's no_ghost_charge's, so the ledger may account for it or not; and the
// net of a payment that no_lost_payment or no_stuck_payment names is not compared, for something of it is
// missing or yet to come. What is to come of an unknown outcome widens the count.
func unbalanced(b *books, f *verdict.Finding) {
	l := b.sumLedger()
	f.N = len(l.txns)
	var bad []offence
	blamed := make(map[int]bool) // accounts: one defect is one offence
	for _, txn := range l.txns {
		n, _, _ := b.find(txn.first)
		if n < 0 {
			bad = append(bad, offence{account: -1, off: txn.sum, record: txn.first, note: fmt.Sprintf("transaction %s belongs to a payment that nobody knows", txn.name)})
		} else if txn.sum != 0 && !blamed[n] {
			blamed[n] = true
			bad = append(bad, offence{account: n, off: txn.sum, note: fmt.Sprintf("transaction %s sums to %d instead of 0", txn.name, txn.sum)})
		}
	}
	unsure := 0
	for i := range b.accounts {
		a := &b.accounts[i]
		low, high := a.held()
		net := l.net(i)
		switch {
		case net >= low && net <= high || blamed[i] || a.gone():
		case a.open > 0 && a.unresolved():
			unsure++
		case a.open == 0:
			bad = append(bad, offence{account: i, off: net - low, note: fmt.Sprintf("the ledger holds %d, the processor %d", net, high)})
		}
	}
	b.conclude(f, bad, ruling{noun: "unbalanced", unsure: unsure, pass: fmt.Sprintf("%d transactions sum to zero each and account for what the processor holds", f.N)})
	if len(bad) > 0 {
		f.Why += fmt.Sprintf("; all entries sum to %d", l.total)
	}
}

// held is the range in which the ledger's net of a payment must lie: what the processor holds, or, where
// it charged more than was agreed, what it would hold of the agreed amount. Of a ghost it may know nothing.
func (a *account) held() (low, high int64) {
	high = a.charged - a.refunded
	high = max(high, -high)
	low = high
	switch {
	case a.ghost() != "":
		low = 0
	case a.amount > 0 && a.charged > a.amount:
		low = min(low, max(0, a.amount-a.refunded))
	}
	return low, high
}

// balance is what one account of the ledger holds for one payment.
type balance struct {
	name   string
	amount int64
}

// sums are the ledger's entries, added up.
type sums struct {
	txns     []group // by transaction (and currency)
	balances [][]balance
	total    int64
}

// txnName is a transaction in one currency: amounts of two don't add up.
func txnName(r *journal.AuditRecord) string {
	if r.Currency == "" {
		return r.Txn
	}
	return r.Txn + " " + r.Currency
}

// sumLedger adds up by transaction and by payment.
func (b *books) sumLedger() sums {
	l := sums{balances: make([][]balance, len(b.accounts))}
	l.txns, _ = sumBy(b.rows["ledger"], txnName)
	for _, e := range b.ledger {
		l.total += e.record.Amount
		if e.account < 0 {
			continue
		}
		list := l.balances[e.account]
		if i := slices.IndexFunc(list, func(x balance) bool { return x.name == e.record.Account }); i >= 0 {
			list[i].amount += e.record.Amount
		} else {
			l.balances[e.account] = append(list, balance{e.record.Account, e.record.Amount})
		}
	}
	return l
}

// net is how much of one payment's money the ledger says to hold.
func (l *sums) net(account int) int64 {
	var debit, credit int64
	for _, x := range l.balances[account] {
		if x.amount > 0 {
			debit += x.amount
		} else {
			credit -= x.amount
		}
	}
	return max(debit, credit)
}
