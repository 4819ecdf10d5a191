package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
)

// single is an injection of one fault on two places.
func single(k *breaker) Fault {
	a, b := action("f", "node:a"), action("f", "node:b")
	b.ID = "f#2"
	return Fault{ID: "f", Kind: "test", Fault: k, For: 30 * time.Second, Actions: []fault.Action{a, b}}
}

func TestAnInjectionIsHealedWhateverHappens(t *testing.T) {
	healed := []string{"reverting:f#1", "reverted:f#1"}
	for name, c := range map[string]struct {
		k      *breaker
		cancel time.Duration // when the user wants out
		broken time.Duration // when the journal fails
		err    string
		events []string // of f#1
		took   time.Duration
		left   int
	}{
		"it bites": {k: &breaker{bite: true}, events: append([]string{"intent:f#1", "active:f#1", "measured:f#1"}, healed...), took: 30 * time.Second},
		"Ctrl-C": {k: &breaker{bite: true}, cancel: 4 * time.Second, err: context.Canceled.Error(), took: 4 * time.Second,
			events: append([]string{"intent:f#1", "active:f#1", "measured:f#1"}, healed...)},
		"never seen": {k: &breaker{unseen: true}, events: append([]string{"intent:f#1", "measured:f#1"}, healed...), took: ActiveWithin},
		"can't be armed": {k: &breaker{on: func(verb string, a fault.Action) error {
			if verb == "arm" && a.ID == "f#1" {
				return errors.New("is broken already")
			}
			return nil
		}}, err: "is broken already"},
		"panics": {k: &breaker{on: func(verb string, a fault.Action) error {
			if verb == "inject" && a.ID == "f#1" {
				panic("a bug")
			}
			return nil
		}}, err: "a bug", events: append([]string{"intent:f#1"}, healed...)},
		"the journal fails": {k: &breaker{}, broken: 7 * time.Second, err: "disk full", took: 7 * time.Second,
			events: append([]string{"intent:f#1", "active:f#1", "measured:f#1"}, healed...)},
		"can't be reverted": {k: &breaker{on: func(verb string, a fault.Action) error {
			if verb == "revert" && a.ID == "f#1" {
				return errors.New("no way back")
			}
			return nil
		}}, took: 34 * time.Second, left: 1,
			events: []string{"intent:f#1", "active:f#1", "measured:f#1", "reverting:f#1", "stuck:f#1", "reverting:f#1", "stuck:f#1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, m := newBench(), newMemory(journal.RunInfo{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				if c.broken > 0 {
					time.AfterFunc(c.broken, func() { m.err = errors.New("disk full"); close(m.failed) })
				}
				began := time.Now()
				err := Inject(ctx, single(c.k), b, m)
				if took := time.Since(began).Truncate(time.Second); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				synctest.Wait()
				if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				if b.broken() != c.left {
					t.Errorf("%d places are still broken, want %d", b.broken(), c.left)
				}
				all := m.types()
				if all[0] != "run.start" || all[len(all)-1] != "run.end" {
					t.Errorf("events %v", all)
				}
				got := slices.DeleteFunc(all, func(s string) bool { return !strings.HasSuffix(s, ":f#1") })
				if !slices.Equal(got, c.events) {
					t.Errorf("events of f#1 %v\nwant %v", got, c.events)
				}
			})
		})
	}
}

// An engine that goes silent while the fault is on ends an injection as it ends a run: at once, with the same words, and
// what it can't undo is left to the watchdog.
func TestAnInjectionDoesNotWaitForASilentEngine(t *testing.T) {
	for name, c := range map[string]struct {
		heals bool // it answers when it is asked to undo
		slow  bool // it answers, if only the easiest question
		ended time.Duration
		stuck int
	}{
		"silent":            {ended: 7 * time.Second, stuck: 2},
		"silent, but heals": {heals: true, ended: 7 * time.Second},
		"slow":              {slow: true, heals: true, ended: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, m := newBench(), newMemory(journal.RunInfo{})
				began := time.Now()
				silent := func() bool { return time.Since(began) >= 4500*time.Millisecond }
				k := &breaker{bite: true}
				if c.slow {
					b.slow = silent
				} else {
					b.silent = silent
				}
				k.on = func(verb string, _ fault.Action) error {
					if verb == "revert" && !c.heals {
						return unresponsive(t.Context())
					}
					return nil
				}
				err := Inject(t.Context(), single(k), b, m)
				if c.slow {
					if err != nil {
						t.Error(err)
					}
				} else if !errors.Is(err, errLost) || len(m.find(journal.EventError)) != 1 || strings.Contains(err.Error(), "the next node") {
					t.Errorf("error %v, events %v", err, m.types())
				}
				if noticed := at(t, m, journal.EventReverting, "f#1"); noticed != c.ended {
					t.Errorf("silent from 4.5 s, noticed at %v, want %v", noticed, c.ended)
				}
				if stuck := len(m.find(journal.EventStuck)); stuck != c.stuck || b.broken() != c.stuck {
					t.Errorf("stuck %d times, %d broken, want %d", stuck, b.broken(), c.stuck)
				}
				if all := m.types(); all[len(all)-1] != "run.end" {
					t.Errorf("events %v", all)
				}
			})
		})
	}
}

// outsider is a kind that acts outside of the target.
type outsider struct{ *breaker }

func (outsider) Allow()       {}
func (outsider) Flag() string { return "--allow-it" }
func (k outsider) Revert(_ context.Context, s target.System, a fault.Action) error {
	if s != nil {
		return errors.New("the target is gone, and yet there is a system")
	}
	k.healed = append(k.healed, a.ID)
	return nil
}
func (outsider) Confirm(context.Context, target.System, fault.Action, bool) error { return nil }

// With the target its own faults are gone; what was done outside of it is not, and is never called healed
// by those who may not undo it.
func TestWhatIsOutsideOfTheTargetOutlivesIt(t *testing.T) {
	inside, outside := action("in", "node:a"), action("out", "machine:here")
	inside.Kind, outside.Kind = "inside", "outside"
	k := &breaker{}
	for _, allowed := range []bool{true, false} {
		m := newMemory(journal.RunInfo{})
		healed, err := Heal(t.Context(), []fault.Action{inside, outside}, func(name string) (fault.Fault, error) {
			switch {
			case name == "inside":
				return k, nil
			case !allowed:
				return nil, fmt.Errorf("to undo it is %w", fault.ErrNotPermitted)
			}
			return outsider{k}, nil
		}, nil, m)
		want := []string{"in#1", "out#1"}
		if !allowed {
			want = want[:1]
		}
		if !slices.Equal(healed, want) || (err == nil) != allowed {
			t.Errorf("allowed %v: healed %v, %v", allowed, healed, err)
		}
		if !allowed && !strings.Contains(err.Error(), "undo out") {
			t.Errorf("what is left is not named: %v", err)
		}
		events := m.types()
		if slices.Contains(events, "reverted:out#1") != allowed || slices.Contains(events, "healed:out#1") {
			t.Errorf("events %v", events)
		}
	}
	if !slices.Equal(k.healed, []string{"out#1"}) {
		t.Errorf("reverted %v", k.healed)
	}
}
