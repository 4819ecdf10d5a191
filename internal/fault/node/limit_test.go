package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/node"
	"chaos/internal/target"
)

// squeeze is what a node's work does under each of the limits of limited.
func squeeze(u *target.Usage) {
	u.Periods, u.Throttled, u.ThrottledFor = u.Periods+180, u.Throttled+132, u.ThrottledFor+9*time.Second
	u.Memory, u.MemoryPeak, u.MemoryHits = 60<<20, 64<<20, u.MemoryHits+7
	u.Pids = 32
}

func TestConformanceOfLimit(t *testing.T) {
	for name, f := range map[string]node.Limit{
		"cpu":    {Node: "redis", CPU: 0.25},
		"memory": {Node: "redis", Memory: 64 << 20},
		"pids":   {Node: "redis", Pids: 32},
		"all":    {Node: "redis", CPU: 0.25, Memory: 64 << 20, Pids: 32},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faulttest.Run(t, faulttest.Case{
				Kind: "node.limit", New: func() fault.Fault { g := f; return &g }, Zero: zero(t, "node.limit"), Topology: shop, Capabilities: able,
				Needs: []target.Verb{target.VerbSignal, target.VerbLimit}, Virtual: true,
				Start: func(testing.TB) *faulttest.World {
					m := faulttest.NewMemory(shop)
					m.Use("redis", squeeze) // what was before does not count
					m.Use("redis", func(u *target.Usage) { u.Memory, u.Pids = 16<<20, 5 })
					return &faulttest.World{
						System: m, Gate: m.Gate, Traffic: func(testing.TB) { m.Use("redis", squeeze) },
						Hurt: func() bool {
							return !m.Up("redis") || m.LimitsOf("redis") != faulttest.FirstLimits() || m.LimitsOf("web") != faulttest.FirstLimits()
						},
					}
				},
			})
		})
	}
}

// limited plans, arms and injects limits of all three on redis.
func limited(t *testing.T) (*node.Limit, *faulttest.Memory, fault.Action) {
	t.Helper()
	f := &node.Limit{Node: "redis", CPU: 0.25, Memory: 64 << 20, Pids: 32}
	m, a := armed(t, f)
	if err := f.Inject(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	return f, m, a
}

// Each limit that was asked for must have been reached by the process of Arm; which was not is said. However
// it is, one revert gives back what was there.
func TestMeasureOfALimit(t *testing.T) {
	const all = "throttled 132 of 180 periods, 9.0 s in all; 60.0MiB of 64MiB in use at the end, at most 64.0MiB, limit hit 7 times; 32 of 32 processes at the end"
	after := func(change func(u *target.Usage)) func(m *faulttest.Memory) error {
		return func(m *faulttest.Memory) error { m.Use("redis", squeeze); m.Use("redis", change); return nil }
	}
	for _, c := range []struct {
		name      string
		meanwhile func(m *faulttest.Memory) error
		bit       bool
		said      string
	}{
		{"nothing", func(*faulttest.Memory) error { return nil }, false, "never used up 0.25 CPU; it never reached 64MiB of memory, as far as the engine tells; at the end it had fewer than 32"},
		{"all", after(func(*target.Usage) {}), true, all},
		{"no cpu", after(func(u *target.Usage) { u.Throttled = 0 }), false, "throttled 0 of 180 periods"},
		{"no memory", after(func(u *target.Usage) { u.MemoryHits, u.MemoryPeak = 0, 60<<20 }), false, "node redis: it never reached 64MiB"},
		{"memory, by an old peak", after(func(u *target.Usage) { u.MemoryHits, u.MemoryPeak = 0, 20<<20 }), false, "node redis: it never reached 64MiB"},
		{"memory, by a new peak", after(func(u *target.Usage) { u.MemoryHits = 0 }), true, "60.0MiB of 64MiB in use at the end, at most 64.0MiB"},
		{"memory, by use", after(func(u *target.Usage) { u.MemoryHits, u.Memory = 0, 62<<20 }), true, "62.0MiB of 64MiB"},
		{"no pids", after(func(u *target.Usage) { u.Pids = 31 }), false, "31 of 32 processes at the endnode redis: at the end it had fewer than 32"},
		{"killed", func(m *faulttest.Memory) error { return m.Signal(context.Background(), "redis", "KILL") }, false, "ended, exit code 137"},
		{"replaced", restarted, false, "another one than before"},
		{"changed", func(m *faulttest.Memory) error {
			return errors.Join(after(func(*target.Usage) {})(m), m.SetLimits(context.Background(), "redis", target.Limits{CPU: 0.5, Memory: 64 << 20, Pids: 32}))
		}, false, "it has 0.5 CPU, 64MiB of memory, 32 processes: it never was limited as asked, or something else"},
		{"removed", func(m *faulttest.Memory) error { m.Remove("redis"); return nil }, false, "somebody removed it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, m, a := limited(t)
				time.Sleep(10 * time.Second)
				if err := c.meanwhile(m); err != nil {
					t.Fatal(err)
				}
				b, err := f.Measure(t.Context(), m, a)
				if err != nil || b.Bit != c.bit || !strings.Contains(b.Delivered+b.Why, c.said) || b.Asked != "0.25 CPU, 64MiB of memory, 32 processes" {
					t.Errorf("%+v, %v; want %q", b, err, c.said)
				}
				if c.name == "removed" {
					wantGone(t, f.Revert(t.Context(), m, a))
					return
				}
				err = f.Revert(t.Context(), m, a)
				if err != nil || !m.Up("redis") || m.LimitsOf("redis") != faulttest.FirstLimits() {
					t.Errorf("reverted: %v, up %v, %+v", err, m.Up("redis"), m.LimitsOf("redis"))
				}
			})
		})
	}
}

// killedForMemory is a system whose engine says that a process of redis was killed for its memory.
func killedForMemory(m *faulttest.Memory) seen {
	return seen{m, func(st *target.State) { st.OOMKilled = true }}
}

// A node that its memory limit killed has felt it. An engine goes on saying so after a restart, which is no
// bite of the next fault.
func TestAKillForMemoryIsABite(t *testing.T) {
	f := &node.Limit{Node: "redis", Memory: 64 << 20}
	m, a := armed(t, f)
	old, err := f.Arm(t.Context(), killedForMemory(m), a)
	if err == nil {
		err = f.Inject(t.Context(), m, a)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a    fault.Action
		bit  bool
		said string
	}{{a, true, "a process of it killed for its memory"}, {old, false, "never reached"}} {
		if b, err := f.Measure(t.Context(), killedForMemory(m), c.a); err != nil || b.Bit != c.bit || !strings.Contains(b.Delivered+b.Why, c.said) {
			t.Errorf("%+v, %v; want %q", b, err, c.said)
		}
	}
	m.EndAt("redis", time.Now())
	if b, err := f.Measure(t.Context(), killedForMemory(m), a); err != nil || !b.Bit || b.Delivered != "ended, exit code 0; killed for its memory of 64MiB" {
		t.Errorf("%+v, %v", b, err)
	}
	if b, err := f.Measure(t.Context(), m, a); err != nil || b.Bit || !strings.Contains(b.Why, "another reason") {
		t.Errorf("%+v, %v", b, err)
	}
}

// unheld is a system whose kernel does not do what the engine has noted.
type unheld struct{ *faulttest.Memory }

func (s unheld) Usage(ctx context.Context, name string) (target.Usage, error) {
	u, err := s.Memory.Usage(ctx, name)
	u.InForce.Memory = 256 << 20
	return u, err
}

func TestALimitThatTheKernelDoesNotHoldIsNoBite(t *testing.T) {
	f, m, a := limited(t)
	m.Use("redis", squeeze)
	if b, err := f.Measure(t.Context(), unheld{m}, a); err != nil || b.Bit || !strings.Contains(b.Why, "the kernel holds it to 256MiB") {
		t.Errorf("%+v, %v", b, err)
	}
}

// Two limits on one node end in any order: each gives back its own.
func TestTwoLimitsOfOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cpu, memory := &node.Limit{Node: "redis", CPU: 0.25}, &node.Limit{Node: "redis", Memory: 64 << 20}
		m, first := armed(t, cpu)
		if err := cpu.Inject(t.Context(), m, first); err != nil {
			t.Fatal(err)
		}
		second, err := memory.Plan(shop, able, nil)
		if err == nil {
			second[0], err = memory.Arm(t.Context(), m, second[0])
		}
		if err = errors.Join(err, memory.Inject(t.Context(), m, second[0]), cpu.Revert(t.Context(), m, first)); err != nil {
			t.Fatal(err)
		}
		if want := (target.Limits{Memory: 64 << 20, Pids: 64}); m.LimitsOf("redis") != want {
			t.Errorf("limits %+v, want %+v", m.LimitsOf("redis"), want)
		}
		if err := memory.Revert(t.Context(), m, second[0]); err != nil || m.LimitsOf("redis") != faulttest.FirstLimits() {
			t.Errorf("%v, limits %+v", err, m.LimitsOf("redis"))
		}
	})
}

// lateLimit is a system in which a limit of a dead harness arrives 600 ms after NodeReady.
type lateLimit struct{ *faulttest.Memory }

func (s lateLimit) NodeReady(ctx context.Context, name string) error {
	time.AfterFunc(600*time.Millisecond, func() { _ = s.SetLimits(context.Background(), name, target.Limits{CPU: 0.25}) })
	return s.Memory.NodeReady(ctx, name)
}

func TestRevertOfALimitSeesALateOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &node.Limit{Node: "redis", CPU: 0.25}
		m, a := armed(t, f)
		if err := f.Revert(t.Context(), lateLimit{m}, a); err == nil || !strings.Contains(err.Error(), "has 0.25 CPU again") {
			t.Errorf("a node that was limited 600 ms after the revert counts as healed: %v", err)
		}
		f, m, a = limited(t)
		began := time.Now()
		if err := f.Revert(t.Context(), m, a); err != nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestWhatIsNoLimit(t *testing.T) {
	for want, f := range map[string]node.Limit{
		"at least one of":            {Node: "redis"},
		"name the node":              {CPU: 0.5},
		"-1 CPU is too little":       {Node: "redis", CPU: -1},
		"0.001 CPU is too little":    {Node: "redis", CPU: 0.001},
		"5MiB of memory is too":      {Node: "redis", Memory: 5 << 20},
		"-3 processes is too little": {Node: "redis", Pids: -3},
	} {
		if _, err := f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
	for _, f := range []*node.Limit{{Node: "redis", Memory: 256 << 20}, {Node: "redis", Pids: 64, CPU: 0.5}} {
		actions, err := f.Plan(shop, able, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Arm(t.Context(), faulttest.NewMemory(shop), actions[0]); err == nil || !strings.Contains(err.Error(), "and it has 256MiB of memory, 64 processes already") {
			t.Errorf("armed limits that limit nothing: %v", err)
		}
	}
	f, m, a := limited(t)
	if _, err := f.Arm(t.Context(), unable{m, m}, a); err == nil || !strings.Contains(err.Error(), "can't limit nodes (node.limit)") {
		t.Errorf("armed on a system that can't limit: %v", err)
	}
}
