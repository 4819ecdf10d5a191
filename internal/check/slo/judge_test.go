package slo

import (
	"math"
	"strings"
	"testing"
	"time"

	"chaos/internal/check"
	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

var second = time.Second

// one compiles an objective that is judged in one window.
func one(t *testing.T, o Objective, loads ...journal.LoadInfo) check.Check {
	t.Helper()
	checks, err := o.Checks(loads)
	if err != nil {
		t.Fatalf("%s: %v", o.SLI, err)
	}
	if len(checks) != 1 {
		t.Fatalf("%s: %d checks, want 1", o.SLI, len(checks))
	}
	return checks[0]
}

// fault drives n payments through phase fault and spoils the first bad of them.
func fault(rate float64, n, bad int, spoil func(*journal.Sample)) *checktest.Story {
	s := checktest.NewStory(checktest.PayLoad(rate))
	s.Drive("pay", 11*second, 21*second, n, func(i int, x *journal.Sample) {
		if i < bad {
			spoil(x)
		}
	})
	return s
}

func fail(x *journal.Sample) {
	x.Class, x.Result, x.Status, x.Err = journal.Bad, journal.Unknown, 0, journal.ErrTimeout
	x.Done = x.Due + 5*second
}
func slow(x *journal.Sample)    { x.Done = x.Due + 300*time.Millisecond }
func edge(x *journal.Sample)    { x.Done = x.Due + 250*time.Millisecond }
func never(x *journal.Sample)   { x.Done = 0 }
func exclude(x *journal.Sample) { x.Class, x.Status = journal.Excluded, 400 }
func shed(x *journal.Sample) {
	x.Class, x.Status, x.Result, x.Flags = journal.Bad, 503, journal.Failed, journal.FlagRetryAfter
}

func TestRatios(t *testing.T) {
	const availability, under, quantile, rejected = "availability(pay)", "under(pay, 250ms)", "quantile(pay, 0.99)", "rejected_cleanly(pay, 50ms)"
	for _, c := range []struct {
		name  string
		sli   string
		n     int
		bad   int
		spoil func(*journal.Sample)
		want  verdict.Outcome
		wantN int
		wantB int
	}{
		{"all good", availability, 500, 0, nil, verdict.Pass, 500, 0},
		{"exactly on target", availability, 500, 5, fail, verdict.Pass, 500, 5},
		{"missed within noise", availability, 500, 6, fail, verdict.Inconclusive, 500, 6},
		{"one short of a Fail", availability, 500, 11, fail, verdict.Inconclusive, 500, 11},
		{"a Fail", availability, 500, 12, fail, verdict.Fail, 500, 12},
		{"never done is bad, whatever its class says", availability, 500, 12, never, verdict.Fail, 500, 12},
		{"excluded ones don't count", availability, 500, 12, exclude, verdict.Pass, 488, 0},
		{"slow is available", availability, 500, 500, slow, verdict.Pass, 500, 0},
		{"slow is not under", under, 500, 12, slow, verdict.Fail, 500, 12},
		{"the limit itself is not under", under, 500, 12, edge, verdict.Fail, 500, 12},
		{"fast failures are not under", under, 500, 12, shed, verdict.Fail, 500, 12},
		{"quantile: the limit itself is within", quantile, 500, 500, edge, verdict.Pass, 500, 0},
		{"quantile: slow", quantile, 500, 12, slow, verdict.Fail, 500, 12},
		{"quantile: bad counts as the timeout", quantile, 500, 12, shed, verdict.Fail, 500, 12},
		{"clean rejections", rejected, 500, 500, shed, verdict.Pass, 500, 0},
		{"good answers are no clean rejections", rejected, 500, 480, shed, verdict.Fail, 500, 20},
		{"excluded ones count as not clean", rejected, 500, 500, exclude, verdict.Fail, 500, 500},
		{"without Retry-After it is not clean", rejected, 500, 500, func(x *journal.Sample) { shed(x); x.Flags = 0 }, verdict.Fail, 500, 500},
		{"a slow rejection is not clean", rejected, 500, 500, func(x *journal.Sample) { shed(x); x.Done = x.Due + 50*time.Millisecond }, verdict.Fail, 500, 500},
		{"nothing but excluded", availability, 500, 500, exclude, verdict.Inconclusive, 0, 0},
	} {
		o := Objective{Name: "x", SLI: c.sli, Target: 0.99}
		if c.sli == quantile {
			o.Target, o.Max = 0, "250ms"
		}
		s := fault(50, c.n, c.bad, c.spoil)
		f := one(t, o, s.H.Run.Loads...).Judge(s.H)
		if f.Outcome != c.want || f.N != c.wantN || f.Bad != c.wantB {
			t.Errorf("%s: %s with n %d, bad %d; want %s, %d, %d (%s)", c.name, f.Outcome, f.N, f.Bad, c.want, c.wantN, c.wantB, f.Why)
		}
		if f.Latency != (c.sli != availability) {
			t.Errorf("%s: latency %v", c.name, f.Latency)
		}
	}
}

func TestReplaysAndPreparationsBelongToNoWindow(t *testing.T) {
	for _, flag := range []journal.Flags{journal.FlagReplay, journal.FlagPrepare} {
		s := fault(50, 520, 20, func(x *journal.Sample) { fail(x); x.Flags |= flag })
		if f := one(t, Objective{Name: "x", SLI: "availability(pay)", Target: 0.99}, s.H.Run.Loads...).Judge(s.H); f.N != 500 || f.Bad != 0 {
			t.Errorf("flag %d: n %d, bad %d", flag, f.N, f.Bad)
		}
	}
}

// A Pass needs the planned n; a Fail does not.
func TestTooFewSamples(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  float64
		n     int
		bad   int
		spoil func(*journal.Sample)
		want  verdict.Outcome
		short bool
	}{
		{"enough planned, a Poisson schedule's luck", 35, 331, 0, nil, verdict.Pass, false},
		{"too few planned", 34, 340, 0, nil, verdict.Inconclusive, true},
		{"the generator stopped", 50, 200, 0, nil, verdict.Inconclusive, true},
		{"most were excluded", 35, 350, 60, exclude, verdict.Inconclusive, true},
		{"some were excluded", 35, 350, 40, exclude, verdict.Pass, false},
		{"too few, but plainly bad", 10, 100, 50, fail, verdict.Fail, true},
	} {
		s := fault(c.rate, c.n, c.bad, c.spoil)
		f := one(t, Objective{Name: "x", SLI: "availability(pay)", Target: 0.99}, s.H.Run.Loads...).Judge(s.H)
		if f.Outcome != c.want || f.Short != c.short || f.Need != 343 {
			t.Errorf("%s: %s, short %v, need %d; want %s, %v (%s)", c.name, f.Outcome, f.Short, f.Need, c.want, c.short, f.Why)
		}
	}
}

func TestCertified(t *testing.T) {
	for _, c := range []struct {
		n, bad int
		want   bool
	}{{500, 0, true}, {500, 1, true}, {500, 2, false}, {3000, 20, true}, {3000, 21, false}} {
		s := fault(float64(c.n)/10, c.n, c.bad, fail)
		f := one(t, Objective{Name: "x", SLI: "availability(pay)", Target: 0.99}, s.H.Run.Loads...).Judge(s.H)
		if f.Outcome != verdict.Pass || f.Certified != c.want {
			t.Errorf("n %d, bad %d: %s, certified %v, want %v (%s)", c.n, c.bad, f.Outcome, f.Certified, c.want, f.Bound)
		}
	}
}

func TestWords(t *testing.T) {
	s := fault(300, 3000, 360, fail)
	f := one(t, Objective{Name: "x", SLI: "availability(pay)", Target: 0.999}, s.H.Run.Loads...).Judge(s.H)
	if f.Got != "88 %" || f.Want != "≥ 99.9 %" || f.SLI != "availability(pay)" || f.Kind != "slo" || math.Abs(f.Budget.BurnRate-120) > 1e-9 {
		t.Errorf("%+v, budget %+v", f, f.Budget)
	}
	if !strings.HasPrefix(f.Bound, "upper 99 % bound 89.") {
		t.Errorf("bound %q", f.Bound)
	}
	s = fault(300, 3000, 1, fail)
	f = one(t, Objective{Name: "x", SLI: "quantile(pay, 0.99)", Max: "250ms"}, s.H.Run.Loads...).Judge(s.H)
	if f.Got != "p99 = 20ms" || f.Want != "p99 ≤ 250ms" {
		t.Errorf("got %q, want %q", f.Got, f.Want)
	}
	s = fault(300, 3000, 31, shed) // bad requests count as the client's timeout, however fast they failed
	if f = one(t, Objective{Name: "x", SLI: "quantile(pay, 0.99)", Max: "250ms"}, s.H.Run.Loads...).Judge(s.H); f.Got != "p99 ≥ 5s (the client's timeout)" {
		t.Errorf("got %q", f.Got)
	}
	for p, want := range map[float64]string{1: "100 %", 0.999999: "99.9999 %", 0.99994: "99.99 %", 0.99996: "99.996 %", 0: "0 %", 0.00001: "0.001 %", 0.5: "50 %"} {
		if got := percent(p); got != want {
			t.Errorf("percent(%v) = %q, want %q", p, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 3444: "3,444", 1000000: "1,000,000", -1234: "-1,234"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}

// By sent, a request that was due in the window but sent late counts from its sending, one that was
// never sent does not count, and one that was sent in another window belongs there.
func TestJudgeBySent(t *testing.T) {
	late := func(x *journal.Sample) { x.Sent, x.Done = x.Due+400*time.Millisecond, x.Due+420*time.Millisecond }
	unsent := func(x *journal.Sample) { x.Sent, x.Done, x.Class, x.Err = 0, 0, journal.Bad, journal.ErrNotSent }
	for _, c := range []struct {
		name  string
		spoil func(*journal.Sample)
		want  verdict.Outcome
		n     int
	}{
		{"late", late, verdict.Pass, 500}, {"unsent", unsent, verdict.Pass, 480}, {"slow", slow, verdict.Fail, 500},
		{"sent after the window", func(x *journal.Sample) { slow(x); x.Sent = 22 * second }, verdict.Pass, 480},
	} {
		s := fault(50, 500, 20, c.spoil)
		check := one(t, Objective{Name: "x", SLI: "under(pay, 250ms)", Target: 0.99}, s.H.Run.Loads...)
		if f := check.Judge(s.H); f.Outcome != verdict.Fail {
			t.Errorf("%s: by due %s, want Fail", c.name, f.Outcome)
		}
		again := check.(interface {
			JudgeBySent(*journal.History) verdict.Finding
		}).JudgeBySent(s.H)
		if again.Outcome != c.want || again.N != c.n {
			t.Errorf("%s: by sent %s with n %d, want %s, %d (%s)", c.name, again.Outcome, again.N, c.want, c.n, again.Why)
		}
	}
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		n    int
		max  string
		want verdict.Outcome
	}{{500, "50/s", verdict.Pass}, {520, "50/s", verdict.Inconclusive}, {600, "50/s", verdict.Fail}, {500, "50", verdict.Pass}} {
		s := fault(float64(c.n)/10, c.n+100, 100, fail) // bad ones are not admitted
		f := one(t, Objective{Name: "x", SLI: "rate(pay)", Max: c.max, Baseline: true}, s.H.Run.Loads...).Judge(s.H)
		if f.Outcome != c.want {
			t.Errorf("%d in 10 s, max %s: %s, want %s (%s)", c.n, c.max, f.Outcome, c.want, f.Bound)
		}
	}
}

func TestRecovery(t *testing.T) {
	judge := func(s *checktest.Story, max string) verdict.Finding {
		return one(t, Objective{Name: "x", SLI: "recovery_time(pay)", Max: max, Baseline: true}, s.H.Run.Loads...).Judge(s.H)
	}
	drive := func(n int, edit func(second int, i int, x *journal.Sample)) *checktest.Story {
		s := checktest.NewStory(checktest.PayLoad(50))
		s.Drive("pay", 21*second, 31*second, n, func(i int, x *journal.Sample) {
			if edit != nil {
				edit(int((x.Due-21*second)/second), i, x)
			}
		})
		return s
	}
	badUntil := func(k int) *checktest.Story {
		return drive(500, func(second, _ int, x *journal.Sample) {
			if second < k {
				fail(x)
			}
		})
	}
	for _, c := range []struct {
		name string
		s    *checktest.Story
		max  string
		want verdict.Outcome
		got  string
	}{
		{"at once", badUntil(0), "3s", verdict.Pass, "recovered 0s after the heal"},
		{"just in time", badUntil(3), "3s", verdict.Pass, "recovered 3s after the heal"},
		{"too late", badUntil(4), "3s", verdict.Fail, "recovered 4s after the heal"},
		{"at the last moment", badUntil(5), "5s", verdict.Pass, "recovered 5s after the heal"},
		{"never", badUntil(6), "5s", verdict.Fail, "did not recover in 10s"},
		{"a relapse starts it anew", drive(500, func(second, _ int, x *journal.Sample) {
			if second == 3 {
				fail(x)
			}
		}), "3s", verdict.Fail, "recovered 4s after the heal"},
		{"5 % bad is good enough", drive(1000, func(_, i int, x *journal.Sample) {
			if i%20 == 0 {
				fail(x)
			}
		}), "3s", verdict.Pass, "recovered 0s after the heal"},
		{"6 % bad is not", drive(500, func(_, i int, x *journal.Sample) {
			if i%50 < 3 {
				fail(x)
			}
		}), "3s", verdict.Fail, "did not recover in 10s"},
		{"too sparse to see", drive(90, nil), "3s", verdict.Inconclusive, "did not recover in 10s"},
		{"sparse, but bad all the time", drive(200, func(second, i int, x *journal.Sample) {
			if second != 0 {
				fail(x)
			}
		}), "3s", verdict.Fail, "did not recover in 10s"},
		{"nothing", drive(0, nil), "3s", verdict.Inconclusive, "nothing"},
	} {
		f := judge(c.s, c.max)
		if c.name == "nothing" {
			f.Got = "nothing"
		}
		if f.Outcome != c.want || f.Got != c.got {
			t.Errorf("%s: %s, %q; want %s, %q (%s)", c.name, f.Outcome, f.Got, c.want, c.got, f.Why)
		}
	}
	short := drive(500, nil)
	short.H.Windows["recovery"] = journal.Window{Name: "recovery", From: 21 * second, To: 25900 * time.Millisecond}
	if f := judge(short, "3s"); f.Outcome != verdict.Inconclusive {
		t.Errorf("less than 5 whole seconds: %s", f.Outcome)
	}
}

func TestConformance(t *testing.T) {
	loads := []journal.LoadInfo{checktest.PayLoad(50), checktest.ReadLoad(100)}
	down := func() *journal.History {
		s := checktest.NewStory(loads...)
		s.Steady()
		for i := range s.H.Samples {
			if x := &s.H.Samples[i]; x.Due >= 11*second {
				fail(x)
			}
		}
		return s.H
	}
	flood := func() *journal.History {
		s := checktest.NewStory(loads...)
		s.Steady()
		s.Drive("pay", 11*second, 21*second, 2000, nil)
		return s.H
	}
	for _, c := range []struct {
		o   Objective
		bug *journal.History
	}{
		{Objective{SLI: "availability(pay)", Target: 0.99}, down()},
		{Objective{SLI: "under(read, 250ms)", Target: 0.95, During: []string{"settled"}}, down()},
		{Objective{SLI: "quantile(read, 0.95)", Max: "250ms"}, down()},
		{Objective{SLI: "rejected_cleanly(pay, 50ms)", Target: 0.95}, down()},
		{Objective{SLI: "recovery_time(pay)", Max: "3s"}, down()},
		{Objective{SLI: "rate(pay)", Max: "60/s"}, flood()},
	} {
		c.o.Name = c.o.SLI
		checktest.Run(t, one(t, c.o, loads...), c.bug)
	}
}
