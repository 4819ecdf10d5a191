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
	"chaos/internal/target"
)

// rolling is a breaker that takes its places in turn; passes says how long each needs, or why it never passes.
type rolling struct {
	*breaker
	passes func(ctx context.Context, a fault.Action) error
}

func (rolling) InTurn() bool { return true }
func (r rolling) Passed(ctx context.Context, _ target.System, a fault.Action) error {
	return r.passes(ctx, a)
}

// takes passes after a while.
func takes(d time.Duration) func(context.Context, fault.Action) error {
	return func(ctx context.Context, _ fault.Action) error { return wait(ctx, d) }
}

// A fault that takes its places in turn makes the next only when the one before has passed, holds the rest back when it does not,
// and is undone everywhere at once.
func TestAFaultTakesItsPlacesInTurn(t *testing.T) {
	stays := func(ctx context.Context, a fault.Action) error {
		if a.ID == "f#2" {
			return errors.New("never ready")
		}
		return nil
	}
	for name, c := range map[string]struct {
		passes func(context.Context, fault.Action) error
		active map[string]time.Duration
		held   string // of the last of them
		cancel time.Duration
		err    error
	}{
		"each passes":           {passes: takes(2 * time.Second), active: map[string]time.Duration{"f#1": 0, "f#2": 2, "f#3": 4}},
		"the second never does": {passes: stays, active: map[string]time.Duration{"f#1": 0, "f#2": 0}, held: "never ready"},
		"its time is over":      {passes: takes(20 * time.Second), active: map[string]time.Duration{"f#1": 0, "f#2": 20}, held: errOver.Error()},
		"Ctrl-C":                {passes: takes(4 * time.Second), active: map[string]time.Duration{"f#1": 0, "f#2": 4}, cancel: 6 * time.Second, err: context.Canceled},
		"the engine is silent": {passes: func(context.Context, fault.Action) error { return target.ErrUnresponsive },
			active: map[string]time.Duration{"f#1": 0}, err: target.ErrUnresponsive},
		"a panic": {passes: func(context.Context, fault.Action) error { panic("a bug") }, active: map[string]time.Duration{"f#1": 0}, held: "a bug"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, b, m := &breaker{bite: true}, newBench(), newMemory(journal.RunInfo{})
				f := single(k)
				third := action("f", "node:c")
				third.ID = "f#3"
				f.Fault, f.Actions = rolling{k, c.passes}, append(f.Actions, third)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				if err := Inject(ctx, f, b, m); !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				var made []string
				for _, e := range m.find(journal.EventActive) {
					made = append(made, e.Action)
					if at := e.At.Truncate(time.Second); at != c.active[e.Action]*time.Second {
						t.Errorf("%s active at %v", e.Action, at)
					}
				}
				if len(made) != len(c.active) || b.broken() != 0 {
					t.Errorf("made %v, %d left", made, b.broken())
				}
				held := m.find(journal.EventHeld)
				if (c.held == "") != (len(held) == 0) {
					t.Fatalf("held back: %+v", held)
				}
				if c.held != "" && (held[len(held)-1].Action != "f#3" || !strings.Contains(held[0].Err, c.held) || len(held)+len(made) != 3) {
					t.Errorf("held back: %+v", held)
				}
				if types := m.types(); c.held != "" && slices.Contains(types, "intent:f#3") {
					t.Errorf("held back and intended: %v", types)
				}
			})
		})
	}
}

// An injection of a fault that is made several times heals each before the next.
func TestAnInjectionIsMadeSeveralTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b, m := &breaker{bite: true, slow: time.Second}, newBench(), newMemory(journal.RunInfo{})
		f := single(k)
		f.For, f.Pause, f.Times = 2*time.Second, 3*time.Second, 3
		if err := Inject(t.Context(), f, b, m); err != nil || b.broken() != 0 {
			t.Fatal(err, b.broken())
		}
		for id, from := range map[string]time.Duration{"f#1": 0, "f#2": 0, "f#3": 5, "f#4": 5, "f#5": 10, "f#6": 10} {
			if got := at(t, m, journal.EventIntent, id); got != from*time.Second {
				t.Errorf("%s begins at %v", id, got)
			}
			if got := at(t, m, journal.EventReverting, id); got != (from+2)*time.Second {
				t.Errorf("%s ends at %v", id, got)
			}
			at(t, m, journal.EventMeasured, id)
		}
		k.on = func(verb string, a fault.Action) error {
			if verb == "revert" && a.ID == "f#1" {
				return errors.New("no way back")
			}
			return nil
		}
		m = newMemory(journal.RunInfo{})
		if err := Inject(t.Context(), f, newBench(), m); err != nil || len(m.find(journal.EventIntent)) != 2 {
			t.Errorf("one was stuck, and %d were made: %v", len(m.find(journal.EventIntent)), err)
		}
	})
}
