package targettest

import (
	"context"
	"strings"
	"testing"
	"time"

	"chaos/internal/target"
)

// backWithin is how long traffic may need to flow again once a node is on the network.
const backWithin = time.Minute

// islander is a system that can take its nodes off the network.
type islander interface {
	target.System
	target.Signaller
	target.Connecter
}

func (h *harness) islander(t *testing.T, s target.System) islander {
	t.Helper()
	able, ok := s.(islander)
	if !ok {
		t.Skip("this runtime has no node.disconnect and node.signal")
	}
	return able
}

// stands checks how a node stands to the network.
func (h *harness) stands(t *testing.T, s islander, node string, want target.Connection) {
	t.Helper()
	if got, err := s.Connection(t.Context(), node); err != nil || got != want {
		t.Fatalf("node %s is %v, %v; want %v", node, got, err, want)
	}
}

// far is the node that Edge leads to.
func (h *harness) far() string {
	_, to, _ := strings.Cut(h.Edge, "->")
	return to
}

// off disconnects a node, which is not an error when it is off already.
func (h *harness) off(t *testing.T, s islander, node string) {
	t.Helper()
	for range 2 {
		if err := s.Disconnect(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		h.stands(t, s, node, target.Disconnected)
	}
}

// on connects a node, as another process does, which is not an error when it is on already.
func (h *harness) on(t *testing.T, s islander, node string) {
	t.Helper()
	for range 2 {
		if err := s.Connect(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		h.stands(t, s, node, target.Connected)
	}
}

func (h *harness) disconnect(t *testing.T) {
	s := h.islander(t, h.system)
	before := h.state(t, s)
	h.off(t, s, h.Victim)
	if addr, err := s.Endpoint(t.Context(), h.Victim, h.Port); err == nil {
		t.Errorf("a node that is off the network has endpoint %s", addr)
	}
	if st := h.state(t, s); !st.Running || !st.StartedAt.Equal(before.StartedAt) {
		t.Errorf("it does not run on: %+v; before %+v", st, before)
	}
	if w, ok := h.system.(target.Watcher); ok {
		if died, err := w.Died(t.Context()); err != nil || len(died) > 0 {
			t.Errorf("a disconnected node counts as dead: %v, %v", died, err)
		}
	}
	h.on(t, h.islander(t, h.handleIn(t)), h.Victim)
	if err := s.NodeReady(t.Context(), h.Victim); err != nil {
		t.Fatal(err)
	}
	h.dial(t, s)
	h.flows(t)
	// The far end of the edge is found by its name, which must be given back to it.
	far := h.far()
	h.off(t, s, far)
	if body, err := s.Call(t.Context(), h.Through); err == nil {
		t.Errorf("%s is off the network and was reached: %q", far, body)
	}
	h.on(t, s, far)
	h.flows(t)
	if st := h.state(t, s); !st.StartedAt.Equal(before.StartedAt) {
		t.Errorf("it was restarted: %+v; before %+v", st, before)
	}
}

// flows waits until a call gets through the edge.
func (h *harness) flows(t *testing.T) {
	t.Helper()
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := h.system.Call(ctx, h.Through)
		cancel()
		if err == nil {
			return
		}
		if time.Since(began) > backWithin {
			t.Fatalf("through the edge, %v after it was connected: %v", backWithin, err)
		}
		time.Sleep(lookEvery)
	}
}

// disconnectedEnds: what ends, starts or resets a node does so with one that is off the network.
func (h *harness) disconnectedEnds(t *testing.T) {
	s := h.islander(t, h.system)
	far := h.far()
	for _, startFirst := range []bool{true, false} {
		h.off(t, s, far)
		if err := s.Signal(t.Context(), far, "KILL"); err != nil {
			t.Fatal(err)
		}
		for st := (target.State{Running: true}); st.Running; {
			var err error
			if st, err = s.State(t.Context(), far); err != nil {
				t.Fatal(err)
			}
		}
		steps := []func(context.Context, string) error{s.Connect, s.StartNode}
		if startFirst {
			steps = []func(context.Context, string) error{s.StartNode, s.Connect}
		}
		for _, step := range append(steps, s.NodeReady) {
			if err := step(t.Context(), far); err != nil {
				t.Fatal(err)
			}
		}
		h.stands(t, s, far, target.Connected)
		h.flows(t)
	}
	h.off(t, s, h.Victim)
	if err := s.Reset(t.Context(), h.variants()[0], h.suite+"-off"); err != nil {
		t.Fatalf("reset with a disconnected node: %v", err)
	}
	h.stands(t, s, h.Victim, target.Connected)
	h.flows(t)
}
