package node_test

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
	"chaos/internal/fault/node"
	"chaos/internal/target"
)

var (
	shop = &target.Topology{Name: "shop", Image: map[string]target.Image{"old": {}}, Variants: map[string]target.Variant{"naive": {}}, Nodes: []target.NodeSpec{{Name: "web"}, {Name: "redis", HealWithin: 2 * time.Second}, {Name: "sql"}}}
	able = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbPause, target.VerbDisconnect, target.VerbLimit, target.VerbReplace, target.VerbCall}}
)

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  string
		new   func() fault.Fault
		obeys time.Duration
	}{
		{"stop, ends at once", "node.stop", func() fault.Fault { return &node.Stop{Node: "redis", Grace: 2 * time.Second} }, 0},
		{"stop, ends within the grace", "node.stop", func() fault.Fault { return &node.Stop{Node: "redis", Grace: 2 * time.Second} }, 900 * time.Millisecond},
		{"stop, ignores SIGTERM", "node.stop", func() fault.Fault { return &node.Stop{Node: "redis", Grace: 300 * time.Millisecond} }, -1},
		{"kill", "node.kill", func() fault.Fault { return &node.Kill{Node: "redis"} }, 0},
		{"pause", "node.pause", func() fault.Fault { return &node.Pause{Node: "redis"} }, 0},
		{"disconnect", "node.disconnect", func() fault.Fault { return &node.Disconnect{Node: "redis"} }, 0},
		{"restart, ends at once", "node.restart", func() fault.Fault { return &node.Restart{Node: "redis", Grace: 2 * time.Second} }, 0},
		{"restart, ends within the grace", "node.restart", func() fault.Fault { return &node.Restart{Node: "redis", Grace: 2 * time.Second} }, 900 * time.Millisecond},
		{"restart, ignores SIGTERM", "node.restart", func() fault.Fault { return &node.Restart{Node: "redis", Grace: 300 * time.Millisecond} }, -1},
		{"crash loop", "node.crash_loop", func() fault.Fault { return &node.CrashLoop{Node: "redis", Up: time.Second, Down: time.Second} }, 0},
		{"replace, ends at once", "node.replace", func() fault.Fault { return deployment(0) }, 0},
		{"replace, drains", "node.replace", func() fault.Fault { return deployment(2 * time.Second) }, 900 * time.Millisecond},
		{"replace, ignores SIGTERM", "node.replace", func() fault.Fault { return deployment(300 * time.Millisecond) }, -1},
	} {
		needs := []target.Verb{target.VerbSignal}
		switch c.kind {
		case "node.replace":
			needs = append(needs, target.VerbReplace)
		case "node.pause":
			needs = append(needs, target.VerbPause)
		case "node.disconnect":
			needs = append(needs, target.VerbDisconnect)
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			faulttest.Run(t, faulttest.Case{
				Kind: c.kind, New: c.new, Zero: zero(t, c.kind), Topology: shop, Capabilities: able,
				Needs: needs, Virtual: true,
				Start: func(testing.TB) *faulttest.World {
					m := faulttest.NewMemory(shop)
					m.Obeys = c.obeys
					w := &faulttest.World{System: m, Gate: m.Gate, Hurt: func() bool {
						return m.MadeOf("redis") != faulttest.FirstMade() || m.MadeOf("web") != faulttest.FirstMade() || !m.Up("redis") || !m.Up("web") || m.Plugged("redis") != target.Connected || m.Plugged("web") != target.Connected
					}}
					if c.kind == "node.restart" {
						w.Since = func() func() bool {
							old := m.Started("redis")
							return func() bool { return !m.Started("redis").Equal(old) || !m.Up("redis") }
						}
					}
					return w
				},
			})
		})
	}
}

// deployment is a bad one, whose undo must do without what the journal masks.
func deployment(grace time.Duration) *node.Replace {
	return &node.Replace{Node: "redis", Env: map[string]string{"DB_PASSWORD": "wrong", "LOG": "debug"}, Image: "old", Strategy: "all-at-once", Grace: grace}
}

func zero(t *testing.T, kind string) func() fault.Fault {
	return func() fault.Fault {
		f, err := node.Kinds().New(kind)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// armed plans and arms f in a system of its own.
func armed(t *testing.T, f fault.Fault) (*faulttest.Memory, fault.Action) {
	t.Helper()
	m := faulttest.NewMemory(shop)
	actions, err := f.Plan(shop, able, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Arm(t.Context(), m, actions[0])
	if err != nil {
		t.Fatal(err)
	}
	return m, a
}

// The grace is ours: a process that obeys is not killed, one that does not is killed after the grace
// and not before.
func TestGrace(t *testing.T) {
	for _, c := range []struct {
		obeys, took time.Duration
		exit        string
	}{
		{700 * time.Millisecond, 700 * time.Millisecond, "exit code 0"},
		{-1, 2 * time.Second, "exit code 137"},
		{time.Hour, 2 * time.Second, "exit code 137"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &node.Stop{Node: "redis", Grace: 2 * time.Second}
			m, a := armed(t, f)
			m.Obeys = c.obeys
			began := time.Now()
			if err := f.Inject(t.Context(), m, a); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < c.took || took > c.took+100*time.Millisecond {
				t.Errorf("obeys after %v: down after %v, want %v", c.obeys, took, c.took)
			}
			time.Sleep(10 * time.Second)
			b, err := f.Measure(t.Context(), m, a)
			if err != nil || !b.Bit || b.Delivered != "down 10.0 s, "+c.exit {
				t.Errorf("%+v, %v; want down 10.0 s, %s", b, err, c.exit)
			}
		})
	}
}

// A completed stop is healed as soon as the node is ready; only when it is unclear whether a signal
// is under way does the revert watch for a second.
func TestRevertTakesNoLongerThanNeeded(t *testing.T) {
	for _, injected := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := &node.Stop{Node: "redis", Grace: time.Second}
			m, a := armed(t, f)
			if injected {
				if err := f.Inject(t.Context(), m, a); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			if err := f.Revert(t.Context(), m, a); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); (took < 500*time.Millisecond) != injected || took > 1500*time.Millisecond {
				t.Errorf("injected %v: reverted after %v", injected, took)
			}
		})
	}
}

// lateKill is a system in which a signal of a dead harness arrives 600 ms after the node was started.
type lateKill struct{ *faulttest.Memory }

func (s lateKill) StartNode(ctx context.Context, name string) error {
	err := s.Memory.StartNode(ctx, name)
	s.EndAt(name, time.Now().Add(600*time.Millisecond))
	return err
}

// A node that dies again within the second was not healed.
func TestRevertSeesALateSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &node.Stop{Node: "redis"}
		m, a := armed(t, f)
		if err := f.Revert(t.Context(), lateKill{m}, a); err == nil || !strings.Contains(err.Error(), "did not stay up") {
			t.Errorf("a node that was killed 600 ms after the revert counts as healed: %v", err)
		}
		if err := f.Revert(t.Context(), m, a); err != nil || !m.Up("redis") {
			t.Errorf("the next revert: %v, up %v", err, m.Up("redis"))
		}
		// The same, and an engine's restart policy has started it once more when it is looked at again.
		m, a = armed(t, f)
		n, other := 0, time.Now().Add(time.Hour)
		restarted := seen{m, func(st *target.State) {
			if n++; n > 3 { // unclear, gone, watched first, watched last
				st.StartedAt = other
			}
		}}
		if err := f.Revert(t.Context(), restarted, a); err == nil || !strings.Contains(err.Error(), "did not stay up") {
			t.Errorf("a node that restarts by itself counts as healed: %v", err)
		}
	})
}

// A signal that was begun is waited for although the run is cancelled meanwhile: none can arrive
// after the revert.
func TestInjectWaitsForItsSignal(t *testing.T) {
	f := &node.Kill{Node: "redis"}
	m, a := armed(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	s := slowSignal{m, cancel}
	if err := f.Inject(ctx, s, a); !errors.Is(err, context.Canceled) {
		t.Errorf("Inject: %v", err)
	}
	if m.Up("redis") {
		t.Error("Inject returned before the signal that it began was answered")
	}
}

type slowSignal struct {
	*faulttest.Memory
	cancel func()
}

func (s slowSignal) Signal(ctx context.Context, name, signal string) error {
	s.cancel()
	return s.Memory.Signal(ctx, name, signal)
}

// What something else did to the node is never claimed.
func TestMeasureOfAForeignRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, endsAgain := range []bool{false, true} {
			f := &node.Kill{Node: "redis"}
			m, a := armed(t, f)
			if err := f.Inject(t.Context(), m, a); err != nil {
				t.Fatal(err)
			}
			if err := m.StartNode(t.Context(), "redis"); err != nil {
				t.Fatal(err)
			}
			if endsAgain {
				m.EndAt("redis", time.Now())
			}
			b, err := f.Measure(t.Context(), m, a)
			if err != nil || b.Bit || !strings.Contains(b.Why, "something else") {
				t.Errorf("ends again %v: %+v, %v", endsAgain, b, err)
			}
			if err := f.Confirm(t.Context(), m, a, true); err == nil {
				t.Errorf("ends again %v: confirmed as active", endsAgain)
			}
		}
	})
}

func TestArmRefusesWhatIsBrokenAlready(t *testing.T) {
	f := &node.Kill{Node: "redis"}
	m, a := armed(t, f)
	m.EndAt("redis", time.Now())
	if _, err := f.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "does not run before the fault") {
		t.Errorf("armed on a dead node: %v", err)
	}
	m.Remove("redis")
	if err := f.Revert(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "chaos target up") {
		t.Errorf("reverted a node that is gone: %v", err)
	}
	if b, err := f.Measure(t.Context(), m, a); err != nil || b.Bit || !strings.Contains(b.Why, "removed it") {
		t.Errorf("bit a node that is gone: %+v, %v", b, err)
	}
}

// seen changes what the runtime tells of a node.
type seen struct {
	*faulttest.Memory
	change func(*target.State)
}

func (s seen) State(ctx context.Context, name string) (target.State, error) {
	st, err := s.Memory.State(ctx, name)
	s.change(&st)
	return st, err
}

func TestPausedAndUnknown(t *testing.T) {
	f := &node.Kill{Node: "redis"}
	m, a := armed(t, f)
	paused := seen{m, func(st *target.State) { st.Paused = true }}
	if _, err := f.Arm(t.Context(), paused, a); err == nil || !strings.Contains(err.Error(), "paused before") {
		t.Errorf("armed on a paused node: %v", err)
	}
	if err := f.Confirm(t.Context(), paused, a, false); err == nil || !strings.Contains(err.Error(), "paused") {
		t.Errorf("a paused node counts as healed: %v", err)
	}
	if _, err := f.Arm(t.Context(), seen{m, func(st *target.State) { st.StartedAt = time.Time{} }}, a); err == nil {
		t.Error("armed though old and new can't be told apart")
	}
	for _, before := range []string{"", "{}", "null"} {
		a.Before = []byte(before)
		if err := f.Revert(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "never armed") {
			t.Errorf("before %q: reverted without knowing the old process: %v", before, err)
		}
	}
}

// A second revert finds its work done: it must not restart the node again.
func TestRevertTwiceRestartsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &node.Kill{Node: "redis"}
		m, a := armed(t, f)
		if err := errors.Join(f.Inject(t.Context(), m, a), f.Revert(t.Context(), m, a)); err != nil {
			t.Fatal(err)
		}
		first, _ := m.State(t.Context(), "redis")
		if err := f.Revert(t.Context(), m, a); err != nil {
			t.Fatal(err)
		}
		if second, _ := m.State(t.Context(), "redis"); !second.StartedAt.Equal(first.StartedAt) {
			t.Errorf("the second revert restarted the node: %v, then %v", first.StartedAt, second.StartedAt)
		}
	})
}

func TestPlanErrors(t *testing.T) {
	for want, f := range map[string]fault.Fault{
		"its nodes are web, redis, sql": &node.Kill{Node: "reddis"},
		"name the node":                 &node.Stop{},
		"grace -1s":                     &node.Stop{Node: "redis", Grace: -time.Second},
		"grace 2m0s":                    &node.Stop{Node: "redis", Grace: 2 * time.Minute},
	} {
		if _, err := f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}

func TestHealDeadline(t *testing.T) {
	for name, want := range map[string]time.Duration{"redis": 2 * time.Second, "sql": 10 * time.Second} {
		actions, err := (&node.Kill{Node: name}).Plan(shop, able, nil)
		if err != nil || actions[0].Heal != want || actions[0].Place != "node:"+name {
			t.Errorf("%s: %+v, %v; want %v", name, actions, err, want)
		}
	}
}
