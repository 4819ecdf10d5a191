package invariant

import (
	"fmt"

	"chaos/internal/verdict"
)

// doubles finds payments of which the processor kept more than once what was agreed: |charges| − |full
// refunds| > 1, or Σ charged − Σ refunded > amount (DOMAIN.md I-2). It covers every payment, also those
// whose outcome the client does not know: of these a first charge is legal, and a second may still follow, which
// widens the count. A second charge that was refunded in full is told, not judged.
func doubles(b *books, f *verdict.Finding) {
	var bad []offence
	refunded, unsure := 0, 0
	for i := range b.accounts {
		a := &b.accounts[i]
		if a.charges == 0 {
			continue
		}
		f.N++
		switch {
		case a.double():
			note := fmt.Sprintf("%d charges of %d in all, %d refunded, %d agreed", a.charges, a.charged, a.refunded, a.amount)
			bad = append(bad, offence{account: i, off: max(0, a.charged-a.refunded-max(0, a.amount)), note: note})
		case a.unresolved():
			unsure++
		case a.charges > 1:
			refunded++
		}
	}
	b.conclude(f, bad, ruling{noun: "charged twice", unsure: unsure, pass: fmt.Sprintf("none of %d charged payments was charged more than agreed", f.N)})
	if len(bad) > 0 {
		f.Why = fmt.Sprintf("of %d charged payments %d were charged more than agreed", f.N, len(bad))
	}
	if refunded > 0 {
		f.Why += fmt.Sprintf("; %d were charged more than once and refunded", refunded)
	}
}

// double reports whether the processor kept more of a payment than was agreed.
func (a *account) double() bool {
	return a.charges-a.refunds > 1 || a.charges > 0 && a.amount > 0 && a.charged-a.refunded > a.amount
}
