package targettest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"chaos/internal/edge"
	"chaos/internal/target"
)

// dial connects to the victim's published port and returns the endpoint.
func (h *harness) dial(t *testing.T, s target.System) string {
	t.Helper()
	addr, err := s.Endpoint(t.Context(), h.Victim, h.Port)
	if err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		t.Fatalf("endpoint %s is not on loopback (%v)", addr, err)
	}
	d := net.Dialer{Timeout: endsWithin}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	return addr
}

func (h *harness) signaller(t *testing.T) target.Signaller {
	t.Helper()
	s, ok := h.system.(target.Signaller)
	if !ok {
		t.Skip("this runtime has no node.signal")
	}
	return s
}

// waitDown waits until the victim is not running.
func (h *harness) waitDown(t *testing.T, s target.Signaller) target.State {
	t.Helper()
	return h.waitNodeDown(t, s, h.Victim)
}

func (h *harness) waitNodeDown(t *testing.T, s target.Signaller, node string) target.State {
	t.Helper()
	for deadline := time.Now().Add(endsWithin); ; time.Sleep(lookEvery) {
		st, err := s.State(t.Context(), node)
		if err != nil {
			t.Fatal(err)
		}
		if !st.Running {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still runs after %v", node, endsWithin)
		}
	}
}

func (h *harness) revive(t *testing.T, s target.Signaller) {
	t.Helper()
	if err := s.StartNode(t.Context(), h.Victim); err != nil {
		t.Fatal(err)
	}
	if err := s.NodeReady(t.Context(), h.Victim); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) restart(t *testing.T) {
	s := h.signaller(t)
	before, err := s.State(t.Context(), h.Victim)
	if err != nil || !before.Exists || !before.Running || before.StartedAt.IsZero() {
		t.Fatalf("state before: %+v, %v", before, err)
	}
	for range 2 {
		if err := s.Signal(t.Context(), h.Victim, "KILL"); err != nil {
			t.Fatal(err)
		}
		st := h.waitDown(t, s)
		if !st.Exists || st.ExitCode == 0 || st.FinishedAt.IsZero() {
			t.Errorf("state after a kill: %+v", st)
		}
		if addr, err := h.system.Endpoint(t.Context(), h.Victim, h.Port); err == nil {
			t.Errorf("a dead node has endpoint %s", addr)
		}
		h.revive(t, s)
		h.dial(t, h.system)
	}
	after, err := s.State(t.Context(), h.Victim)
	if !after.FinishedAt.IsZero() && (after.FinishedAt.Before(before.StartedAt) || after.FinishedAt.After(after.StartedAt)) {
		t.Errorf("the process before ended at %v, which is not between %v and %v", after.FinishedAt, before.StartedAt, after.StartedAt)
	}
	if err != nil || !after.Running || !after.StartedAt.After(before.StartedAt) {
		t.Errorf("state after: %+v, %v; before %+v", after, err, before)
	}
}

func (h *harness) term(t *testing.T) {
	s := h.signaller(t)
	if err := s.Signal(t.Context(), h.Victim, "TERM"); err != nil {
		t.Fatal(err)
	}
	h.waitDown(t, s)
	for _, signal := range []string{"TERM", "KILL"} {
		if err := s.Signal(t.Context(), h.Victim, signal); err != nil {
			t.Errorf("%s to a node that is gone: %v", signal, err)
		}
	}
	if err := s.Signal(t.Context(), h.Victim, "HUP"); err == nil {
		t.Error("a signal that is neither TERM nor KILL was taken")
	}
	h.revive(t, s)
	first, err := s.State(t.Context(), h.Victim)
	if err != nil {
		t.Fatal(err)
	}
	h.revive(t, s)
	if second, err := s.State(t.Context(), h.Victim); err != nil || !second.StartedAt.Equal(first.StartedAt) {
		t.Errorf("starting a running node: %+v, %v; was %+v", second, err, first)
	}
}

func (h *harness) died(t *testing.T) {
	s := h.signaller(t)
	w, ok := h.system.(target.Watcher)
	if !ok {
		t.Skip("this runtime watches nothing")
	}
	if err := s.Signal(t.Context(), h.Victim, "KILL"); err != nil {
		t.Fatal(err)
	}
	h.waitDown(t, s)
	died, err := w.Died(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if why := died[h.Victim]; len(died) != 1 || !strings.Contains(why, "137") {
		t.Errorf("died: %v; want %s alone, with exit code 137", died, h.Victim)
	}
	if err := h.system.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), h.Victim) {
		t.Errorf("ready with a dead node: %v", err)
	}
	h.revive(t, s)
	if died, err := w.Died(t.Context()); err != nil || len(died) > 0 {
		t.Errorf("died after it came back: %v, %v", died, err)
	}
}

func (h *harness) link(t *testing.T) {
	s, ok := h.system.(target.Proxied)
	if !ok {
		t.Skip("this runtime has no edge.toxic")
	}
	client, link, err := s.Link(t.Context(), h.Edge)
	if err != nil {
		t.Fatal(err)
	}
	down := edge.Toxic{Name: "targettest", Type: "down", Stream: "downstream", Toxicity: 1}
	if err := client.AddToxic(t.Context(), link, down); err != nil {
		t.Fatal(err)
	}
	if _, err := h.system.Call(t.Context(), h.Through); err == nil {
		t.Error("the call got through an edge that is down")
	}
	if err := client.RemoveToxic(t.Context(), link, down.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := h.system.Call(t.Context(), h.Through); err != nil {
		t.Errorf("the edge is up again: %v", err)
	}
	// What a crashed run left on a link is gone with the next reset.
	if err := client.AddToxic(t.Context(), link, down); err != nil {
		t.Fatal(err)
	}
	if err := h.system.Reset(t.Context(), h.variants()[0], h.suite+"-link"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.system.Call(t.Context(), h.Through); err != nil {
		t.Errorf("a toxic outlived a reset: %v", err)
	}
}

func (h *harness) attach(t *testing.T) {
	other := h.handleIn(t)
	if err := other.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := h.dial(t, other), h.dial(t, h.system); got != want {
		t.Errorf("endpoint %s, want %s", got, want)
	}
	if _, err := other.Call(t.Context(), h.Secret); err != nil {
		t.Errorf("a call with a secret: %v", err)
	}
	if got, want := h.log(t, other), h.log(t, h.system); got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	if p, ok := other.(target.Proxied); ok {
		if _, _, err := p.Link(t.Context(), h.Edge); err != nil {
			t.Error(err)
		}
	}
	if s, ok := other.(target.Signaller); ok {
		if err := s.Signal(t.Context(), h.Victim, "KILL"); err != nil {
			t.Fatal(err)
		}
		h.waitDown(t, s)
		late := h.handleIn(t) // what heal does: attach while a node is down
		h.revive(t, late.(target.Signaller))
	}
	if err := other.Reset(t.Context(), h.variants()[1], h.suite+"-attached"); err != nil {
		t.Errorf("reset of an attached system: %v", err)
	}
	if _, err := h.new().Attach(t.Context(), h.Topology, json.RawMessage(`{"runtime":"no-such"}`)); err == nil {
		t.Error("a foreign handle was taken")
	}
	if _, err := h.new().Attach(t.Context(), h.Topology, json.RawMessage(`{`)); err == nil {
		t.Error("a torn handle was taken")
	}
}

func (h *harness) unknown(t *testing.T) {
	ctx := t.Context()
	lost := target.Call{Query: target.Query{Node: "no-such", Port: h.Port, Path: "/"}}
	errs := map[string]error{"variant": h.system.Reset(ctx, "no-such", h.suite), "log": h.system.Logs(ctx, "no-such", io.Discard)}
	_, errs["node"] = h.system.Endpoint(ctx, "no-such", h.Port)
	_, errs["port"] = h.system.Endpoint(ctx, h.Victim, "no-such")
	_, errs["call"] = h.system.Call(ctx, lost)
	if s, ok := h.system.(target.Signaller); ok {
		_, errs["state"] = s.State(ctx, "no-such")
		errs["signal"], errs["start"], errs["wait"] = s.Signal(ctx, "no-such", "KILL"), s.StartNode(ctx, "no-such"), s.NodeReady(ctx, "no-such")
	}
	if s, ok := h.system.(target.Pauser); ok {
		errs["pause"], errs["unpause"] = s.Pause(ctx, "no-such"), s.Unpause(ctx, "no-such")
	}
	if s, ok := h.system.(target.Connecter); ok {
		_, errs["connection"] = s.Connection(ctx, "no-such")
		errs["disconnect"], errs["connect"] = s.Disconnect(ctx, "no-such"), s.Connect(ctx, "no-such")
	}
	if s, ok := h.system.(target.Limiter); ok {
		_, errs["limits"] = s.Limits(ctx, "no-such")
		_, errs["usage"] = s.Usage(ctx, "no-such")
		errs["limit"] = s.SetLimits(ctx, "no-such", target.Limits{Memory: 1 << 30, Pids: 64})
	}
	if s, ok := h.system.(target.Replacer); ok {
		_, errs["made"] = s.Made(ctx, "no-such")
		_, errs["prepare"] = s.Prepare(ctx, "no-such", target.Change{})
		errs["replace"], errs["restore"] = s.Replace(ctx, "no-such", target.Change{}, "m"), s.Restore(ctx, "no-such")
	}
	if s, ok := h.system.(target.Proxied); ok {
		_, _, errs["edge"] = s.Link(ctx, "no-such")
	}
	for what, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "no-such") {
			t.Errorf("an unknown %s: %v", what, err)
		}
	}
	if err := h.system.Ready(ctx); err != nil {
		t.Errorf("a refused reset changed the target: %v", err)
	}
}

func (h *harness) close(t *testing.T) {
	handle := h.system.Handle()
	if s, ok := h.system.(target.Replacer); ok { // a run may die with a node replaced
		if err := s.Replace(t.Context(), h.Victim, h.change("last"), "targettest"); err != nil {
			t.Fatal(err)
		}
	}
	if s, ok := h.system.(target.Pauser); ok { // a run may die with a node paused
		if err := s.Pause(t.Context(), h.Victim); err != nil {
			t.Fatal(err)
		}
	}
	if s, ok := h.system.(target.Connecter); ok { // or off the network
		if err := s.Disconnect(t.Context(), h.Victim); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for range 2 {
		if err := h.system.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("closing took %v", time.Since(began).Round(time.Millisecond))
	h.nothingLeft(t.Context(), t, h.suite)
	if _, err := h.new().Attach(t.Context(), h.Topology, handle); !errors.Is(err, target.ErrGone) {
		t.Errorf("attach to what is gone: %v", err)
	}
	if _, err := h.system.Endpoint(t.Context(), h.Victim, h.Port); err == nil {
		t.Error("a removed node has an endpoint")
	}
}

func (h *harness) broken(t *testing.T) {
	suite := suiteID()
	_, err := h.runtime.Start(t.Context(), h.Topology, h.options(h.Broken, suite))
	if err == nil || !strings.Contains(err.Error(), h.BadNode) || !strings.Contains(err.Error(), h.Complaint) {
		t.Errorf("a node that ends at once: %v; want its name and %q", err, h.Complaint)
	}
	h.nothingLeft(t.Context(), t, suite)
	stuck, err := h.runtime.Start(t.Context(), h.Topology, h.options(h.Stuck, suite))
	if err == nil || stuck != nil || !strings.Contains(err.Error(), h.BadNode) || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("a node that never becomes ready: %v", err)
	}
	h.nothingLeft(t.Context(), t, suite)
	if _, err := h.runtime.Start(t.Context(), h.Topology, h.options("no-such", suite)); err == nil {
		t.Error("an unknown variant was started")
	}
	h.nothingLeft(t.Context(), t, suite)
}

func (h *harness) cancelled(t *testing.T) {
	for _, after := range []time.Duration{50 * time.Millisecond, 300 * time.Millisecond, 600 * time.Millisecond} {
		suite := suiteID()
		ctx, cancel := context.WithTimeout(t.Context(), after)
		system, err := h.runtime.Start(ctx, h.Topology, h.options(h.Stuck, suite)) // can't be ready before it is cancelled
		cancel()
		if err == nil || system != nil {
			t.Fatalf("start was cancelled after %v and says %v", after, err)
		}
		h.nothingLeft(t.Context(), t, suite)
	}
}
