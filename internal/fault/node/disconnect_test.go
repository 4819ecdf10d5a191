package node_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/node"
	"chaos/internal/target"
)

// cutOff plans, arms and injects a disconnect of redis.
func cutOff(t *testing.T) (*node.Disconnect, *faulttest.Memory, fault.Action) {
	t.Helper()
	f := &node.Disconnect{Node: "redis"}
	m, a := armed(t, f)
	if err := f.Inject(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	return f, m, a
}

// A bite needs the process of Arm, off the network at the end; whatever else became of it is said. However
// it is, one revert puts it back under its name.
func TestMeasureOfADisconnect(t *testing.T) {
	for _, c := range []struct {
		name      string
		meanwhile func(m *faulttest.Memory) error
		bit       bool
		said      string
	}{
		{"nothing else", func(*faulttest.Memory) error { return nil }, true, "for at most 10.0 s, the same process"},
		{"connected", func(m *faulttest.Memory) error { m.Plug("redis", target.Connected); return nil }, false, "something else connected it"},
		{"nameless", func(m *faulttest.Memory) error { m.Plug("redis", target.Nameless); return nil }, false, "without its name"},
		{"killed", func(m *faulttest.Memory) error { return m.Signal(context.Background(), "redis", "KILL") }, false, "has ended (exit code 137)"},
		{"replaced", restarted, false, "another one than before"},
		{"removed", func(m *faulttest.Memory) error { m.Remove("redis"); return nil }, false, "somebody removed it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, m, a := cutOff(t)
				time.Sleep(10 * time.Second)
				if err := c.meanwhile(m); err != nil {
					t.Fatal(err)
				}
				b, err := f.Measure(t.Context(), m, a)
				if err != nil || b.Bit != c.bit || !strings.Contains(b.Delivered+b.Why, c.said) {
					t.Errorf("%+v, %v; want %q", b, err, c.said)
				}
				if err := f.Confirm(t.Context(), m, a, true); (err == nil) != c.bit {
					t.Errorf("confirmed as active: %v", err)
				}
				if c.name == "removed" {
					wantGone(t, f.Revert(t.Context(), m, a))
					return
				}
				if err := f.Revert(t.Context(), m, a); err != nil || !m.Up("redis") || m.Plugged("redis") != target.Connected {
					t.Errorf("reverted: %v, up %v, %v", err, m.Up("redis"), m.Plugged("redis"))
				}
				if err := f.Confirm(t.Context(), m, a, false); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func wantGone(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "chaos target up") {
		t.Errorf("reverted a node that is gone: %v", err)
	}
}

// A node that is ready and off the network is not healed: its health check may run inside it.
func TestReadyIsNotConnected(t *testing.T) {
	f, m, a := cutOff(t)
	for _, c := range []target.Connection{target.Disconnected, target.Nameless} {
		m.Plug("redis", c)
		if err := f.Confirm(t.Context(), m, a, false); err == nil || !strings.Contains(err.Error(), c.String()) {
			t.Errorf("a node that is %v counts as healed: %v", c, err)
		}
		if _, err := f.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), c.String()+" before the fault") {
			t.Errorf("armed on a node that is %v: %v", c, err)
		}
	}
}

// lateDisconnect is a system in which a disconnect of a dead harness arrives 600 ms after NodeReady.
type lateDisconnect struct{ *faulttest.Memory }

func (s lateDisconnect) NodeReady(ctx context.Context, name string) error {
	time.AfterFunc(600*time.Millisecond, func() { s.Plug(name, target.Disconnected) })
	return s.Memory.NodeReady(ctx, name)
}

// Only when nothing was seen to be undone is it unclear whether a disconnect is under way: then it is
// watched for. Else `reverted` is as early as it is true.
func TestRevertOfADisconnectSeesALateOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &node.Disconnect{Node: "redis"}
		m, a := armed(t, f)
		if err := f.Revert(t.Context(), lateDisconnect{m}, a); err == nil || !strings.Contains(err.Error(), "off the network again") {
			t.Errorf("a node that was disconnected 600 ms after the revert counts as healed: %v", err)
		}
		if err := f.Revert(t.Context(), m, a); err != nil || m.Plugged("redis") != target.Connected {
			t.Errorf("the next revert: %v, %v", err, m.Plugged("redis"))
		}
		f, m, a = cutOff(t)
		was, began := m.Started("redis"), time.Now()
		if err := f.Revert(t.Context(), m, a); err != nil || !m.Started("redis").Equal(was) {
			t.Errorf("%v, started %v, was %v", err, m.Started("redis"), was)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestASystemThatCannotDisconnectIsNamed(t *testing.T) {
	f, m, a := cutOff(t)
	s := unable{m, m}
	_, armErr := f.Arm(t.Context(), s, a)
	for what, err := range map[string]error{"arm": armErr, "inject": f.Inject(t.Context(), s, a), "revert": f.Revert(t.Context(), s, a)} {
		if err == nil || !strings.Contains(err.Error(), "can't disconnect nodes (node.disconnect)") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
