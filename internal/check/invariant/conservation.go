package invariant

import (
	"errors"
	"fmt"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// Conservation is the check conservation.
type Conservation struct {
	Of         []string `yaml:"of" doc:"types of the records whose amounts are added up, such as [ledger]"`
	States     []string `yaml:"states" doc:"only records in one of these states" optional:"true"`
	By         string   `yaml:"by" doc:"what makes a group: the same key, ref, id, txn or account; nothing is one group of all" default:"txn" enum:"key|ref|id|txn|account|nothing"`
	Total      int64    `yaml:"total" doc:"what each group adds up to, in minor units" optional:"true"`
	SameAs     []string `yaml:"same_as" doc:"types of records that add up to the same in each group, in place of total" optional:"true"`
	SameStates []string `yaml:"same_states" doc:"of these, only records in one of these states" optional:"true"`
}

var _ check.Demanding = (*Conservation)(nil)

// Name is the kind's name.
func (c *Conservation) Name() string { return "conservation" }

// Window is run.
func (c *Conservation) Window() string { return window }

// Validate refuses two answers to what a group must add up to.
func (c *Conservation) Validate() error {
	switch {
	case len(c.Of) == 0:
		return errors.New("name a type of records: of: [ledger]")
	case len(c.SameAs) > 0 && c.Total != 0:
		return errors.New("a group adds up to total or to same_as: leave one out")
	case len(c.SameAs) == 0 && len(c.SameStates) > 0:
		return errors.New("same_states are the states of same_as, which is missing")
	}
	return nil
}

// Demands refuses targets whose witnesses lack the types.
func (c *Conservation) Demands(info journal.RunInfo) error {
	return demandRecords(info, append(append([]string{}, c.Of...), c.SameAs...), nil)
}

// Judge is Inconclusive when a type has no record: nothing adds up to nothing.
func (c *Conservation) Judge(h *journal.History) verdict.Finding {
	want := fmt.Sprintf("%s by %s add up to %d", described(c.Of, c.States), c.By, c.Total)
	if len(c.SameAs) > 0 {
		want = fmt.Sprintf("%s by %s add up to what %s do", described(c.Of, c.States), c.By, described(c.SameAs, c.SameStates))
	}
	b, f := opened(h, c.Name(), want, c.Of)
	if b == nil {
		return f
	}
	name := func(r *journal.AuditRecord) string {
		text := field(r, c.By)
		if r.Currency != "" && len(c.SameAs) == 0 { // else: witnesses need not agree on whether they tell the currency
			text += " " + r.Currency
		}
		return text
	}
	groups, at := sumBy(b.selected(c.Of, c.States), name)
	wanted := make([]int64, len(groups))
	for i := range wanted {
		wanted[i] = c.Total
	}
	others, _ := sumBy(b.selected(c.SameAs, c.SameStates), name)
	for _, o := range others {
		i, ok := at[o.name]
		if !ok {
			i = len(groups)
			groups, wanted = append(groups, group{name: o.name, first: o.first}), append(wanted, 0)
		}
		wanted[i] = o.sum
	}
	var bad []offence
	for i, g := range groups {
		if g.sum != wanted[i] {
			bad = append(bad, offence{account: b.accountOf(g.first), record: g.first, off: g.sum - wanted[i],
				note: fmt.Sprintf("%s %s adds up to %d instead of %d", c.By, g.name, g.sum, wanted[i])})
		}
	}
	f.N = len(groups)
	b.conclude(&f, bad, ruling{noun: "off", pass: fmt.Sprintf("each of %d groups adds up", f.N)})
	f.Why += b.asides()
	return f
}
