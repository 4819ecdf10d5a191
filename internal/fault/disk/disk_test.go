package disk_test

import (
	"strings"
	"testing"

	"chaos/internal/fault"
	"chaos/internal/fault/disk"
	"chaos/internal/fault/faulttest"
	"chaos/internal/kind"
	"chaos/internal/target"
)

var (
	shop = &target.Topology{
		Name: "shop", Nodes: []target.NodeSpec{
			{Name: "db", Stateful: true, Volumes: []string{"/data"}, VolumeSize: "64MiB", Tmpfs: map[string]string{"/tmp": "size=1m"}},
			{Name: "two", Tmpfs: map[string]string{"/tmp": "mode=1777,size=16m", "/run": "size=1m", "/free": "mode=1777"}},
			{Name: "redis", Stateful: true, Volumes: []string{"/data"}},
		},
	}
	able = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbFill}}
)

func fill() *disk.Fill { return &disk.Fill{Node: "db", Leave: 1 << 20} }

func TestConformance(t *testing.T) {
	faulttest.Run(t, faulttest.Case{
		Kind: "disk.fill", New: func() fault.Fault { return fill() }, Zero: func() fault.Fault { return &disk.Fill{} },
		Topology: shop, Capabilities: able, Needs: []target.Verb{target.VerbFill, target.VerbSignal}, Virtual: true,
		Start: func(testing.TB) *faulttest.World {
			m := faulttest.NewMemory(shop)
			return &faulttest.World{System: m, Gate: m.Gate, Hurt: func() bool { return m.DiskOf("db").ID != "" || !m.Up("db") }}
		},
	})
}

func inject(t *testing.T, m *faulttest.Memory) fault.Action {
	t.Helper()
	f := fill()
	actions, err := f.Plan(shop, able, nil)
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

func TestBite(t *testing.T) {
	change := func(c func(*target.DiskState)) func(*faulttest.Memory) {
		return func(m *faulttest.Memory) { m.ChangeDisk("db", c) }
	}
	for _, c := range []struct {
		name           string
		do             func(*faulttest.Memory)
		why, delivered string
	}{
		{"full", func(*faulttest.Memory) {}, "", "1.0MiB of 64.0MiB free at the end (32.0MiB before), 31.0MiB taken"},
		{"the node gave a little back", change(func(d *target.DiskState) { d.Free = 4 << 20 }), "", "4.0MiB of"},
		{"the node gave much back", change(func(d *target.DiskState) { d.Free = 5 << 20 }), "5.0MiB are free, more than 4.2MiB", ""},
		{"given back", change(func(d *target.DiskState) { *d = target.DiskState{} }), "it is not filled", ""},
		{"another's", change(func(d *target.DiskState) { d.ID = "other#0" }), "another fault is on its disk: other#0", ""},
		{"emptied", change(func(d *target.DiskState) { d.Taken, d.Missed = 0, "something removed it" }), "something removed it", ""},
		{"the node has ended", func(m *faulttest.Memory) {
			if err := m.Signal(t.Context(), "db", "KILL"); err != nil {
				t.Fatal(err)
			}
		}, "", "and the node has ended with exit code 137"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := faulttest.NewMemory(shop)
			a := inject(t, m)
			c.do(m)
			b, err := fill().Measure(t.Context(), m, a)
			if err != nil || b.Bit != (c.why == "") || !strings.Contains(b.Why, c.why) || !strings.Contains(b.Delivered, c.delivered) || b.Asked != "1MiB left free in /data" {
				t.Errorf("%+v, %v; want %q, %q", b, err, c.why, c.delivered)
			}
		})
	}
}

// A full disk ends many a process; healed means that it runs again.
func TestRevertStartsTheNode(t *testing.T) {
	m := faulttest.NewMemory(shop)
	a := inject(t, m)
	if err := m.Signal(t.Context(), "db", "KILL"); err != nil {
		t.Fatal(err)
	}
	f := &disk.Fill{}
	if err := f.Confirm(t.Context(), m, a, false); err == nil {
		t.Error("a full disk and a dead node are healed")
	}
	if err := f.Revert(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	if !m.Up("db") || m.DiskOf("db").ID != "" {
		t.Errorf("up %v, disk %+v", m.Up("db"), m.DiskOf("db"))
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		f   disk.Fill
		why string
	}{
		{disk.Fill{Node: "redis"}, "the machine's own disk, which is never filled. In target.yaml give its volumes a bound"},
		{disk.Fill{Node: "redis", Folder: "/data"}, "the machine's own disk"},
		{disk.Fill{Node: "two"}, "name one under folder: /run, /tmp"},
		{disk.Fill{Node: "two", Folder: "/free"}, "those that can be: /run, /tmp"},
		{disk.Fill{Node: "bd"}, `no node "bd"`},
	} {
		if _, err := c.f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v; want %q", c.f, err, c.why)
		}
	}
	m := faulttest.NewMemory(shop)
	a := inject(t, m)
	if _, err := fill().Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "fault f#0 is on its disk") {
		t.Errorf("armed beside another: %v", err)
	}
	big := &disk.Fill{Node: "db", Leave: kind.Size(faulttest.DiskSize / 2)}
	actions, err := big.Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID = "g#0"
	if _, err := big.Arm(t.Context(), faulttest.NewMemory(shop), actions[0]); err == nil || !strings.Contains(err.Error(), "nothing would be filled") {
		t.Errorf("armed on a disk that has no more: %v", err)
	}
}
