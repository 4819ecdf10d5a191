package slo

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/kind"
)

// Limits of a guard.
const (
	guardSamples = 20                     // fewer requests in the window decide nothing
	guardMin     = time.Second            // shortest sliding window
	guardMax     = 60 * time.Second       // longest; well inside what journal.Live remembers
	guardOldest  = 500 * time.Millisecond // part of a window that shows whether it is filled
)

// guard is a condition on the last seconds that ends a run.
type guard struct {
	text   string
	ind    indicator
	op     journal.OpID
	below  bool
	orEven bool
	value  float64 // share, or per second
	window time.Duration
}

// ParseGuard reads a condition such as "availability(pay) < 10% for 5s". Guards know availability and
// rate: the rest needs more than the live counts. Errors are *SyntaxError.
func ParseGuard(text string, loads []journal.LoadInfo) (check.Guard, error) {
	p := parser{text: text, loads: names(loads)}
	ind, err := p.sli()
	if err != nil {
		return nil, err
	}
	if ind.shape != availability && ind.shape != rate {
		return nil, p.errorf(0, "%s can't guard a run: use availability(load) or rate(load), which are known while it goes on", ind.text)
	}
	g := &guard{text: text, ind: ind}
	g.op = journal.OpID(indexOf(ind.load, loads))
	op := p.next()
	switch op.text {
	case "<", "<=":
		g.below, g.orEven = true, op.text == "<="
	case ">", ">=":
		g.orEven = op.text == ">="
	default:
		return nil, p.errorf(op.at, "expected <, <=, > or >= after %s, found %s", ind.text, op)
	}
	if err := g.readValue(&p); err != nil {
		return nil, err
	}
	if err := p.want("for", "and a time, as in "+ind.text+" < … for 5s"); err != nil {
		return nil, err
	}
	d := p.next()
	if g.window, err = kind.ParseDuration(d.text); err != nil {
		return nil, p.errorf(d.at, "%s", err)
	}
	if g.window < guardMin || g.window > guardMax {
		return nil, p.errorf(d.at, "a guard looks back between %v and %v, not %v", guardMin, guardMax, g.window)
	}
	return g, p.end()
}

// readValue reads "10%" for a share, "5/s" for a rate.
func (g *guard) readValue(p *parser) error {
	t := p.next()
	sign := p.next()
	if g.ind.shape == availability {
		var share kind.Percent
		if sign.text != "%" {
			return p.errorf(t.at, "expected a percentage such as 10%%, found %s", t)
		}
		if err := share.UnmarshalText([]byte(t.text + "%")); err != nil {
			return p.errorf(t.at, "%s", err)
		}
		g.value = float64(share)
		return nil
	}
	v, err := strconv.ParseFloat(t.text, 64)
	if unit := p.next(); err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || sign.text != "/" || unit.text != "s" {
		return p.errorf(t.at, "expected a rate such as 5/s, found %s", t)
	}
	g.value = v
	return nil
}

// Text is the condition as written.
func (g *guard) Text() string { return g.text }

// Observe decides over the sliding window. Requests overdue and unfinished count as bad: a black hole
// completes nothing.
func (g *guard) Observe(l journal.Live) (breach, decided bool, why string) {
	c := l.Since(g.window, g.op)
	bad := c.Bad + c.Overdue
	if g.ind.shape == rate {
		return g.observeRate(l, c)
	}
	n := c.Good + bad
	if n < guardSamples {
		return false, false, fmt.Sprintf("%d requests of %s in the last %v, %d needed", n, g.ind.load, g.window, guardSamples)
	}
	share := float64(c.Good) / float64(n)
	why = fmt.Sprintf("availability of %s is %s over the last %v (%s bad of %s, %s of them unanswered)",
		g.ind.load, percent(share), g.window, count(bad), count(n), count(c.Overdue))
	return g.holds(share), true, why
}

// observeRate compares good answers per second. A window that reaches back to before the load began
// would look slow, so it decides nothing until something was due in its oldest part.
func (g *guard) observeRate(l journal.Live, c journal.Counts) (breach, decided bool, why string) {
	n, later := total(c), total(l.Since(g.window-guardOldest, g.op))
	if n < guardSamples || n <= later {
		return false, false, fmt.Sprintf("%d requests of %s in the last %v: not filled yet", n, g.ind.load, g.window)
	}
	seen := float64(c.Good) / g.window.Seconds()
	return g.holds(seen), true, fmt.Sprintf("%s good answers per second from %s over the last %v", number(seen), g.ind.load, g.window)
}

func total(c journal.Counts) int { return c.Good + c.Bad + c.Excluded + c.Overdue }

func (g *guard) holds(v float64) bool {
	if v == g.value {
		return g.orEven
	}
	return (v < g.value) == g.below
}
