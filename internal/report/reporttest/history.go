// Package reporttest is the conformance suite of report formats and the fabricated, deterministic
// runs it is made of.
package reporttest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"chaos/internal/journal"
	"chaos/internal/report"
	"chaos/internal/verdict"
)

// Start is when every fabricated run began.
var Start = time.Date(2026, 3, 5, 9, 30, 0, 0, time.UTC)

// The offsets of a fabricated run, on the journal's clock.
const (
	loadStart = 4 * time.Second
	baseline  = loadStart + 3*time.Second
	faultAt   = baseline + 8*time.Second
	healAt    = faultAt + 10*time.Second
	loadStop  = healAt + 10*time.Second
	runEnd    = loadStop + 3*time.Second
)

// Outage says how one load fares while the fault is active.
type Outage struct {
	Bad     float64 // share of bad requests
	Latency time.Duration
	Status  uint16 // of the bad ones; 0 = timeout
	Lost    float64
}

// Scenario fabricates a run of redis-outage.
type Scenario struct {
	Experiment, Variant string
	Seed                uint64
	Pay, Read           Outage
	Verdict             verdict.Verdict
}

// History is the fabricated journal of the scenario, the same each time.
func (s Scenario) History() *journal.History {
	rng := rand.New(rand.NewPCG(s.Seed, 7))
	h := &journal.History{Run: s.info(), Events: s.events(), Windows: windows()}
	for op, l := range h.Run.Loads {
		out := []Outage{s.Pay, s.Read}[op]
		gap := time.Duration(float64(time.Second) / l.Rate)
		for i := 0; ; i++ {
			due := loadStart + time.Duration(i)*gap + time.Duration(rng.Float64()*float64(gap))
			if due >= loadStop {
				break
			}
			h.Samples = append(h.Samples, sample(rng, journal.OpID(op), uint64(i), due, out, l))
		}
	}
	slices.SortStableFunc(h.Samples, func(a, b journal.Sample) int { return int(a.Due - b.Due) })
	for i := range 31 {
		at := loadStart + time.Duration(i)*time.Second
		h.Readings = append(h.Readings,
			journal.Reading{At: at, Source: journal.SourceCanary, Name: journal.CanaryTicks, Value: 100},
			journal.Reading{At: at, Source: journal.SourceCanary, Name: journal.CanaryLate, Value: float64(i % 2)})
	}
	s.audit(h, rng)
	return h
}

func sample(rng *rand.Rand, op journal.OpID, seq uint64, due time.Duration, out Outage, l journal.LoadInfo) journal.Sample {
	s := journal.Sample{Seq: seq, Op: op, Due: due, Sent: due + 200*time.Microsecond, Amount: 100 + rng.Int64N(9900),
		Status: 201, Result: journal.OK, Class: journal.Good, Attempts: 1}
	for i := range 16 {
		s.Key[i], s.Trace[i] = byte(rng.Uint32()), byte(rng.Uint32())
	}
	latency := time.Duration(float64(22*time.Millisecond) * math.Exp(rng.NormFloat64()*0.35))
	if due >= faultAt && due < healAt {
		latency += out.Latency
		if rng.Float64() < out.Bad {
			s.Class, s.Result, s.Status = journal.Bad, journal.Failed, out.Status
			if out.Status == 0 {
				s.Result, s.Err, latency = journal.Unknown, journal.ErrTimeout, l.Timeout
			}
		}
	}
	s.Done = s.Due + latency
	return s
}

// audit lets the processor know every accepted payment but the lost ones.
func (s Scenario) audit(h *journal.History, rng *rand.Rand) {
	for i := range h.Samples {
		p := &h.Samples[i]
		if p.Op != 0 || p.Result != journal.OK {
			continue
		}
		if p.Due >= faultAt && p.Due < healAt && rng.Float64() < s.Pay.Lost {
			continue
		}
		h.Audit = append(h.Audit, journal.AuditRecord{Source: "settlement", Type: "charge", Key: p.Key.String(), Amount: p.Amount, Currency: "EUR"})
	}
}

// Lost is how many accepted payments of the scenario have no charge, how many were accepted, and the
// money.
func (s Scenario) Lost(h *journal.History) (lost, accepted int, amount int64, evidence []verdict.Evidence) {
	known := map[string]bool{}
	for _, a := range h.Audit {
		known[a.Key] = true
	}
	for _, p := range h.Samples {
		if p.Op != 0 || p.Result != journal.OK {
			continue
		}
		accepted++
		if !known[p.Key.String()] {
			lost++
			amount += p.Amount
			if len(evidence) < 5 {
				evidence = append(evidence, verdict.Evidence{Key: p.Key.String(), Trace: p.Trace.String(), Amount: p.Amount, Note: "accepted with 201, no charge, no log line"})
			}
		}
	}
	return lost, accepted, amount, evidence
}

func (s Scenario) info() journal.RunInfo {
	return journal.RunInfo{
		Schema: 1, ID: "a1b2c3d4e5f6", Experiment: s.Experiment, Variant: s.Variant, Profile: "quick", Seed: 20260305,
		Hypothesis: "While Redis is down, payments stay available on the local limiter and refunds are refused cleanly.",
		Source:     "A Redis outage takes down your rate limiter. Do you fail open or fail closed?",
		Command:    "chaos run experiments/" + s.Experiment + ".yaml --profile quick --seed 20260305",
		Started:    Start, Version: "v0.1.0", Revision: "0123abc", Target: "targets/payments/target.yaml", Runtime: "docker",
		Images:  map[string]string{"redis": "sha256:" + fmt.Sprintf("%064x", 11), "paysys": "sha256:" + fmt.Sprintf("%064x", 12)},
		Machine: map[string]string{"cpus": "2", "kernel": "6.1", "docker": "24.0.7"},
		Loads: []journal.LoadInfo{
			{Name: "pay", Op: "pay", Node: "gateway", Rate: 50, Arrivals: "poisson", Timeout: 5 * time.Second, Effect: "payment"},
			{Name: "read", Op: "read", Node: "gateway", Rate: 100, Arrivals: "constant", Timeout: 5 * time.Second},
		},
		Phases: map[string]string{"warmup": "3s", "baseline": "8s", "fault": "10s", "recovery": "10s", "settle": "5s"},
		Faults: []journal.FaultInfo{{ID: "redis-down", Kind: "node.stop", For: 10 * time.Second,
			With: json.RawMessage(`{"node":"redis","password":"hunter2"}`), Undo: "start redis again and wait until it is ready"}},
		Settle: 5 * time.Second,
	}
}

func (s Scenario) events() []journal.Event {
	var out []journal.Event
	add := func(at time.Duration, typ string, more ...func(*journal.Event)) {
		e := journal.Event{Seq: uint64(len(out)), At: at, Wall: Start.Add(at), Type: typ}
		for _, m := range more {
			m(&e)
		}
		out = append(out, e)
	}
	phase := func(name string) func(*journal.Event) { return func(e *journal.Event) { e.Phase = name } }
	action := func(e *journal.Event) { e.Action = "redis-down#1" }
	with := func(detail string) func(*journal.Event) {
		return func(e *journal.Event) { e.Detail = json.RawMessage(detail) }
	}
	add(0, journal.EventRunStart)
	add(3*time.Second, journal.EventSystemReady, with(`{"how":"start","took_ms":2850.5}`))
	add(loadStart, journal.EventPhase, phase("warmup"))
	add(loadStart, journal.EventLoadStart)
	add(baseline, journal.EventPhase, phase("baseline"))
	add(faultAt-time.Second, journal.EventGap)
	add(faultAt-500*time.Millisecond, journal.EventBaseline)
	add(faultAt-300*time.Millisecond, journal.EventPhase, phase("fault"))
	add(faultAt-200*time.Millisecond, journal.EventIntent, action, with(`{"id":"redis-down#1","fault":"redis-down","kind":"node.stop","place":"redis","args":{"node":"redis"},"undo":"start redis again"}`))
	add(faultAt, journal.EventActive, action)
	add(healAt-600*time.Millisecond, journal.EventReverting, action)
	add(healAt, journal.EventReverted, action)
	add(healAt, journal.EventPhase, phase("recovery"))
	add(loadStop, journal.EventLoadStop)
	add(loadStop, journal.EventPhase, phase("settle"))
	add(loadStop+time.Second, journal.EventResolved, with(`{"unknown":4,"resolved":4,"unresolved":0}`))
	add(loadStop+1500*time.Millisecond, journal.EventSettled)
	add(loadStop+2*time.Second, journal.EventAudit)
	add(runEnd, journal.EventRunEnd)
	return out
}

func windows() map[string]journal.Window {
	w := map[string]journal.Window{}
	for _, x := range []journal.Window{
		{Name: "warmup", From: loadStart, To: baseline}, {Name: "baseline", From: baseline, To: faultAt - time.Second},
		{Name: "fault", From: faultAt - 200*time.Millisecond, To: healAt}, {Name: "recovery", From: healAt, To: loadStop},
		{Name: "settled", From: healAt + 3*time.Second, To: loadStop}, {Name: "run", From: baseline, To: loadStop},
	} {
		w[x.Name] = x
	}
	return w
}

// Run is the scenario as Build takes it.
func (s Scenario) Run() report.Run {
	h := s.History()
	v := s.Verdict
	v.Run, v.Experiment, v.Variant = h.Run.ID, s.Experiment, s.Variant
	return report.Run{History: h, Verdict: v}
}
