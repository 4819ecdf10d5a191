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

// paused plans, arms and injects a pause of redis.
func paused(t *testing.T) (*node.Pause, *faulttest.Memory, fault.Action) {
	t.Helper()
	f := &node.Pause{Node: "redis"}
	m, a := armed(t, f)
	if err := f.Inject(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	return f, m, a
}

// A bite needs the process of Arm, paused at the end; whatever else became of it is said.
func TestMeasureOfAPause(t *testing.T) {
	for _, c := range []struct {
		name      string
		meanwhile func(m *faulttest.Memory) error
		bit       bool
		said      string
	}{
		{"nothing else", func(*faulttest.Memory) error { return nil }, true, "for at most 10.0 s"},
		{"unpaused", func(m *faulttest.Memory) error { return m.Unpause(context.Background(), "redis") }, false, "something else unpaused it"},
		{"killed", func(m *faulttest.Memory) error { return m.Signal(context.Background(), "redis", "KILL") }, false, "has ended (exit code 137)"},
		{"replaced", restarted, false, "another one than before"},
		{"replaced and paused", func(m *faulttest.Memory) error {
			return errors.Join(restarted(m), m.Pause(context.Background(), "redis"))
		}, false, "another one than before"},
		{"removed", func(m *faulttest.Memory) error { m.Remove("redis"); return nil }, false, "somebody removed it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, m, a := paused(t)
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
			})
		})
	}
}

func restarted(m *faulttest.Memory) error {
	ctx := context.Background()
	return errors.Join(m.Signal(ctx, "redis", "KILL"), m.StartNode(ctx, "redis"))
}

// A pause is undone without a restart and at once: the process keeps its memory, and `reverted` is as
// early as it is true.
func TestARevertedPauseIsTheSameProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m, a := paused(t)
		was, began := m.Started("redis"), time.Now()
		if err := f.Revert(t.Context(), m, a); err != nil || !m.Up("redis") || !m.Started("redis").Equal(was) {
			t.Errorf("%v, up %v, started %v; was %v", err, m.Up("redis"), m.Started("redis"), was)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// A process that ended while it was paused is started by the revert.
func TestRevertOfAPauseThatKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m, a := paused(t)
		if err := m.Signal(t.Context(), "redis", "KILL"); err != nil {
			t.Fatal(err)
		}
		if err := f.Revert(t.Context(), m, a); err != nil || !m.Up("redis") {
			t.Errorf("%v, up %v", err, m.Up("redis"))
		}
	})
}

// A process that ends as soon as it is let go on is told before it is started again.
func TestAProcessThatEndsWhenItGoesOnIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m, a := paused(t)
		m.EndAt("redis", time.Now())
		if err := f.Revert(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "does not run") {
			t.Errorf("it was not told: %v", err)
		}
		if err := f.Revert(t.Context(), m, a); err != nil || !m.Up("redis") {
			t.Errorf("the next revert: %v, up %v", err, m.Up("redis"))
		}
	})
}

// latePause is a system in which a pause of a dead harness arrives 600 ms after NodeReady.
type latePause struct{ *faulttest.Memory }

func (s latePause) NodeReady(ctx context.Context, name string) error {
	time.AfterFunc(600*time.Millisecond, func() { _ = s.Memory.Pause(context.Background(), name) })
	return s.Memory.NodeReady(ctx, name)
}

// When it is not known whether a pause is under way, the revert sees one that arrives.
func TestRevertSeesALatePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &node.Pause{Node: "redis"}
		m, a := armed(t, f)
		if err := f.Revert(t.Context(), latePause{m}, a); err == nil || !strings.Contains(err.Error(), "paused again") {
			t.Errorf("a node that was paused 600 ms after the revert counts as healed: %v", err)
		}
		if err := f.Revert(t.Context(), m, a); err != nil || !m.Up("redis") {
			t.Errorf("the next revert: %v, up %v", err, m.Up("redis"))
		}
	})
}

// cancelling is a system in which the run is cancelled while a call is under way.
type cancelling struct {
	*faulttest.Memory
	cancel func()
}

func (s cancelling) Pause(ctx context.Context, name string) error {
	s.cancel()
	return s.Memory.Pause(ctx, name)
}

func (s cancelling) StartNode(ctx context.Context, name string) error {
	s.cancel()
	return s.Memory.StartNode(ctx, name)
}

// A change that was begun is waited for although the run is cancelled meanwhile.
func TestAChangeThatWasBegunIsFinished(t *testing.T) {
	for name, f := range map[string]fault.Fault{"pause": &node.Pause{Node: "redis"}, "restart": &node.Restart{Node: "redis"}} {
		synctest.Test(t, func(t *testing.T) {
			m, a := armed(t, f)
			ctx, cancel := context.WithCancel(t.Context())
			if err := f.Inject(ctx, cancelling{m, cancel}, a); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := f.Confirm(t.Context(), m, a, true); err != nil {
				t.Errorf("%s: Inject returned before what it began was answered: %v", name, err)
			}
		})
	}
}

// unable is a system whose runtime can't pause.
type unable struct {
	target.System
	target.Signaller
}

func TestASystemThatCannotPauseIsNamed(t *testing.T) {
	f, m, a := paused(t)
	s := unable{m, m}
	_, armErr := f.Arm(t.Context(), s, a)
	for what, err := range map[string]error{"arm": armErr, "inject": f.Inject(t.Context(), s, a), "revert": f.Revert(t.Context(), s, a)} {
		if err == nil || !strings.Contains(err.Error(), "can't pause nodes (node.pause)") {
			t.Errorf("%s: %v", what, err)
		}
	}
	m.Remove("redis")
	if err := f.Revert(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "chaos target up") {
		t.Errorf("reverted a node that is gone: %v", err)
	}
}
