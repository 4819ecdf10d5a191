package faulttest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/node"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

var (
	shop = &target.Topology{Name: "shop", Nodes: []target.NodeSpec{{Name: "redis"}}}
	able = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbPause}}
)

// chosen names the broken kind that TestBroken runs, in a process of its own.
const chosen = "FAULTTEST_BROKEN"

// broken is a sound kind with one verb replaced.
type broken struct {
	sound   fault.Fault
	plan    func(f *broken, t *target.Topology, c target.Capabilities) ([]fault.Action, error)
	arm     func(f *broken, ctx context.Context, s target.System, a fault.Action) (fault.Action, error)
	inject  func(f *broken, ctx context.Context, s target.System, a fault.Action) error
	confirm func(f *broken, ctx context.Context, s target.System, a fault.Action, active bool) error
	measure func(f *broken, ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error)
	revert  func(f *broken, ctx context.Context, s target.System, a fault.Action) error
	memory  int // what a kind may not rely on
}

func (f *broken) Plan(t *target.Topology, c target.Capabilities, rng *rand.Rand) ([]fault.Action, error) {
	if f.plan != nil {
		return f.plan(f, t, c)
	}
	return f.sound.Plan(t, c, rng)
}

func (f *broken) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	if f.arm != nil {
		return f.arm(f, ctx, s, a)
	}
	return f.sound.Arm(ctx, s, a)
}

func (f *broken) Inject(ctx context.Context, s target.System, a fault.Action) error {
	if f.inject != nil {
		return f.inject(f, ctx, s, a)
	}
	return f.sound.Inject(ctx, s, a)
}

func (f *broken) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	if f.confirm != nil {
		return f.confirm(f, ctx, s, a, active)
	}
	return f.sound.Confirm(ctx, s, a, active)
}

func (f *broken) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	if f.measure != nil {
		return f.measure(f, ctx, s, a)
	}
	return f.sound.Measure(ctx, s, a)
}

func (f *broken) Revert(ctx context.Context, s target.System, a fault.Action) error {
	if f.revert != nil {
		return f.revert(f, ctx, s, a)
	}
	return f.sound.Revert(ctx, s, a)
}

// replan is the plan of node.stop, changed.
func replan(change func(f *broken, a *fault.Action)) broken {
	return broken{plan: func(f *broken, t *target.Topology, c target.Capabilities) ([]fault.Action, error) {
		actions, err := f.sound.Plan(t, c, nil)
		for i := range actions {
			change(f, &actions[i])
		}
		return actions, err
	}}
}

// The kinds that are broken here.
const (
	kindStop    = "node.stop"
	kindPause   = "node.pause"
	kindRestart = "node.restart"
)

// specimen is a broken kind and the checks that must go red.
type specimen struct {
	broken
	kind string
	red  []string
}

// specimens are broken kinds by name.
func specimens() map[string]specimen {
	return map[string]specimen{
		"sound":        {broken{}, kindStop, nil},
		"moody plan":   {replan(func(f *broken, a *fault.Action) { f.memory++; a.Undo += fmt.Sprint(f.memory) }), kindStop, []string{"plan is pure"}},
		"nowhere":      {replan(func(_ *broken, a *fault.Action) { a.Undo = "undo it" }), kindStop, []string{"plan is pure"}},
		"no deadline":  {replan(func(_ *broken, a *fault.Action) { a.Heal = 0 }), kindStop, []string{"plan is pure"}},
		"other's kind": {replan(func(_ *broken, a *fault.Action) { a.Kind = "node.kill" }), kindStop, []string{"plan is pure"}},
		"needs nothing": {broken{plan: func(f *broken, t *target.Topology, _ target.Capabilities) ([]fault.Action, error) {
			return f.sound.Plan(t, able, nil)
		}}, kindStop, []string{"plan is pure"}},
		"arm hurts": {broken{arm: func(f *broken, ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
			a, err := f.sound.Arm(ctx, s, a)
			if err == nil {
				err = f.sound.Inject(ctx, s, a)
			}
			return a, err
		}}, kindStop, []string{"confirm tells the truth", "random walk"}},
		"forgets before": {broken{arm: func(f *broken, ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
			_, err := f.sound.Arm(ctx, s, a)
			return a, err
		}}, kindStop, []string{"revert before inject", "revert in a new process"}},
		"injects nothing": {broken{inject: func(_ *broken, ctx context.Context, _ target.System, _ fault.Action) error { return ctx.Err() }},
			kindStop, []string{"revert twice", "bite", "random walk"}},
		"swallows inject errors": {broken{inject: func(f *broken, ctx context.Context, s target.System, a fault.Action) error {
			_ = f.sound.Inject(ctx, s, a)
			return ctx.Err()
		}}, kindStop, []string{"revert after half an inject", "random walk"}},
		"ignores the end": {broken{inject: func(f *broken, ctx context.Context, s target.System, a fault.Action) error {
			return f.sound.Inject(context.WithoutCancel(ctx), s, a)
		}}, kindStop, []string{"cancelled"}},
		"confirms all": {broken{confirm: func(*broken, context.Context, target.System, fault.Action, bool) error { return nil }},
			kindStop, []string{"confirm tells the truth", "errors are told", "random walk"}},
		"confirms nothing": {broken{confirm: func(*broken, context.Context, target.System, fault.Action, bool) error { return os.ErrInvalid }},
			kindStop, []string{"confirm tells the truth", "revert twice", "random walk"}},
		"always bites": {broken{measure: func(f *broken, ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
			b, _ := f.sound.Measure(ctx, s, a)
			b.Bit, b.Why = true, ""
			return b, nil
		}}, kindStop, []string{"no bite without being touched", "errors are told", "random walk"}},
		"never bites": {broken{measure: func(_ *broken, ctx context.Context, _ target.System, _ fault.Action) (verdict.Bite, error) {
			return verdict.Bite{Why: "no"}, ctx.Err()
		}}, kindStop, []string{"bite"}},
		"reverts nothing": {broken{revert: func(_ *broken, ctx context.Context, _ target.System, _ fault.Action) error { return ctx.Err() }},
			kindStop, []string{"revert twice", "revert after half an inject", "revert in a new process", "random walk"}},
		"reverts once": {broken{revert: func(f *broken, ctx context.Context, s target.System, a fault.Action) error {
			if f.memory++; f.memory > 1 {
				return os.ErrInvalid
			}
			return f.sound.Revert(ctx, s, a)
		}}, kindStop, []string{"revert twice"}},
		"swallows revert errors": {broken{revert: func(f *broken, ctx context.Context, s target.System, a fault.Action) error {
			_ = f.sound.Revert(ctx, s, a)
			return ctx.Err()
		}}, kindStop, []string{"revert after half a revert", "errors are told", "random walk"}},
		"reverts from memory": {broken{
			inject: func(f *broken, ctx context.Context, s target.System, a fault.Action) error {
				f.memory++
				return f.sound.Inject(ctx, s, a)
			},
			revert: func(f *broken, ctx context.Context, s target.System, a fault.Action) error {
				if f.memory == 0 {
					return ctx.Err()
				}
				return f.sound.Revert(ctx, s, a)
			}}, kindStop, []string{"revert in a new process", "random walk"}},
		// The trap of every stop: a process that was asked to end and has not yet is taken for healthy.
		"trusts what runs": {broken{revert: func(f *broken, ctx context.Context, s target.System, a fault.Action) error {
			if st, err := s.(target.Signaller).State(ctx, "redis"); err != nil || st.Running {
				return err
			}
			return f.sound.Revert(ctx, s, a)
		}}, kindStop, []string{"revert after half an inject", "random walk"}},
	}
}

// others are broken kinds like those of specimens, which are all node.stop, with the kind that each is.
func others() map[string]specimen {
	nothing := func(_ *broken, ctx context.Context, _ target.System, _ fault.Action) error { return ctx.Err() }
	always := func(f *broken, ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
		b, err := f.sound.Measure(ctx, s, a)
		b.Bit, b.Why = err == nil, ""
		return b, err
	}
	all := func(*broken, context.Context, target.System, fault.Action, bool) error { return nil }
	return map[string]specimen{
		"sound restart":            {broken{}, kindRestart, nil},
		"restarts nothing":         {broken{inject: nothing}, kindRestart, []string{"revert twice", "bite", "random walk"}},
		"restart: always bites":    {broken{measure: always}, kindRestart, []string{"no bite without being touched", "random walk"}},
		"restart: confirms all":    {broken{confirm: all}, kindRestart, []string{"confirm tells the truth", "random walk"}},
		"restart: reverts nothing": {broken{revert: nothing}, kindRestart, []string{"revert after half an inject", "random walk"}},
		"restart: restarts when it is armed": {broken{arm: func(f *broken, ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
			a, err := f.sound.Arm(ctx, s, a)
			return a, errors.Join(err, f.sound.Inject(ctx, s, a), s.(target.Signaller).NodeReady(ctx, "redis"))
		}}, kindRestart, []string{"revert before inject", "confirm tells the truth", "random walk"}},
		"restart: ignores the end": {broken{inject: func(f *broken, ctx context.Context, s target.System, a fault.Action) error {
			err := f.sound.Inject(context.WithoutCancel(ctx), s, a)
			return errors.Join(ctx.Err(), err, s.(target.Signaller).NodeReady(context.WithoutCancel(ctx), "redis"))
		}}, kindRestart, []string{"cancelled"}},
		"sound pause":            {broken{}, kindPause, nil},
		"pauses nothing":         {broken{inject: nothing}, kindPause, []string{"revert twice", "bite", "random walk"}},
		"pause: reverts nothing": {broken{revert: nothing}, kindPause, []string{"revert twice", "revert in a new process", "random walk"}},
		"pause: always bites":    {broken{measure: always}, kindPause, []string{"no bite without being touched", "random walk"}},
	}
}

// TestSuiteCatches runs the suite on each broken kind in a process of its own, and wants exactly the
// sound one to be green.
func TestSuiteCatches(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all := specimens()
	maps.Copy(all, others())
	for name, want := range all {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestBroken$", "-test.v", "-test.timeout=30s")
			cmd.Env = append(os.Environ(), chosen+"="+name)
			out, err := cmd.CombinedOutput()
			if (err == nil) != (want.red == nil) {
				t.Fatalf("the suite said %v:\n%s", err, out)
			}
			for _, check := range want.red {
				if !strings.Contains(string(out), "--- FAIL: TestBroken/"+strings.ReplaceAll(check, " ", "_")+" ") {
					t.Errorf("%q is not red:\n%s", check, out)
				}
			}
			if strings.Contains(string(out), "panic:") {
				t.Errorf("the suite panicked:\n%s", out)
			}
		})
	}
}

// TestBroken is run by TestSuiteCatches.
func TestBroken(t *testing.T) {
	x, ok := specimens()[os.Getenv(chosen)]
	if !ok {
		x, ok = others()[os.Getenv(chosen)]
	}
	if !ok {
		return // TestSuiteCatches runs this, in processes of its own: here nothing is broken
	}
	kinds := map[string][2]fault.Fault{ // with parameters, and as another process has it
		kindStop:    {&node.Stop{Node: "redis", Grace: 2 * time.Second}, &node.Stop{}},
		kindPause:   {&node.Pause{Node: "redis"}, &node.Pause{}},
		kindRestart: {&node.Restart{Node: "redis", Grace: 2 * time.Second}, &node.Restart{}},
	}
	needs := []target.Verb{target.VerbSignal}
	if x.kind == kindPause {
		needs = able.Verbs
	}
	with := func(i int) func() fault.Fault {
		return func() fault.Fault {
			f := x.broken
			f.sound = kinds[x.kind][i]
			return &f
		}
	}
	faulttest.Run(t, faulttest.Case{
		Kind: x.kind, Topology: shop, Capabilities: able, Needs: needs, Virtual: true, New: with(0), Zero: with(1),
		Start: func(testing.TB) *faulttest.World {
			m := faulttest.NewMemory(shop)
			m.Obeys = 900 * time.Millisecond
			w := &faulttest.World{System: m, Gate: m.Gate, Hurt: func() bool { return !m.Up("redis") }}
			if x.kind == kindRestart {
				m.Obeys = 300 * time.Millisecond // an injection on a dead context is not red for being slow
				w.Since = func() func() bool {
					old := m.Started("redis")
					return func() bool { return !m.Started("redis").Equal(old) || !m.Up("redis") }
				}
			}
			return w
		},
	})
}
