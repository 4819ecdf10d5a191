package targettest

import (
	"slices"
	"testing"
	"time"

	"chaos/internal/target"
	"chaos/internal/trace"
)

// spansWithin is how long spans may take from a node to a reader.
const spansWithin = time.Minute

// spans sends a request through the edge and reads its spans back, as the run and as another process, and
// again after the collector was killed and started.
func (h *harness) spans(t *testing.T) {
	if !h.Topology.Collects() {
		t.Fatal("the subject sends no spans")
	}
	for name, s := range map[string]target.System{"started": h.system, "attached": h.handleIn(t)} {
		h.oneTrace(t, name, s)
	}
	s := h.system.(target.Signaller)
	if err := s.Signal(t.Context(), target.CollectorNode, "KILL"); err != nil {
		t.Fatal(err)
	}
	if err := h.gone(t, s, target.CollectorNode); err != nil {
		t.Fatal(err)
	}
	if _, err := h.system.(target.Collecting).Spans(t.Context()); err == nil {
		t.Error("spans of a collector that does not run")
	}
	if err := s.StartNode(t.Context(), target.CollectorNode); err != nil {
		t.Fatal(err)
	}
	if err := s.NodeReady(t.Context(), target.CollectorNode); err != nil {
		t.Fatal(err)
	}
	h.oneTrace(t, "after a restart", h.system)
}

// gone waits until a node that was killed does not run.
func (h *harness) gone(t *testing.T, s target.Signaller, node string) error {
	for deadline := time.Now().Add(spansWithin); time.Now().Before(deadline); time.Sleep(lookEvery) {
		if st, err := s.State(t.Context(), node); err != nil || !st.Running {
			return err
		}
	}
	t.Errorf("node %s still runs", node)
	return nil
}

func (h *harness) oneTrace(t *testing.T, name string, s target.System) {
	t.Helper()
	c, ok := s.(target.Collecting)
	if !ok {
		t.Fatal("the runtime can't collect spans")
	}
	reader, err := c.Spans(t.Context())
	if err != nil || reader == nil {
		t.Fatalf("%s: begin to read spans: %v", name, err)
	}
	addresses, err := c.Addresses()
	if err != nil || len(addresses[h.Edge]) != 2 {
		t.Fatalf("%s: addresses %v, %v", name, addresses, err)
	}
	id := trace.ID{1, 2, 3, byte(len(name))}
	through := h.Through
	through.Query.Headers = map[string]string{"traceparent": "00-" + id.String() + "-" + trace.ClientSpan(id).String() + "-01"}
	if _, err := s.Call(t.Context(), through); err != nil {
		t.Fatal(err)
	}
	var spans []trace.Span
	whole := func() bool { // others, such as of health checks, may come first
		ok, _ := trace.Connected(trace.NewIndex(spans).Of(id))
		return ok && len(spans) >= 2
	}
	for deadline := time.Now().Add(spansWithin); !whole() && time.Now().Before(deadline); time.Sleep(lookEvery) {
		if _, err := reader.Read(t.Context(), func(got []trace.Span) error { spans = append(spans, got...); return nil }); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	d := h.Topology.Map()
	for i := range d.Edges {
		d.Edges[i].Addrs = addresses[d.Edges[i].Name]
	}
	x := trace.NewIndex(spans)
	if ok, why := trace.Connected(x.Of(id)); !ok {
		t.Errorf("%s: the trace is not connected: %s", name, why)
	}
	m := trace.Observe(x, d)
	if m.Drift() || !slices.ContainsFunc(m.Calls, func(c trace.Call) bool { return slices.Contains(c.Edges, h.Edge) }) {
		t.Errorf("%s: the map does not show edge %s by its address: %+v", name, h.Edge, m)
	}
	if n := reader.Counts(); n.Received < 2 || n.Refused+n.Invalid+n.Bad > 0 {
		t.Errorf("%s: counts %+v", name, n)
	}
}
