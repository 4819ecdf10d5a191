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

// Kinds are the checks of records of any type that an experiment can name under checks: what the invariants are made
// of, for systems whose witnesses have other words.
func Kinds() kind.Table[check.Check] {
	return kind.Table[check.Check]{
		{Name: "conservation", Doc: "amounts of records add up: in each group to a total, or to what records of other types add up to",
			New: func() check.Check { return &Conservation{By: byTxn} }},
		{Name: "exactly_once", Doc: "each acknowledged key, or each record of a type, has exactly one record of another type, or at most one",
			New: func() check.Check { return &ExactlyOnce{Per: acked, By: byKey} }},
		{Name: "completeness", Doc: "each record of a type, in given states, has at least one record of another type",
			New: func() check.Check { return &Completeness{By: byKey} }},
		{Name: "monotonic_state", Doc: "states of records, and what clients read of them, go forward only, and never out of a terminal state",
			New: func() check.Check { return &MonotonicState{} }},
	}
}

// What records can be grouped or matched by.
const (
	byTxn     = "txn"
	byKey     = "key"
	byRef     = "ref"
	byID      = "id"
	byAccount = "account"
	byNothing = "nothing"

	acked = "acked" // in place of a type: keys that clients were told 2xx for
)

// field returns what a record is grouped by.
func field(r *journal.AuditRecord, by string) string {
	switch by {
	case byTxn:
		return r.Txn
	case byKey:
		return r.Key
	case byRef:
		return r.Ref
	case byID:
		return r.ID
	case byAccount:
		return r.Account
	}
	return ""
}

// opened begins a finding and hands out the books, or none with the reason in the finding.
func opened(h *journal.History, name, want string, needs []string) (*books, verdict.Finding) {
	f := verdict.Finding{Check: name, Kind: kindInvariant, Window: window, Want: want}
	if h == nil {
		f.Why = "there is no history"
		return nil, f
	}
	if f.Why = heard(h); f.Why != "" {
		return nil, f
	}
	b := booksOf(h)
	for _, typ := range needs {
		if len(b.rows[typ]) == 0 {
			f.Why = fmt.Sprintf("no witness has a %s record of this run: a missing witness or total loss", typ)
			return nil, f
		}
	}
	return b, f
}

// selected are the records of the types that are in one of the states; no states are all.
func (b *books) selected(types, states []string) (rows []*journal.AuditRecord) {
	for _, typ := range types {
		for _, r := range b.rows[typ] {
			if len(states) == 0 || slices.ContainsFunc(states, func(s string) bool { return strings.EqualFold(s, r.State) }) {
				rows = append(rows, r)
			}
		}
	}
	return rows
}

// described words a selection: "payment (CAPTURED, REFUNDED)".
func described(types, states []string) string {
	text := strings.Join(types, " and ")
	if len(states) > 0 {
		text += " (" + strings.Join(states, ", ") + ")"
	}
	return text
}

// countBy counts records by an id.
func countBy(rows []*journal.AuditRecord, id func(*journal.AuditRecord) journal.ID) map[journal.ID]int {
	n := make(map[journal.ID]int, len(rows))
	for _, r := range rows {
		n[id(r)]++
	}
	return n
}

// group is one group of records and what their amounts add up to.
type group struct {
	name  string
	sum   int64
	first *journal.AuditRecord
}

// sumBy adds amounts up by a name, groups as they first appear.
func sumBy(rows []*journal.AuditRecord, name func(*journal.AuditRecord) string) (groups []group, at map[string]int) {
	at = make(map[string]int, len(rows)/2)
	for _, r := range rows {
		text := name(r)
		i, ok := at[text]
		if !ok {
			i = len(groups)
			at[text] = i
			groups = append(groups, group{name: text, first: r})
		}
		groups[i].sum += r.Amount
	}
	return groups, at
}
