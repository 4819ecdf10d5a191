package disk_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/disk"
	"chaos/internal/fault/faulttest"
	"chaos/internal/slowdisk"
	"chaos/internal/target"
)

var slows = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbSlow}}

func slow() *disk.Slow {
	return &disk.Slow{Node: "db", Latency: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Ops: []string{slowdisk.Write, slowdisk.Sync}}
}

func TestSlowConformance(t *testing.T) {
	faulttest.Run(t, faulttest.Case{
		Kind: "disk.slow", New: func() fault.Fault { return slow() }, Zero: func() fault.Fault { return &disk.Slow{} },
		Topology: shop, Capabilities: slows, Needs: []target.Verb{target.VerbSlow, target.VerbSignal}, Virtual: true,
		Start: func(testing.TB) *faulttest.World {
			m := faulttest.NewMemory(shop)
			return &faulttest.World{System: m, Gate: m.Gate, Hurt: func() bool { return m.SlownessOf("db").ID != "" || !m.Up("db") }}
		},
	})
}

func injectSlow(t *testing.T, m *faulttest.Memory) fault.Action {
	t.Helper()
	f := slow()
	actions, err := f.Plan(shop, slows, nil)
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

func TestSlowBite(t *testing.T) {
	counts := func(of map[string]slowdisk.Count, held int) func(*faulttest.Memory) {
		return func(m *faulttest.Memory) {
			m.ChangeSlowness("db", func(s *target.Slowness) { s.Counts, s.Held, s.Passed = of, held, 7 })
		}
	}
	second := func(n uint64, asked, added int) slowdisk.Count {
		return slowdisk.Count{N: n, Asked: time.Duration(asked) * time.Second, Added: time.Duration(added) * time.Second}
	}
	for _, c := range []struct {
		name           string
		do             func(*faulttest.Memory)
		why, delivered string
	}{
		{"slow", func(*faulttest.Memory) {}, "", "10 writes 20ms later on average, no sync; 0 other system calls"},
		{"both", counts(map[string]slowdisk.Count{slowdisk.Write: second(1, 1, 1), slowdisk.Sync: second(4, 4, 6)}, 2), "",
			"1 write 1s later on average, 4 syncs 1.5s later on average, 2 held at the end; 7 other system calls"},
		{"idle", counts(nil, 0), "its processes did none of this in /data", "no write, no sync; 7 other"},
		{"held at the end", counts(nil, 1), "", "no write, no sync, 1 held at the end"},
		{"just enough", counts(map[string]slowdisk.Count{slowdisk.Write: second(10, 10, 8)}, 0), "", "10 writes 800ms later"},
		{"too little", counts(map[string]slowdisk.Count{slowdisk.Write: second(10, 10, 7)}, 1), "held 700ms on average, not 1s", "10 writes 700ms later"},
		{"ended", func(m *faulttest.Memory) { m.ChangeSlowness("db", func(s *target.Slowness) { *s = target.Slowness{} }) }, "it is not slow: it never was slow", ""},
		{"another's", func(m *faulttest.Memory) { m.ChangeSlowness("db", func(s *target.Slowness) { s.ID = "other#0" }) }, "another fault is on its disk: other#0", ""},
		{"missed", func(m *faulttest.Memory) {
			m.ChangeSlowness("db", func(s *target.Slowness) { s.Missed = "something ended it" })
		}, "something ended it", "what it held is not known any more"},
		{"the node has ended", func(m *faulttest.Memory) {
			if err := m.Signal(t.Context(), "db", "KILL"); err != nil {
				t.Fatal(err)
			}
		}, "its process has ended", "and the node has ended with exit code 137"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := faulttest.NewMemory(shop)
			a := injectSlow(t, m)
			c.do(m)
			b, err := (&disk.Slow{}).Measure(t.Context(), m, a)
			if err != nil || b.Bit != (c.why == "") || !strings.Contains(b.Why, c.why) || !strings.Contains(b.Delivered, c.delivered) ||
				b.Asked != "write, sync in /data later by 20ms ± 5ms" {
				t.Errorf("%+v, %v; want %q, %q", b, err, c.why, c.delivered)
			}
		})
	}
}

func TestSlowRefused(t *testing.T) {
	for _, c := range []struct {
		change func(*disk.Slow)
		why    string
	}{
		{func(f *disk.Slow) { f.Node = "two" }, "name one under folder: /free, /run, /tmp"},
		{func(f *disk.Slow) { f.Folder = "/etc" }, "none of its volumes and tmpfs: /data, /tmp"},
		{func(f *disk.Slow) { f.Node = "bd" }, `no node "bd"`},
		{func(f *disk.Slow) { f.Latency = 0 }, "latency 0s is not from 1ms to 1m"},
		{func(f *disk.Slow) { f.Latency = time.Hour }, "latency 1h0m0s is not from 1ms to 1m"},
		{func(f *disk.Slow) { f.Jitter = 21 * time.Millisecond }, "a jitter up to it"},
		{func(f *disk.Slow) { f.Ops = []string{"raed"} }, `operation "raed": want read, write, sync`},
		{func(f *disk.Slow) { f.Ops = nil }, "and operations"},
	} {
		f := slow()
		c.change(f)
		if _, err := f.Plan(shop, slows, nil); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v; want %q", f, err, c.why)
		}
	}
	m := faulttest.NewMemory(shop)
	a := injectSlow(t, m)
	if _, err := slow().Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "fault f#0 is on its disk") {
		t.Errorf("armed beside another: %v", err)
	}
	a.Args = json.RawMessage(`{"node":"db","folder":"/data"}`)
	if err := slow().Revert(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "the journal is damaged") {
		t.Errorf("reverted without its arguments: %v", err)
	}
}
