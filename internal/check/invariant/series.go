package invariant

import (
	"math"
	"strings"
	"time"

	"chaos/internal/journal"
)

// counter is a counter of the target, added up over its instances and their restarts.
type counter struct {
	value   float64
	lost    float64 // what instances may have counted between their last scrape and their end
	sources int
}

// countersOf are the run's counters by series; nil when the target tells none.
func countersOf(h *journal.History) map[string]counter {
	type id struct{}
	return journal.Derive(h, id{}, addUp)
}

// counted adds up one counter over all its labels.
func (b *books) counted(family string) (sum float64, ok bool) {
	for name, c := range countersOf(b.h) {
		if name == family || strings.HasPrefix(name, family+"{") {
			sum, ok = sum+c.value, true
		}
	}
	return sum, ok
}

// instance is one node's metrics as they came.
type instance struct {
	up    time.Duration // of its last scrape that was answered
	down  bool          // since then it was not answered
	lives []life        // ends of its processes, in order
	last  map[string]float64
}

// life is the end of a process: it was last asked at from, and the next one, or the end of the run, was seen at to.
type life struct{ from, to time.Duration }

// isCounter tells counters by the names that Prometheus asks for.
func isCounter(name string) bool {
	family, _, _ := strings.Cut(name, "{")
	return strings.HasSuffix(family, "_total") || strings.HasSuffix(family, "_count")
}

// addUp adds up every counter. A value that fell shows that the process behind it is another one: what the former
// had counted until its last scrape is kept, and what it may have counted since is bounded by the steepest second
// of that series.
func addUp(h *journal.History) map[string]counter {
	nodes := make(map[string]*instance)
	for i := range h.Readings {
		r := &h.Readings[i]
		if !strings.HasPrefix(r.Source, journal.SourceMetrics) {
			continue
		}
		n := nodes[r.Source]
		if n == nil {
			n = &instance{last: make(map[string]float64)}
			nodes[r.Source] = n
		}
		switch {
		case r.Name == journal.MetricsUp && r.Value == 0:
			n.down = true
		case r.Name == journal.MetricsUp:
			n.up, n.down = r.At, false
		case isCounter(r.Name):
			if r.Value < n.last[r.Name] {
				n.lives = append(n.lives, life{n.up, r.At})
				clear(n.last) // the new process has said nothing else yet
			}
			n.last[r.Name] = r.Value
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	end := time.Duration(0)
	if len(h.Readings) > 0 {
		end = h.Readings[len(h.Readings)-1].At
	}
	return total(h, nodes, end)
}

// sum is one series of one node while it is added up.
type sum struct {
	banked, now, steepest float64
	at                    time.Duration
	lives                 int // processes that have ended
}

// total adds up what each process counted.
func total(h *journal.History, nodes map[string]*instance, end time.Duration) map[string]counter {
	sums := make(map[[2]string]*sum)
	for i := range h.Readings {
		r := &h.Readings[i]
		n := nodes[r.Source]
		if n == nil || !isCounter(r.Name) {
			continue
		}
		t := sums[[2]string{r.Source, r.Name}]
		if t == nil {
			t = &sum{}
			sums[[2]string{r.Source, r.Name}] = t
		}
		for t.lives < len(n.lives) && n.lives[t.lives].to <= r.At {
			t.lives++
			t.banked, t.now = t.banked+t.now, 0
		}
		t.steepest = max(t.steepest, (r.Value-t.now)/max(1, (r.At-t.at).Seconds()))
		t.now, t.at = r.Value, r.At
	}
	all := make(map[string]counter)
	for id, t := range sums {
		n, c := nodes[id[0]], all[id[1]]
		c.value += t.banked + t.now
		c.sources++
		for _, l := range n.lives {
			c.lost += math.Ceil(t.steepest * max(1, (l.to-l.from).Seconds()))
		}
		if n.down {
			c.lost += math.Ceil(t.steepest * max(1, (end-n.up).Seconds()))
		}
		all[id[1]] = c
	}
	return all
}

// rise is how much the counters of errors went up at one time.
type rise struct {
	at time.Duration
	by float64
}

// isError reports whether a counter counts errors, by its name or labels.
func isError(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"error", "fail", "timeout", "drop", "dlq", "dead", "mismatch", `code="5`} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// rises are the times at which counters of errors went up; told is false when there are no metrics.
func rises(h *journal.History) (all []rise, told bool) {
	last := make(map[[2]string]float64)
	for i := range h.Readings {
		r := &h.Readings[i]
		if !strings.HasPrefix(r.Source, journal.SourceMetrics) {
			continue
		}
		told = true
		if !isCounter(r.Name) && !strings.HasSuffix(r.Name, "mismatches") || !isError(r.Name) {
			continue
		}
		id := [2]string{r.Source, r.Name}
		if by := r.Value - last[id]; by > 0 {
			all = append(all, rise{r.At, by})
		}
		last[id] = r.Value
	}
	return all, told
}
