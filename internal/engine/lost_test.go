package engine

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
)

// TestAnEngineThatDoesNotAnswerEndsTheRun: what can't be undone for want of an answer is RESIDUE at once. No
// phase is waited for that is still to come, and nobody is asked anything more; what was measured is there.
func TestAnEngineThatDoesNotAnswerEndsTheRun(t *testing.T) {
	const (
		fault1 = 71 * time.Second  // phase fault begins
		ends   = 101 * time.Second // the fault does
	)
	for name, c := range map[string]struct {
		from, until time.Duration // of the silence
		watched     bool          // it is the watch on nodes that notices, in the middle of the fault
		heals       bool          // it answers when it is asked to undo
		slow        bool          // it keeps quiet, but for the easiest question
		refuses     bool          // it does not keep quiet, but refuses at once
		goesOn      bool
	}{
		"at the revert":                      {from: ends - time.Millisecond},
		"in the middle":                      {from: fault1 + 9*time.Second, watched: true},
		"in the middle, but heals":           {from: fault1 + 9*time.Second, watched: true, heals: true},
		"in the middle, refused":             {from: fault1 + 9*time.Second, watched: true, refuses: true},
		"quiet, but not for long":            {from: fault1 + 9*time.Second, until: fault1 + 10990*time.Millisecond, goesOn: true},
		"refused, but not for long":          {from: fault1 + 9*time.Second, until: fault1 + 10900*time.Millisecond, refuses: true, goesOn: true},
		"slow, but answers":                  {from: fault1 + 9*time.Second, until: ends - time.Second, slow: true, goesOn: true},
		"while no fault is on it":            {from: 30 * time.Second, until: 60 * time.Second, goesOn: true},
		"when the last fault is healed long": {from: ends + 20*time.Second, goesOn: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, b := &breaker{bite: true}, newBench()
				began := time.Now()
				silent := func() bool {
					at := time.Since(began)
					return at >= c.from && (c.until == 0 || at < c.until)
				}
				switch {
				case c.slow:
					b.slow = silent
				case c.refuses:
					b.refuses = silent
				default:
					b.silent = silent
				}
				k.on = func(verb string, _ fault.Action) error {
					if verb == "revert" && silent() && !c.heals {
						return unresponsive(t.Context())
					}
					return nil
				}
				m, err := trial(t, planOf(k, Fault{ID: "f", For: ends - fault1}), b, nil)
				events := m.types()
				over := slices.Contains(events, "phase:recovery") && slices.Contains(events, "phase:settle") && slices.Contains(events, "audit")
				if over != c.goesOn || (err == nil) != c.goesOn {
					t.Fatalf("goes on %v, want %v (error %v): %v", over, c.goesOn, err, events)
				}
				if c.goesOn {
					return
				}
				for _, skipped := range []string{"phase:recovery", "phase:settle", "settled", "resolved", "audit"} {
					if slices.Contains(events, skipped) {
						t.Errorf("%s was not skipped: %v", skipped, events)
					}
				}
				if !errors.Is(err, errLost) || len(m.find(journal.EventError)) != 1 || events[len(events)-1] != "run.end" || !slices.Contains(events, "load.stop") {
					t.Errorf("error %v, events %v", err, events)
				}
				if stuck := m.find(journal.EventStuck); (len(stuck) == 1 && strings.Contains(stuck[0].Err, "undo f")) == c.heals || (b.broken() == 0) != c.heals {
					t.Errorf("stuck %+v, %d broken", stuck, b.broken())
				}
				if strings.Contains(err.Error(), "the next node") {
					t.Errorf("every node's word is repeated: %v", err)
				}
				if (b.logs > 0) != c.heals {
					t.Errorf("%d logs were asked for", b.logs)
				}
				if !slices.Contains(events, "measured:f#1") {
					t.Errorf("what the fault did was not measured: %v", events)
				}
				noticed := at(t, m, journal.EventReverting, "f#1")
				if c.watched && (noticed < c.from+SilentFor || noticed > c.from+SilentFor+silentEvery) {
					t.Errorf("silent from %v, noticed at %v", c.from, noticed)
				}
				if end := at(t, m, journal.EventRunEnd, ""); end > noticed+3*time.Second {
					t.Errorf("the run ended at %v, %v after it was noticed", end, end-noticed)
				}
			})
		})
	}
}

// TestAProxyThatDoesNotAnswerIsStuckInItsTime: reading what the fault did counts to the deadline when it had no
// answer, and there is no second chance for who did not answer to the first.
func TestAProxyThatDoesNotAnswerIsStuckInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBench(), newMemory(journal.RunInfo{})
		k := &breaker{}
		k.on = func(verb string, _ fault.Action) error {
			if verb == "measure" || verb == "revert" {
				time.Sleep(time.Second)
				return errNoAnswer()
			}
			return nil
		}
		f := single(k)
		f.Actions = f.Actions[:1]
		if err := Inject(t.Context(), f, b, m); err != nil {
			t.Fatal(err)
		}
		if took := at(t, m, journal.EventStuck, "f#1") - f.For; took != 2*time.Second {
			t.Errorf("stuck %v after the end, want the deadline of 2 s", took)
		}
		if n := len(m.find(journal.EventStuck)); n != 1 || at(t, m, journal.EventRunEnd, "") != f.For+2*time.Second {
			t.Errorf("stuck %d times: %v", n, m.types())
		}
	})
}
