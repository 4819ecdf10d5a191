package targettest

import (
	"context"
	"testing"
	"time"

	"chaos/internal/target"
)

// packetsWithin is how long rules may need to be seen to hit, lossID the id of the suite's losses.
const (
	packetsWithin = 30 * time.Second
	lossID        = "targettest.loss#0"
)

// unansweredFor is how long a call is given up after whose packets are all lost; its first are sent by then.
const unansweredFor = 3 * time.Second

// leaky is a system that can lose packets of its nodes.
type leaky interface {
	target.System
	target.Signaller
	target.Lossy
}

func (h *harness) leaky(t *testing.T, s target.System) leaky {
	t.Helper()
	able, ok := s.(leaky)
	if !ok {
		t.Skip("this runtime has no node.loss and node.signal")
	}
	return able
}

// leaks puts a loss in force, twice, and checks that it is there and has lost nothing yet.
func (h *harness) leaks(t *testing.T, s leaky, node string, l target.Loss) {
	t.Helper()
	for range 2 {
		if err := s.SetLoss(t.Context(), node, lossID, l); err != nil {
			t.Fatal(err)
		}
	}
	if st := h.lost(t, s, node, l); !st.There || st.Missed != "" {
		t.Fatalf("loss %+v on %s: %+v", l, node, st)
	}
}

func (h *harness) lost(t *testing.T, s leaky, node string, l target.Loss) target.LossState {
	t.Helper()
	st, err := s.Loss(t.Context(), node, lossID, l)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// tight ends a loss, as another process does, which is not an error when there is none.
func (h *harness) tight(t *testing.T, node string, l target.Loss) {
	t.Helper()
	s := h.leaky(t, h.handleIn(t))
	for range 2 {
		if err := s.ClearLoss(t.Context(), node, lossID); err != nil {
			t.Fatal(err)
		}
	}
	if st := h.lost(t, s, node, l); st.There {
		t.Errorf("the loss was ended: %+v", st)
	}
	h.flows(t)
}

// cut checks that nothing gets through the edge, and that what has nothing to do with it goes on.
func (h *harness) cut(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), unansweredFor)
	defer cancel()
	if body, err := h.system.Call(ctx, h.Through); err == nil {
		t.Errorf("all packets through the edge are lost, and it answered %q", body)
	}
	if _, err := h.system.Call(t.Context(), h.Secret); err != nil {
		t.Errorf("a call that has nothing to do with the edge: %v", err)
	}
}

func (h *harness) loss(t *testing.T) {
	s := h.leaky(t, h.system)
	h.flows(t)
	far := h.far()
	for _, c := range []struct {
		name, node string
		loss       target.Loss
		in, out    bool // what must have been lost
	}{
		{"the caller's packets to its peer", h.Victim, target.Loss{Share: 1, In: true, Out: true, Peer: far}, false, true},
		{"what the peer answers the caller", h.Victim, target.Loss{Share: 1, In: true, Peer: far}, true, false},
		{"what the peer receives of the caller", far, target.Loss{Share: 1, In: true, Peer: h.Victim}, true, false},
		{"all that the peer sends", far, target.Loss{Share: 1, Out: true}, false, true},
	} {
		h.leaks(t, s, c.node, c.loss)
		h.cut(t)
		st := h.lost(t, s, c.node, c.loss)
		if st.In.Lost != st.In.Seen || st.Out.Lost != st.Out.Seen || (st.In.Lost > 0) != c.in || (st.Out.Lost > 0) != c.out {
			t.Errorf("%s: %+v", c.name, st)
		}
		h.tight(t, c.node, c.loss)
	}
	// Another id is another loss: ending one leaves the other.
	one := target.Loss{Share: 1, Out: true}
	h.leaks(t, s, far, one)
	if err := s.SetLoss(t.Context(), far, "targettest.other#0", one); err != nil {
		t.Fatal(err)
	}
	if err := s.ClearLoss(t.Context(), far, "targettest.other#0"); err != nil {
		t.Fatal(err)
	}
	if st := h.lost(t, s, far, one); !st.There {
		t.Error("ending another loss ended this one")
	}
	h.tight(t, far, one)
	if err := s.SetLoss(t.Context(), "no-such-node", lossID, one); err == nil {
		t.Error("packets of a node that does not exist are lost")
	}
	if err := s.SetLoss(t.Context(), far, lossID, target.Loss{Share: 1, Out: true, Peer: "no-such-node"}); err == nil {
		t.Error("packets of a peer that does not exist are lost")
	}
}

// lossEnds: rules end with the process, and a peer that has none is told.
func (h *harness) lossEnds(t *testing.T) {
	s := h.leaky(t, h.system)
	far := h.far()
	all := target.Loss{Share: 1, In: true, Out: true}
	h.leaks(t, s, far, all)
	h.kill(t, s, far)
	if st := h.lost(t, s, far, all); st.There {
		t.Errorf("a node that does not run: %+v", st)
	}
	if err := s.SetLoss(t.Context(), far, lossID, all); err == nil {
		t.Error("packets of a node that does not run are lost")
	}
	if err := s.ClearLoss(t.Context(), far, lossID); err != nil {
		t.Errorf("ending the loss of a node that does not run: %v", err)
	}
	h.again(t, s, far)
	if st := h.lost(t, s, far, all); st.There {
		t.Errorf("a node that was started anew: %+v", st)
	}
	h.flows(t)
	// The other way round: the peer ends, and is not found any more.
	peer := target.Loss{Share: 1, In: true, Out: true, Peer: far}
	h.leaks(t, s, h.Victim, peer)
	h.kill(t, s, far)
	if st := h.lost(t, s, h.Victim, peer); !st.There || st.Missed == "" {
		t.Errorf("the peer does not run: %+v", st)
	}
	h.again(t, s, far)
	h.tight(t, h.Victim, peer)
}

func (h *harness) kill(t *testing.T, s target.Signaller, node string) {
	t.Helper()
	if err := s.Signal(t.Context(), node, "KILL"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(packetsWithin); ; time.Sleep(lookEvery) {
		st, err := s.State(t.Context(), node)
		if err != nil {
			t.Fatal(err)
		}
		if !st.Running {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("node %s was killed and runs: %+v", node, st)
		}
	}
}

// again starts a node and waits until it is ready.
func (h *harness) again(t *testing.T, s target.Signaller, node string) {
	t.Helper()
	if err := s.StartNode(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	if err := s.NodeReady(t.Context(), node); err != nil {
		t.Fatal(err)
	}
}
