package invariant

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// MonotonicState is the check monotonic_state.
type MonotonicState struct {
	Of       string   `yaml:"of" doc:"type of the records, such as order; several records of one id are its history, by their time"`
	Order    []string `yaml:"order" doc:"states, the first one first: a later one never goes back to an earlier one"`
	Terminal []string `yaml:"terminal" doc:"states that nothing leaves" optional:"true"`
	Load     string   `yaml:"load" doc:"a load that reads: its op has id: and state:, and what it read counts too" optional:"true"`
}

var _ check.Demanding = (*MonotonicState)(nil)

// Name is the kind's name.
func (c *MonotonicState) Name() string { return "monotonic_state" }

// Window is run.
func (c *MonotonicState) Window() string { return window }

// Validate refuses orders that order nothing.
func (c *MonotonicState) Validate() error {
	upper := make([]string, len(c.Order))
	for i, s := range c.Order {
		upper[i] = strings.ToUpper(s)
		if slices.Contains(upper[:i], upper[i]) {
			return fmt.Errorf("state %s is in order twice", s)
		}
	}
	if len(c.Order) < 2 {
		return errors.New("order needs two states or more")
	}
	for _, s := range c.Terminal {
		if !slices.Contains(upper, strings.ToUpper(s)) {
			return fmt.Errorf("terminal state %s is not in order", s)
		}
	}
	return nil
}

// Demands refuses targets whose witnesses lack the type, and loads that there are not.
func (c *MonotonicState) Demands(info journal.RunInfo) error {
	if c.Load != "" && !slices.ContainsFunc(info.Loads, func(l journal.LoadInfo) bool { return l.Name == c.Load }) {
		return fmt.Errorf("there is no load %q", c.Load)
	}
	return demandRecords(info, []string{c.Of}, nil)
}

// past is all that is known of one thing.
type past struct {
	id      journal.ID
	rows    []*journal.AuditRecord
	looks   []seen
	unknown string // a state that is not in the order
}

// Judge is Inconclusive when nothing is known twice: one look can't go backwards.
func (c *MonotonicState) Judge(h *journal.History) verdict.Finding {
	b, f := opened(h, c.Name(), fmt.Sprintf("every %s goes %s", c.Of, strings.Join(c.Order, ", ")), []string{c.Of})
	if b == nil {
		return f
	}
	order := newChain(c.Order, c.Terminal)
	var bad []offence
	for _, p := range c.pasts(b) {
		steps := len(p.rows) + len(p.looks)
		if p.unknown == "" && steps < 2 {
			continue
		}
		f.N++
		if why := c.wrong(order, p); why != "" {
			o := offence{account: -1, id: p.id, note: fmt.Sprintf("%s: %s", c.Of, why)}
			if len(p.rows) > 0 {
				o.record = p.rows[len(p.rows)-1]
				o.account = b.accountOf(o.record)
			}
			bad = append(bad, o)
		}
	}
	b.conclude(&f, bad, ruling{noun: "illegal", pass: fmt.Sprintf("none of %d that were seen more than once left its end or went backwards", f.N)})
	if f.N == 0 {
		f.Why = "nothing was seen more than once: give the check a load that reads"
	}
	f.Why += b.asides()
	return f
}

// wrong says what is wrong with a past, or "": reads come first, then the records in their time.
func (c *MonotonicState) wrong(order chain, p *past) string {
	if p.unknown != "" {
		return fmt.Sprintf("state %s is not in the order", p.unknown)
	}
	last, why := order.walk(p.looks)
	if why != "" {
		return "read by clients, it " + why
	}
	if len(p.rows) == 0 {
		return ""
	}
	if why := order.step(last, p.rows[len(p.rows)-1].State); why != "" {
		return "read, and then on the books, it " + why
	}
	for i := 1; i < len(p.rows); i++ {
		if why := order.step(p.rows[i-1].State, p.rows[i].State); why != "" {
			return "on the books, it " + why
		}
	}
	return ""
}

// pasts gathers records and reads by id, in the order of the books.
func (c *MonotonicState) pasts(b *books) []*past {
	var all []*past
	byID := make(map[journal.ID]*past)
	of := func(id journal.ID) *past {
		p := byID[id]
		if p == nil {
			p = &past{id: id}
			byID[id], all = p, append(all, p)
		}
		return p
	}
	order := newChain(c.Order, nil)
	for _, r := range b.rows[c.Of] {
		p := of(idOf(r.ID))
		p.rows = append(p.rows, r)
		if _, known := order.rank[strings.ToUpper(r.State)]; !known {
			p.unknown = r.State
		}
	}
	if c.Load != "" {
		for _, look := range reads(b.h, func(load string) bool { return load == c.Load }) {
			p := of(look.id)
			p.looks = append(p.looks, look)
		}
	}
	for _, p := range all {
		slices.SortStableFunc(p.rows, func(x, y *journal.AuditRecord) int { return cmp.Compare(x.At.UnixNano(), y.At.UnixNano()) })
	}
	return all
}
