package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
)

func TestPlacesHealInParallelAndOnePlaceLastInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{bite: true, slow: time.Second}, newBench()
		m := newMemory(journal.RunInfo{})
		l := &ledger{sys: b, book: m}
		for _, a := range []fault.Action{action("one", "node:a"), action("two", "node:a"), action("three", "node:b")} {
			if err := l.inject(t.Context(), k, a); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := l.healAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("healing took %v, want 2 s: two after another at a, b beside them", took)
		}
		if slices.Index(k.healed, "two#1") > slices.Index(k.healed, "one#1") {
			t.Errorf("healed in order %v: the youngest of a place goes first", k.healed)
		}
		if err := l.inject(t.Context(), k, action("late", "node:a")); !errors.Is(err, errClosed) {
			t.Errorf("a fault started while the run was being healed: %v", err)
		}
	})
}

// TestAHealThatNeedsASecondTrySaysWhy: what the first revert met may be the target's own doing, such as a
// process that ends when it is unpaused, and must not vanish because the second one mends it.
func TestAHealThatNeedsASecondTrySaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		k, b := &breaker{bite: true}, newBench()
		k.on = func(verb string, _ fault.Action) error {
			if verb == "revert" {
				if tries++; tries <= 2 {
					return fmt.Errorf("try %d failed", tries)
				}
			}
			return nil
		}
		m := newMemory(journal.RunInfo{})
		l := &ledger{sys: b, book: m}
		if err := l.inject(t.Context(), k, action("one", "node:a")); err != nil {
			t.Fatal(err)
		}
		if err := l.healAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := m.find(journal.EventReverted); len(r) != 1 || r[0].Err != "" || string(r[0].Detail) != `"at the first try: try 1 failed"` {
			t.Errorf("reverted: %+v", r)
		}
	})
}

func TestHealInANewProcessRevertsWhatTheJournalIntends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{bite: true}, newBench()
		m := newMemory(journal.RunInfo{})
		l := &ledger{sys: b, book: m}
		for _, id := range []string{"gone", "left"} {
			if err := l.inject(t.Context(), k, action(id, "node:"+id)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.heal(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		// kill -9: only the journal and the broken system survive.
		left, err := Outstanding(m.events)
		if err != nil || len(left) != 1 || left[0].ID != "left#1" {
			t.Fatalf("outstanding %v, %v", left, err)
		}
		fresh := &breaker{}
		healed, err := Heal(context.Background(), left, func(string) (fault.Fault, error) { return fresh, nil }, b, m)
		if err != nil || !slices.Equal(healed, []string{"left#1"}) || b.broken() > 0 {
			t.Fatalf("healed %v, %v, broken %d", healed, err, b.broken())
		}
		if left, _ := Outstanding(m.events); len(left) > 0 {
			t.Errorf("the journal does not say that it is healed: %v", left)
		}
		again, err := Heal(context.Background(), nil, nil, b, m)
		if err != nil || len(again) > 0 {
			t.Errorf("healing twice: %v, %v", again, err)
		}
	})
}

func TestHealNamesWhatItDoesNotKnow(t *testing.T) {
	m := newMemory(journal.RunInfo{})
	_, err := Heal(context.Background(), []fault.Action{action("f", "node:a")}, func(string) (fault.Fault, error) { return nil, errors.New("unknown kind") }, newBench(), m)
	if err == nil || !errors.Is(err, err) || !contains(err.Error(), "undo f", "unknown kind") {
		t.Errorf("error %v", err)
	}
}

func TestWhenTheTargetIsGoneSoAreItsFaults(t *testing.T) {
	m := newMemory(journal.RunInfo{})
	healed, err := Heal(context.Background(), []fault.Action{action("f", "node:a")}, func(string) (fault.Fault, error) { return &breaker{}, nil }, nil, m)
	if err != nil || !slices.Equal(healed, []string{"f#1"}) || len(m.find(journal.EventHealed)) != 1 {
		t.Errorf("healed %v, %v", healed, err)
	}
}
