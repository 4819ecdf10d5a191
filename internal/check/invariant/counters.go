package invariant

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// tolerance is how far a counter may be from the facts.
const tolerance = 0.001

// fact is what the books say that a series must show. What other invariants name may or may not have been counted, so
// it is between low and high.
type fact struct {
	series    string
	low, high float64
	money     bool
}

// errNoMetrics is what honest_counters asks of a target.
var errNoMetrics = errors.New("the target tells no metrics: write metrics: in target.yaml")

// demandMetrics refuses targets without metrics.
func demandMetrics(info journal.RunInfo) error {
	if info.Telemetry == nil || len(info.Telemetry.Metrics) == 0 {
		return errNoMetrics
	}
	return nil
}

// counters finds counters that say something else than the books (DOMAIN.md I-12), over all instances and
// restarts: payments that were settled, revenue, refunds, orders and notifications. docs/judging.md has the names
// that they go by.
//
// One fact is about records: what was booked as revenue is what was captured less what was refunded.
func counters(b *books, f *verdict.Finding) {
	told := countersOf(b.h)
	if told == nil {
		f.Why = "the target told no metrics"
		return
	}
	families := make(map[string]bool)
	for name := range told {
		family, _, _ := strings.Cut(name, "{")
		families[family] = true
	}
	var bad []offence
	unsure := ""
	check := func(x fact, c counter, where string) {
		f.N++
		low, high := x.low*(1-tolerance), x.high*(1+tolerance)
		if c.value >= low && c.value <= high {
			return
		}
		note := fmt.Sprintf("%s says %.0f%s, the books %s", x.series, c.value, where, x)
		if c.value < low && c.value+c.lost >= low {
			unsure = note + fmt.Sprintf(": up to %.0f may have been lost with processes that ended", c.lost)
			return
		}
		o := offence{account: -1, note: note}
		if x.money {
			o.off = int64(c.value - math.Max(x.low, math.Min(x.high, c.value)))
		}
		bad = append(bad, o)
	}
	for _, x := range b.facts() {
		family, _, _ := strings.Cut(x.series, "{")
		if families[family] {
			c := told[x.series]
			check(x, c, fmt.Sprintf(" on %d instances", c.sources))
		}
	}
	counters := f.N
	if rows := b.rows["revenue"]; len(rows) > 0 {
		x, c := b.revenue()
		check(x, c, "")
	}
	b.conclude(f, bad, ruling{noun: "dishonest", pass: fmt.Sprintf("%d sums agree with the books within %g %%", f.N, 100*tolerance)})
	switch {
	case f.Outcome == verdict.Pass && counters == 0:
		f.Outcome, f.Why = verdict.Inconclusive, "the target has no counter by a name that is known (docs/judging.md)"
	case f.Outcome == verdict.Pass && unsure != "":
		f.Outcome, f.Why = verdict.Inconclusive, unsure
	}
}

// String words what a series must show.
func (x fact) String() string {
	switch {
	case math.IsInf(x.high, 1):
		return fmt.Sprintf("at least %.0f", x.low)
	case x.low == x.high:
		return fmt.Sprintf("%.0f", x.low)
	}
	return fmt.Sprintf("%.0f to %.0f", x.low, x.high)
}

// facts are what the books say that the counters must show.
func (b *books) facts() []fact {
	captured, declined := fact{series: `payments_settled_total{result="captured"}`}, fact{series: `payments_settled_total{result="declined"}`}
	revenue := fact{series: "revenue_minor_total", money: true}
	accepted := fact{series: "payments_accepted_total"}
	for _, r := range b.rows["payment"] {
		n, _, _ := b.find(r)
		if n >= 0 && b.blamed(n) {
			continue
		}
		switch state := strings.ToUpper(r.State); {
		case taken(state):
			captured.add(1, 1)
			revenue.add(float64(r.Amount), float64(r.Amount))
			if n >= 0 && b.accounts[n].acked {
				accepted.low++
			}
		case state == "DECLINED":
			declined.add(1, 1)
		}
	}
	for i := range b.accounts {
		if a := &b.accounts[i]; b.blamed(i) {
			rows := float64(max(1, a.payments))
			captured.add(0, rows)
			declined.add(0, rows)
			revenue.add(0, rows*float64(a.amount))
		}
	}
	accepted.high = math.Inf(1) // it counts answers, and a key may be answered more than once
	refunds := fact{series: `refunds_total{result="done"}`}
	for _, r := range b.rows["refund"] {
		switch {
		case b.settlers[r.Source]:
		case strings.EqualFold(r.State, "DONE"):
			refunds.add(1, 1)
		case strings.EqualFold(r.State, "PENDING"): // no_stuck_payment's
			refunds.add(0, 1)
		}
	}
	return slices.Concat([]fact{captured, declined, revenue, accepted, refunds}, b.orderFacts(), b.notified())
}

func (x *fact) add(low, high float64) { x.low, x.high = x.low+low, x.high+high }

// orderFacts are about orders by the state that they reached.
func (b *books) orderFacts() []fact {
	placed, confirmed, cancelled := fact{series: `orders_placed_total{result="placed"}`}, fact{series: `orders_placed_total{result="confirmed"}`}, fact{series: `orders_placed_total{result="cancelled"}`}
	for i := range b.orders {
		switch o := &b.orders[i]; {
		case o.row == nil && o.told == 0:
		case o.row == nil || b.moved[o.id] != "" || !o.over():
			placed.add(0, 1)
			confirmed.add(0, 1)
			cancelled.add(0, 1)
			if o.row != nil {
				placed.low++
			}
		default:
			placed.add(1, 1)
			if o.state == "CONFIRMED" {
				confirmed.add(1, 1)
			} else {
				cancelled.add(1, 1)
			}
		}
	}
	return []fact{placed, confirmed, cancelled}
}

// notified are about messages by their kind; a second one of an event may have been counted or not.
func (b *books) notified() []fact {
	type message struct {
		kind  string
		event journal.ID
	}
	var kinds []string
	facts, seen := make(map[string]*fact), make(map[message]bool)
	for _, r := range b.rows["notification"] {
		x := facts[r.Account]
		if x == nil {
			x = &fact{series: fmt.Sprintf(`notifications_total{kind=%q}`, r.Account)}
			facts[r.Account], kinds = x, append(kinds, r.Account)
		}
		x.high++
		if m := (message{r.Account, idOf(r.Ref)}); !seen[m] {
			seen[m] = true
			x.low++
		}
	}
	var all []fact
	for _, k := range kinds {
		all = append(all, *facts[k])
	}
	return all
}

// revenue is what was booked as revenue, held against what was captured less what was refunded.
func (b *books) revenue() (x fact, booked counter) {
	x = fact{series: "the revenue that was booked", money: true}
	seen := make(map[journal.ID]bool)
	for _, r := range b.rows["revenue"] {
		if id := idOf(r.Ref); !seen[id] {
			seen[id] = true
			booked.value += float64(r.Amount)
		}
	}
	for _, r := range b.rows["payment"] {
		n, _, _ := b.find(r)
		if taken(strings.ToUpper(r.State)) && (n < 0 || !b.blamed(n)) {
			x.add(float64(r.Amount), float64(r.Amount))
		}
	}
	for i := range b.accounts {
		if a := &b.accounts[i]; b.blamed(i) {
			x.add(0, float64(max(1, a.payments))*float64(a.amount))
		}
	}
	for _, r := range b.rows["refund"] {
		switch {
		case b.settlers[r.Source]:
		case strings.EqualFold(r.State, "DONE"):
			x.add(-float64(r.Amount), -float64(r.Amount))
		case strings.EqualFold(r.State, "PENDING"):
			x.add(-float64(r.Amount), 0)
		}
	}
	return x, booked
}
