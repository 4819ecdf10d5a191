package report_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"chaos/internal/journal"
	"chaos/internal/report"
	"chaos/internal/report/reporttest"
	"chaos/internal/verdict"
)

func TestBuildIsPure(t *testing.T) {
	for _, c := range reporttest.Cases() {
		before, err := json.Marshal(verdicts(c.Runs))
		if err != nil && c.Name != "hostile" { // its budget is infinite, which JSON does not know
			t.Fatal(err)
		}
		a, b := report.Build(c.Runs), report.Build(c.Runs)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: two documents of the same runs differ", c.Name)
		}
		if after, _ := json.Marshal(verdicts(c.Runs)); string(before) != string(after) {
			t.Errorf("%s: Build changed the verdict", c.Name)
		}
	}
}

// TestBuildCleansACopy: the document of hostile runs is clean, the runs are as they were.
func TestBuildCleansACopy(t *testing.T) {
	run := reporttest.Hostile()
	doc := report.Build([]report.Run{run})
	if f := run.Verdict.Findings[1]; !strings.Contains(f.Evidence[0].Note, reporttest.Secret) || run.Verdict.Why[0] == doc.Variants[0].Why[0] {
		t.Error("Build cleaned what is not its own")
	}
	if b := run.Verdict.Findings[0].Budget; b.BurnRate <= doc.Variants[0].Findings[0].Budget.BurnRate {
		t.Error("Build changed the budget of the verdict")
	}
}

func verdicts(runs []report.Run) (out []verdict.Verdict) {
	for _, r := range runs {
		out = append(out, r.Verdict)
	}
	return out
}

func TestPair(t *testing.T) {
	doc := report.Build(reporttest.Pair())
	if want := "resilient PASS as expected · naive FAIL as expected"; doc.Headline != want {
		t.Errorf("headline %q, want %q", doc.Headline, want)
	}
	if doc.Exit != 0 || doc.Met != 2 || doc.Seed != 20260305 {
		t.Errorf("exit %d, met %d, seed %d", doc.Exit, doc.Met, doc.Seed)
	}
	naive := doc.Variants[1]
	if naive.Focus != "pay" {
		t.Errorf("focus is %q, want the load of the first SLO", naive.Focus)
	}
	pay := naive.FocusLoad()
	if len(pay.Points) != 31 || pay.Step != time.Second {
		t.Fatalf("%d points of %v, want 31 of 1s", len(pay.Points), pay.Step)
	}
	all := 0
	for i, p := range pay.Points {
		all += p.Judged()
		if inFault := i >= 11 && i < 21; (p.Bad > 20) != inFault {
			t.Errorf("second %d has %d bad", i, p.Bad)
		}
		if p.P50 > p.P90 || p.P90 > p.Max || p.P50 == 0 {
			t.Errorf("second %d: p50 %v, p90 %v, max %v", i, p.P50, p.P90, p.Max)
		}
	}
	if all != 1550 {
		t.Errorf("%d requests are on the timeline, want 31 s × 50/s", all)
	}
	f := naive.Faults[0]
	if f.From != 11*time.Second || f.To != 20400*time.Millisecond || f.Healed != 21*time.Second || f.State != report.StateReverted || f.Place != "redis" {
		t.Errorf("fault %+v", f)
	}
	if got := naive.Impact; got.Bad != 1089 || got.BadSeconds != 10 || got.Unknown != 4 || got.Currency != "EUR" || got.Worst.Check != "payments-available" || len(got.Breaches) != 1 {
		t.Errorf("impact %+v", got)
	}
	if len(doc.Contrasts) != 0 {
		t.Error("nothing was lost, but there is a contrast")
	}
}

func TestTimeline(t *testing.T) {
	h := &journal.History{Run: journal.RunInfo{Loads: []journal.LoadInfo{{Name: "a", Timeout: 5 * time.Second}}},
		Events: []journal.Event{{At: 2 * time.Second, Type: journal.EventLoadStart}, {At: 4 * time.Second, Type: journal.EventLoadStop}}}
	at := func(due, latency time.Duration, c journal.Class, f journal.Flags) {
		s := journal.Sample{Due: due, Class: c, Flags: f}
		if latency > 0 {
			s.Done = due + latency
		}
		h.Samples = append(h.Samples, s)
	}
	at(1*time.Second, time.Millisecond, journal.Good, journal.FlagPrepare)
	at(2*time.Second, 10*time.Millisecond, journal.Good, 0)
	at(2500*time.Millisecond, 20*time.Millisecond, journal.Good, 0)
	at(2600*time.Millisecond, 900*time.Millisecond, journal.Excluded, 0)
	at(2999*time.Millisecond, 0, journal.Bad, 0) // never ended
	at(3*time.Second, 30*time.Millisecond, journal.Bad, 0)
	at(3500*time.Millisecond, 30*time.Millisecond, journal.Good, journal.FlagReplay)
	at(4*time.Second, 30*time.Millisecond, journal.Good, 0) // after the load
	got := report.Build([]report.Run{{History: h}}).Variants[0].Loads[0].Points
	want := []report.Point{
		{At: 0, Good: 2, Bad: 1, Excluded: 1, P50: 20 * time.Millisecond, P90: 5 * time.Second, Max: 5 * time.Second},
		{At: time.Second, Bad: 1, P50: 30 * time.Millisecond, P90: 30 * time.Millisecond, Max: 30 * time.Millisecond},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("points\n got %+v\nwant %+v", got, want)
	}
}

func TestLongRunsGetLongerPoints(t *testing.T) {
	h := &journal.History{Run: journal.RunInfo{Loads: []journal.LoadInfo{{Name: "a"}}},
		Events: []journal.Event{{Type: journal.EventLoadStart}, {At: time.Hour, Type: journal.EventLoadStop}}}
	if l := report.Build([]report.Run{{History: h}}).Variants[0].Loads[0]; len(l.Points) != 360 || l.Step != 10*time.Second {
		t.Errorf("an hour has %d points of %v", len(l.Points), l.Step)
	}
}

func TestSilentLoss(t *testing.T) {
	runs := reporttest.Silent()
	doc := report.Build(runs)
	if len(doc.Contrasts) != 1 || !doc.Contrasts[0].Technical || doc.Contrasts[0].Business {
		t.Fatalf("contrasts %+v", doc.Contrasts)
	}
	lost := 0
	for i, p := range doc.Variants[0].FocusLoad().Points {
		lost += p.Lost
		if p.Lost > 0 && (i < 11 || i > 20) {
			t.Errorf("second %d outside the fault has %d lost", i, p.Lost)
		}
	}
	if want := runs[0].Verdict.Findings[2].Count; lost != want {
		t.Errorf("%d lost on the timeline, the check counted %d", lost, want)
	}
	// When the check counts otherwise than the audit can place, nothing is placed and its number stands.
	runs[0].Verdict.Findings[2].Count++
	doc = report.Build(runs)
	for _, p := range doc.Variants[0].FocusLoad().Points {
		if p.Lost > 0 {
			t.Fatal("losses are placed although the numbers disagree")
		}
	}
	if len(doc.Contrasts) != 1 {
		t.Error("the contrast is gone")
	}
}

// TestHeadlineExample is the incident of the story: 12 % for 6 h is the whole month's budget.
func TestHeadlineExample(t *testing.T) {
	lost := 353
	h := &journal.History{Windows: map[string]journal.Window{"run": {Name: "run", To: time.Minute}}}
	doc := report.Build([]report.Run{{History: h, Verdict: verdict.Verdict{Findings: []verdict.Finding{
		{Check: "available", Kind: "slo", Window: "fault", Outcome: verdict.Pass, N: 3000, Budget: &verdict.Budget{Allowed: 3}},
		{Check: "no_lost_payment", Kind: "invariant", Window: "run", Outcome: verdict.Fail, N: 2941, Count: 353, Silent: &lost, Amount: 35300},
	}}}})
	if len(doc.Contrasts) != 1 {
		t.Fatal("no contrast")
	}
	var words []string
	for _, r := range doc.Contrasts[0].Rows {
		words = append(words, r.Business)
	}
	// e = 353/2941 = 0.12003; 0.12003·1 h/(0.001·720 h) = 16.7 %, ·6 h = 100 %; 353/60 s·21600 s = 127,080
	for i, want := range []string{"88\u202f% of 2,941", "16.7\u202f% / 100\u202f%", "353 of 2,941", "independent", "127,000 lost; 127,000.00"} {
		if !strings.Contains(words[i], want) {
			t.Errorf("row %d: %q, want %q in it", i, words[i], want)
		}
	}
}

func TestNoPowerIsSaid(t *testing.T) {
	doc := report.Build([]report.Run{{Verdict: verdict.Verdict{Variant: "naive", Status: verdict.PASS, Expect: verdict.Expectation{Status: verdict.FAIL}}}})
	if len(doc.Notes) != 1 || !strings.Contains(doc.Notes[0], "no power") || doc.Exit != verdict.ExitUnmet {
		t.Errorf("notes %q, exit %d", doc.Notes, doc.Exit)
	}
}

func TestInterruptedIs130(t *testing.T) {
	h := &journal.History{Events: []journal.Event{{Type: journal.EventInterrupted}}}
	doc := report.Build([]report.Run{{History: h, Verdict: verdict.Verdict{Status: verdict.ABORTED}}})
	if doc.Exit != verdict.ExitInterrupted {
		t.Errorf("exit %d", doc.Exit)
	}
}

func TestStuckFaultReachesTheEnd(t *testing.T) {
	v := report.Build([]report.Run{reporttest.Residue()}).Variants[0]
	if f := v.Faults[0]; f.State != report.StateStuck || f.To < 30*time.Second || f.Why == "" {
		t.Errorf("fault %+v", f)
	}
}

// What the first try of a revert met is told, though a later one mended it.
func TestAHealThatNeededASecondTryIsTold(t *testing.T) {
	r := reporttest.Pair()[0]
	for i, e := range r.History.Events {
		if e.Type == journal.EventReverted {
			r.History.Events[i].Detail = json.RawMessage(`"at the first try: it ended when it was unpaused"`)
		}
	}
	for _, m := range report.Build([]report.Run{r}).Variants[0].Moments {
		if strings.Contains(m.Text, "seen gone, not at once: at the first try: it ended") && m.Kind == report.MomentTrouble {
			return
		}
	}
	t.Error("the timeline does not tell")
}

// Whether everything was as before the faults is told, and what was not.
func TestTheComparisonIsTold(t *testing.T) {
	for detail, want := range map[string]report.Moment{
		`{"places":9}`: {Kind: report.MomentHarness, Text: "everything is as before the faults (9 places)"},
		`{"places":9,"changed":[{"place":"node:redis","before":"running","after":"paused"}]}`: {
			Kind: report.MomentTrouble, Text: `not everything is as before the faults: node:redis was "running" and is "paused"`},
	} {
		r := reporttest.Pair()[0]
		r.History.Events = append(r.History.Events, journal.Event{Type: journal.EventStateAfter, Detail: json.RawMessage(detail)})
		told := false
		for _, m := range report.Build([]report.Run{r}).Variants[0].Moments {
			told = told || m.Kind == want.Kind && m.Text == want.Text
		}
		if !told {
			t.Errorf("%s is not told", detail)
		}
	}
}

// BenchmarkBuild is the cost of a document of 200,000 samples. The budget is 1 s with rendering.
func BenchmarkBuild(b *testing.B) {
	runs := reporttest.Big(200_000)
	b.ResetTimer()
	for b.Loop() {
		report.Build(runs)
	}
}
