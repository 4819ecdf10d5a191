package invariant

import (
	"fmt"
	"strconv"

	"chaos/internal/verdict"
)

// double finds payments of which the processor kept more than once what was agreed: |charges| − |full
// refunds| > 1, or Σ charged − Σ refunded > amount (DOMAIN.md I-2). It covers every payment, also those
// whose outcome the client does not know. A second charge that was refunded in full is told, not judged.
func double(b *books, f *verdict.Finding) {
	refunded := 0
	for i := range b.accounts {
		a := &b.accounts[i]
		if a.charges == 0 {
			continue
		}
		f.N++
		kept := a.charged - a.refunded
		if a.charges-a.refunds <= 1 && (a.amount <= 0 || kept <= a.amount) {
			if a.charges > 1 {
				refunded++
			}
			continue
		}
		f.Count++
		over := max(0, kept-max(0, a.amount))
		f.Amount += over
		if len(f.Evidence) < evidenceMax {
			note := fmt.Sprintf("%d charges of %d in all, %d refunded, %d agreed", a.charges, a.charged, a.refunded, a.amount)
			f.Evidence = append(f.Evidence, b.evidence(a, note))
		}
	}
	f.Bad = f.Count
	f.Got = strconv.Itoa(f.Count) + " charged twice"
	switch {
	case f.N == 0:
		f.Why = "no charge succeeded"
	case f.Count > 0:
		f.Outcome = verdict.Fail
		f.Why = fmt.Sprintf("of %d charged payments %d were charged more than agreed", f.N, f.Count)
	default:
		f.Outcome = verdict.Pass
		f.Why = fmt.Sprintf("none of %d charged payments was charged more than agreed", f.N)
	}
	if refunded > 0 {
		f.Why += fmt.Sprintf("; %d were charged more than once and refunded", refunded)
	}
}
