package disk_test

import (
	"strings"
	"testing"

	"chaos/internal/fault"
	"chaos/internal/fault/disk"
	"chaos/internal/fault/faulttest"
	"chaos/internal/target"
)

var protects = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbReadOnly}}

func TestReadOnlyConformance(t *testing.T) {
	faulttest.Run(t, faulttest.Case{
		Kind: "disk.read_only", New: func() fault.Fault { return &disk.ReadOnly{Node: "db"} }, Zero: func() fault.Fault { return &disk.ReadOnly{} },
		Topology: shop, Capabilities: protects, Needs: []target.Verb{target.VerbReadOnly, target.VerbSignal}, Virtual: true,
		Start: func(testing.TB) *faulttest.World {
			m := faulttest.NewMemory(shop)
			return &faulttest.World{System: m, Gate: m.Gate, Hurt: func() bool { return m.ProtectionOf("db").ID != "" || !m.Up("db") }}
		},
	})
}

func injectReadOnly(t *testing.T, m *faulttest.Memory) fault.Action {
	t.Helper()
	f := &disk.ReadOnly{Node: "db"}
	actions, err := f.Plan(shop, protects, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID = "f#0"
	a, err := f.Arm(t.Context(), m, actions[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Inject(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReadOnlyBite(t *testing.T) {
	change := func(c func(*target.Protection)) func(*faulttest.Memory) {
		return func(m *faulttest.Memory) { m.ChangeProtection("db", c) }
	}
	kill := func(m *faulttest.Memory) {
		if err := m.Signal(t.Context(), "db", "KILL"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name           string
		do             func(*faulttest.Memory)
		why, delivered string
	}{
		{"read-only", func(*faulttest.Memory) {}, "", "making a file in it at the end: read-only file system; 1 file open for writing since before the fault stayed writable"},
		{"writable", change(func(p *target.Protection) { p.Attempt = "" }), "a file could be made in it", "a file could be made in it at the end"},
		{"made writable", change(func(p *target.Protection) { *p = target.Protection{} }), "it is not read-only: it never was read-only", ""},
		{"another's", change(func(p *target.Protection) { p.ID = "other#0" }), "another fault is on its disk: other#0", ""},
		{"unmounted", change(func(p *target.Protection) { p.Missed = "something unmounted it" }), "something unmounted it", ""},
		{"the node has ended", kill, "", "the node has ended with exit code 137"},
		{"the node was started anew", func(m *faulttest.Memory) {
			kill(m)
			if err := m.StartNode(t.Context(), "db"); err != nil {
				t.Fatal(err)
			}
			m.ChangeProtection("db", func(p *target.Protection) { p.Attempt, p.Missed = "", "what made it so has ended" })
		}, "what made it so has ended", ", and the node was started anew meanwhile"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := faulttest.NewMemory(shop)
			a := injectReadOnly(t, m)
			c.do(m)
			b, err := (&disk.ReadOnly{}).Measure(t.Context(), m, a)
			if err != nil || b.Bit != (c.why == "") || !strings.Contains(b.Why, c.why) || !strings.Contains(b.Delivered, c.delivered) || b.Asked != "/data read-only" {
				t.Errorf("%+v, %v; want %q, %q", b, err, c.why, c.delivered)
			}
		})
	}
}

// A database may end by a read-only disk; healed means that it runs again.
func TestReadOnlyRevertStartsTheNode(t *testing.T) {
	m := faulttest.NewMemory(shop)
	a := injectReadOnly(t, m)
	if err := m.Signal(t.Context(), "db", "KILL"); err != nil {
		t.Fatal(err)
	}
	f := &disk.ReadOnly{}
	if err := f.Confirm(t.Context(), m, a, false); err == nil {
		t.Error("a read-only disk and a dead node are healed")
	}
	if err := f.Revert(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	if !m.Up("db") || m.ProtectionOf("db").ID != "" {
		t.Errorf("up %v, %+v", m.Up("db"), m.ProtectionOf("db"))
	}
}

func TestReadOnlyRefused(t *testing.T) {
	for _, c := range []struct {
		f   disk.ReadOnly
		why string
	}{
		{disk.ReadOnly{Node: "two"}, "name one under folder: /free, /run, /tmp"},
		{disk.ReadOnly{Node: "redis", Folder: "/etc"}, "none of its volumes and tmpfs: /data"},
		{disk.ReadOnly{Node: "bare"}, "has no folder that it can write"},
		{disk.ReadOnly{Node: "bd"}, `no node "bd"`},
	} {
		top := *shop
		top.Nodes = append(top.Nodes[:len(top.Nodes):len(top.Nodes)], target.NodeSpec{Name: "bare"})
		if _, err := c.f.Plan(&top, protects, nil); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v; want %q", c.f, err, c.why)
		}
	}
	m := faulttest.NewMemory(shop)
	a := injectReadOnly(t, m)
	f := &disk.ReadOnly{Node: "db"}
	if _, err := f.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "fault f#0 is on its disk") {
		t.Errorf("armed beside another: %v", err)
	}
	m = faulttest.NewMemory(shop)
	m.ChangeProtection("db", func(p *target.Protection) { p.Attempt = "no space left on device" })
	if _, err := f.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "no file can be made in it before the fault") {
		t.Errorf("armed on a folder that is not writable: %v", err)
	}
}
