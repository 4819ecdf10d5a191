package slo

import (
	"errors"
	"strings"
	"testing"
	"time"

	"chaos/internal/check"
	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

func TestSyntaxErrors(t *testing.T) {
	loads := []journal.LoadInfo{checktest.PayLoad(50), checktest.ReadLoad(100)}
	for _, c := range []struct {
		text   string
		offset int
		says   string
	}{
		{"", 0, "unknown SLI the end"},
		{"availabilty(pay)", 0, `did you mean "availability"?`},
		{"availability", 12, `expected "("`},
		{"availability(payy)", 13, `unknown load "payy": did you mean "pay"?`},
		{"availability(refunds)", 13, "valid are pay, read"},
		{"availability()", 13, `unknown load ")"`},
		{"availability(pay", 16, `expected ")"`},
		{"availability(pay, 5ms)", 16, `expected ")"`},
		{"availability(pay) x", 18, `expected the end, found "x"`},
		{"under(read)", 10, `expected ","`},
		{"under(read, 250)", 12, "no unit"},
		{"under(read, 0s)", 12, "can't be kept"},
		{"  under( read , 250mss )", 16, "not a duration"},
		{"quantile(read, 99)", 15, "between 0 and 1"},
		{"quantile(read, NaN)", 15, "between 0 and 1"},
		{"under(read, -5ms)", 12, "negative"},
		{"под(read)", 0, "unknown SLI"},
	} {
		_, err := Objective{Name: "x", SLI: c.text, Target: 0.99}.Checks(loads)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != c.offset || !strings.Contains(syntax.Msg, c.says) {
			t.Errorf("%q: %#v, want offset %d and %q", c.text, err, c.offset, c.says)
		}
	}
}

func TestObjectiveErrors(t *testing.T) {
	loads := []journal.LoadInfo{checktest.PayLoad(50), checktest.ReadLoad(20)}
	for _, c := range []struct {
		o    Objective
		says string
	}{
		{Objective{SLI: "availability(pay)"}, "no target"},
		{Objective{SLI: "availability(pay)", Max: "3s"}, "instead of max"},
		{Objective{SLI: "availability(pay)", Target: 0.9, Max: "3s"}, "both set"},
		{Objective{SLI: "availability(pay)", Target: 1}, "under 100%"},
		{Objective{SLI: "availability(pay)", Target: -1}, "over 0%"},
		{Objective{SLI: "recovery_time(pay)", Target: 0.9}, "instead of a target"},
		{Objective{SLI: "recovery_time(pay)"}, "no max"},
		{Objective{SLI: "recovery_time(pay)", Max: "3"}, "no unit"},
		{Objective{SLI: "recovery_time(read)", Max: "3s"}, "at least 40/s"},
		{Objective{SLI: "recovery_time(pay)", Max: "3s", During: []string{"settled"}}, "leave during out"},
		{Objective{SLI: "recovery_time(pay)", Max: "3s", During: []string{"fault"}}, "leave during out"},
		{Objective{SLI: "rate(pay)", Max: "fast"}, "not a rate"},
		{Objective{SLI: "rate(pay)", Max: "-1/s"}, "not a rate"},
		{Objective{SLI: "quantile(pay, 0.99)", Max: "5s"}, "under the client's timeout"},
		{Objective{SLI: "availability(pay)", Target: 0.99, During: []string{"recover"}}, `unknown window "recover": did you mean "recovery"?`},
		{Objective{SLI: "availability(pay)", Target: 0.99, During: []string{"fault:"}}, "unknown window"},
	} {
		if _, err := c.o.Checks(loads); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.says)
		}
	}
}

func TestWindowsOfAnObjective(t *testing.T) {
	loads := []journal.LoadInfo{checktest.PayLoad(50)}
	for _, c := range []struct {
		o    Objective
		want string
	}{
		{Objective{SLI: "availability(pay)", Target: 0.99}, "fault"},
		{Objective{SLI: "availability(pay)", Target: 0.99, Baseline: true}, "baseline fault"},
		{Objective{SLI: "availability(pay)", Target: 0.99, Baseline: true, During: []string{"baseline", "settled"}}, "baseline settled"},
		{Objective{SLI: "quantile(pay, 0.9)", Max: "1s", Baseline: true, During: []string{"fault:redis"}}, "baseline fault:redis"},
		{Objective{SLI: "rate(pay)", Max: "60/s", Baseline: true}, "fault"},
		{Objective{SLI: "recovery_time(pay)", Max: "3s", Baseline: true}, "recovery"},
		{Objective{SLI: "recovery_time(pay)", Max: "3s", During: []string{"recovery"}}, "recovery"},
	} {
		checks, err := c.o.Checks(loads)
		var got []string
		for _, x := range checks {
			got = append(got, x.Window())
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: windows %v (%v), want %s", c.o, got, err, c.want)
		}
	}
	checks, _ := Objective{SLI: "availability(pay)", Target: 0.999}.Checks(loads)
	if s, ok := checks[0].(Sized); !ok || s.MinN() != 3444 || s.Load() != "pay" {
		t.Errorf("a share is not Sized as documented: %+v", checks[0])
	}
	checks, _ = Objective{SLI: "recovery_time(pay)", Max: "15s"}.Checks(loads)
	if d, ok := checks[0].(Recovering).RecoveryMax(); !ok || d != 15*time.Second {
		t.Errorf("RecoveryMax = %v, %v", d, ok)
	}
}

// liveCounts answers by how far a guard looks back.
type liveCounts map[time.Duration]journal.Counts

func (l liveCounts) Since(d time.Duration, _ journal.OpID) journal.Counts { return l[d] }

func TestGuards(t *testing.T) {
	loads := []journal.LoadInfo{checktest.ReadLoad(100), checktest.PayLoad(50)}
	const whole, rest = 5 * time.Second, 4500 * time.Millisecond
	for _, c := range []struct {
		text            string
		live            liveCounts
		breach, decided bool
	}{
		{"availability(pay) < 10% for 5s", liveCounts{whole: {Good: 250}}, false, true},
		{"availability(pay) < 10% for 5s", liveCounts{whole: {Good: 20, Bad: 230}}, true, true},
		{"availability(pay) < 10% for 5s", liveCounts{whole: {Good: 25, Bad: 225}}, false, true},
		{"availability(pay) <= 10% for 5s", liveCounts{whole: {Good: 25, Bad: 225}}, true, true},
		{"availability(pay) < 10% for 5s", liveCounts{whole: {Good: 20, Overdue: 230}}, true, true}, // a black hole
		{"availability(pay) < 10% for 5s", liveCounts{whole: {Bad: 19}}, false, false},
		{"availability(pay) < 10% for 5s", liveCounts{whole: {Bad: 19, Excluded: 100}}, false, false},
		{"availability(pay) < 10% for 5s", liveCounts{}, false, false},
		{"availability(pay) > 99.9% for 5s", liveCounts{whole: {Good: 250}}, true, true},
		{"availability(pay) >= 100 % for 5s", liveCounts{whole: {Good: 250}}, true, true},
		{"rate(pay) < 5/s for 5s", liveCounts{whole: {Good: 20, Bad: 230}, rest: {Bad: 220}}, true, true},
		{"rate(pay) < 5/s for 5s", liveCounts{whole: {Good: 25, Bad: 230}, rest: {Bad: 220}}, false, true},
		{"rate(pay) < 5/s for 5s", liveCounts{whole: {Good: 20, Bad: 20}, rest: {Good: 20, Bad: 20}}, false, false}, // not filled yet
	} {
		g, err := ParseGuard(c.text, loads)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		breach, decided, why := g.Observe(c.live)
		if breach != c.breach || decided != c.decided || why == "" || g.Text() != c.text {
			t.Errorf("%s on %v: breach %v, decided %v (%s); want %v, %v", c.text, c.live, breach, decided, why, c.breach, c.decided)
		}
	}
	for _, c := range []struct {
		text   string
		offset int
		says   string
	}{
		{"availability(pay) 10% for 5s", 18, "expected <"},
		{"availability(pay) < 10 for 5s", 20, "expected a percentage"},
		{"availability(pay) < 110% for 5s", 20, "between 0% and 100%"},
		{"availability(pay) < 10% over 5s", 24, `expected "for"`},
		{"availability(pay) < 10% for 5", 28, "no unit"},
		{"availability(pay) < 10% for 10ms", 28, "looks back between"},
		{"availability(pay) < 10% for 2h", 28, "looks back between"},
		{"availability(pay) < 10% for 5s now", 31, "expected the end"},
		{"rate(pay) < 5 for 5s", 12, "expected a rate"},
		{"rate(pay) < 5/m for 5s", 12, "expected a rate"},
		{"quantile(pay, 0.99) > 2s for 5s", 0, "can't guard"},
		{"recovery_time(pay) > 2s for 5s", 0, "can't guard"},
		{"availability(py) < 10% for 5s", 13, `did you mean "pay"?`},
	} {
		_, err := ParseGuard(c.text, loads)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != c.offset || !strings.Contains(syntax.Msg, c.says) {
			t.Errorf("%q: %#v, want offset %d and %q", c.text, err, c.offset, c.says)
		}
	}
}

// opLive remembers which load was asked for.
type opLive struct{ asked journal.OpID }

func (l *opLive) Since(_ time.Duration, op journal.OpID) journal.Counts {
	l.asked = op
	return journal.Counts{}
}

func TestGuardAsksForItsLoad(t *testing.T) {
	var g check.Guard
	g, err := ParseGuard("availability(pay) < 10% for 5s", []journal.LoadInfo{checktest.ReadLoad(100), checktest.PayLoad(50)})
	if err != nil {
		t.Fatal(err)
	}
	var l opLive
	if g.Observe(&l); l.asked != 1 {
		t.Errorf("asked for load %d, want 1", l.asked)
	}
}

// Any text is either an objective or guard, or an error that points into it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"availability(pay)", "under(read, 250ms)", "quantile(pay, 0.99)", "rate(pay)", "rejected_cleanly(pay,50ms)", "recovery_time(pay)",
		"availability(pay) < 10% for 5s", "rate(read) >= 5/s for 1m", "((", "a(b,c", "\xff(\x00",
	} {
		f.Add(text)
	}
	loads := []journal.LoadInfo{checktest.PayLoad(50), checktest.ReadLoad(100)}
	f.Fuzz(func(t *testing.T, text string) {
		for _, o := range []Objective{{Target: 0.99}, {Max: "3s"}, {Max: "5/s"}} {
			o.SLI, o.Baseline = text, true
			checks, err := o.Checks(loads)
			within(t, text, err)
			for _, c := range checks {
				for name, h := range checktest.Hostile() {
					if f := c.Judge(h); f.Outcome == verdict.Pass {
						t.Errorf("%q: %s history passes: %+v", text, name, f)
					}
				}
			}
		}
		g, err := ParseGuard(text, loads)
		within(t, text, err)
		if g != nil {
			g.Observe(liveCounts{})
		}
	})
}

func within(t *testing.T, text string, err error) {
	var syntax *SyntaxError
	if errors.As(err, &syntax) && (syntax.Offset < 0 || syntax.Offset > len(text) || syntax.Msg == "") {
		t.Errorf("%q: offset %d, %q", text, syntax.Offset, syntax.Msg)
	}
}
