package invariant

import (
	"errors"
	"fmt"
	"slices"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// ExactlyOnce is the check exactly_once.
type ExactlyOnce struct {
	Of        string   `yaml:"of" doc:"type of the records that are counted, such as charge"`
	States    []string `yaml:"states" doc:"only those in one of these states" optional:"true"`
	Per       string   `yaml:"per" doc:"what has one: acked is every key that a client was told 2xx for; else a type of records" default:"acked"`
	PerStates []string `yaml:"per_states" doc:"of that type, only those in one of these states" optional:"true"`
	By        string   `yaml:"by" doc:"which belong together: of the same key, or those whose ref is the other's id" default:"key" enum:"key|ref"`
	AtMost    bool     `yaml:"at_most" doc:"none is fine too" optional:"true"`
}

// Completeness is the check completeness.
type Completeness struct {
	Of        string   `yaml:"of" doc:"type of the records that must be there, such as event"`
	States    []string `yaml:"states" doc:"only those in one of these states" optional:"true"`
	Per       string   `yaml:"per" doc:"type of the records that each have one, such as payment; acked is every key that a client was told 2xx for"`
	PerStates []string `yaml:"per_states" doc:"of that type, only those in one of these states" optional:"true"`
	By        string   `yaml:"by" doc:"which belong together: of the same key, or those whose ref is the other's id" default:"key" enum:"key|ref"`
}

var _, _ check.Demanding = (*ExactlyOnce)(nil), (*Completeness)(nil)

// Name is the kind's name.
func (c *ExactlyOnce) Name() string { return "exactly_once" }

// Name is the kind's name.
func (c *Completeness) Name() string { return "completeness" }

// Window is run.
func (c *ExactlyOnce) Window() string { return window }

// Window is run.
func (c *Completeness) Window() string { return window }

// Validate refuses what can't be matched.
func (c *ExactlyOnce) Validate() error { return c.matching().validate() }

// Validate refuses what can't be matched.
func (c *Completeness) Validate() error { return c.matching().validate() }

// Demands refuses targets whose witnesses lack the types.
func (c *ExactlyOnce) Demands(info journal.RunInfo) error { return c.matching().demands(info) }

// Demands refuses targets whose witnesses lack the types.
func (c *Completeness) Demands(info journal.RunInfo) error { return c.matching().demands(info) }

// Judge counts for each.
func (c *ExactlyOnce) Judge(h *journal.History) verdict.Finding {
	return c.matching().judge(h, c.Name())
}

// Judge counts for each.
func (c *Completeness) Judge(h *journal.History) verdict.Finding {
	return c.matching().judge(h, c.Name())
}

func (c *ExactlyOnce) matching() matching {
	m := matching{of: c.Of, states: c.States, per: c.Per, perStates: c.PerStates, by: c.By, least: 1, most: 1}
	if c.AtMost {
		m.least = 0
	}
	return m
}

func (c *Completeness) matching() matching {
	return matching{of: c.Of, states: c.States, per: c.Per, perStates: c.PerStates, by: c.By, least: 1, most: -1}
}

// matching is how many records of one type each of another has.
type matching struct {
	of, per, by       string
	states, perStates []string
	least, most       int // most −1: any number
}

func (m matching) validate() error {
	switch {
	case m.per == acked && len(m.perStates) > 0:
		return errors.New("per: acked has no states")
	case m.per == acked && m.by == byRef:
		return errors.New("per: acked goes by key: leave by: ref out")
	case m.of == m.per:
		return fmt.Errorf("%s is held against itself", m.of)
	}
	return nil
}

func (m matching) needs() []string {
	if m.per == acked {
		return []string{m.of}
	}
	return []string{m.of, m.per}
}

func (m matching) demands(info journal.RunInfo) error { return demandRecords(info, m.needs(), nil) }

func (m matching) words() string {
	many := map[[2]int]string{{1, 1}: "exactly one", {0, 1}: "at most one", {1, -1}: "at least one"}[[2]int{m.least, m.most}]
	per := "acknowledged key"
	if m.per != acked {
		per = described([]string{m.per}, m.perStates)
	}
	return fmt.Sprintf("each %s has %s %s", per, many, described([]string{m.of}, m.states))
}

// judge is Inconclusive without any record of a type, and, where acknowledged keys are meant, when the outcome of a key
// is not known and nothing else is wrong.
func (m matching) judge(h *journal.History, name string) verdict.Finding {
	needs := m.needs()
	if m.least == 0 { // none is fine
		needs = slices.DeleteFunc(needs, func(typ string) bool { return typ == m.of })
	}
	b, f := opened(h, name, m.words(), needs)
	if b == nil {
		return f
	}
	have := countBy(b.selected([]string{m.of}, m.states), func(r *journal.AuditRecord) journal.ID { return idOf(field(r, m.by)) })
	var bad []offence
	look := func(id journal.ID, o offence, what string) {
		f.N++
		if n := have[id]; n < m.least || m.most >= 0 && n > m.most {
			o.note = fmt.Sprintf("%s has %d %s", what, n, m.of)
			bad = append(bad, o)
		}
	}
	r := ruling{noun: "off", pass: "it holds of each of %d"}
	if m.per == acked {
		for i := range b.accounts {
			if a := &b.accounts[i]; a.acked {
				look(a.key, offence{account: i, off: a.amount}, "an acknowledged key")
			}
		}
		r.unsure = b.unsure
	} else {
		match := byID
		if m.by == byKey {
			match = byKey
		}
		for _, row := range b.selected([]string{m.per}, m.perStates) {
			look(idOf(field(row, match)), offence{account: b.accountOf(row), record: row}, m.per+" "+row.ID)
		}
	}
	r.pass = fmt.Sprintf(r.pass, f.N)
	b.conclude(&f, bad, r)
	f.Why += b.asides()
	return f
}
