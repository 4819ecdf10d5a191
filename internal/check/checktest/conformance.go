package checktest

import (
	"math"
	"testing"
	"time"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// Run holds a check to its protocol: it has a name and a window, an empty history is Inconclusive, a
// hostile one neither panics nor passes, judging twice gives the same, and it catches the known bug.
// Every check's own tests call it.
func Run(t *testing.T, c check.Check, bug *journal.History) {
	t.Helper()
	if c.Name() == "" || c.Window() == "" {
		t.Errorf("a check must have a name and a window, this one has %q and %q", c.Name(), c.Window())
	}
	for name, h := range Empty() {
		if f := c.Judge(h); f.Outcome != verdict.Inconclusive {
			t.Errorf("%s: %s history: %s, want Inconclusive (%s)", c.Name(), name, f.Outcome, f.Why)
		} else if f.Why == "" {
			t.Errorf("%s: %s history: Inconclusive without a reason", c.Name(), name)
		}
	}
	for name, h := range Hostile() {
		if f := c.Judge(h); f.Outcome == verdict.Pass {
			t.Errorf("%s: %s history passes", c.Name(), name)
		}
	}
	first, second := c.Judge(bug), c.Judge(bug)
	if first.Outcome != verdict.Fail {
		t.Errorf("%s does not catch its known bug: %s (%s)", c.Name(), first.Outcome, first.Why)
	}
	if first.Got != second.Got || first.N != second.N || len(first.Evidence) != len(second.Evidence) {
		t.Errorf("%s: judged twice, two answers: %q and %q", c.Name(), first.Got, second.Got)
	}
	if first.Check != c.Name() || first.Window != c.Window() || first.Want == "" || first.Why == "" {
		t.Errorf("%s: a Fail must name check, window, want and why: %+v", c.Name(), first)
	}
}

// Empty are histories with nothing in them to judge.
func Empty() map[string]*journal.History {
	quiet := NewStory(PayLoad(50), ReadLoad(100))
	quiet.Settle()
	return map[string]*journal.History{
		"nil": nil, "zero": {}, "quiet": quiet.H,
		"windowless": {Run: journal.RunInfo{Loads: []journal.LoadInfo{PayLoad(50), ReadLoad(100)}}},
	}
}

// Hostile are histories that no honest run writes, with nothing that supports a Pass.
func Hostile() map[string]*journal.History {
	extremes := func() *Story {
		s := NewStory(PayLoad(math.Inf(1)), ReadLoad(math.NaN()))
		for _, load := range []string{"pay", "read"} {
			s.Drive(load, 3*time.Second, 31*time.Second, 100, func(i int, x *journal.Sample) {
				x.Op = journal.OpID(i % 5) // some of them of no load
				x.Done, x.Sent = math.MinInt64, math.MaxInt64
				x.Class, x.Result, x.Status, x.Amount = 99, 77, 65535, math.MinInt64
			})
		}
		return s
	}
	inverted := extremes()
	for name, w := range inverted.H.Windows {
		w.From, w.To = w.To, w.From
		inverted.H.Windows[name] = w
	}
	endless := extremes()
	for name, w := range endless.H.Windows {
		w.From, w.To = math.MinInt64/2, math.MaxInt64/2
		endless.H.Windows[name] = w
	}
	junk := extremes()
	for _, typ := range []string{"payment", "ledger", "charge", "refund", "", "\x00"} {
		for _, key := range []string{"", RunID, RunID + "zz", "\xff\xfe", UUID(junk.H.Samples[0].Key)} {
			junk.H.Audit = append(junk.H.Audit, journal.AuditRecord{Type: typ, Key: key, Ref: key, ID: key, Amount: math.MinInt64, State: "\x00"})
		}
	}
	junk.Event(32*time.Second, journal.EventAudit, "payments", "not what it should be")
	return map[string]*journal.History{"extreme": extremes().H, "inverted": inverted.H, "endless": endless.H, "junk": junk.H}
}
