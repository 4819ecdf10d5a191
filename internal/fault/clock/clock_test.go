package clock_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/clock"
	"chaos/internal/fault/faulttest"
	"chaos/internal/kind"
	"chaos/internal/target"
)

var (
	shop = &target.Topology{
		Name: "shop", Nodes: []target.NodeSpec{{Name: "pay"}, {Name: "redis"}},
		Clocks: map[string]target.Clock{"pay": {
			Read:  target.Query{Node: "pay", Port: "internal", Path: "/clock"},
			Write: target.Query{Node: "pay", Port: "internal", Method: "PUT", Path: "/clock"},
		}},
	}
	able = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbCall}}
)

func TestConformance(t *testing.T) {
	for _, by := range []time.Duration{10 * time.Second, -time.Hour} {
		faulttest.Run(t, faulttest.Case{
			Kind: "clock.offset", New: func() fault.Fault { return &clock.Offset{Node: "pay", Offset: kind.Offset(by)} },
			Zero:     func() fault.Fault { return &clock.Offset{} },
			Topology: shop, Capabilities: able, Needs: []target.Verb{target.VerbCall, target.VerbSignal}, Virtual: true,
			Start: func(testing.TB) *faulttest.World {
				m := faulttest.NewMemory(shop)
				return &faulttest.World{
					System: m, Gate: m.Gate,
					Hurt:    func() bool { return m.ClockOffset() != 0 },
					Traffic: func(testing.TB) { m.UseClock() },
				}
			},
		})
	}
}

func inject(t *testing.T, m *faulttest.Memory, f fault.Fault) fault.Action {
	t.Helper()
	actions, err := f.Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID = "c#0"
	a, err := f.Arm(t.Context(), m, actions[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Inject(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// What the switch says is held against what the clock reads.
func TestBite(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(m *faulttest.Memory, set func(time.Duration))
		why  string
	}{
		{"as asked", func(m *faulttest.Memory, _ func(time.Duration)) { m.UseClock() }, ""},
		{"never used", func(*faulttest.Memory, func(time.Duration)) {}, "not used its clock"},
		{"started anew", func(m *faulttest.Memory, set func(time.Duration)) { m.UseClock(); set(0) }, "is not set off"},
		{"set by another", func(m *faulttest.Memory, set func(time.Duration)) { m.UseClock(); set(time.Minute) }, "something else set it"},
		{"a switch that lies", func(m *faulttest.Memory, _ func(time.Duration)) { m.UseClock(); m.DriftClock(-9 * time.Second) }, "reads 1s more than before"},
		{"ended", func(m *faulttest.Memory, _ func(time.Duration)) {
			m.UseClock()
			m.Remove("pay")
			m.Gate.Set(func(n int) faulttest.Mode { return map[int]faulttest.Mode{0: faulttest.Refused}[n] }) // nobody answers the call
		}, "its process has ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, f := faulttest.NewMemory(shop), &clock.Offset{Node: "pay", Offset: kind.Offset(10 * time.Second)}
			a := inject(t, m, f)
			c.do(m, func(to time.Duration) {
				t.Helper()
				if _, err := m.Call(t.Context(), target.Call{Query: shop.Clocks["pay"].Write, Body: fmt.Appendf(nil, `{"offset_ms":%d}`, to.Milliseconds())}); err != nil {
					t.Fatal(err)
				}
			})
			b, err := f.Measure(t.Context(), m, a)
			if err != nil || b.Bit != (c.why == "") || !strings.Contains(b.Why, c.why) || b.Asked != "+10s" {
				t.Errorf("%+v, %v; want %q", b, err, c.why)
			}
			t.Logf("asked %q, delivered %q", b.Asked, b.Delivered)
		})
	}
}

// The clock of a process that has ended is gone with it; that nobody answers is not enough to know that.
func TestRevertOfAnEndedNode(t *testing.T) {
	m, f := faulttest.NewMemory(shop), &clock.Offset{Node: "pay", Offset: kind.Offset(10 * time.Second)}
	a := inject(t, m, f)
	silent := func(n int) faulttest.Mode { return map[int]faulttest.Mode{0: faulttest.Refused}[n] }
	m.Gate.Set(silent)
	if err := f.Revert(t.Context(), m, a); err == nil {
		t.Error("reverted, though the node runs and does not answer")
	}
	if err := m.Signal(t.Context(), "pay", "KILL"); err != nil {
		t.Fatal(err)
	}
	m.Gate.Set(silent)
	if err := f.Revert(t.Context(), m, a); err != nil {
		t.Errorf("its process has ended: %v", err)
	}
	m.Gate.Set(silent)
	if err := f.Confirm(t.Context(), m, a, false); err != nil {
		t.Errorf("its process has ended: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		f   clock.Offset
		why string
	}{
		{clock.Offset{Offset: kind.Offset(time.Minute)}, "name the node"},
		{clock.Offset{Node: "pay"}, "can't be told from"},
		{clock.Offset{Node: "pay", Offset: kind.Offset(-999 * time.Millisecond)}, "can't be told from"},
		{clock.Offset{Node: "redis", Offset: kind.Offset(time.Minute)}, "node redis has no switch for its clock (those that have one: pay)"},
	} {
		if _, err := c.f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v; want %q", c.f, err, c.why)
		}
	}
	m, f := faulttest.NewMemory(shop), &clock.Offset{Node: "pay", Offset: kind.Offset(time.Minute)}
	a := inject(t, m, f)
	if _, err := f.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "set off by +1m0s before the fault") {
		t.Errorf("armed on a clock that is off: %v", err)
	}
}
