package dependency_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"chaos/internal/fault"
	"chaos/internal/fault/dependency"
	"chaos/internal/fault/faulttest"
	"chaos/internal/target"
)

var (
	shop = &target.Topology{
		Name: "shop", Nodes: []target.NodeSpec{{Name: "psp"}},
		Behaviours: map[string]target.Behaviour{"psp": {
			Read:   target.Query{Node: "psp", Port: "internal", Path: "/behaviour"},
			Write:  target.Query{Node: "psp", Port: "internal", Method: "PUT", Path: "/behaviour"},
			Stats:  target.Query{Node: "psp", Port: "internal", Path: "/stats"},
			Bites:  map[string]string{"slow_fraction": "slow", "error_rate": "errors"},
			Fields: map[string]string{"slow_fraction": "share", "slow_ms": "ms", "error_rate": "share"},
		}},
	}
	able  = target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbCall}}
	usual = map[string]json.RawMessage{"slow_fraction": []byte("0"), "slow_ms": []byte("4000"), "error_rate": []byte("0.001"), "seed": []byte("18446744073709551615")}
)

func slow() *dependency.Dependency {
	return &dependency.Dependency{Call: "psp", Set: map[string]any{"slow_fraction": 1, "slow_ms": uint64(4000)}}
}

func start() *faulttest.Memory {
	m := faulttest.NewMemory(shop)
	m.SetDocument(usual)
	m.Count("slow", 17)
	m.Count("errors", 0)
	return m
}

func TestConformance(t *testing.T) {
	faulttest.Run(t, faulttest.Case{
		Kind: "dependency", New: func() fault.Fault { return slow() },
		Zero:     func() fault.Fault { return &dependency.Dependency{} },
		Topology: shop, Capabilities: able, Needs: []target.Verb{target.VerbCall}, Virtual: true,
		Start: func(testing.TB) *faulttest.World {
			m := start()
			return &faulttest.World{
				System: m, Gate: m.Gate,
				Hurt:    func() bool { return !same(m.Document(), usual) },
				Traffic: func(testing.TB) { m.Count("slow", 400) },
			}
		},
	})
}

func same(a, b map[string]json.RawMessage) bool {
	return maps.EqualFunc(a, b, func(x, y json.RawMessage) bool { return string(x) == string(y) })
}

// inject plans, arms and injects f.
func inject(t *testing.T, m *faulttest.Memory, id string, f fault.Fault) fault.Action {
	t.Helper()
	actions, err := f.Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions[0].ID = id
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
	for _, c := range []struct {
		name         string
		slow, errors float64
		bit          bool
		delivered    string
		why          string
	}{
		{"both moved", 400, 3, true, "errors +3, slow +400", ""},
		{"one did not", 400, 0, false, "errors +0, slow +400", "errors did not move"},
		{"restarted", -17, 2, false, "errors +2, slow -17", "slow went backwards"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, f := start(), &dependency.Dependency{Call: "psp", Set: map[string]any{"slow_fraction": 0.5, "error_rate": 0.1}}
			a := inject(t, m, "d#0", f)
			m.Count("slow", c.slow)
			m.Count("errors", c.errors)
			b, err := f.Measure(t.Context(), m, a)
			if err != nil || b.Bit != c.bit || b.Delivered != c.delivered || !strings.Contains(b.Why, c.why) || b.Asked != "error_rate 0.1, slow_fraction 0.5" {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
}

// A share must be delivered: within 20 % of what was asked, but for the luck of the draw. Few calls never
// fail by chance.
func TestAShareIsDelivered(t *testing.T) {
	b := shop.Behaviours["psp"]
	b.Shares = map[string]string{"slow_fraction": "calls"}
	counting := &target.Topology{Name: "shop", Nodes: shop.Nodes, Behaviours: map[string]target.Behaviour{"psp": b}}
	for _, c := range []struct {
		asked, slow, calls float64
		bit                bool
	}{
		{1, 500, 500, true},
		{1, 498, 500, true},  // the calls between Arm and Inject
		{1, 1, 500, false},   // one touched charge is no outage
		{1, 350, 500, false}, // 70 %
		{1, 2, 3, true},      // too few to tell
		{1, 1, 7, false},
		{0.14, 71, 500, true}, // 14.2 %
		{0.14, 52, 500, true}, // 10.4 %: under 80 % of it, and not so unlikely
		{0.14, 30, 500, false},
		{0.14, 150, 500, false}, // twice as many
		{0.14, 1, 1, true},
		{0.14, 0, 3, false}, // touched nothing
		{0.5, 200, 150, false},
	} {
		m := faulttest.NewMemory(counting)
		m.SetDocument(usual)
		m.Count("slow", 3)
		m.Count("calls", 7)
		f := &dependency.Dependency{Call: "psp", Set: map[string]any{"slow_fraction": c.asked}}
		actions, err := f.Plan(counting, able, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := f.Arm(t.Context(), m, actions[0])
		if err != nil {
			t.Fatal(err)
		}
		m.Count("slow", c.slow)
		m.Count("calls", c.calls)
		if b, err := f.Measure(t.Context(), m, a); err != nil || b.Bit != c.bit || (b.Why == "") != c.bit || !strings.Contains(b.Delivered, " calls") {
			t.Errorf("%v of %v at %v: %+v, %v", c.slow, c.calls, c.asked, b, err)
		}
	}
	f := &dependency.Dependency{Call: "psp", Set: map[string]any{"slow_fraction": 1.5}}
	if _, err := f.Plan(counting, able, nil); err == nil || !strings.Contains(err.Error(), "from 0 to 1, not 1.5") {
		t.Errorf("a share of 1.5: %v", err)
	}
}

// Two faults on one behaviour that do not end in the order of a stack leave nothing behind.
func TestRevertUndoesOnlyItsOwn(t *testing.T) {
	m := start()
	slows, fails := slow(), &dependency.Dependency{Call: "psp", Set: map[string]any{"error_rate": 0.5}}
	a := inject(t, m, "slow#0", slows)
	b := inject(t, m, "fail#0", fails)
	if err := slows.Revert(t.Context(), m, a); err != nil {
		t.Fatal(err)
	}
	if err := fails.Confirm(t.Context(), m, b, true); err != nil {
		t.Errorf("reverting one fault ended the other: %v", err)
	}
	if err := fails.Revert(t.Context(), m, b); err != nil {
		t.Fatal(err)
	}
	if !same(m.Document(), usual) {
		t.Errorf("left behind: %s", m.Document())
	}
}

func TestArmRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		document map[string]json.RawMessage
		f        *dependency.Dependency
		want     string
	}{
		{"left over", map[string]json.RawMessage{"slow_fraction": []byte("1.0"), "slow_ms": []byte("4000")}, slow(), "heal what an earlier run left"},
		{"no such field", map[string]json.RawMessage{"slow_ms": []byte("4000")}, slow(), "no field slow_fraction"},
	} {
		m := start()
		m.SetDocument(c.document)
		actions, err := c.f.Plan(shop, able, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.f.Arm(t.Context(), m, actions[0]); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	m := faulttest.NewMemory(shop) // with no counters at all
	m.SetDocument(usual)
	actions, err := slow().Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow().Arm(t.Context(), m, actions[0]); err == nil || !strings.Contains(err.Error(), `no number "slow"`) {
		t.Errorf("armed though the counter that would prove the bite does not exist: %v", err)
	}
}

// uncounted is shop without the counters that would prove a bite.
func uncounted() *target.Topology {
	b := shop.Behaviours["psp"]
	b.Stats = target.Query{}
	return &target.Topology{Name: "shop", Behaviours: map[string]target.Behaviour{"psp": b}}
}

func TestPlanWantsCounters(t *testing.T) {
	if _, err := slow().Plan(uncounted(), able, nil); err == nil || !strings.Contains(err.Error(), "declare stats and bites") {
		t.Errorf("planned though nothing can show that it bit: %v", err)
	}
}

// A document that is as it was is not written: a write can have side effects of its own.
func TestRevertWritesOnlyWhatDiffers(t *testing.T) {
	m := start()
	a := inject(t, m, "d#0", slow())
	m.SetDocument(usual)
	m.Gate.Set(nil)
	if err := slow().Revert(t.Context(), m, a); err != nil || m.Gate.Calls() != 1 {
		t.Errorf("%v after %d calls, want the one that reads", err, m.Gate.Calls())
	}
}

// cancelling ends the run's context as soon as a write has begun.
type cancelling struct {
	*faulttest.Memory
	cancel func()
}

func (c cancelling) Call(ctx context.Context, call target.Call) ([]byte, error) {
	if call.Body != nil {
		c.cancel()
	}
	return c.Memory.Call(ctx, call)
}

// A write that was begun is waited for although the run is cancelled: none can arrive after the revert.
func TestInjectWaitsForItsWrite(t *testing.T) {
	m := start()
	actions, err := slow().Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := slow().Arm(t.Context(), m, actions[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := slow().Inject(ctx, cancelling{m, cancel}, a); err != nil || same(m.Document(), usual) {
		t.Errorf("Inject: %v, document %s", err, m.Document())
	}
}

func TestPlanErrors(t *testing.T) {
	for want, f := range map[string]*dependency.Dependency{
		"name the behaviour":                               {},
		"set no field":                                     {Call: "psp"},
		`no behaviour "pps"; valid: psp`:                   {Call: "pps", Set: map[string]any{"slow_ms": 1}},
		"valid: error_rate, slow_fraction, slow_ms":        {Call: "psp", Set: map[string]any{"slow": 1}},
		"set one of error_rate, slow_fraction, or declare": {Call: "psp", Set: map[string]any{"slow_ms": 1}},
	} {
		if _, err := f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}

// The journal keeps no secret, so a fault that could only be undone by one is not made.
func TestNoUndoHangsOnASecret(t *testing.T) {
	b := shop.Behaviours["psp"]
	b.Write.Headers = map[string]string{"Authorization": `Bearer {{secret "internal"}}`}
	named := &target.Topology{Name: "shop", Behaviours: map[string]target.Behaviour{"psp": b}}
	if _, err := slow().Plan(named, able, nil); err != nil {
		t.Errorf("refused though the header only names a secret: %v", err)
	}
	b.Write.Headers = map[string]string{"Authorization": "Bearer hunter2hunter2"}
	clear := &target.Topology{Name: "shop", Behaviours: map[string]target.Behaviour{"psp": b}}
	if _, err := slow().Plan(clear, able, nil); err == nil || !strings.Contains(err.Error(), "secret in the clear") {
		t.Errorf("planned with a secret in the clear: %v", err)
	}

	m := start()
	old := maps.Clone(usual)
	old["slow_ms"] = []byte(`"amqp://app:hunter2@queue"`)
	m.SetDocument(old)
	actions, err := slow().Plan(shop, able, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow().Arm(t.Context(), m, actions[0]); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "no journal keeps") {
		t.Errorf("armed though its old value can't be kept: %v", err)
	}
}

// lost is a system whose node can't be asked, and whose engine says so or not.
type lost struct {
	*faulttest.Memory
	topology *target.Topology
	state    target.State
	silent   error
}

func (l lost) Topology() *target.Topology { return l.topology }
func (l lost) Call(context.Context, target.Call) ([]byte, error) {
	return nil, errors.New("connection refused")
}
func (l lost) State(context.Context, string) (target.State, error) { return l.state, l.silent }

// TestABehaviourIsGoneWithItsProcess: nobody has to be asked to take back what a dead process was told. One that runs
// and does not answer, one whose engine does not, and one that keeps its state must be.
func TestABehaviourIsGoneWithItsProcess(t *testing.T) {
	kept := *shop
	kept.Nodes = []target.NodeSpec{{Name: "psp", Stateful: true}}
	m, f := start(), slow()
	a := inject(t, m, "d#0", f)
	for _, c := range []struct {
		name string
		s    lost
		gone bool
	}{
		{"it exited", lost{topology: shop, state: target.State{Exists: true}}, true},
		{"there is none", lost{topology: shop}, true},
		{"it runs and does not answer", lost{topology: shop, state: target.State{Exists: true, Running: true}}, false},
		{"the engine is silent", lost{topology: shop, silent: target.ErrUnresponsive}, false},
		{"it keeps its state", lost{topology: &kept, state: target.State{Exists: true}}, false},
	} {
		c.s.Memory = m
		zero := &dependency.Dependency{}
		if err := zero.Revert(t.Context(), c.s, a); (err == nil) != c.gone {
			t.Errorf("%s: revert: %v", c.name, err)
		}
		if err := zero.Confirm(t.Context(), c.s, a, false); (err == nil) != c.gone {
			t.Errorf("%s: confirm that it is gone: %v", c.name, err)
		}
		if err := zero.Confirm(t.Context(), c.s, a, true); err == nil {
			t.Errorf("%s: it counts as active", c.name)
		}
	}
}
