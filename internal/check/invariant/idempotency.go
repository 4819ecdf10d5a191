package invariant

import (
	"fmt"
	"strings"

	"chaos/internal/verdict"
)

// clash is in what two answers for one key differ.
type clash uint8

const (
	clashID   clash = 1 << iota // the target's own id
	clashBody                   // what was asked for: the same key with another body was accepted
	clashEnd                    // one said taken, the other declined
)

func (c clash) String() string {
	var words []string
	for i, w := range []string{"another id", "acceptance of another amount", "another end"} {
		if c&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

// idempotency finds keys that were used twice with two results (DOMAIN.md I-10): two answers that settled the
// outcome differ in the target's id, in what was accepted or in how it ended, or one key made more than one
// payment or order on the books.
func idempotency(b *books, f *verdict.Finding) {
	orders := make(map[int]int) // by account
	for i := range b.orders {
		if o := &b.orders[i]; o.row != nil && o.account >= 0 {
			orders[o.account]++
		}
	}
	var bad []offence
	again := 0
	for i := range b.accounts {
		a := &b.accounts[i]
		if a.answers > 0 {
			f.N++
		}
		if a.answers > 1 {
			again++
		}
		var notes []string
		if a.clash != 0 {
			notes = append(notes, fmt.Sprintf("%d answers for one key, with %v", a.answers, a.clash))
		}
		if a.payments > 1 {
			notes = append(notes, fmt.Sprintf("one key made %d payments", a.payments))
		}
		if orders[i] > 1 {
			notes = append(notes, fmt.Sprintf("one key made %d orders", orders[i]))
		}
		if len(notes) > 0 {
			bad = append(bad, offence{account: i, off: a.amount, note: strings.Join(notes, "; ")})
		}
	}
	b.conclude(f, bad, ruling{noun: "broken", pass: fmt.Sprintf("each of %d keys that were answered made one payment and had one answer", f.N)})
	f.Why += fmt.Sprintf("; %d keys were answered more than once", again)
}
