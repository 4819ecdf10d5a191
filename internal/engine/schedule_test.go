package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
)

const faultAt = 71 * time.Second // phase fault of planOf

// A fault that is made again lives its whole life each time, with actions of its own.
func TestARepeatedFaultLivesItsLifeEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{bite: true}, newBench()
		f := Fault{ID: "f", At: 5 * time.Second, For: 6 * time.Second, Times: 3, Pause: 4 * time.Second,
			Actions: []fault.Action{action("f", "node:a"), action("f", "node:b")}}
		f.Actions[1].ID = "f#2"
		m, err := trial(t, planOf(k, f), b, nil)
		if err != nil || b.broken() != 0 {
			t.Fatal(err, b.broken())
		}
		for id, from := range map[string]time.Duration{"f#1": 5, "f#2": 5, "f#3": 15, "f#4": 15, "f#5": 25, "f#6": 25} {
			if got := at(t, m, journal.EventIntent, id); got != faultAt+from*time.Second {
				t.Errorf("%s begins at %v", id, got)
			}
			if got := at(t, m, journal.EventReverting, id); got != faultAt+(from+6)*time.Second {
				t.Errorf("%s ends at %v", id, got)
			}
			at(t, m, journal.EventMeasured, id)
		}
		if n := len(m.find(journal.EventReverted)); n != 6 {
			t.Errorf("%d reverted, want 6", n)
		}
		w := journal.Windows(&journal.RunInfo{Faults: []journal.FaultInfo{{ID: "f"}}}, m.events)["fault:f"]
		if w.From != faultAt+5*time.Second || w.To != faultAt+31*time.Second {
			t.Errorf("window %+v", w)
		}
	})
}

// A fault follows the real moment of another, and faults may overlap.
func TestAFaultFollowsTheMomentThatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &breaker{bite: true, slow: time.Second} // each revert takes 1 s
		m, err := trial(t, planOf(k,
			Fault{ID: "late", After: Moment{Fault: "f", Reverted: true}, At: 2 * time.Second, For: 3 * time.Second},
			Fault{ID: "f", At: 4 * time.Second, For: 10 * time.Second},
			Fault{ID: "beside", After: Moment{Fault: "f"}, At: time.Second, For: 30 * time.Second},
		), newBench(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]time.Duration{"f#1": 4, "beside#1": 5, "late#1": 17} { // 4 + 10, healed 1 s later, + 2
			if got := at(t, m, journal.EventIntent, id); got != faultAt+want*time.Second {
				t.Errorf("%s begins at %v, want %v after %v", id, got, want*time.Second, faultAt)
			}
		}
		if got := at(t, m, journal.EventReverting, "late#1"); got != faultAt+20*time.Second {
			t.Errorf("late is as long as asked: it ends at %v", got)
		}
	})
}

// What follows a moment that never comes is never made, and nobody waits for it for ever.
func TestAMomentThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &breaker{bite: true}
		k.on = func(verb string, a fault.Action) error {
			if verb == "revert" && a.Fault == "f" {
				return errors.New("no way back")
			}
			return nil
		}
		m, err := trial(t, planOf(k,
			Fault{ID: "f", For: 5 * time.Second, Times: 2, Pause: time.Second},
			Fault{ID: "next", After: Moment{Fault: "f", Reverted: true}, For: time.Second},
			Fault{ID: "over-next", After: Moment{Fault: "next"}, For: time.Second},
			Fault{ID: "beside", After: Moment{Fault: "f"}, For: 8 * time.Second},
		), newBench(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(k.injected, "f#2") || slices.Contains(k.injected, "next#1") || slices.Contains(k.injected, "over-next#1") {
			t.Errorf("made %v, though f never was reverted", k.injected)
		}
		if !slices.Contains(k.healed, "beside#1") || at(t, m, "phase", "recovery") != 131*time.Second {
			t.Errorf("healed %v, recovery at %v", k.healed, at(t, m, "phase", "recovery"))
		}
	})
}

// Ctrl-C ends faults that wait, that pause and that are active, all healed.
func TestCtrlCWhileFaultsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{bite: true}, newBench()
		m, err := trial(t, planOf(k,
			Fault{ID: "f", For: 10 * time.Second, Times: 2, Pause: 20 * time.Second},
			Fault{ID: "next", After: Moment{Fault: "f", Reverted: true}, For: time.Second},
			Fault{ID: "beside", After: Moment{Fault: "f"}, For: 40 * time.Second},
		), b, func(_ context.Context, cancel context.CancelFunc, _ *memory) {
			time.AfterFunc(faultAt+15*time.Second, cancel)
		})
		if !errors.Is(err, context.Canceled) || b.broken() != 0 {
			t.Errorf("%v, %d broken", err, b.broken())
		}
		if got := at(t, m, journal.EventReverted, "beside#1"); got != faultAt+15*time.Second || !slices.Equal(k.injected, []string{"f#1", "beside#1"}) {
			t.Errorf("made %v, healed at %v", k.injected, got)
		}
	})
}

// A pause shorter than the healing does not shorten the next time.
func TestHealingLongerThanThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &breaker{bite: true, slow: 1500 * time.Millisecond}
		m, err := trial(t, planOf(k, Fault{ID: "f", For: 5 * time.Second, Times: 2, Pause: time.Second}), newBench(), nil)
		if err != nil {
			t.Fatal(err)
		}
		from, to := at(t, m, journal.EventIntent, "f#2"), at(t, m, journal.EventReverting, "f#2")
		if from != faultAt+6500*time.Millisecond || to-from != 5*time.Second {
			t.Errorf("the second time is from %v to %v", from, to)
		}
	})
}

func TestSpansAreRefusedWhenTheyCantBePlaced(t *testing.T) {
	for want, faults := range map[string][]Fault{
		"wait for each other":       {{ID: "a", After: Moment{Fault: "b"}, For: time.Second}, {ID: "b", After: Moment{Fault: "a"}, For: time.Second}},
		"for one that there is not": {{ID: "a", After: Moment{Fault: "c"}, For: time.Second}},
		"share an id":               {{ID: "a", For: time.Second}, {ID: "a", For: time.Second}},
		"it ends at 1m2s, past":     {{ID: "a", For: 20 * time.Second, Times: 3, Pause: time.Second}},
	} {
		if err := planOf(&breaker{}, faults...).Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
