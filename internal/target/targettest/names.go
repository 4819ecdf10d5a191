package targettest

import (
	"strings"
	"testing"
	"time"

	"chaos/internal/target"
)

// namer is a system that can change what its nodes hear of names.
type namer interface {
	target.System
	target.Signaller
	target.Namer
}

func (h *harness) namer(t *testing.T, s target.System) namer {
	t.Helper()
	able, ok := s.(namer)
	if !ok {
		t.Skip("this runtime has no node.names and node.signal")
	}
	return able
}

// The ids of faults on names.
const (
	nameFault  = "names.test#0"
	otherFault = "names.other#0"
)

// peer is the name by which the victim finds what Edge leads to.
func (h *harness) peer(t *testing.T) string {
	t.Helper()
	e, ok := h.Topology.Edge(h.Edge)
	if !ok {
		t.Fatalf("there is no edge %s", h.Edge)
	}
	return e.Host()
}

// names lets the victim hear something else of a name, and returns how that stands after one call through Edge.
func (h *harness) names(t *testing.T, s namer, f target.NameFault, works bool) target.NameState {
	t.Helper()
	if err := s.SetName(t.Context(), h.Victim, nameFault, f); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Call(t.Context(), h.Through); (err == nil) != works {
		t.Errorf("%+v: the call through %s: %v; want it to work: %v", f, h.Edge, err, works)
	}
	st, err := s.Name(t.Context(), h.Victim)
	if err != nil || st.ID != nameFault || st.Missed != "" {
		t.Fatalf("%+v: %+v, %v", f, st, err)
	}
	return st
}

// unnamed ends it, twice, as another process does, and checks that all is as before.
func (h *harness) unnamed(t *testing.T, s namer) {
	t.Helper()
	for range 2 {
		if err := s.ClearName(t.Context(), h.Victim, nameFault); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := s.Name(t.Context(), h.Victim); err != nil || st.ID != "" {
		t.Fatalf("cleared: %+v, %v", st, err)
	}
	if _, err := s.Call(t.Context(), h.Through); err != nil {
		t.Errorf("cleared, and the call through %s: %v", h.Edge, err)
	}
}

func (h *harness) name(t *testing.T) {
	s := h.namer(t, h.system)
	host := h.peer(t)
	before := h.snapshot(t, s)
	st := h.names(t, s, target.NameFault{Name: host, NoSuchHost: true}, false)
	if st.Hit == 0 || st.Done != st.Hit {
		t.Errorf("no such host: %+v", st)
	}
	if after := h.snapshot(t, s); after["node:"+h.Victim+" beside"] == before["node:"+h.Victim+" beside"] {
		t.Errorf("the snapshot says %q of it", after["node:"+h.Victim+" beside"])
	}
	if err := s.SetName(t.Context(), h.Victim, otherFault, target.NameFault{Name: host, NoSuchHost: true}); err == nil || !strings.Contains(err.Error(), nameFault) {
		t.Errorf("a second fault on the same node: %v", err)
	}
	if err := s.ClearName(t.Context(), h.Victim, otherFault); err != nil {
		t.Errorf("clearing what never was: %v", err)
	}
	if st, err := s.Name(t.Context(), h.Victim); err != nil || st.ID != nameFault || st.Missed != "" {
		t.Errorf("another fault's end ended it: %+v, %v", st, err)
	}
	h.unnamed(t, h.namer(t, h.handleIn(t)))

	const late = 400 * time.Millisecond
	began := time.Now()
	if st = h.names(t, s, target.NameFault{Name: host, Late: late}, true); st.Done == 0 || st.Late < time.Duration(st.Done)*late || time.Since(began) < late {
		t.Errorf("late: %+v after %v", st, time.Since(began))
	}
	// Under the same id it is replaced, also by another.
	if st = h.names(t, s, target.NameFault{Name: host, Answer: "127.0.0.1"}, false); st.Hit == 0 || st.Done != st.Hit {
		t.Errorf("wrong: %+v", st)
	}
	h.names(t, s, target.NameFault{Name: host, Answer: target.ProxyNode}, true) // the same address, by a node's name
	if st = h.names(t, s, target.NameFault{Name: "elsewhere." + host, NoSuchHost: true}, true); st.Hit != 0 || st.Passed == 0 {
		t.Errorf("another name: %+v", st)
	}
	h.unnamed(t, h.namer(t, h.handleIn(t)))
	if after := h.snapshot(t, s); after["node:"+h.Victim+" beside"] != before["node:"+h.Victim+" beside"] {
		t.Errorf("cleared, and the snapshot says %q", after["node:"+h.Victim+" beside"])
	}
}

// namedEnds: a fault on names is gone with the node's process, and what was made for it can be removed.
func (h *harness) namedEnds(t *testing.T) {
	s := h.namer(t, h.system)
	h.names(t, s, target.NameFault{Name: h.peer(t), NoSuchHost: true}, false)
	if err := s.Signal(t.Context(), h.Victim, "KILL"); err != nil {
		t.Fatal(err)
	}
	h.waitDown(t, s)
	if st, err := s.Name(t.Context(), h.Victim); err != nil || st.ID != nameFault || st.Missed == "" {
		t.Errorf("of a node that has ended: %+v, %v", st, err)
	}
	if err := s.SetName(t.Context(), h.Victim, otherFault, target.NameFault{Name: "x", NoSuchHost: true}); err == nil {
		t.Error("a node that does not run looks names up")
	}
	h.revive(t, s)
	if st, err := s.Name(t.Context(), h.Victim); err != nil || st.ID != nameFault || st.Missed == "" {
		t.Errorf("of a node that was started anew: %+v, %v", st, err)
	}
	h.unnamed(t, s)
}
