package invariant

import (
	"fmt"

	"chaos/internal/verdict"
)

// ghosts finds money that was taken although the client was told that it was not, or that nobody asked for
// (DOMAIN.md I-3): a payment that was refused or declined, or whose key no client ever sent, and of which the
// processor kept a charge; and a charge or refund at the processor that belongs to no payment of the run.
//
// Of a payment whose outcome is not known a charge is legal. Its answer may have been a refusal all the same, and the
// charge may still come, so it widens the count.
func ghosts(b *books, f *verdict.Finding) {
	var bad []offence
	for i := range b.accounts {
		a := &b.accounts[i]
		f.N++
		if why := a.ghost(); why != "" {
			bad = append(bad, offence{account: i, off: a.charged - a.refunded, note: why})
		}
	}
	for _, r := range b.orphans {
		f.N++
		bad = append(bad, offence{account: -1, off: r.Amount, record: r, note: fmt.Sprintf("%s %s at the processor belongs to no payment of the run", r.Type, r.ID)})
	}
	b.conclude(f, bad, ruling{noun: "ghosts", unsure: b.unsure, pass: fmt.Sprintf("none of %d payments was charged against what its client was told", f.N)})
}

// ghost says in which way the processor holds money of a payment that is none, or "".
func (a *account) ghost() string {
	switch {
	case !a.keeps():
		return ""
	case a.first < 0:
		return "charged, but no client of the run asked for it"
	case a.answers == 0 && !a.doubt:
		return "charged, but every request for it was refused as without effect"
	case a.declined && !a.acked:
		return "charged, but the client was told that it was declined"
	}
	return ""
}
