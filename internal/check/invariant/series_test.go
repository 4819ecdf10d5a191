package invariant

import (
	"strings"
	"testing"
	"time"

	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// scraped is what one node said, a second after the other; −1 is no answer.
func scraped(node, series string, values ...float64) (all []journal.Reading) {
	for i, v := range values {
		at, source := time.Duration(i)*time.Second, journal.SourceMetrics+node
		if v < 0 {
			all = append(all, journal.Reading{At: at, Source: source, Name: journal.MetricsUp})
			continue
		}
		if i == 0 || v != values[i-1] {
			all = append(all, journal.Reading{At: at, Source: source, Name: series, Value: v})
		}
		all = append(all, journal.Reading{At: at, Source: source, Name: journal.MetricsUp, Value: 1})
	}
	return all
}

func TestCountersOverRestarts(t *testing.T) {
	for name, x := range map[string]struct {
		readings    []journal.Reading
		value, lost float64
	}{
		"one":                        {scraped("a", "x_total", 0, 3, 7, 9), 9, 0},
		"two":                        {append(scraped("a", "x_total", 0, 3, 7), scraped("b", "x_total", 1, 1, 2)...), 9, 0},
		"restarted":                  {scraped("a", "x_total", 0, 5, 9, 2, 4), 13, 5},
		"restarted twice":            {scraped("a", "x_total", 0, 5, 9, 2, 4, 1), 14, 10},
		"away for three seconds":     {scraped("a", "x_total", 0, 5, 9, -1, -1, 2, 4), 13, 15},
		"away, and the same again":   {scraped("a", "x_total", 0, 5, 9, -1, -1, 12), 12, 0},
		"never came back":            {append(scraped("a", "x_total", 0, 5, 9, -1), scraped("b", "x_total", 0, 0, 0, 0, 0, 0)...), 9, 15},
		"quiet while it was started": {append(scraped("a", "x_total", 0, 5, 9, 2), scraped("a", "y_total", 4, 4, 4, 4)...), 11, 5},
	} {
		c := countersOf(&journal.History{Readings: x.readings})["x_total"]
		if c.value != x.value || c.lost != x.lost {
			t.Errorf("%s: %g, up to %g lost; want %g, %g", name, c.value, c.lost, x.value, x.lost)
		}
	}
	// A series that a new process tells late is no second restart.
	late := scraped("a", "x_total", 0, 5, 9, 2, 4, 8)
	for _, r := range []struct {
		at time.Duration
		v  float64
	}{{0, 100}, {5, 1}} {
		late = append(late, journal.Reading{At: r.at * time.Second, Source: journal.SourceMetrics + "a", Name: `z_total{k="v"}`, Value: r.v})
	}
	sortByTime(late)
	all := countersOf(&journal.History{Readings: late})
	if x, z := all["x_total"], all[`z_total{k="v"}`]; x.value != 17 || z.value != 101 {
		t.Errorf("told late: %g and %g, want 17 and 101", x.value, z.value)
	}
	if countersOf(&journal.History{Readings: []journal.Reading{{Source: journal.SourceCanary, Name: "ticks"}}}) != nil {
		t.Error("the canary is no metric of the target")
	}
}

func sortByTime(all []journal.Reading) {
	for i := range all { // a few of them
		for j := i; j > 0 && all[j].At < all[j-1].At; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
}

// A counter that is short by what a killed process may have taken with it is no lie, and no Pass.
func TestCountersShortAfterAKill(t *testing.T) {
	countersOfStory := func(s *checktest.Story) verdict.Finding {
		c, _ := Table().New("honest_counters")
		return c.Judge(s.H)
	}
	const series = `orders_placed_total{result="placed"}`
	for name, x := range map[string]struct {
		by      float64
		outcome verdict.Outcome
		why     string
	}{
		"short by three":      {-3, verdict.Inconclusive, "may have been lost with processes that ended"},
		"short by all it had": {-200, verdict.Fail, "the books"},
		"over":                {3, verdict.Fail, "the books"},
	} {
		s := checktest.Shop(5, 300)
		(&hand{t: t, s: s}).count(series, x.by)
		if f := countersOfStory(s); f.Outcome != x.outcome || !strings.Contains(f.Why, x.why) {
			t.Errorf("%s: %s (%s)", name, f.Outcome, f.Why)
		}
	}
	s := checktest.Shop(5, 300)
	for i := range s.H.Readings {
		if s.H.Readings[i].Name != journal.MetricsUp {
			s.H.Readings[i].Name = "own_" + s.H.Readings[i].Name
		}
	}
	if f := countersOfStory(s); f.Outcome != verdict.Inconclusive || !strings.Contains(f.Why, "no counter by a name that is known") {
		t.Errorf("counters of other names: %s (%s)", f.Outcome, f.Why)
	}
}

// Counters of errors that moved while a lost payment was on its way speak of one each.
func TestSilentByCounters(t *testing.T) {
	for _, x := range []struct {
		name   string
		series string
		at     time.Duration // after the first lost payment was sent
		by     float64
		silent int
	}{
		{"no error", "requests_total", 0, 5, 3},
		{"an error", "dependency_errors_total", time.Second, 1, 2},
		{"a code of 500", `http_requests_total{code="503"}`, time.Second, 1, 2},
		{"more errors than losses", "dependency_errors_total", time.Second, 9, 0},
		{"before", "dependency_errors_total", -time.Second, 1, 3},
		{"long after", "dependency_errors_total", 20 * time.Second, 1, 3},
	} {
		s := healthy()
		for range 3 {
			s.Drop("payment", 0)
		}
		sent := first(s).Sent
		reading := func(at time.Duration, name string, v float64) {
			s.H.Readings = append(s.H.Readings, journal.Reading{At: at, Source: journal.SourceMetrics + "a", Name: name, Value: v})
		}
		reading(0, "dependency_errors_total", 0)
		reading(sent+x.at, x.series, x.by)
		if f := judge(t, s.H)["no_lost_payment"]; f.Silent == nil || *f.Silent != x.silent {
			t.Errorf("%s: silent %d, want %d (%s)", x.name, *f.Silent, x.silent, f.Why)
		}
	}
}
