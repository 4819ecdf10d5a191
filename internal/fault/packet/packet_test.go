package packet_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/packet"
	"chaos/internal/target"
)

var (
	shop = &target.Topology{
		Name: "shop", Nodes: []target.NodeSpec{{Name: "web"}, {Name: "jobs"}, {Name: "redis"}},
		Edges: []target.EdgeSpec{{Name: "web->redis", From: "web", To: "redis", Port: "tcp"}, {Name: "jobs->redis", From: "jobs", To: "redis", Port: "tcp"}, {Name: "web->jobs", From: "web", To: "jobs", Port: "http"}},
	}
	able = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbLoss, target.VerbDelay}}
)

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		needs      target.Verb
		new        func() fault.Fault
	}{
		{"loss, both ways", "packet.loss", target.VerbLoss, func() fault.Fault { return &packet.Loss{Node: "redis", Loss: 0.3, Direction: "both"} }},
		{"loss, in, of a peer", "packet.loss", target.VerbLoss, func() fault.Fault {
			return &packet.Loss{Node: "web", Loss: 1, Direction: "in", Peer: "redis"}
		}},
		{"loss, out", "packet.loss", target.VerbLoss, func() fault.Fault { return &packet.Loss{Node: "redis", Loss: 0.01, Direction: "out"} }},
		{"delay", "packet.delay", target.VerbDelay, func() fault.Fault {
			return &packet.Delay{Node: "redis", Latency: 100 * time.Millisecond, Jitter: 20 * time.Millisecond}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			faulttest.Run(t, faulttest.Case{
				Kind: c.kind, New: c.new, Zero: zero(t, c.kind), Topology: shop, Capabilities: able,
				Needs: []target.Verb{c.needs, target.VerbSignal}, Virtual: true,
				Start: func(testing.TB) *faulttest.World {
					m := faulttest.NewMemory(shop)
					return &faulttest.World{System: m, Gate: m.Gate,
						Hurt: func() bool { return m.Ruled("redis") || m.Ruled("web") || !m.Up("redis") || !m.Up("web") },
						Traffic: func(testing.TB) {
							m.Packets("redis", 2000, 3000)
							m.Packets("web", 2000, 3000)
						}}
				},
			})
		})
	}
}

func zero(t *testing.T, kind string) func() fault.Fault {
	return func() fault.Fault {
		f, err := packet.Kinds().New(kind)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// injected plans, arms and injects f in a system of its own.
func injected(t *testing.T, f fault.Fault) (*faulttest.Memory, fault.Action) {
	t.Helper()
	m := faulttest.NewMemory(shop)
	actions, err := f.Plan(shop, able, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID = "f#0"
	a, err := f.Arm(t.Context(), m, actions[0])
	if err == nil {
		err = f.Inject(t.Context(), m, a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m, a
}

func restarted(m *faulttest.Memory) error {
	return errors.Join(m.Signal(context.Background(), "redis", "KILL"), m.StartNode(context.Background(), "redis"))
}

// What a loss claims is what was counted, of the process and the peer that it was made for. However the node is,
// a revert leaves no rule.
func TestMeasureOfALoss(t *testing.T) {
	for _, c := range []struct {
		name      string
		meanwhile func(m *faulttest.Memory) error
		bit       bool
		said      string
	}{
		{"as asked", pass(1000, 2000), true, "300 of 1000 packets in lost (30.0 %); 600 of 2000 packets out lost (30.0 %)"},
		{"nothing passed", pass(0, 0), false, "no packet passed in"},
		{"nothing passed one way", pass(1000, 0), false, "no packet passed out"},
		{"none was drawn", pass(1, 1), false, "none of the 1 packets that passed in was drawn"},
		{"less than asked", func(m *faulttest.Memory) error {
			m.Spoil("redis", 0.5, "")
			return pass(1000, 1000)(m)
		}, false, "30 % of the packets were to be lost in, and 150 of 1000 were"},
		{"a peer that moved", func(m *faulttest.Memory) error {
			m.Spoil("redis", 0, "peer web is elsewhere")
			return pass(1000, 1000)(m)
		}, false, "peer web is elsewhere"},
		{"ended", func(m *faulttest.Memory) error { return m.Signal(context.Background(), "redis", "KILL") }, false, "has ended (exit code 137), and the rules"},
		{"replaced", restarted, false, "another one than before"},
		{"removed", func(m *faulttest.Memory) error { m.Remove("redis"); return nil }, false, "somebody removed it"},
		{"cleared by somebody", func(m *faulttest.Memory) error { return m.ClearLoss(context.Background(), "redis", "f#0") }, false, "something else removed them"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &packet.Loss{Node: "redis", Loss: 0.3, Direction: "both"}
				m, a := injected(t, f)
				if err := c.meanwhile(m); err != nil {
					t.Fatal(err)
				}
				b, err := f.Measure(t.Context(), m, a)
				if err != nil || b.Bit != c.bit || !strings.Contains(b.Delivered+" "+b.Why, c.said) {
					t.Errorf("%+v, %v; want %q", b, err, c.said)
				}
				was := m.Started("redis")
				if err := f.Revert(t.Context(), m, a); err != nil || m.Ruled("redis") || !m.Started("redis").Equal(was) {
					t.Errorf("reverted: %v, rules %v, started %v, was %v", err, m.Ruled("redis"), m.Started("redis"), was)
				}
				if err := f.Confirm(t.Context(), m, a, false); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func pass(in, out uint64) func(*faulttest.Memory) error {
	return func(m *faulttest.Memory) error { m.Packets("redis", in, out); return nil }
}

// A loss whose peer is elsewhere by the time it is confirmed hits nothing.
func TestConfirmSeesAPeerThatMoved(t *testing.T) {
	f := &packet.Loss{Node: "redis", Loss: 0.3, Direction: "in"}
	m, a := injected(t, f)
	if err := f.Confirm(t.Context(), m, a, true); err != nil {
		t.Error(err)
	}
	m.Spoil("redis", 0, "peer web is elsewhere")
	if err := f.Confirm(t.Context(), m, a, true); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("confirmed: %v", err)
	}
	if err := f.Confirm(t.Context(), m, a, false); err == nil || !strings.Contains(err.Error(), "still in force") {
		t.Errorf("gone: %v", err)
	}
}

func TestMeasureOfADelay(t *testing.T) {
	f := &packet.Delay{Node: "redis", Latency: 100 * time.Millisecond, Jitter: 10 * time.Millisecond}
	m, a := injected(t, f)
	if b, err := f.Measure(t.Context(), m, a); err != nil || b.Bit || !strings.Contains(b.Why, "no packet left") {
		t.Errorf("%+v, %v", b, err)
	}
	m.Packets("redis", 0, 7)
	if b, err := f.Measure(t.Context(), m, a); err != nil || !b.Bit || b.Delivered != "7 packets left through a delay of 100ms ± 10ms" {
		t.Errorf("%+v, %v", b, err)
	}
	if err := m.SetDelay(t.Context(), "redis", "f#0", target.Delay{Latency: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	m.Packets("redis", 0, 7)
	if b, err := f.Measure(t.Context(), m, a); err != nil || b.Bit || !strings.Contains(b.Why, "the kernel delays by 1ms") {
		t.Errorf("%+v, %v", b, err)
	}
}

// Arm refuses a node that does not run, and rules under its own name that it has not made.
func TestArmRefusesWhatIsThereAlready(t *testing.T) {
	for _, f := range []fault.Fault{&packet.Loss{Node: "redis", Loss: 0.3, Direction: "in"}, &packet.Delay{Node: "redis", Latency: time.Second}} {
		m, a := injected(t, f)
		if _, err := f.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "heal it first") {
			t.Errorf("armed twice: %v", err)
		}
		if err := m.Signal(t.Context(), "redis", "KILL"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "does not run before the fault") {
			t.Errorf("armed on a dead node: %v", err)
		}
	}
}

func TestPlanErrors(t *testing.T) {
	for want, f := range map[string]fault.Fault{
		"its nodes are web, jobs, redis":   &packet.Loss{Node: "reddis", Loss: 0.1, Direction: "in"},
		"has no node \"wep\"":              &packet.Loss{Node: "redis", Loss: 0.1, Direction: "in", Peer: "wep"},
		"the peer is the node itself":      &packet.Loss{Node: "redis", Loss: 0.1, Direction: "in", Peer: "redis"},
		"with node: web and peer: redis":   &packet.Loss{Node: "redis", Loss: 0.1, Direction: "in", Peer: "web"},
		"loss 0% is not over 0%":           &packet.Loss{Node: "redis", Direction: "in"},
		"direction \"up\" is not":          &packet.Loss{Node: "redis", Loss: 0.1, Direction: "up"},
		"packet.loss: name the node":       &packet.Loss{Loss: 0.1, Direction: "in"},
		"latency 0s is not from 1ms to 1m": &packet.Delay{Node: "redis"},
		"jitter 2s is not from 0s to":      &packet.Delay{Node: "redis", Latency: time.Second, Jitter: 2 * time.Second},
		"want whole microseconds":          &packet.Delay{Node: "redis", Latency: time.Second + 1},
	} {
		if _, err := f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}

// What the machine lacks is told at the plan, of the verb that is needed and of no other.
func TestPlanTellsWhatTheMachineLacks(t *testing.T) {
	c := able
	c.Lacking = func(v target.Verb) string {
		if v == target.VerbDelay {
			return "the kernel has no sch_netem"
		}
		return ""
	}
	if _, err := (&packet.Delay{Node: "redis", Latency: time.Second}).Plan(shop, c, nil); err == nil || !strings.Contains(err.Error(), "not on this machine: the kernel has no sch_netem") {
		t.Errorf("%v", err)
	}
	if _, err := (&packet.Loss{Node: "redis", Loss: 0.1, Direction: "in"}).Plan(shop, c, nil); err != nil {
		t.Error(err)
	}
}

// bare is a system that can do nothing of the kind.
type bare struct {
	target.System
	target.Signaller
}

func TestASystemThatCannotIsNamed(t *testing.T) {
	for want, f := range map[string]fault.Fault{
		"can't lose packets (node.loss)":   &packet.Loss{Node: "redis", Loss: 0.3, Direction: "in"},
		"can't delay packets (node.delay)": &packet.Delay{Node: "redis", Latency: time.Second},
	} {
		m, a := injected(t, f)
		if err := f.Revert(t.Context(), bare{m, m}, a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
		a.Before = []byte("{}")
		if err := f.Revert(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "never armed") {
			t.Errorf("%v", err)
		}
	}
}
