package dns_test

import (
	"strings"
	"testing"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/dns"
	"chaos/internal/fault/faulttest"
	"chaos/internal/target"
)

var (
	shop = &target.Topology{
		Name: "shop", Nodes: []target.NodeSpec{{Name: "pay"}, {Name: "redis"}},
		Edges: []target.EdgeSpec{{Name: "pay->redis", From: "pay", To: "redis"}},
	}
	able = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbNames}}
)

const host = "redis.proxy" // of edge pay->redis

func slow() fault.Fault { return &dns.Slow{Edge: "pay->redis", Latency: 2 * time.Second} }

func TestConformance(t *testing.T) {
	for kind, c := range map[string]struct{ filled, zero func() fault.Fault }{
		"dns.no_such_host": {func() fault.Fault { return &dns.NoSuchHost{Edge: "pay->redis"} }, func() fault.Fault { return &dns.NoSuchHost{} }},
		"dns.slow":         {slow, func() fault.Fault { return &dns.Slow{} }},
		"dns.wrong":        {func() fault.Fault { return &dns.Wrong{Node: "pay", Name: host, Answer: "127.0.0.1"} }, func() fault.Fault { return &dns.Wrong{} }},
	} {
		t.Run(kind, func(t *testing.T) {
			faulttest.Run(t, faulttest.Case{
				Kind: kind, New: c.filled, Zero: c.zero, Topology: shop, Capabilities: able, Virtual: true,
				Needs: []target.Verb{target.VerbNames, target.VerbSignal},
				Start: func(testing.TB) *faulttest.World {
					m := faulttest.NewMemory(shop)
					return &faulttest.World{
						System: m, Gate: m.Gate,
						Hurt: func() bool { return m.Naming("pay") != "" },
						Traffic: func(testing.TB) {
							m.LookUp("pay", "psp.proxy", 7)
							m.LookUp("pay", host, 3)
						},
					}
				},
			})
		})
	}
}

func inject(t *testing.T, m *faulttest.Memory, f fault.Fault) fault.Action {
	t.Helper()
	actions, err := f.Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID = "d#0"
	a, err := f.Arm(t.Context(), m, actions[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Inject(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestBite(t *testing.T) {
	state := func(change func(*target.NameState)) func(*faulttest.Memory) {
		return func(m *faulttest.Memory) { m.ChangeNaming("pay", change) }
	}
	for _, c := range []struct {
		name           string
		do             func(*faulttest.Memory)
		why, delivered string
	}{
		{"as asked", func(m *faulttest.Memory) { m.LookUp("pay", host, 4) }, "", "4 of 4 lookups of it so answered, 2s late on average"},
		{"another name", func(m *faulttest.Memory) { m.LookUp("pay", "psp.proxy", 4) }, "never looked redis.proxy up (it made 4 other lookups)", "0 of 0"},
		{"held to the end", state(func(s *target.NameState) { s.Hit, s.Held = 2, 2 }), "", "0 of 2 lookups of it so answered, 2 waiting at the end"},
		{"let go", state(func(s *target.NameState) { s.Hit = 2 }), "no lookup was held", ""},
		{"too soon", state(func(s *target.NameState) { s.Hit, s.Done, s.Late = 2, 2, 3*time.Second }), "held 1.5s on average, not 2s", ""},
		{"soon enough", state(func(s *target.NameState) { s.Hit, s.Done, s.Late = 2, 2, 3200*time.Millisecond }), "", "1.6s late"},
		{"no longer redirected", func(m *faulttest.Memory) {
			m.LookUp("pay", host, 4)
			m.ChangeNaming("pay", func(s *target.NameState) { s.Missed = "something took it back" })
		}, "something took it back", ""},
		{"ended", func(m *faulttest.Memory) {
			m.LookUp("pay", host, 4)
			if err := m.Signal(t.Context(), "pay", "KILL"); err != nil {
				t.Fatal(err)
			}
		}, "looks nothing up", ""},
		{"replaced by another's", state(func(s *target.NameState) { s.ID = "other#0" }), "another fault is on its names: other#0", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, f := faulttest.NewMemory(shop), slow()
			a := inject(t, m, f)
			c.do(m)
			b, err := f.Measure(t.Context(), m, a)
			if err != nil || b.Bit != (c.why == "") || !strings.Contains(b.Why, c.why) || !strings.Contains(b.Delivered, c.delivered) || b.Asked != "redis.proxy answered 2s late" {
				t.Errorf("%+v, %v; want %q", b, err, c.why)
			}
		})
	}
}

// A fault on names is on a process: one that was started since looks names up as before, whatever is still there.
func TestAnotherProcess(t *testing.T) {
	m, f := faulttest.NewMemory(shop), slow()
	a := inject(t, m, f)
	m.LookUp("pay", host, 4)
	a.Before = []byte(`{"started_at":"2026-01-02T15:04:05Z"}`)
	if b, err := f.Measure(t.Context(), m, a); err != nil || b.Bit || !strings.Contains(b.Why, "another one than before the fault") {
		t.Errorf("%+v, %v", b, err)
	}
}

// A second fault on the same node's names finds the first, and does nothing to it.
func TestOneAtATime(t *testing.T) {
	m, f := faulttest.NewMemory(shop), slow()
	a := inject(t, m, f)
	other := &dns.NoSuchHost{Node: "pay", Name: "psp"}
	actions, err := other.Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID = "other#0"
	if _, err := other.Arm(t.Context(), m, actions[0]); err == nil || !strings.Contains(err.Error(), "fault d#0 is on its names") {
		t.Errorf("armed beside another: %v", err)
	}
	actions[0].Before = a.Before
	if err := other.Revert(t.Context(), m, actions[0]); err != nil || m.Naming("pay") != "d#0" {
		t.Errorf("the revert of another: %v, and %q is in force", err, m.Naming("pay"))
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		f   fault.Fault
		why string
	}{
		{&dns.NoSuchHost{}, "name an edge"},
		{&dns.NoSuchHost{Edge: "pay->redis", Node: "pay"}, "not both"},
		{&dns.NoSuchHost{Edge: "pay->redis", Name: "psp"}, "the name of edge pay->redis is redis.proxy"},
		{&dns.NoSuchHost{Node: "pay"}, "write the name that node pay looks up"},
		{&dns.NoSuchHost{Node: "pya", Name: "x"}, `no node "pya"`},
		{&dns.NoSuchHost{Edge: "pay->psp"}, `no edge "pay->psp"`},
		{&dns.Slow{Edge: "pay->redis"}, "latency 0s"},
		{&dns.Wrong{Edge: "pay->redis", Answer: "8.8.8.8"}, "must reach nobody else"},
		{&dns.Wrong{Edge: "pay->redis", Answer: "10.0.0.1"}, "must reach nobody else"},
		{&dns.Wrong{Edge: "pay->redis", Answer: "::1"}, "must reach nobody else"},
	} {
		if _, err := c.f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v; want %q", c.f, err, c.why)
		}
	}
	for _, answer := range []string{"redis", "127.0.0.1", "192.0.2.1", "198.51.100.7", "203.0.113.9"} {
		if _, err := (&dns.Wrong{Edge: "pay->redis", Answer: answer}).Plan(shop, able, nil); err != nil {
			t.Errorf("answer %s: %v", answer, err)
		}
	}
}
