package targettest

import (
	"context"
	"testing"
	"time"

	"chaos/internal/target"
)

// silentFor is how long a paused node must not answer.
const silentFor = 500 * time.Millisecond

// sleeper is a system that can pause its nodes and tell so.
type sleeper interface {
	target.System
	target.Signaller
	target.Pauser
}

func (h *harness) sleeper(t *testing.T, s target.System) sleeper {
	t.Helper()
	able, ok := s.(sleeper)
	if !ok {
		t.Skip("this runtime has no node.pause and node.signal")
	}
	return able
}

// sleeps pauses the victim and checks that it is.
func (h *harness) sleeps(t *testing.T, s sleeper) {
	t.Helper()
	before := h.state(t, s)
	for range 2 { // a paused node is not an error
		if err := s.Pause(t.Context(), h.Victim); err != nil {
			t.Fatal(err)
		}
	}
	st := h.state(t, s)
	if !st.Exists || !st.Running || !st.Paused || !st.StartedAt.Equal(before.StartedAt) {
		t.Fatalf("state when paused: %+v; before %+v", st, before)
	}
}

func (h *harness) state(t *testing.T, s target.Signaller) target.State {
	t.Helper()
	st, err := s.State(t.Context(), h.Victim)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func (h *harness) pause(t *testing.T) {
	s := h.sleeper(t, h.system)
	if err := s.Unpause(t.Context(), h.Victim); err != nil {
		t.Errorf("unpausing a node that runs: %v", err)
	}
	before := h.state(t, s)
	h.sleeps(t, s)
	silent, cancel := context.WithTimeout(t.Context(), silentFor)
	defer cancel()
	if body, err := s.Call(silent, h.Secret); err == nil {
		t.Errorf("a paused node answered %q", body)
	}
	waiting, cancel := context.WithTimeout(t.Context(), silentFor)
	defer cancel()
	if err := s.NodeReady(waiting, h.Victim); err == nil {
		t.Error("a paused node counts as ready")
	}
	if w, ok := h.system.(target.Watcher); ok {
		if died, err := w.Died(t.Context()); err != nil || len(died) > 0 {
			t.Errorf("a paused node counts as dead: %v, %v", died, err)
		}
	}
	other := h.sleeper(t, h.handleIn(t)) // what heal does: another process lets it go on
	for range 2 {
		if err := other.Unpause(t.Context(), h.Victim); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.NodeReady(t.Context(), h.Victim); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Call(t.Context(), h.Secret); err != nil {
		t.Errorf("it goes on and does not answer: %v", err)
	}
	if st := h.state(t, s); st.Paused || !st.StartedAt.Equal(before.StartedAt) {
		t.Errorf("state when it goes on: %+v; before %+v", st, before)
	}
}

// pausedEnds: what ends, resets or removes a node does so with a paused one too.
func (h *harness) pausedEnds(t *testing.T) {
	s := h.sleeper(t, h.system)
	h.sleeps(t, s)
	if err := s.Signal(t.Context(), h.Victim, "KILL"); err != nil {
		t.Fatal(err)
	}
	h.waitDown(t, s)
	if err := s.Pause(t.Context(), h.Victim); err == nil {
		t.Error("a node that does not run was paused")
	}
	if err := s.Unpause(t.Context(), h.Victim); err != nil {
		t.Errorf("unpausing a node that does not run: %v", err)
	}
	h.revive(t, s)
	if st := h.state(t, s); st.Paused {
		t.Errorf("it was started anew and is paused: %+v", st)
	}
	h.sleeps(t, s)
	if err := s.Reset(t.Context(), h.variants()[0], h.suite+"-paused"); err != nil {
		t.Fatalf("reset with a paused node: %v", err)
	}
	if st := h.state(t, s); st.Paused || !st.Running {
		t.Errorf("after the reset: %+v", st)
	}
}
