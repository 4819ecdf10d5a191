// Package invariant judges what must hold whatever was broken: no acknowledged payment is lost, nobody
// is charged twice, the ledger balances. It compares what clients saw with what independent witnesses
// say after the load; the target is never asked whether it is right. docs/judging.md has the
// definitions.
package invariant

import (
	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/verdict"
)

// Limits of what a finding carries.
const evidenceMax = 20 // witnesses named in a finding; its Count is whole

// window is what invariants are said to be judged on. They also cover payments of the warm-up: who was
// told "accepted" then must not lose the money either.
const window = "run"

// Table is the invariants that an experiment can name.
func Table() kind.Table[check.Check] {
	return kind.Table[check.Check]{
		{Name: "no_lost_payment", Doc: "every acknowledged payment ends on the books, and a captured one at the processor", New: func() check.Check { return &invariant{"no_lost_payment", "0 lost", lost} }},
		{Name: "no_double_charge", Doc: "no payment holds more of a client's money than the client agreed to", New: func() check.Check { return &invariant{"no_double_charge", "0 charged twice", double} }},
		{Name: "ledger_balanced", Doc: "each ledger transaction sums to zero and accounts for what the processor holds", New: func() check.Check { return &invariant{"ledger_balanced", "0 unbalanced", unbalanced} }},
	}
}

// invariant is one of the table: a pure function of the books.
type invariant struct {
	name, want string
	judge      func(*books, *verdict.Finding)
}

// Name is the invariant's name.
func (i *invariant) Name() string { return i.name }

// Window is run.
func (i *invariant) Window() string { return window }

// Judge is Inconclusive when nothing was paid or a witness is silent.
func (i *invariant) Judge(h *journal.History) verdict.Finding {
	f := verdict.Finding{Check: i.name, Kind: "invariant", Window: window, Want: i.want}
	if h == nil {
		f.Why = "there is no history"
		return f
	}
	if why := heard(h); why != "" {
		f.Why = why
		return f
	}
	b := open(h)
	if why := b.silent(); why != "" {
		f.Why = why
		return f
	}
	i.judge(b, &f)
	f.Why += b.asides()
	return f
}
