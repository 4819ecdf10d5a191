// Package invariant judges what must hold whatever was broken: that no money was lost or made, and that every book
// tells the same story. It compares what clients saw with what independent witnesses say after the load; the
// target is never asked whether it is right. docs/judging.md has the definitions.
package invariant

import (
	"fmt"
	"slices"
	"strings"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/verdict"
)

// window is what invariants are said to be judged on. They also cover payments of the warm-up: who was
// told "accepted" then must not lose the money either.
const window = "run"

// Table is the invariants that an experiment can name.
func Table() kind.Table[check.Check] {
	var t kind.Table[check.Check]
	for _, i := range []invariant{
		{name: "no_lost_payment", want: "0 lost", needs: []string{"payment", "charge", "ledger"}, judge: lost,
			doc: "every acknowledged payment ends on the books, and a captured one at the processor"},
		{name: "no_double_charge", want: "0 charged twice", needs: []string{"payment", "charge", "ledger"}, judge: doubles,
			doc: "no payment holds more of a client's money than the client agreed to"},
		{name: "no_ghost_charge", want: "0 ghosts", needs: []string{"payment", "charge"}, judge: ghosts,
			doc: "no money is taken for what was refused, declined or never asked for"},
		{name: "no_stuck_payment", want: "0 stuck", needs: []string{"payment"}, judge: stuck,
			doc: "every payment, refund and order comes to its end by the settle deadline"},
		{name: "ledger_balanced", want: "0 unbalanced", needs: []string{"payment", "charge", "ledger"}, judge: unbalanced,
			doc: "each ledger transaction sums to zero and accounts for what the processor holds"},
		{name: "no_orphan_reservation", want: "0 orphans", needs: []string{"order", "reservation", "stock"}, judge: reservations,
			doc: "stock is held for confirmed orders only, for each of them, and never more than there was"},
		{name: "no_lost_event", want: "0 lost", needs: []string{"payment", "event"}, judge: lostEvents,
			doc: "every event that a state requires is in the broker's log, and every subscriber took it"},
		{name: "no_duplicate_effect", want: "0 events with two effects", needs: []string{"event"}, some: effects(), judge: duplicates,
			doc: "an event has one effect on each of its consumers, however often it is delivered"},
		{name: "saga_consistent", want: "0 inconsistent", needs: []string{"order", "charge"}, judge: sagas,
			doc: "an order is confirmed when its money was kept, and cancelled when it was given back"},
		{name: "idempotency_holds", want: "0 broken", needs: []string{"payment"}, judge: idempotency,
			doc: "one key makes one payment and has one answer"},
		{name: "no_illegal_transition", want: "0 illegal", needs: []string{"payment"}, judge: transitions,
			doc: "no payment or order leaves its end or goes backwards"},
		{name: "honest_counters", want: "0 dishonest", needs: []string{"payment"}, judge: counters, demand: demandMetrics,
			doc: "the target's counters say what its books say, over instances and restarts"},
	} {
		t = append(t, kind.Entry[check.Check]{Name: i.name, Doc: i.doc, New: func() check.Check { made := i; return &made }})
	}
	return t
}

// invariant is one of the table: a pure function of the books.
type invariant struct {
	name, want, doc string
	needs           []string // types of records without which nothing can be said
	some            []string // of these at least one
	judge           func(*books, *verdict.Finding)
	demand          func(journal.RunInfo) error // what it asks beyond records; nil: nothing
}

var _ check.Demanding = (*invariant)(nil)

// Name is the invariant's name.
func (i *invariant) Name() string { return i.name }

// Window is run.
func (i *invariant) Window() string { return window }

// Demands refuses targets whose witnesses lack what the invariant is judged by, as far as target.yaml says what
// they have.
func (i *invariant) Demands(info journal.RunInfo) error {
	if i.demand != nil {
		if err := i.demand(info); err != nil {
			return err
		}
	}
	return demandRecords(info, i.needs, i.some)
}

// demandRecords refuses targets whose witnesses say that they lack one of needs, or all of some.
func demandRecords(info journal.RunInfo, needs, some []string) error {
	if len(info.Witnesses) == 0 {
		return nil
	}
	for _, typ := range needs {
		if !slices.Contains(info.Witnesses, typ) {
			return fmt.Errorf("no witness of the target has records of type %s (target.yaml declares %s): leave it out, or add an audit query with types: [%s]",
				typ, strings.Join(info.Witnesses, ", "), typ)
		}
	}
	if len(some) > 0 && !slices.ContainsFunc(some, func(typ string) bool { return slices.Contains(info.Witnesses, typ) }) {
		return fmt.Errorf("no witness of the target has records of any of the types %s", strings.Join(some, ", "))
	}
	return nil
}

// Judge is Inconclusive when nothing was paid or a witness is silent.
func (i *invariant) Judge(h *journal.History) verdict.Finding {
	f := verdict.Finding{Check: i.name, Kind: kindInvariant, Window: window, Want: i.want}
	if h == nil {
		f.Why = "there is no history"
		return f
	}
	if why := heard(h); why != "" {
		f.Why = why
		return f
	}
	b := booksOf(h)
	if why := b.silent(i.needs, i.some); why != "" {
		f.Why = why
		return f
	}
	i.judge(b, &f)
	f.Why += b.asides()
	return f
}

// kindInvariant is the Kind of the findings.
const kindInvariant = "invariant"
