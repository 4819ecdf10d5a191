package toxic_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/toxic"
)

// inject plans, arms and injects f, and returns what reverts it.
func inject(t *testing.T, s *shopSystem, f fault.Fault) (a fault.Action, revert func()) {
	t.Helper()
	actions, err := f.Plan(shop, able, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID = "slow#0"
	a, err = f.Arm(t.Context(), s, actions[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Inject(t.Context(), s, a); err != nil {
		t.Fatal(err)
	}
	return a, func() {
		t.Helper()
		if err := f.Revert(t.Context(), s, a); err != nil {
			t.Fatal(err)
		}
	}
}

// Each kind does to a client what its name says, and the edge works again after the revert.
func TestEffectOnAClient(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault.Fault
		see   func(t *testing.T, s *shopSystem, old net.Conn)
	}{
		{"latency", latency(), func(t *testing.T, _ *shopSystem, old net.Conn) {
			fastest(t, "60 ± 10 ms asked", 50*time.Millisecond, 250*time.Millisecond, func() time.Duration {
				took, err := ping(old, patient)
				if err != nil {
					t.Fatal(err)
				}
				return took
			})
		}},
		{"reset", resets(0, false)(), func(t *testing.T, s *shopSystem, old net.Conn) {
			waitReset(t, old)
			if _, err := ping(s.dial(t), patient); err != nil {
				t.Errorf("a new connection: %v", err)
			}
		}},
		{"refused", down("refused")(), func(t *testing.T, s *shopSystem, old net.Conn) {
			waitReset(t, old)
			if _, err := net.DialTimeout("tcp", s.addr, patient); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("dial: %v, want refused", err)
			}
		}},
		{"black hole", down("blackhole")(), func(t *testing.T, s *shopSystem, old net.Conn) {
			var late net.Error
			if _, err := ping(old, 100*time.Millisecond); !errors.As(err, &late) || !late.Timeout() {
				t.Errorf("ping into a black hole: %v", err)
			}
			if c, err := net.DialTimeout("tcp", s.addr, patient); err != nil {
				t.Errorf("dial: %v, want success", err)
			} else {
				c.Close()
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			old := s.dial(t)
			_, revert := inject(t, s, c.fault)
			c.see(t, s, old)
			revert()
			now := s.dial(t)
			fastest(t, "after the revert", 0, 40*time.Millisecond, func() time.Duration {
				took, err := ping(now, patient)
				if err != nil {
					t.Fatalf("after the revert: %v", err)
				}
				return took
			})
		})
	}
}

// An addition that was begun is waited for although the run is cancelled: none can arrive after the revert.
func TestInjectWaitsForItsAddition(t *testing.T) {
	s := newShop(t)
	f := latency()
	actions, err := f.Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Arm(t.Context(), s, actions[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.gate.Set(func(int) faulttest.Mode {
		cancel()
		time.Sleep(20 * time.Millisecond) // for a client that heeds it to give up
		return faulttest.Pass
	})
	if err := f.Inject(ctx, s, a); err != nil || !s.hurt(t) {
		t.Errorf("Inject: %v, toxic there: %v", err, s.hurt(t))
	}
}

// What is published is what was delivered: how much was added, and to what share of the connections.
func TestWhatWasDelivered(t *testing.T) {
	s := newShop(t)
	c, unused := s.dial(t), s.dial(t)
	defer unused.Close()
	f := latency()
	a, _ := inject(t, s, f)
	for range 3 {
		if _, err := ping(c, patient); err != nil {
			t.Fatal(err)
		}
	}
	b, err := f.Measure(t.Context(), s, a)
	if err != nil || !b.Bit {
		t.Fatalf("%+v, %v", b, err)
	}
	if want := regexp.MustCompile(`^median \+\d+ms, p99 \+\d+ms, worst \+\d+ms on 3 chunks of 1 connections; touched 1 of 2 connections$`); !want.MatchString(b.Delivered) {
		t.Errorf("delivered %q", b.Delivered)
	}
	for _, name := range []string{"added_p50_ns", "added_p99_ns", "seen_connections"} {
		if !strings.Contains(string(b.Detail), `"`+name+`"`) {
			t.Errorf("%s is not in %s", name, b.Detail)
		}
	}
}

// A toxic that did not last for its window did not bite, whatever it did before.
func TestMeasureOfALostToxic(t *testing.T) {
	s := newShop(t)
	f := latency()
	a, _ := inject(t, s, f)
	if _, err := ping(s.dial(t), patient); err != nil {
		t.Fatal(err)
	}
	s.ask(t, "POST", "/reset", nil)
	b, err := f.Measure(t.Context(), s, a)
	if err != nil || b.Bit || !strings.Contains(b.Why, "lease") {
		t.Errorf("%+v, %v", b, err)
	}
}

// Confirm sees a toxic of its name that is not what was asked for.
func TestConfirmSeesAnotherToxic(t *testing.T) {
	for want, change := range map[string]func(*edge.Toxic){
		"has latency 5":       func(x *edge.Toxic) { x.Attributes["latency"] = 5 },
		"toxicity 0.5":        func(x *edge.Toxic) { x.Toxicity = 0.5 },
		"upstream latency":    func(x *edge.Toxic) { x.Stream = "upstream" },
		"downstream timeout ": func(x *edge.Toxic) { x.Type, x.Attributes = "timeout", map[string]any{"timeout": 5} },
	} {
		t.Run(want, func(t *testing.T) {
			s := newShop(t)
			f := latency()
			a, _ := inject(t, s, f)
			all, err := s.client.Toxics(t.Context(), link)
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			x := all[0]
			if err := s.client.RemoveToxic(t.Context(), link, x.Name); err != nil {
				t.Fatal(err)
			}
			change(&x)
			if err := s.client.AddToxic(t.Context(), link, x); err != nil {
				t.Fatal(err)
			}
			if err := f.Confirm(t.Context(), s, a, true); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("confirmed %+v: %v", x, err)
			}
		})
	}
}

// What an earlier run left is not taken for ours, and a toxic of another fault is left alone.
func TestArmAndOthers(t *testing.T) {
	s := newShop(t)
	f := latency()
	a, revert := inject(t, s, f)
	if _, err := f.Arm(t.Context(), s, a); err == nil || !strings.Contains(err.Error(), "chaos heal") {
		t.Errorf("armed over a leftover of its own name: %v", err)
	}
	foreign := edge.Toxic{Name: "chaos-slow_2300", Type: "latency", Stream: "downstream", Toxicity: 1, Attributes: map[string]any{"latency": 1}}
	if err := s.client.AddToxic(t.Context(), link, foreign); err != nil {
		t.Fatal(err)
	}
	revert()
	if err := f.Confirm(t.Context(), s, a, false); err != nil {
		t.Errorf("another fault's toxic was taken for ours: %v", err)
	}
	if !s.hurt(t) {
		t.Error("the revert removed a toxic of another fault")
	}
}

// The fidelity of toxic.latency, at its border: 80 % of 60 − 10 ms are 40 ms.
func TestFidelity(t *testing.T) {
	for _, c := range []struct {
		c   edge.ToxicCounters
		why string
	}{
		{edge.ToxicCounters{Connections: 1, Chunks: 1, AddedP50: 40 * time.Millisecond, AddedMax: 40 * time.Millisecond}, ""},
		{edge.ToxicCounters{Connections: 1, Chunks: 1, AddedP50: 39 * time.Millisecond, AddedMax: 90 * time.Millisecond}, "did not deliver"},
		{edge.ToxicCounters{Connections: 1}, "nothing passed"},
		{edge.ToxicCounters{}, "nothing passed"},
		{edge.ToxicCounters{Offered: 9}, "none of 9 chunks"},
	} {
		if got := toxic.Delayed(60*time.Millisecond, 10*time.Millisecond, c.c); (got == "") != (c.why == "") || !strings.Contains(got, c.why) {
			t.Errorf("%+v: %q, want %q", c.c, got, c.why)
		}
	}
	if got := toxic.Delayed(time.Second, time.Second, edge.ToxicCounters{Connections: 1, Chunks: 1}); got == "" {
		t.Error("no delay at all counts as a bite when jitter equals latency")
	}
}

func TestToxicNames(t *testing.T) {
	ids := []string{"a#0", "a-0", "a_0", "a#00", "a.b#0", "a-b#0", "a_2e#0", "ä#0"}
	seen := map[string]string{}
	for _, id := range ids {
		name := toxic.Name(id)
		if seen[name] != "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Errorf("%q and %q share the name %q, or it needs escaping", id, seen[name], name)
		}
		seen[name] = id
	}
}

func TestPlan(t *testing.T) {
	f := &toxic.Latency{Edges: []string{theEdge, other}, Latency: time.Second, Jitter: 200 * time.Millisecond, Stream: "downstream", Toxicity: 0.5, Chunks: 1}
	actions, err := f.Plan(shop, able, nil)
	if err != nil || len(actions) != 2 || actions[0].Place != "edge:"+theEdge || actions[1].Place != "edge:"+other || actions[1].Heal != 2*time.Second {
		t.Fatalf("%+v, %v", actions, err)
	}
	const want = `{"edge":"payments->redis","toxic":{"type":"latency","stream":"downstream","toxicity":0.5,"attributes":{"jitter":200,"latency":1000}}}`
	var got, wanted any
	if err := json.Unmarshal(actions[1].Args, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if a, b := mustJSON(t, got), mustJSON(t, wanted); a != b {
		t.Errorf("arguments\n%s\nwant\n%s", a, b)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestPlanErrors(t *testing.T) {
	l := func(change func(*toxic.Latency)) fault.Fault {
		f := &toxic.Latency{Edge: theEdge, Latency: time.Second, Stream: "downstream", Toxicity: 1, Chunks: 1}
		change(f)
		return f
	}
	for _, c := range []struct {
		f    fault.Fault
		want string
	}{
		{l(func(f *toxic.Latency) { f.Edge = "" }), "name the edge"},
		{l(func(f *toxic.Latency) { f.Edges = []string{other} }), "not both"},
		{l(func(f *toxic.Latency) { f.Edge, f.Edges = "", []string{other, other} }), "listed twice"},
		{l(func(f *toxic.Latency) { f.Edge = "gateway->rediss" }), "its edges are gateway->redis, payments->redis"},
		{l(func(f *toxic.Latency) { f.Latency = 0 }), "latency 0s"},
		{l(func(f *toxic.Latency) { f.Latency = 2 * time.Hour }), "latency 2h0m0s"},
		{l(func(f *toxic.Latency) { f.Latency = time.Second + time.Microsecond }), "whole number of milliseconds"},
		{l(func(f *toxic.Latency) { f.Jitter = -time.Second }), "jitter -1s"},
		{l(func(f *toxic.Latency) { f.Jitter = 2 * time.Second }), "over latency"},
		{l(func(f *toxic.Latency) { f.Stream = "sideways" }), "neither downstream"},
		{l(func(f *toxic.Latency) { f.Toxicity = 0 }), "toxicity 0"},
		{l(func(f *toxic.Latency) { f.Toxicity = 1.5 }), "toxicity 1.5"},
		{&toxic.Reset{}, "name the edge"},
		{&toxic.Reset{Edge: theEdge, Every: time.Millisecond}, "every 1ms"},
		{&toxic.Reset{Edge: theEdge, Every: -time.Second}, "every -1s"},
		{&toxic.Down{Mode: "refused"}, "name the edge"},
		{&toxic.Down{Edge: theEdge, Mode: "dark"}, `mode "dark"`},
	} {
		if _, err := c.f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.f, err, c.want)
		}
	}
}
