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

// A deployment that never becomes ready, or ends, bites, and it is said.
func TestABadDeploymentBites(t *testing.T) {
	for _, c := range []struct {
		name, said string
		spoil      func(*faulttest.Memory)
		ready      bool
	}{
		{"ready", "ran as replaced for 10.0 s, ready at the end", func(*faulttest.Memory) {}, true},
		{"never ready", "ran as replaced for 10.0 s, not ready yet at the end", func(m *faulttest.Memory) { m.Stuck = "redis" }, false},
		{"ends", "ended after 4.0 s, exit code 0: not ready at the end", func(m *faulttest.Memory) { m.EndAt("redis", time.Now().Add(4*time.Second+50*time.Millisecond)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := deployment(0)
				m, a := armed(t, f)
				if err := f.Inject(t.Context(), m, a); err != nil {
					t.Fatal(err)
				}
				c.spoil(m)
				within, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				if err := f.Passed(within, m, a); (err == nil) != (c.name != "never ready") {
					t.Errorf("the next one's turn: %v", err)
				}
				time.Sleep(10*time.Second - time.Since(m.Started("redis")))
				b, err := f.Measure(t.Context(), m, a)
				if err != nil || !b.Bit || !strings.Contains(b.Delivered, c.said) || !strings.Contains(b.Asked, "image old, env DB_PASSWORD, LOG") {
					t.Errorf("%+v, %v; want %q", b, err, c.said)
				}
				if strings.Contains(b.Asked+b.Delivered+string(b.Detail), "wrong") {
					t.Errorf("a secret is told: %+v", b)
				}
				if err := errors.Join(f.Confirm(t.Context(), m, a, true), f.Revert(t.Context(), m, a)); err != nil || m.MadeOf("redis") != faulttest.FirstMade() || !m.Up("redis") {
					t.Errorf("%v, made of %+v", err, m.MadeOf("redis"))
				}
			})
		})
	}
}

// What somebody else did to what the node is made of is never claimed, and not undone.
func TestAForeignReplacement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := deployment(0)
		m, a := armed(t, f)
		if err := f.Inject(t.Context(), m, a); err != nil {
			t.Fatal(err)
		}
		ours := m.MadeOf("redis")
		other, changed := ours, ours
		other.Mark, changed.Env = "b#1", "else"
		for why, made := range map[string]target.Made{"by another fault, b#1": other, "something else than was asked for": changed, "it is not replaced": faulttest.FirstMade()} {
			m.Remake("redis", made)
			b, err := f.Measure(t.Context(), m, a)
			if err != nil || b.Bit || !strings.Contains(b.Why, why) || f.Confirm(t.Context(), m, a, true) == nil {
				t.Errorf("%s: %+v, %v", why, b, err)
			}
		}
		m.Remake("redis", other)
		if err := f.Revert(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "b#1, replaced it") || m.MadeOf("redis") != other {
			t.Errorf("another fault's deployment was reverted: %v", err)
		}
		if _, err := f.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "replaced before the fault (b#1)") {
			t.Errorf("armed on top of another: %v", err)
		}
		half := faulttest.FirstMade()
		half.Half = true
		m.Remake("redis", half)
		if err := f.Confirm(t.Context(), m, a, false); err == nil || !strings.Contains(err.Error(), "put it back") {
			t.Errorf("half replaced counts as healed: %v", err)
		}
		if err := f.Revert(t.Context(), m, a); err != nil || m.MadeOf("redis") != faulttest.FirstMade() {
			t.Errorf("half replaced: %v, made of %+v", err, m.MadeOf("redis"))
		}
	})
}

// What the journal has masked is never set, only put back.
func TestAMaskedDeploymentIsNotMade(t *testing.T) {
	f := deployment(0)
	m, a := armed(t, f)
	a.Args = []byte(strings.Replace(string(a.Args), "wrong", "***", 1))
	if err := f.Inject(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "DB_PASSWORD was a secret") || !m.Up("redis") {
		t.Errorf("injected from a masked action: %v", err)
	}
}

func TestReplacePlanErrors(t *testing.T) {
	env := map[string]string{"A": "b"}
	for want, f := range map[string]*node.Replace{
		"at least one of env":              {Node: "redis"},
		`strategy "one"`:                   {Node: "redis", Env: env, Strategy: "one"},
		`no image "new"; its images are`:   {Node: "redis", Image: "new"},
		`no variant "x"; its variants are`: {Node: "redis", Variant: "x"},
		"stateful":                         {Node: "kept", Variant: "naive"},
		"not what a variable":              {Node: "redis", Env: map[string]string{"A=": "b"}},
		`there is no edge "x"`:             {Node: "redis", Env: map[string]string{"A": `{{edge "x"}}`}},
		"stands for a secret":              {Node: "redis", Env: map[string]string{"A": "***"}},
	} {
		if f.Strategy == "" {
			f.Strategy = "all-at-once"
		}
		top := *shop
		top.Nodes = append(top.Nodes[:len(top.Nodes):len(top.Nodes)], target.NodeSpec{Name: "kept", Stateful: true})
		if _, err := f.Plan(&top, able, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
	m, a := armed(t, deployment(0))
	same := &node.Replace{Node: "redis", Image: "first", Strategy: "rolling"}
	a.Args = []byte(`{"node":"redis","change":{"image":"first"}}`)
	if _, err := same.Arm(t.Context(), m, a); err == nil || !strings.Contains(err.Error(), "nothing would change") {
		t.Errorf("a deployment of what is there: %v", err)
	}
	if !same.InTurn() || deployment(0).InTurn() {
		t.Error("rolling takes its places in turn, all-at-once does not")
	}
}

func TestCrashLoop(t *testing.T) {
	for want, f := range map[string]*node.CrashLoop{"must be from": {Node: "redis", Up: time.Second}, "name the node": {Up: time.Second, Down: time.Second}} {
		if _, err := f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := &node.CrashLoop{Node: "redis", Up: 3 * time.Second, Down: time.Second}
		if there, away := fault.Cyclic(f).Cycle(); there != time.Second || away != 3*time.Second {
			t.Errorf("there %v, away %v", there, away)
		}
		m, a := armed(t, f)
		if err := f.Inject(t.Context(), m, a); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		b, err := f.Measure(t.Context(), m, a)
		if err != nil || !b.Bit || b.Delivered != "down 1.0 s, exit code 137, after it had run 60.0 s" {
			t.Errorf("%+v, %v", b, err)
		}
	})
}
