package targettest

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/edge"
	"chaos/internal/target"
)

// snapshot takes one that sees everything.
func (h *harness) snapshot(t *testing.T, s target.System) map[string]string {
	t.Helper()
	auditor, ok := s.(target.Auditor)
	if !ok {
		t.Skip("this runtime takes no snapshot")
	}
	seen, err := auditor.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// audit: what a fault does to a place changes the snapshot of that place and of no other, and after the
// undo it is as before, also as another process sees it.
func (h *harness) audit(t *testing.T) {
	before := h.snapshot(t, h.system)
	for _, place := range []string{"node:" + h.Victim, "node:" + target.ProxyNode, "node:" + target.CollectorNode, "edge:" + h.Edge} {
		if before[place] == "" {
			t.Fatalf("nothing is said of %s in %v", place, before)
		}
	}
	if p, ok := h.system.(target.Proxied); ok {
		client, link, err := p.Link(t.Context(), h.Edge)
		if err != nil {
			t.Fatal(err)
		}
		slow := edge.Toxic{Name: "targettest", Type: "latency", Stream: "upstream", Toxicity: 1, Attributes: map[string]any{"latency": 5}}
		h.seen(t, before, "edge:"+h.Edge, func() error { return client.AddToxic(t.Context(), link, slow) },
			func() error { return client.RemoveToxic(t.Context(), link, slow.Name) })
	}
	node := "node:" + h.Victim
	if s, ok := h.system.(target.Pauser); ok {
		h.seen(t, before, node, func() error { return s.Pause(t.Context(), h.Victim) }, func() error { return s.Unpause(t.Context(), h.Victim) })
	}
	if s, ok := h.system.(target.Lossy); ok {
		h.seen(t, before, node, func() error { return s.SetLoss(t.Context(), h.Victim, lossID, target.Loss{Share: 0.01, In: true}) },
			func() error { return s.ClearLoss(t.Context(), h.Victim, lossID) })
	}
	if s, ok := h.system.(target.Signaller); ok {
		stop := func() error {
			err := s.Signal(t.Context(), h.Victim, "KILL")
			h.waitDown(t, s)
			return err
		}
		h.seen(t, before, node, stop, func() error { h.revive(t, s); return nil })
	}
}

// proxyDown: a proxy that does not run has no toxic, and the runtime knows it from one that can't be asked.
func (h *harness) proxyDown(t *testing.T) {
	s := h.signaller(t)
	p, ok := h.system.(target.Proxied)
	if !ok {
		t.Skip("this runtime has no edge.toxic")
	}
	if err := s.Signal(t.Context(), target.ProxyNode, "KILL"); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(endsWithin); ; time.Sleep(lookEvery) {
		_, _, err := p.Link(t.Context(), h.Edge)
		if errors.Is(err, target.ErrProxyDown) {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("the proxy was killed, and its link: %v", err)
		}
	}
	if a, ok := h.system.(target.Auditor); ok {
		if seen, err := a.Snapshot(t.Context()); err == nil || seen["node:"+target.ProxyNode] != target.StateDown || seen["edge:"+h.Edge] != "" {
			t.Errorf("a snapshot without the proxy: %v, %v", seen, err)
		}
	}
	if err := s.StartNode(t.Context(), target.ProxyNode); err != nil {
		t.Fatal(err)
	}
	if err := s.NodeReady(t.Context(), target.ProxyNode); err != nil {
		t.Fatal(err)
	}
	if err := h.system.Reset(t.Context(), h.variants()[0], h.suite+"-relinked"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.system.Call(t.Context(), h.Through); err != nil {
		t.Errorf("through the edge after the proxy came back: %v", err)
	}
}

// seen does something to a place, and undoes it.
func (h *harness) seen(t *testing.T, before map[string]string, place string, do, undo func() error) {
	t.Helper()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	var changed []string
	for at, state := range h.snapshot(t, h.system) {
		if before[at] != state {
			changed = append(changed, at)
		}
	}
	slices.Sort(changed)
	if len(changed) == 0 || slices.ContainsFunc(changed, func(at string) bool { return !strings.HasPrefix(at, place) }) {
		t.Errorf("something was done to %s, and what changed is %v", place, changed)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	for who, s := range map[string]target.System{"here": h.system, "in another process": h.handleIn(t)} {
		if after := h.snapshot(t, s); !maps.Equal(before, after) {
			t.Errorf("seen from %s after the undo at %s:\n%v\nbefore:\n%v", who, place, after, before)
		}
	}
}
