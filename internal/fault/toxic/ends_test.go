package toxic_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/fault/toxic"
)

func timeout(after time.Duration) func() fault.Fault {
	return func() fault.Fault {
		return &toxic.Timeout{Edge: theEdge, Timeout: after, Stream: "downstream", Toxicity: 1}
	}
}

func resetPeer(after time.Duration) func() fault.Fault {
	return func() fault.Fault { return &toxic.ResetPeer{Streams: here(), Timeout: after, Chunks: 1} }
}

// waitEnd reads until the connection ends, which must be in an orderly way and without data.
func waitEnd(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the connection ended with %d bytes and %v, not with a FIN", n, err)
	}
}

// send sends one byte and waits for nothing.
func send(t testing.TB, c net.Conn) net.Conn {
	t.Helper()
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	return c
}

// The two stock kinds that end connections by the clock.
func TestEndsConformance(t *testing.T) {
	ended := func(s *shopSystem) func(testing.TB) { return func(t testing.TB) { waitEnd(t, s.silent(t)) } }
	wasReset := func(s *shopSystem) func(testing.TB) {
		return func(t testing.TB) { waitReset(t, send(t, s.silent(t))) }
	}
	for _, c := range []conformance{
		{"timeout", "toxic.timeout", timeout(30 * time.Millisecond), nil, ended},
		{"timeout, never", "toxic.timeout", timeout(0), nil, mute},
		{"reset_peer", "toxic.reset_peer", resetPeer(0), nil, wasReset},
		{"reset_peer, later", "toxic.reset_peer", resetPeer(30 * time.Millisecond), nil, wasReset},
		{"reset_peer on a ramp", "toxic.reset_peer", func() fault.Fault {
			f := &toxic.ResetPeer{Streams: here(), Timeout: 40 * time.Millisecond, Chunks: 1}
			f.Moves = to("timeout", "10ms")
			return f
		}, nil, wasReset},
	} {
		t.Run(c.name, c.run)
	}
}

// Each does to a client what its name says, and the edge is whole again after the revert.
func TestEndsEffects(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault.Fault
		see   func(t *testing.T, s *shopSystem, old net.Conn)
	}{
		{"timeout ends what is silent", timeout(50 * time.Millisecond)(), func(t *testing.T, s *shopSystem, old net.Conn) {
			waitEnd(t, old)
			waitEnd(t, s.silent(t))
		}},
		{"timeout drops", timeout(0)(), func(t *testing.T, _ *shopSystem, old net.Conn) {
			var late net.Error
			if _, err := ping(old, 100*time.Millisecond); !errors.As(err, &late) || !late.Timeout() {
				t.Errorf("ping: %v, want no answer", err)
			}
		}},
		{"reset_peer spares what is silent", resetPeer(20 * time.Millisecond)(), func(t *testing.T, s *shopSystem, old net.Conn) {
			quiet := s.silent(t)
			waitReset(t, send(t, old))
			if err := quiet.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			var late net.Error
			if _, err := quiet.Read(make([]byte, 1)); !errors.As(err, &late) || !late.Timeout() {
				t.Errorf("a connection without data: %v", err)
			}
			waitReset(t, send(t, quiet))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			old := s.dial(t)
			_, revert := inject(t, s, c.fault)
			c.see(t, s, old)
			revert()
			if _, err := ping(s.dial(t), patient); err != nil {
				t.Errorf("after the revert: %v", err)
			}
		})
	}
}

// What they must have done to count, at the borders.
func TestEndsFidelity(t *testing.T) {
	for _, c := range []struct {
		kind       string
		attributes map[string]any
		c          edge.ToxicCounters
		why        string
	}{
		{"toxic.timeout", map[string]any{"timeout": 100.0}, edge.ToxicCounters{}, "no connection was open for 100ms"},
		{"toxic.timeout", map[string]any{"timeout": 0.0}, edge.ToxicCounters{}, "nothing was sent"},
		{"toxic.timeout", map[string]any{"timeout": 0.0}, edge.ToxicCounters{Connections: 1, Swallowed: 1}, ""},
		{"toxic.timeout", map[string]any{"timeout": 100.0}, edge.ToxicCounters{Connections: 1, Closed: 1}, ""},
		{"toxic.reset_peer", map[string]any{"timeout": 0.0}, edge.ToxicCounters{}, "nothing passed"},
		{"toxic.reset_peer", map[string]any{"timeout": 0.0, "chunks": 0.1}, edge.ToxicCounters{}, "none of the chunks"},
		{"toxic.reset_peer", map[string]any{"timeout": 9000.0}, edge.ToxicCounters{Connections: 2}, "2 connections still waited"},
		{"toxic.reset_peer", map[string]any{"timeout": 0.0}, edge.ToxicCounters{Connections: 1, Resets: 1}, ""},
	} {
		if got := toxic.Judge(c.kind, c.attributes, c.c); (got == "") != (c.why == "") || !strings.Contains(got, c.why) {
			t.Errorf("%s %v, %+v: %q, want %q", c.kind, c.attributes, c.c, got, c.why)
		}
	}
}

// What the proxy is asked for, and what is refused before it is.
func TestEndsArguments(t *testing.T) {
	few := here()
	few.Stream, few.Toxicity = "upstream", 0.25
	nowhere := here()
	nowhere.Edge = ""
	for _, c := range []struct {
		f         fault.Fault
		want, err string
	}{
		{timeout(time.Second)(), `{"type":"timeout","stream":"downstream","toxicity":1,"attributes":{"timeout":1000}}`, ""},
		{resetPeer(0)(), `{"type":"reset_peer","stream":"downstream","toxicity":1,"attributes":{"timeout":0}}`, ""},
		{&toxic.ResetPeer{Streams: few, Timeout: time.Second, Chunks: 0.5}, `{"type":"reset_peer","stream":"upstream","toxicity":0.25,"attributes":{"chunks":0.5,"timeout":1000}}`, ""},
		{timeout(2 * time.Hour)(), "", "toxic.timeout: timeout 2h0m0s"},
		{timeout(time.Microsecond)(), "", "whole number of milliseconds"},
		{&toxic.Timeout{Edge: theEdge, Stream: "sideways", Toxicity: 1}, "", "neither downstream"},
		{&toxic.Timeout{Stream: "downstream", Toxicity: 1}, "", "toxic.timeout: name the edge"},
		{resetPeer(-time.Second)(), "", "toxic.reset_peer: timeout -1s"},
		{&toxic.ResetPeer{Streams: here()}, "", "chunks 0"},
		{&toxic.ResetPeer{Streams: nowhere, Chunks: 1}, "", "toxic.reset_peer: name the edge"},
	} {
		actions, err := c.f.Plan(shop, able, nil)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: %v, want %q", c.f, err, c.err)
			}
		case err != nil || len(actions) != 1:
			t.Errorf("%+v: %d actions, %v", c.f, len(actions), err)
		default:
			if got := string(actions[0].Args); got != `{"edge":"`+jsonEdge+`","toxic":`+c.want+`}` {
				t.Errorf("%s\nwant the toxic %s", got, c.want)
			}
		}
	}
}
