package invariant

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
)

// chain is the order in which states may follow each other: forward only, and out of a terminal one never.
type chain struct {
	rank     map[string]int
	terminal map[string]bool
}

// newChain makes a chain of states in their order, in any case of letters.
func newChain(order, terminal []string) chain {
	c := chain{rank: make(map[string]int, len(order)), terminal: make(map[string]bool, len(terminal))}
	for i, s := range order {
		c.rank[strings.ToUpper(s)] = i
	}
	for _, s := range terminal {
		c.terminal[strings.ToUpper(s)] = true
	}
	return c
}

// step says what is wrong with going from one state to another, or "". States that the chain does not know, such as
// words that only a read uses, may come anywhere.
func (c chain) step(from, to string) string {
	from, to = strings.ToUpper(from), strings.ToUpper(to)
	was, known := c.rank[from]
	is, too := c.rank[to]
	switch {
	case from == to || !known || !too:
		return ""
	case c.terminal[from]:
		return "left its end: " + from + ", then " + to
	case is < was:
		return "went backwards: " + from + ", then " + to
	}
	return ""
}

// further returns the state of the two that is further on.
func (c chain) further(a, b string) string {
	x, known := c.rank[strings.ToUpper(a)]
	y, too := c.rank[strings.ToUpper(b)]
	if !known || too && y > x {
		return b
	}
	return a
}

// seen is one look at a state: between from and to, somebody was told it.
type seen struct {
	id       journal.ID
	from, to time.Duration
	state    string
}

// reads are the states that clients were told by requests without effect, by id and time of sending.
func reads(h *journal.History, of func(load string) bool) []seen {
	var all []seen
	for i := range h.Samples {
		s := &h.Samples[i]
		if s.State == "" || s.Ref.Zero() || s.Result != journal.OK || int(s.Op) >= len(h.Run.Loads) {
			continue
		}
		if l := &h.Run.Loads[s.Op]; l.Effect == "" && of(l.Name) {
			all = append(all, seen{s.Ref, s.Sent, s.Done, s.State})
		}
	}
	slices.SortStableFunc(all, func(x, y seen) int {
		return cmp.Or(slices.Compare(x.id[:], y.id[:]), cmp.Compare(x.from, y.from))
	})
	return all
}

// walk goes through the looks at one thing, in order of their beginning. A look is held against the furthest state of
// those that had ended before it began: of two at the same time either may be the older. It returns the furthest
// of all, and what was wrong first.
func (c chain) walk(looks []seen) (last, wrong string) {
	ended := slices.Clone(looks)
	slices.SortStableFunc(ended, func(x, y seen) int { return cmp.Compare(x.to, y.to) })
	before, next := "", 0
	for _, look := range looks {
		for next < len(ended) && ended[next].to <= look.from {
			before = c.further(before, ended[next].state)
			next++
		}
		if why := c.step(before, look.state); why != "" && wrong == "" {
			wrong = why
		}
		last = c.further(last, look.state)
	}
	return last, wrong
}
