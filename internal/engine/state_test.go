package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// audited is a bench that tells the state of its places: "broken" where a fault is, and what left says.
type audited struct {
	*bench
	looks int
	look  func(n int, seen map[string]string) error // the n-th look, from 1; may change what is seen
}

func (a *audited) Snapshot(context.Context) (map[string]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looks++
	seen := map[string]string{"node:a": target.StateRunning, "node:proxy": target.StateRunning, "edge:a->b": "enabled, no toxic"}
	for id := range a.active {
		seen["node:a"] = "under " + id
	}
	if a.look == nil {
		return seen, nil
	}
	return seen, a.look(a.looks, seen)
}

// compared runs one fault on an audited bench and returns what the journal says of the comparison.
func compared(t *testing.T, a *audited, change func(context.Context, context.CancelFunc, *memory)) (*memory, journal.Comparison, journal.Event) {
	t.Helper()
	k := &breaker{bite: true}
	k.system = func(s target.System) *bench { return s.(*audited).bench }
	p := planOf(k, Fault{ID: "f", For: 30 * time.Second})
	m := newMemory(p.Info)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if change != nil {
		change(ctx, cancel, m)
	}
	if err := Run(ctx, p, a, m, Options{Gate: holds}); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	synctest.Wait()
	var c journal.Comparison
	after := m.find(journal.EventStateAfter)
	if len(after) != 1 {
		t.Fatalf("%d comparisons in %v", len(after), m.types())
	}
	if err := json.Unmarshal(after[0].Detail, &c); err != nil {
		t.Fatal(err)
	}
	return m, c, after[0]
}

func TestTheStateIsComparedBeforeAndAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c, _ := compared(t, &audited{bench: newBench()}, nil)
		if len(c.Changed) != 0 || c.Places != 3 {
			t.Errorf("comparison %+v", c)
		}
		types := m.types()
		for _, order := range [][2]string{{"baseline", "state.before"}, {"state.before", "phase:fault"}, {"reverted:f#1", "state.after"}, {"audit", "state.after"}, {"state.after", "run.end"}} {
			if x, y := slices.Index(types, order[0]), slices.Index(types, order[1]); x < 0 || y < 0 || x > y {
				t.Errorf("%s is not before %s in %v", order[0], order[1], types)
			}
		}
		if at(t, m, journal.EventPhase, "fault") != 71*time.Second {
			t.Errorf("looking moved phase fault to %v", at(t, m, journal.EventPhase, "fault"))
		}
	})
}

func TestWhatIsLeftIsWrittenDownAndHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &audited{bench: newBench(), look: func(n int, seen map[string]string) error {
			if n > 1 {
				seen["node:a"], seen["node:a limits"] = target.StatePaused, "memory 64 B"
			}
			return nil
		}}
		m, c, _ := compared(t, a, nil)
		want := []journal.StateChange{{Place: "node:a", Before: "running", After: "paused"}, {Place: "node:a limits", Before: "not there", After: "memory 64 B"}}
		if !slices.Equal(c.Changed, want) {
			t.Errorf("changed %+v, want %+v", c.Changed, want)
		}
		// The fault was reverted; as its place is not as it was, heal undoes it again, once.
		left, err := Outstanding(m.events)
		if err != nil || len(left) != 1 || left[0].ID != "f#1" {
			t.Fatalf("outstanding %+v, %v", left, err)
		}
		healed := append(m.events, journal.Event{Type: journal.EventHealed, Action: "f#1"})
		if left, err := Outstanding(healed); err != nil || len(left) > 0 {
			t.Errorf("outstanding after it was healed: %+v, %v", left, err)
		}
	})
}

func TestAPlaceGetsAMomentToBeAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &audited{bench: newBench(), look: func(n int, seen map[string]string) error {
			if n > 1 && n < 8 {
				seen["edge:a->b"] = "disabled, no toxic"
			}
			return nil
		}}
		if _, c, _ := compared(t, a, nil); len(c.Changed) > 0 {
			t.Errorf("changed %+v", c.Changed)
		}
	})
}

func TestASilentEngineHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &audited{bench: newBench(), look: func(n int, seen map[string]string) error {
			if n > 1 {
				clear(seen)
				return fmt.Errorf("look: %w", target.ErrUnresponsive)
			}
			return nil
		}}
		_, c, ev := compared(t, a, nil)
		if len(c.Changed) != 3 || c.Changed[0].After != journal.StateUnseen || !strings.Contains(ev.Err, "does not answer") || a.looks != 2 {
			t.Errorf("changed %+v, %q after %d looks", c.Changed, ev.Err, a.looks)
		}
	})
}

func TestWhatWasNotSeenBeforeIsNotCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &audited{bench: newBench(), look: func(n int, seen map[string]string) error {
			if n == 1 {
				delete(seen, "edge:a->b")
				return errors.New("no answer from the proxy")
			}
			return nil
		}}
		m, c, _ := compared(t, a, nil)
		if before := m.find(journal.EventStateBefore); len(c.Changed) > 0 || c.Places != 2 || !strings.Contains(before[0].Err, "proxy") {
			t.Errorf("changed %+v of %d, before %+v", c.Changed, c.Places, before)
		}
	})
}

// TestADeathAfterTheWatchIsNoResidue: the watch on nodes ends with the phases; a node, or the proxy, that dies
// by itself after that has died, and nothing was left by a fault.
func TestADeathAfterTheWatchIsNoResidue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &audited{bench: newBench()}
		a.died = map[string]string{}
		a.look = func(n int, seen map[string]string) error {
			if n == 1 {
				return nil
			}
			a.died["proxy"] = "exit 2"
			seen["node:proxy"] = target.StateDown
			delete(seen, "edge:a->b")
			return errors.New("find the proxy: it does not run")
		}
		m, c, _ := compared(t, a, nil)
		if len(c.Changed) != 2 || c.Changed[0].Down != "proxy" || c.Changed[1].Down != "proxy" {
			t.Errorf("changed %+v", c.Changed)
		}
		if died := m.find(journal.EventNodeDied); len(died) != 1 || died[0].Subject != "proxy" || len(c.Unexplained(m.events)) > 0 {
			t.Errorf("died %+v, unexplained %+v", died, c.Unexplained(m.events))
		}
		if left, err := Outstanding(m.events); err != nil || len(left) > 0 {
			t.Errorf("outstanding %+v, %v", left, err)
		}
	})
}

func TestAnInterruptedRunIsComparedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := compared(t, &audited{bench: newBench()}, func(_ context.Context, cancel context.CancelFunc, _ *memory) {
			time.AfterFunc(90*time.Second, cancel)
		})
		if len(c.Changed) > 0 {
			t.Errorf("changed %+v", c.Changed)
		}
	})
}

func TestWithoutAFaultNothingIsCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &audited{bench: newBench()}
		p := planOf(&breaker{}, []Fault{}...)
		m := newMemory(p.Info)
		if err := Run(t.Context(), p, a, m, Options{Gate: holds}); err != nil || a.looks > 0 {
			t.Errorf("%v after %d looks: %v", err, a.looks, m.types())
		}
	})
}
