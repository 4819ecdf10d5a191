package node_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/node"
	"chaos/internal/target"
)

// The grace is ours, and the new process is started as soon as the old one has ended.
func TestRestartStartsAtOnce(t *testing.T) {
	for _, c := range []struct{ obeys, took time.Duration }{
		{0, 0},
		{700 * time.Millisecond, 700 * time.Millisecond},
		{-1, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &node.Restart{Node: "redis", Grace: 2 * time.Second}
			m, a := armed(t, f)
			m.Obeys = c.obeys
			began := time.Now()
			if err := f.Inject(t.Context(), m, a); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < c.took || took > c.took+100*time.Millisecond {
				t.Errorf("obeys after %v: restarted after %v, want %v", c.obeys, took, c.took)
			}
			time.Sleep(5 * time.Second)
			b, err := f.Measure(t.Context(), m, a)
			if err != nil || !b.Bit || !strings.HasPrefix(b.Delivered, "a new process 0.0") || !strings.HasSuffix(b.Delivered, " s after the old one ended, ready") {
				t.Errorf("%+v, %v", b, err)
			}
			was := m.Started("redis")
			if err := f.Revert(t.Context(), m, a); err != nil || !m.Started("redis").Equal(was) {
				t.Errorf("the revert of what had passed: %v, started %v, was %v", err, m.Started("redis"), was)
			}
		})
	}
}

// What became of the two processes is said; only a new one that runs is a bite.
func TestMeasureOfARestart(t *testing.T) {
	for _, c := range []struct {
		name      string
		injected  bool
		meanwhile func(m *faulttest.Memory) // at once after the injection
		bit       bool
		said      string
	}{
		{"at once", true, func(*faulttest.Memory) {}, true, "not ready yet"},
		{"never injected", false, func(*faulttest.Memory) {}, false, "it never ended"},
		{"not started again", false, func(m *faulttest.Memory) { m.EndAt("redis", time.Now()) }, false, "was not started again"},
		{"did not stay up", true, func(m *faulttest.Memory) { m.EndAt("redis", time.Now()) }, false, "did not stay up"},
		{"removed", true, func(m *faulttest.Memory) { m.Remove("redis") }, false, "somebody removed it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &node.Restart{Node: "redis", Grace: time.Second}
				m, a := armed(t, f)
				if c.injected {
					if err := f.Inject(t.Context(), m, a); err != nil {
						t.Fatal(err)
					}
				}
				c.meanwhile(m)
				b, err := f.Measure(t.Context(), slowly{m}, a)
				if err != nil || b.Bit != c.bit || !strings.Contains(b.Delivered+b.Why, c.said) {
					t.Errorf("%+v, %v; want %q", b, err, c.said)
				}
				var d struct {
					Ready bool `json:"ready"`
				}
				if c.bit && (json.Unmarshal(b.Detail, &d) != nil || d.Ready) {
					t.Errorf("detail %s", b.Detail)
				}
				if c.name == "removed" {
					return
				}
				if err := f.Revert(t.Context(), m, a); err != nil || !m.Up("redis") {
					t.Errorf("revert: %v, up %v", err, m.Up("redis"))
				}
			})
		})
	}
}

// slowly is a system in which a running node needs a minute to become ready.
type slowly struct{ *faulttest.Memory }

func (s slowly) NodeReady(ctx context.Context, _ string) error {
	select {
	case <-time.After(time.Minute):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// An engine that does not tell when the old process ended gets no seconds made up for it.
func TestRestartWithoutTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []time.Time{{}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)} {
			f := &node.Restart{Node: "redis"}
			m, a := armed(t, f)
			if err := f.Inject(t.Context(), m, a); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			b, err := f.Measure(t.Context(), seen{m, func(st *target.State) { st.FinishedAt = end }}, a)
			if err != nil || !b.Bit || b.Delivered != "a new process, ready" {
				t.Errorf("end %v: %+v, %v", end, b, err)
			}
		}
	})
}

func TestPlanOfRestartAndPause(t *testing.T) {
	for want, f := range map[string]fault.Fault{
		"node.restart: grace -1s":     &node.Restart{Node: "redis", Grace: -time.Second},
		"node.restart: name the node": &node.Restart{},
		"node.pause: name the node":   &node.Pause{},
		`no node "reddis"`:            &node.Pause{Node: "reddis"},
	} {
		if _, err := f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
	elsewhere := target.Capabilities{Runtime: "urls"}.Among([]target.Capabilities{able, {Runtime: "urls"}})
	if _, err := (&node.Pause{Node: "redis"}).Plan(shop, elsewhere, nil); err == nil ||
		err.Error() != "node.pause needs node.pause, which runtime urls does not have; runtimes that have it: memory" {
		t.Errorf("on a runtime that can't: %v", err)
	}
}
