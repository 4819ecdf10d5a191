package reporttest

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/report"
	"chaos/internal/trace"
	"chaos/internal/verdict"
)

// Case is one fabricated experiment.
type Case struct {
	Name string
	Runs []report.Run
}

// Cases are the experiments every format must be able to write: a pass and fail pair, each status
// that is neither, the silent loss, nothing at all, and hostile text.
func Cases() []Case {
	return []Case{
		{"pair", Pair()},
		{"silent", Silent()},
		{"traced", []report.Run{Traced()}},
		{"invalid", []report.Run{Invalid()}},
		{"aborted", []report.Run{Aborted()}},
		{"residue", []report.Run{Residue()}},
		{"error", []report.Run{Broken()}},
		{"empty", []report.Run{{History: &journal.History{}}}},
		{"nothing", nil},
		{"hostile", []report.Run{Hostile()}},
	}
}

var (
	expectPass = verdict.Expectation{Status: verdict.PASS}
	expectFail = verdict.Expectation{Status: verdict.FAIL, Because: []string{"payments-available"}}
)

func honesty() []verdict.Honesty {
	return []verdict.Honesty{
		{Window: "baseline", Load: "pay", Planned: 350, Sent: 350},
		{Window: "fault", Load: "pay", Planned: 510, Sent: 510, Late: 2, WorstLate: 61 * time.Millisecond},
		{Window: "fault", Load: "read", Planned: 1020, Sent: 1019, Late: 1, WorstLate: 55 * time.Millisecond},
	}
}

func bite() []verdict.Bite {
	return []verdict.Bite{{Fault: "redis-down", Action: "redis-down#1", Kind: "node.stop", Place: "redis", Bit: true,
		Asked: "redis stopped for 10 s", Delivered: "redis down for 9.4 s; 2 connections were cut", Active: 9400 * time.Millisecond,
		Detail: json.RawMessage(`{"connections":2,"down_ns":9400000000}`)}}
}

func slo(check, window, sli, want, got, bound string, o verdict.Outcome, n, bad int, share float64) verdict.Finding {
	f := verdict.Finding{Check: check, Kind: "slo", Window: window, SLI: sli, Want: want, Got: got, Bound: bound, Outcome: o, N: n, Bad: bad}
	if share > 0 {
		e := float64(bad) / float64(n)
		f.Budget = &verdict.Budget{Allowed: share * float64(n), Used: float64(bad), BurnRate: e / share,
			Share1h: e / share / 720, Share6h: e / share / 120}
	}
	return f
}

// Pair is redis-outage as it should come out: resilient passes, naive fails for the stated reason.
func Pair() []report.Run {
	none := 0
	good := Scenario{Experiment: "redis-outage", Variant: "resilient", Seed: 1, Pay: Outage{Bad: 0.003, Status: 503, Latency: 6 * time.Millisecond}}
	good.Verdict = verdict.Verdict{Status: verdict.PASS, Met: true, Expect: expectPass, Bites: bite(), Honesty: honesty(), FalseFails: 0.05,
		Findings: []verdict.Finding{
			slo("payments-available", "baseline", "availability(pay)", "≥ 99 %", "100 %", "≥ 99.1 % (95 %)", verdict.Pass, 350, 0, 0.01),
			slo("payments-available", "fault", "availability(pay)", "≥ 99 %", "99.8 %", "≥ 98.9 % (95 %)", verdict.Pass, 510, 1, 0.01),
			slo("reads-fast", "settled", "under(read, 250ms)", "≥ 95 %", "100 %", "≥ 99.5 % (95 %)", verdict.Pass, 700, 0, 0.05),
			slo("recovers", "recovery", "recovery_time(pay)", "≤ 3 s", "0.0 s", "", verdict.Pass, 500, 0, 0),
			{Check: "no_lost_payment", Kind: "invariant", Window: "run", Want: "0 lost", Got: "0 lost of 1,540", Outcome: verdict.Pass, N: 1540, Silent: &none},
			{Check: "ledger_balanced", Kind: "invariant", Window: "run", Want: "every transaction balances", Got: "1,540 transactions balance", Outcome: verdict.Pass, N: 1540},
		}}
	good.Verdict.Findings[1].Certified = true
	bad := Scenario{Experiment: "redis-outage", Variant: "naive", Seed: 2, Pay: Outage{Bad: 0.97, Status: 500, Latency: 900 * time.Millisecond}, Read: Outage{Bad: 0.6}}
	bad.Verdict = verdict.Verdict{Status: verdict.FAIL, Met: true, Expect: expectFail, MetWhy: "payments-available failed, as the experiment says",
		Why: []string{"payments-available: 2.9 % good in window fault, target ≥ 99 %"}, Bites: bite(), Honesty: honesty(), FalseFails: 0.05,
		Findings: []verdict.Finding{
			slo("payments-available", "baseline", "availability(pay)", "≥ 99 %", "100 %", "≥ 99.1 % (95 %)", verdict.Pass, 350, 0, 0.01),
			slo("payments-available", "fault", "availability(pay)", "≥ 99 %", "2.9 %", "≤ 5.4 % (99 %)", verdict.Fail, 510, 495, 0.01),
			slo("reads-fast", "settled", "under(read, 250ms)", "≥ 95 %", "100 %", "≥ 99.5 % (95 %)", verdict.Pass, 700, 0, 0.05),
			slo("recovers", "recovery", "recovery_time(pay)", "≤ 3 s", "1.2 s", "", verdict.Pass, 500, 0, 0),
			{Check: "no_double_charge", Kind: "invariant", Window: "run", Want: "0 charged twice", Got: "2 charged twice of 1,120", Outcome: verdict.Fail, N: 1120, Count: 2, Amount: 12345,
				Why: "two keys have two successful charges each", Evidence: []verdict.Evidence{
					{Key: "a1b2c3d4e5f600000000000000000001", Ref: "pay_01", Trace: "4bf92f3577b34da6a3ce929d0e0e4736", Amount: 9900, Note: "charges ch_1 and ch_2"},
					{Key: "a1b2c3d4e5f600000000000000000002", Ref: "pay_02", Trace: "00f067aa0ba902b74bf92f3577b34da6", Amount: 2445, Note: "charges ch_7 and ch_9"}}},
		}}
	return []report.Run{good.Run(), bad.Run()}
}

// Silent is the story of the dropped 12 %: every dashboard is green.
func Silent() []report.Run {
	s := Scenario{Experiment: "silent-drop", Variant: "naive-queue", Seed: 3, Pay: Outage{Lost: 0.12}}
	h := s.History()
	lost, accepted, amount, evidence := s.Lost(h)
	s.Verdict = verdict.Verdict{Status: verdict.FAIL, Met: true, Expect: verdict.Expectation{Status: verdict.FAIL, Because: []string{"no_lost_payment"}},
		Why: []string{"no_lost_payment: accepted payments were never settled"}, Bites: bite(), Honesty: honesty(),
		Findings: []verdict.Finding{
			slo("payments-available", "fault", "availability(pay)", "≥ 99.9 %", "100 %", "≥ 99.4 % (95 %)", verdict.Pass, 510, 0, 0.001),
			slo("payments-fast", "fault", "under(pay, 1200ms)", "≥ 99 %", "100 %", "≥ 99.4 % (95 %)", verdict.Pass, 510, 0, 0.01),
			{Check: "no_lost_payment", Kind: "invariant", Window: "run", Want: "0 lost", Got: report.Count(lost) + " lost", Outcome: verdict.Fail,
				N: accepted, Count: lost, Silent: &lost, Amount: amount, Evidence: evidence, Why: "accepted, no terminal state, no charge"},
		}}
	return []report.Run{s.Run()}
}

// Invalid is a run whose fault did not bite.
func Invalid() report.Run {
	s := Scenario{Experiment: "dead-fault", Variant: "resilient", Seed: 4}
	b := bite()
	b[0].Bit, b[0].Delivered, b[0].Why = false, "0 requests touched", "no request passed the edge while the fault was active"
	s.Verdict = verdict.Verdict{Status: verdict.INVALID, Met: true, Expect: verdict.Expectation{Status: verdict.INVALID},
		Why: []string{"redis-down did not bite: 0 requests touched"}, Bites: b, Honesty: honesty(),
		Findings: []verdict.Finding{slo("payments-available", "fault", "availability(pay)", "≥ 99 %", "100 %", "", verdict.Pass, 510, 0, 0.01)}}
	return s.Run()
}

// Aborted is a run that a guard ended in the middle of the fault.
func Aborted() report.Run {
	s := Scenario{Experiment: "redis-outage", Variant: "resilient", Seed: 5, Pay: Outage{Bad: 1}}
	s.Verdict = verdict.Verdict{Status: verdict.ABORTED, Expect: expectPass, MetWhy: "expected PASS, was ABORTED",
		Why: []string{"guard availability(pay) < 10% for 5s: 0 of 250 good"}, Bites: bite(), Honesty: honesty()}
	r := s.Run()
	stop := faultAt + 5500*time.Millisecond
	for i, s := range r.History.Samples {
		if s.Due >= stop+time.Second {
			r.History.Samples = r.History.Samples[:i]
			break
		}
	}
	guard := journal.Event{At: stop, Wall: Start.Add(stop), Type: journal.EventGuard, Err: "availability(pay) < 10% for 5s: 0 of 250 good"}
	r.History.Events = append(upTo(r.History.Events, stop), guard,
		journal.Event{At: stop + 100*time.Millisecond, Type: journal.EventReverting, Action: "redis-down#1"},
		journal.Event{At: stop + 900*time.Millisecond, Type: journal.EventReverted, Action: "redis-down#1"},
		journal.Event{At: stop + time.Second, Type: journal.EventLoadStop})
	return r
}

// Residue is a run whose fault could not be taken back.
func Residue() report.Run {
	s := Scenario{Experiment: "redis-outage", Variant: "resilient", Seed: 6, Pay: Outage{Bad: 1, Status: 503}}
	s.Verdict = verdict.Verdict{Status: verdict.RESIDUE, Expect: expectPass,
		Why:   []string{"redis-down#1 on redis is not reverted: start redis again; run: chaos heal reports/x"},
		Bites: bite(), Honesty: honesty()}
	r := s.Run()
	r.History.Events = append(upTo(r.History.Events, healAt-time.Millisecond),
		journal.Event{At: healAt + 10*time.Second, Type: journal.EventStuck, Action: "redis-down#1", Err: "the daemon did not answer within 2 s"})
	return r
}

// Broken is a run in which the harness failed before any load.
func Broken() report.Run {
	s := Scenario{Experiment: "redis-outage", Variant: "resilient", Seed: 7}
	s.Verdict = verdict.Verdict{Status: verdict.ERROR, Expect: expectPass, Why: []string{"start target: node payments never became ready"}}
	r := s.Run()
	r.History.Samples, r.History.Audit, r.History.Readings, r.History.Windows = nil, nil, nil, nil
	r.History.Events = append(r.History.Events[:1:1], journal.Event{At: 30 * time.Second, Type: journal.EventError, Err: "node payments never became ready"})
	r.History.Damage = []string{"events.ndjson ends in the middle of a line"}
	return r
}

func upTo(events []journal.Event, at time.Duration) []journal.Event {
	var out []journal.Event
	for _, e := range events {
		if e.At <= at {
			out = append(out, e)
		}
	}
	return out
}

// Secret must never appear in any report.
const Secret = "hunter2"

// Nasty is text that each format must show and none may obey.
const Nasty = "<script>alert(1)</script> </style><img src=x onerror=alert(2)> | pipe ` tick `` \"quote\" 'single' " +
	"[link](javascript:alert(3)) @octocat #123 http://evil.example/ www.evil.example \x1b[31mred\x1b[0m \x00\a " +
	"\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \xff\xfe ]]> --> {{.}} ${x} \\ \\| **bold** &lt; &amp;"

// Hostile has Nasty in every place that comes from outside, and a secret in many.
func Hostile() report.Run {
	s := Scenario{Experiment: Nasty, Variant: Nasty, Seed: 8, Pay: Outage{Bad: 0.5, Status: 500}}
	long := strings.Repeat("long", 5000)
	dsn := " postgres://app:" + Secret + "@db:5432/x password=" + Secret + ` {"token": "` + Secret + `"} --api-key ` + Secret
	s.Verdict = verdict.Verdict{Status: verdict.FAIL, Expect: verdict.Expectation{Status: verdict.FAIL, Because: []string{Nasty}},
		MetWhy: Nasty, Why: []string{Nasty + dsn, long}, Notes: []string{Nasty},
		Honesty: []verdict.Honesty{{Window: Nasty, Load: Nasty, Planned: -1, Sent: 5}},
		Bites:   []verdict.Bite{{Fault: Nasty, Action: Nasty, Kind: Nasty, Place: Nasty, Asked: Nasty, Delivered: Nasty + dsn, Why: Nasty, Detail: json.RawMessage(`{"secret":"` + Secret + `","a":[1,{"b":null}]}`)}},
		Findings: []verdict.Finding{
			{Check: Nasty, Kind: "slo", Window: Nasty, SLI: Nasty, Want: Nasty, Got: Nasty, Bound: Nasty, Why: Nasty, Outcome: verdict.Fail, N: 3, Bad: 3, Budget: &verdict.Budget{BurnRate: math.Inf(1), Used: math.NaN(), Share6h: 1e300}},
			{Check: Nasty, Kind: Nasty, Want: Nasty, Got: long, Outcome: verdict.Fail, Count: 9, Evidence: []verdict.Evidence{{Key: Nasty, Ref: Nasty, Trace: Nasty, Note: Nasty + dsn, Amount: -1 << 63}}},
		}}
	r := s.Run()
	h := r.History
	h.Run.Hypothesis, h.Run.Source, h.Run.Command, h.Run.Profile, h.Run.Target = Nasty, long, "chaos run --token "+Secret+" "+Nasty, Nasty, Nasty
	h.Run.Version, h.Run.Revision, h.Run.Runtime, h.Run.ID = Nasty, Nasty, Nasty, Nasty
	h.Run.Machine = map[string]string{Nasty: Nasty + dsn}
	h.Run.Loads[0].Name, h.Run.Loads[0].Op, h.Run.Loads[0].Node = Nasty, Nasty, Nasty
	h.Run.Faults[0].ID, h.Run.Faults[0].With = Nasty, json.RawMessage(`{"dsn":"`+Secret+`","x":"`+strings.Repeat("y", 9000)+`"}`)
	h.Damage = []string{Nasty + " torn"}
	for i := range h.Events {
		h.Events[i].Err, h.Events[i].Phase = Nasty, Nasty
	}
	h.Events = append(h.Events, journal.Event{At: 1 << 62, Type: journal.EventActive, Action: Nasty}, journal.Event{At: -1 << 62, Type: journal.EventReverted, Action: Nasty})
	h.Audit = append(h.Audit, journal.AuditRecord{Currency: Nasty})
	detail, _ := json.Marshal(journal.Telemetry{Spans: 1 << 63, ScrapeFailed: map[string]int{Nasty: -5}})
	h.Events = append(h.Events, journal.Event{Type: journal.EventTelemetry, Err: Nasty + dsn, Detail: detail})
	h.Run.Telemetry = &journal.TelemetryInfo{Metrics: []string{Nasty}, Map: &trace.Declared{Edges: []trace.DeclaredEdge{{Name: Nasty, From: Nasty, To: Nasty}}}}
	h.Spans = append(h.Spans, trace.Span{
		Trace: trace.ID(h.Samples[0].Trace), ID: trace.SpanID{1}, Start: math.MinInt64, Duration: math.MaxInt64, Kind: 99, Status: 99, Service: Nasty, Name: Nasty + dsn, Message: Nasty,
		Attrs: []trace.Attr{{Key: Nasty, Value: Nasty + dsn}, {Key: "server.address", Value: Nasty}}, Events: []trace.Event{{After: math.MinInt64, Name: Nasty}},
	})
	r.Verdict.Findings[1].Evidence = append(r.Verdict.Findings[1].Evidence, verdict.Evidence{Trace: h.Samples[0].Trace.String()})
	return r
}

// Big is a pair with about n samples in each run, for measuring speed.
func Big(n int) []report.Run {
	runs := Pair()
	for i := range runs {
		h := runs[i].History
		few := h.Samples
		h.Samples = make([]journal.Sample, 0, n+len(few))
		for _, s := range few {
			for k := range n / len(few) {
				s.Seq = uint64(len(h.Samples))
				s.Done += time.Duration(k) * time.Microsecond
				h.Samples = append(h.Samples, s)
			}
		}
	}
	return runs
}
