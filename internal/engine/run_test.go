package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/check"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/load"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// steady is a load that does nothing but wait for its end.
type steady struct{ err error }

func (s steady) Info(*target.Topology) (journal.LoadInfo, error) { return journal.LoadInfo{}, nil }
func (s steady) Run(ctx context.Context, _ load.Session) error {
	if s.err != nil {
		return s.err
	}
	<-ctx.Done()
	return nil
}

type alarm struct{ at time.Duration }

func (a alarm) Text() string { return "availability(pay) < 10% for 5s" }
func (a alarm) Observe(l journal.Live) (bool, bool, string) {
	now := l.(*memory).Now()
	return now >= a.at, now >= time.Second, "seen at " + now.String()
}

func planOf(k *breaker, faults ...Fault) *Plan {
	for i := range faults {
		faults[i].Fault = k
		if faults[i].Actions == nil {
			faults[i].Actions = []fault.Action{action(faults[i].ID, "node:a")}
		}
	}
	return &Plan{
		Info:     journal.RunInfo{ID: "0123456789ab", Loads: []journal.LoadInfo{{Name: "pay", Effect: "payment", Timeout: 5 * time.Second}}},
		Topology: newBench().topology,
		Phases:   Phases{Warmup: 10 * time.Second, Baseline: 61 * time.Second, Fault: 60 * time.Second, Recovery: 75 * time.Second, Settle: 60 * time.Second},
		Loads:    []Load{{Name: "pay", Driver: steady{}}},
		Faults:   faults,
	}
}

func action(id, place string) fault.Action {
	return fault.Action{ID: id + "#1", Fault: id, Kind: "test", Place: place, Undo: "undo " + id, Heal: 2 * time.Second}
}

func holds(*journal.History) ([]verdict.Finding, error) { return nil, nil }

// trial runs a plan in a bubble of virtual time and returns its journal.
func trial(t *testing.T, p *Plan, b *bench, change func(ctx context.Context, cancel context.CancelFunc, m *memory)) (*memory, error) {
	t.Helper()
	m := newMemory(p.Info)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if change != nil {
		change(ctx, cancel, m)
	}
	err := Run(ctx, p, b, m, Options{Gate: holds})
	synctest.Wait()
	return m, err
}

func at(t *testing.T, m *memory, typ, act string) time.Duration {
	t.Helper()
	for _, e := range m.events {
		if e.Type == typ && (e.Action == act || e.Phase == act) {
			return e.At
		}
	}
	t.Fatalf("no event %s %s in %v", typ, act, m.types())
	return 0
}

func TestATimelineRunsAtItsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &breaker{bite: true}
		m, err := trial(t, planOf(k, Fault{ID: "f", At: 5 * time.Second, For: 30 * time.Second}), newBench(), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"run.start", "load.start", "phase:warmup", "phase:baseline", "gap", "baseline", "phase:fault",
			"intent:f#1", "active:f#1", "measured:f#1", "reverting:f#1", "reverted:f#1", "phase:recovery", "load.stop",
			"phase:settle", "settled", "resolved", "audit", "run.end"}
		if got := m.types(); !slices.Equal(got, want) {
			t.Fatalf("events\n got %v\nwant %v", got, want)
		}
		for _, c := range []struct {
			typ, act string
			want     time.Duration
		}{
			{"phase", "baseline", 10 * time.Second}, {"gap", "baseline", 70 * time.Second}, {"phase", "fault", 71 * time.Second},
			{"intent", "f#1", 76 * time.Second}, {"reverting", "f#1", 106 * time.Second}, {"phase", "recovery", 131 * time.Second},
			{"load.stop", "", 206 * time.Second},
		} {
			if got := at(t, m, c.typ, c.act); got != c.want {
				t.Errorf("%s %s at %v, want %v", c.typ, c.act, got, c.want)
			}
		}
		if len(m.audit) != 1 || m.audit[0].Source != "books" {
			t.Errorf("audit = %+v", m.audit)
		}
	})
}

func TestTheIntentIsOnDiskBeforeTheFaultIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		k := &breaker{bite: true}
		k.on = func(verb string, a fault.Action) error {
			if verb != "inject" {
				return nil
			}
			intents := m.find(journal.EventIntent)
			if len(intents) != 1 {
				return fmt.Errorf("%d intents before the inject", len(intents))
			}
			var on fault.Action
			if err := json.Unmarshal(intents[0].Detail, &on); err != nil || string(on.Before) != `"armed"` || on.Undo == "" {
				return fmt.Errorf("the intent lacks what undo needs: %s", intents[0].Detail)
			}
			return nil
		}
		if _, err := trial(t, planOf(k, Fault{ID: "f", For: time.Second}), newBench(), func(_ context.Context, _ context.CancelFunc, j *memory) { m = j }); err != nil {
			t.Fatal(err)
		}
	})
}

func TestABrokenBaselineMakesNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{bite: true}, newBench()
		p := planOf(k, Fault{ID: "f", For: time.Second})
		m := newMemory(p.Info)
		err := Run(t.Context(), p, b, m, Options{Gate: func(*journal.History) ([]verdict.Finding, error) {
			return []verdict.Finding{{Check: "x"}}, errors.New("x is missed")
		}})
		if err != nil {
			t.Fatalf("an invalid run is not an error of the harness: %v", err)
		}
		if len(k.injected) > 0 || len(m.find(journal.EventIntent)) > 0 {
			t.Error("a fault was made on a broken baseline")
		}
		if ev := m.find(journal.EventBaseline); len(ev) != 1 || !strings.Contains(ev[0].Err, "x is missed") {
			t.Errorf("baseline event %+v", ev)
		}
		if len(m.find(journal.EventRunEnd)) != 1 {
			t.Error("the run did not end in order")
		}
	})
}

func TestCtrlCHealsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{bite: true}, newBench()
		m, err := trial(t, planOf(k, Fault{ID: "f", For: 30 * time.Second}, Fault{ID: "later", At: 20 * time.Second, For: time.Second}), b,
			func(_ context.Context, cancel context.CancelFunc, _ *memory) { time.AfterFunc(80*time.Second, cancel) })
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want context.Canceled", err)
		}
		if b.broken() > 0 || !slices.Equal(k.healed, []string{"f#1"}) || !slices.Equal(k.injected, []string{"f#1"}) {
			t.Errorf("broken %d, injected %v, healed %v", b.broken(), k.injected, k.healed)
		}
		if got := at(t, m, journal.EventReverted, "f#1"); got-80*time.Second > 2*time.Second {
			t.Errorf("healed %v after Ctrl-C", got-80*time.Second)
		}
		if len(m.find(journal.EventInterrupted)) != 1 || len(m.find(journal.EventError)) != 0 {
			t.Errorf("events %v", m.types())
		}
	})
}

func TestABreachAbortsHealsAndStillGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{bite: true}, newBench()
		p := planOf(k, Fault{ID: "f", For: 30 * time.Second})
		p.Guards = []check.Guard{alarm{at: 80 * time.Second}}
		m, err := trial(t, p, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		var breaches int
		for _, e := range m.find(journal.EventGuard) {
			if e.Err != "" {
				breaches++
			}
		}
		if breaches != 1 || b.broken() > 0 {
			t.Errorf("%d breaches, %d still broken", breaches, b.broken())
		}
		if got := at(t, m, journal.EventReverted, "f#1"); got > 82*time.Second {
			t.Errorf("healed at %v, want within 2 s of the breach", got)
		}
		if len(m.find(journal.EventAudit)) != 1 {
			t.Error("what was measured must still be judged: no audit")
		}
	})
}

func TestAnInjectThatFailsHalfWayIsHealed(t *testing.T) {
	for _, verb := range []string{"arm", "inject"} {
		synctest.Test(t, func(t *testing.T) {
			k, b := &breaker{bite: true}, newBench()
			k.on = func(v string, _ fault.Action) error {
				if v == verb {
					return errors.New("engine says no")
				}
				return nil
			}
			m, err := trial(t, planOf(k, Fault{ID: "f", For: 30 * time.Second}), b, nil)
			if err == nil || !strings.Contains(err.Error(), "engine says no") {
				t.Errorf("%s: error %v", verb, err)
			}
			if b.broken() > 0 || len(m.find(journal.EventError)) != 1 {
				t.Errorf("%s: broken %d, events %v", verb, b.broken(), m.types())
			}
		})
	}
}

func TestAFaultThatIsNeverSeenIsInvalidNotAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{unseen: true}, newBench()
		m, err := trial(t, planOf(k, Fault{ID: "f", For: 30 * time.Second}), b, nil)
		if err != nil {
			t.Fatal(err)
		}
		var bite verdict.Bite
		if ev := m.find(journal.EventMeasured); len(ev) != 1 || json.Unmarshal(ev[0].Detail, &bite) != nil || bite.Bit || bite.Fault != "f" {
			t.Errorf("measured %+v", ev)
		}
		if b.broken() > 0 {
			t.Error("not healed")
		}
	})
}

func TestWhatWillNotHealIsNamedAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := &breaker{bite: true}, newBench()
		k.on = func(v string, _ fault.Action) error {
			if v == "revert" {
				return errors.New("busy")
			}
			return nil
		}
		m, err := trial(t, planOf(k, Fault{ID: "f", For: 30 * time.Second}), b, nil)
		if err != nil {
			t.Fatalf("residue is judge's word, not an error: %v", err)
		}
		ev := m.find(journal.EventStuck)
		if len(ev) == 0 || !strings.Contains(ev[0].Err, "undo f") || !strings.Contains(ev[0].Err, "busy") {
			t.Fatalf("stuck %+v", ev)
		}
		if took := ev[0].At - at(t, m, journal.EventReverting, "f#1"); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("gave up after %v, want its heal deadline of 2 s", took)
		}
	})
}

func TestAPanicInAKindIsHealed(t *testing.T) {
	for _, verb := range []string{"inject", "measure", "confirm"} {
		synctest.Test(t, func(t *testing.T) {
			k, b := &breaker{bite: true}, newBench()
			panicked := false
			k.on = func(v string, _ fault.Action) error {
				if v == verb && !panicked {
					panicked = true
					panic("bug")
				}
				return nil
			}
			if _, err := trial(t, planOf(k, Fault{ID: "f", For: 30 * time.Second}), b, nil); err == nil && verb != "measure" {
				t.Errorf("%s: a panic is an error of the harness", verb)
			}
			if b.broken() > 0 {
				t.Errorf("%s: left broken", verb)
			}
		})
	}
}

func TestALoadThatFailsEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := planOf(&breaker{}, Fault{ID: "f", For: 30 * time.Second})
		p.Loads = append(p.Loads, Load{Name: "bad", Driver: steady{err: errors.New("no targets")}})
		m, err := trial(t, p, newBench(), nil)
		if err == nil || !strings.Contains(err.Error(), "load bad: no targets") || len(m.find(journal.EventIntent)) > 0 {
			t.Errorf("error %v, events %v", err, m.types())
		}
	})
}

func TestADeathNoFaultCausedIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.died = map[string]string{"a": "exit 1", "b": "OOM"}
		m, err := trial(t, planOf(&breaker{bite: true}, Fault{ID: "f", For: 60 * time.Second}), b, func(_ context.Context, _ context.CancelFunc, m *memory) {
			b.mu.Lock()
			b.died = nil
			b.mu.Unlock()
			time.AfterFunc(90*time.Second, func() {
				b.mu.Lock()
				b.died = map[string]string{"a": "exit 1", "b": "OOM"}
				b.mu.Unlock()
			})
			time.AfterFunc(120*time.Second, func() { b.mu.Lock(); b.died = map[string]string{"b": "OOM"}; b.mu.Unlock() })
		})
		if err != nil {
			t.Fatal(err)
		}
		died := m.find(journal.EventNodeDied)
		if len(died) != 1 || died[0].Subject != "b" {
			t.Errorf("deaths %+v: want b once, and not a, which is under fault", died)
		}
	})
}
