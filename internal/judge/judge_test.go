package judge_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/check"
	"chaos/internal/check/checktest"
	"chaos/internal/check/invariant"
	"chaos/internal/check/slo"
	"chaos/internal/journal"
	"chaos/internal/judge"
	"chaos/internal/verdict"
)

func compile(t testing.TB, loads []journal.LoadInfo, objectives ...slo.Objective) []check.Check {
	t.Helper()
	var checks []check.Check
	for _, o := range objectives {
		list, err := o.Checks(loads)
		if err != nil {
			t.Fatal(err)
		}
		checks = append(checks, list...)
	}
	return checks
}

// Whatever is read from a hostile folder, judging ends in a verdict that is not PASS.
func TestHostileHistories(t *testing.T) {
	loads := []journal.LoadInfo{checktest.PayLoad(50), checktest.ReadLoad(100)}
	checks := compile(t, loads, slo.Objective{Name: "a", SLI: "availability(pay)", Target: 0.99, Baseline: true}, slo.Objective{Name: "r", SLI: "recovery_time(pay)", Max: "3s"})
	for _, e := range invariant.Table() {
		checks = append(checks, e.New())
	}
	checks = append(checks, nil)
	histories := checktest.Hostile()
	for name, h := range checktest.Empty() {
		histories["empty "+name] = h
	}
	for name, h := range histories {
		if v := judge.Judge(checks, h); v.Status == verdict.PASS || len(v.Why) == 0 || v.Met {
			t.Errorf("%s: %s %q, met %v", name, v.Status, v.Why, v.Met)
		}
		if _, err := judge.Gate(checks, h); err == nil {
			t.Errorf("%s: the gate holds", name)
		}
	}
}

// Judge and Gate say the same of the same baseline, and judging does not change the history.
func TestGateAndJudgeAgree(t *testing.T) {
	s := checktest.NewStory(checktest.PayLoad(50))
	s.Steady()
	checks := compile(t, s.H.Run.Loads, slo.Objective{Name: "a", SLI: "availability(pay)", Target: 0.99, Baseline: true})
	whole := judge.Judge(checks, s.H)
	again := judge.Judge(checks, s.H)
	if !reflect.DeepEqual(whole, again) {
		t.Error("judged twice, two verdicts")
	}
	prefix := *s.H
	prefix.Samples = prefix.Between(journal.Window{To: 10 * time.Second})
	prefix.Windows = map[string]journal.Window{"baseline": s.H.Windows["baseline"]}
	findings, err := judge.Gate(checks, &prefix)
	if err != nil || len(findings) != 1 || !reflect.DeepEqual(findings[0], whole.Findings[0]) {
		t.Errorf("gate: %+v (%v), judge: %+v", findings, err, whole.Findings[0])
	}
	if want := 0.02; math.Abs(whole.FalseFails-want) > 1e-12 {
		t.Errorf("expected false Fails %v, want %v: two shares at 1 %%", whole.FalseFails, want)
	}
}

// With every baseline off the gate still asks whether the generator is honest.
func TestGateWithoutChecks(t *testing.T) {
	s := checktest.NewStory(checktest.PayLoad(50))
	s.Steady()
	if _, err := judge.Gate(nil, s.H); err != nil {
		t.Errorf("an honest generator: %v", err)
	}
	for i := range s.H.Samples {
		s.H.Samples[i].Sent = 0
	}
	if _, err := judge.Gate(nil, s.H); err == nil {
		t.Error("a generator that sent nothing holds the gate")
	}
}

// Honesty is counted per judged window and load.
func TestHonesty(t *testing.T) {
	s := checktest.NewStory(checktest.PayLoad(50), checktest.ReadLoad(100))
	s.Steady()
	late := 0
	for i := range s.H.Samples {
		if x := &s.H.Samples[i]; x.Due >= 11*time.Second && x.Op == 1 && late < 3 {
			late++
			x.Sent = x.Due + time.Duration(50+late*10)*time.Millisecond
		}
	}
	for _, flag := range []journal.Flags{journal.FlagReplay, journal.FlagPrepare} { // these belong to no window
		s.Drive("pay", 12*time.Second, 13*time.Second, 5, func(_ int, x *journal.Sample) { x.Flags, x.Sent = flag, 0 })
	}
	v := judge.Judge(compile(t, s.H.Run.Loads, slo.Objective{Name: "a", SLI: "availability(pay)", Target: 0.99}), s.H)
	want := []verdict.Honesty{
		{Window: "fault", Load: "pay", Planned: 500, Sent: 500},
		{Window: "fault", Load: "read", Planned: 1000, Sent: 1000, Late: 3, WorstLate: 80 * time.Millisecond},
		{Window: "baseline", Load: "pay", Planned: 350, Sent: 350}, // no objective looks there; the load must have been there
		{Window: "baseline", Load: "read", Planned: 700, Sent: 700},
	}
	if !reflect.DeepEqual(v.Honesty, want) {
		t.Errorf("honesty %+v, want %+v", v.Honesty, want)
	}
}

// A million samples are judged by six objectives in two seconds (the budget of docs/performance.md).
func BenchmarkJudgeMillion(b *testing.B) {
	loads := []journal.LoadInfo{checktest.PayLoad(20_000), checktest.ReadLoad(12_258.0645)}
	s := checktest.NewStory(loads...)
	s.Steady()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range s.H.Samples { // scattered latencies, 2 % of the requests late, 2 % in the fault bad: every rule has work to do
		x := &s.H.Samples[i]
		x.Done = x.Due + time.Duration(rng.ExpFloat64()*float64(20*time.Millisecond))
		if i%50 == 0 {
			x.Sent = x.Due + 60*time.Millisecond
			x.Done = x.Sent + 300*time.Millisecond
			x.Class = journal.Bad
		}
	}
	checks := compile(b, loads,
		slo.Objective{Name: "available", SLI: "availability(pay)", Target: 0.999, Baseline: true, During: []string{"fault", "settled"}},
		slo.Objective{Name: "fast", SLI: "under(read, 250ms)", Target: 0.99, Baseline: true, During: []string{"settled"}},
		slo.Objective{Name: "p99", SLI: "quantile(read, 0.99)", Max: "250ms", Baseline: true, During: []string{"run"}},
		slo.Objective{Name: "refused", SLI: "rejected_cleanly(pay, 50ms)", Target: 0.95},
		slo.Objective{Name: "paced", SLI: "rate(pay)", Max: "30000/s", During: []string{"run"}},
		slo.Objective{Name: "recovers", SLI: "recovery_time(pay)", Max: "3s"},
	)
	for b.Loop() {
		if v := judge.Judge(checks, s.H); len(v.Findings) != 10 {
			b.Fatalf("%d findings", len(v.Findings))
		}
	}
}

// A fault that was made fewer times than planned proves less than it says.
func TestAFaultMadeFewerTimesThanPlanned(t *testing.T) {
	for planned, want := range map[int]bool{0: false, 1: false, 3: true} {
		s := checktest.NewStory(checktest.PayLoad(50))
		s.Fault("f", "node:redis")
		s.Steady()
		s.H.Run.Faults[0].Actions = planned
		v := judge.Judge(compile(t, s.H.Run.Loads, slo.Objective{Name: "a", SLI: "availability(pay)", Target: 0.99, Baseline: true}), s.H)
		if got := slices.ContainsFunc(v.Why, func(w string) bool { return strings.Contains(w, "fault f: only 1 of its 3 actions were made") }); got != want {
			t.Errorf("planned %d: %v %q", planned, v.Status, v.Why)
		}
	}
	// What was held back in its turn was not to be made.
	s := checktest.NewStory(checktest.PayLoad(50))
	s.Fault("f", "node:redis")
	s.Steady()
	s.H.Run.Faults[0].Actions = 2
	s.H.Events = append(s.H.Events, journal.Event{Type: journal.EventHeld, Action: "f#2", Err: "never ready"})
	v := judge.Judge(compile(t, s.H.Run.Loads, slo.Objective{Name: "a", SLI: "availability(pay)", Target: 0.99, Baseline: true}), s.H)
	if slices.ContainsFunc(v.Why, func(w string) bool { return strings.Contains(w, "were made") }) {
		t.Errorf("held back: %v %q", v.Status, v.Why)
	}
}
