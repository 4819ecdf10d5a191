package invariant

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// healthy is a run of 500 payments, all on all books.
func healthy() *checktest.Story {
	s := checktest.NewStory(checktest.ReadLoad(10), checktest.PayLoad(50))
	s.Drive("read", 3*time.Second, 31*time.Second, 20, nil)
	s.Drive("pay", 3*time.Second, 31*time.Second, 500, nil)
	s.Settle()
	return s
}

func judge(t *testing.T, h *journal.History) map[string]verdict.Finding {
	t.Helper()
	found := make(map[string]verdict.Finding)
	for _, e := range Table() {
		found[e.Name] = e.New().Judge(h)
	}
	return found
}

// core are the invariants that need no more than what payments leave; the others can't be judged in a run of
// payments alone.
func core(name string) bool {
	return slices.Contains([]string{"no_lost_payment", "no_double_charge", "no_ghost_charge", "no_stuck_payment", "ledger_balanced", "idempotency_holds", "no_illegal_transition"}, name)
}

// trips asserts that exactly these invariants Fail, and that the others Pass or can't be judged.
func trips(t *testing.T, h *journal.History, want ...string) map[string]verdict.Finding {
	t.Helper()
	found := judge(t, h)
	for name, f := range found {
		outcome := verdict.Inconclusive
		switch {
		case slices.Contains(want, name):
			outcome = verdict.Fail
		case core(name):
			outcome = verdict.Pass
		}
		if f.Outcome != outcome {
			t.Errorf("%s is %s, want %s: %s", name, f.Outcome, outcome, f.Why)
		}
	}
	return found
}

// addCharge lets the processor charge the n-th payment once more.
func addCharge(s *checktest.Story, n int) journal.AuditRecord {
	for _, r := range s.H.Audit {
		if r.Type != "charge" {
			continue
		}
		if n--; n < 0 {
			r.ID += "-again"
			s.H.Audit = append(s.H.Audit, r)
			return r
		}
	}
	panic("no such charge")
}

func refund(s *checktest.Story, source string, charge journal.AuditRecord, amount int64) {
	s.H.Audit = append(s.H.Audit, journal.AuditRecord{Source: source, Type: "refund", Key: charge.Key, ID: "refund", Ref: charge.Ref, State: "succeeded", Amount: amount})
}

// Each seeded corruption of a healthy run trips exactly its invariant.
func TestSeededCorruption(t *testing.T) {
	t.Run("none", func(t *testing.T) { trips(t, healthy().H) })
	t.Run("delete a ledger row", func(t *testing.T) {
		s := healthy()
		r := s.Drop("ledger", 41)
		f := trips(t, s.H, "ledger_balanced")["ledger_balanced"]
		if f.Count != 1 || len(f.Evidence) != 1 || f.Evidence[0].Key != strings.ReplaceAll(r.Key, "-", "") || f.Evidence[0].Trace == "" {
			t.Errorf("evidence: %+v", f)
		}
	})
	t.Run("delete both rows of a transaction", func(t *testing.T) {
		s := healthy()
		s.Drop("ledger", 40)
		s.Drop("ledger", 40)
		if f := trips(t, s.H, "ledger_balanced")["ledger_balanced"]; f.Count != 1 {
			t.Errorf("count %d, want 1", f.Count)
		}
	})
	t.Run("change the amount of a ledger row", func(t *testing.T) {
		s := healthy()
		for i := range s.H.Audit {
			if s.H.Audit[i].Type == "ledger" {
				s.H.Audit[i].Amount *= 2
				break
			}
		}
		if f := trips(t, s.H, "ledger_balanced")["ledger_balanced"]; f.Count != 1 {
			t.Errorf("count %d, want 1: one defect is one offence", f.Count)
		}
	})
	t.Run("add a charge", func(t *testing.T) {
		s := healthy()
		r := addCharge(s, 7)
		f := trips(t, s.H, "no_double_charge")["no_double_charge"]
		if f.Count != 1 || f.Amount != r.Amount || len(f.Evidence) != 1 || f.Evidence[0].Ref != strings.ReplaceAll(r.Ref, "-", "") {
			t.Errorf("evidence: %+v", f)
		}
	})
	t.Run("delete a payment", func(t *testing.T) {
		s := healthy()
		r := s.Drop("payment", 100)
		f := trips(t, s.H, "no_lost_payment")["no_lost_payment"]
		if f.Count != 1 || f.N != 500 || f.Amount != r.Amount || f.Silent == nil || *f.Silent != 1 {
			t.Errorf("finding: %+v", f)
		}
	})
	t.Run("delete a payment and its ledger", func(t *testing.T) {
		s := healthy()
		s.Drop("payment", 100)
		s.Drop("ledger", 200)
		s.Drop("ledger", 200)
		trips(t, s.H, "no_lost_payment")
	})
	t.Run("delete a charge", func(t *testing.T) {
		s := healthy()
		s.Drop("charge", 3)
		trips(t, s.H, "no_lost_payment")
	})
}

func TestLost(t *testing.T) {
	lostOf := func(s *checktest.Story) verdict.Finding {
		c, _ := Table().New("no_lost_payment")
		return c.Judge(s.H)
	}
	state := func(to string) func(*checktest.Story) {
		return func(s *checktest.Story) {
			for i := range s.H.Audit {
				if s.H.Audit[i].Type == "payment" {
					s.H.Audit[i].State = to
					return
				}
			}
		}
	}
	answered := func(status uint16, result journal.Result) func(*checktest.Story) {
		return func(s *checktest.Story) { first(s).Status, first(s).Result = status, result }
	}
	for _, c := range []struct {
		name    string
		spoil   []func(*checktest.Story)
		outcome verdict.Outcome
		count   int
	}{
		{"never settled", []func(*checktest.Story){state("UNKNOWN")}, verdict.Fail, 1},
		{"202, declined later", []func(*checktest.Story){answered(202, journal.OK), state("DECLINED"), dropFirst("charge")}, verdict.Pass, 0},
		{"201, declined", []func(*checktest.Story){state("DECLINED"), dropFirst("charge")}, verdict.Fail, 1},
		{"201, the charge was declined", []func(*checktest.Story){declineFirst}, verdict.Fail, 1},
		{"202, captured without a charge", []func(*checktest.Story){answered(202, journal.OK), dropFirst("charge")}, verdict.Fail, 1},
		{"202, nothing on the books", []func(*checktest.Story){answered(202, journal.OK), dropFirst("charge"), dropFirst("payment")}, verdict.Fail, 1},
		{"402 is no acceptance", []func(*checktest.Story){answered(402, journal.OK), dropFirst("charge"), dropFirst("payment")}, verdict.Pass, 0},
		{"503 is no acceptance, though charged (a ghost)", []func(*checktest.Story){answered(503, journal.Failed)}, verdict.Pass, 0},
		{"unknown", []func(*checktest.Story){answered(0, journal.Unknown), dropFirst("charge"), dropFirst("payment")}, verdict.Inconclusive, 0},
		{"unknown, though all on the books", []func(*checktest.Story){answered(0, journal.Unknown)}, verdict.Inconclusive, 0},
		{"unknown, and another lost", []func(*checktest.Story){answered(0, journal.Unknown), func(s *checktest.Story) { s.Drop("payment", 5) }}, verdict.Fail, 1},
		{"unknown, then a replay was refused", []func(*checktest.Story){answered(0, journal.Unknown), replay(429, journal.Failed)}, verdict.Inconclusive, 0},
		{"unknown, then a replay said 201", []func(*checktest.Story){answered(0, journal.Unknown), replay(201, journal.OK)}, verdict.Pass, 0},
		{"unknown, then a replay said 201, but it is gone", []func(*checktest.Story){answered(0, journal.Unknown), replay(201, journal.OK), dropFirst("payment")}, verdict.Fail, 1},
		{"never sent", []func(*checktest.Story){answered(0, journal.Unknown), func(s *checktest.Story) { first(s).Err = journal.ErrNotSent }, dropFirst("charge"), dropFirst("payment")}, verdict.Pass, 0},
	} {
		s := healthy()
		for _, spoil := range c.spoil {
			spoil(s)
		}
		if f := lostOf(s); f.Outcome != c.outcome || f.Count != c.count {
			t.Errorf("%s: %s, %d lost; want %s, %d (%s; %s)", c.name, f.Outcome, f.Count, c.outcome, c.count, f.Got, f.Why)
		}
	}
	s := healthy()
	answered(0, journal.Unknown)(s)
	s.Drop("payment", 5)
	if f := lostOf(s); f.Got != "lost ∈ [1, 2]" {
		t.Errorf("got %q, want the interval [1, 2]", f.Got)
	}
}

func first(s *checktest.Story) *journal.Sample {
	i := slices.IndexFunc(s.H.Samples, func(x journal.Sample) bool { return s.H.Run.Loads[x.Op].Effect == "payment" })
	return &s.H.Samples[i]
}

func dropFirst(typ string) func(*checktest.Story) {
	return func(s *checktest.Story) { s.Drop(typ, 0) }
}

func declineFirst(s *checktest.Story) {
	r := s.Drop("charge", 0)
	r.State = "declined"
	s.H.Audit = append(s.H.Audit, r)
}

func replay(status uint16, result journal.Result) func(*checktest.Story) {
	return func(s *checktest.Story) {
		x := *first(s)
		x.Due, x.Sent, x.Done, x.Flags = 32*time.Second, 32*time.Second, 33*time.Second, journal.FlagReplay
		x.Status, x.Result = status, result
		s.H.Samples = append(s.H.Samples, x)
	}
}

// A lost payment is silent unless somebody said so, aloud, about it.
func TestSilent(t *testing.T) {
	for _, c := range []struct {
		name   string
		line   func(x *journal.Sample) journal.LogLine
		silent int
	}{
		{"nothing", func(*journal.Sample) journal.LogLine { return journal.LogLine{Level: "error", Msg: "of no one"} }, 2},
		{"an error with its trace", func(x *journal.Sample) journal.LogLine {
			return journal.LogLine{Level: "ERROR", Trace: x.Trace.String()}
		}, 1},
		{"a warning with its key", func(x *journal.Sample) journal.LogLine {
			return journal.LogLine{Level: "warn", Key: checktest.UUID(x.Key)}
		}, 1},
		{"an info is not aloud", func(x *journal.Sample) journal.LogLine {
			return journal.LogLine{Level: "info", Trace: x.Trace.String()}
		}, 2},
	} {
		s := healthy()
		s.Drop("payment", 0)
		s.Drop("payment", 0)
		s.H.Logs = append(s.H.Logs, c.line(first(s)))
		if f := judge(t, s.H)["no_lost_payment"]; f.Silent == nil || *f.Silent != c.silent {
			t.Errorf("%s: silent %v, want %d", c.name, f.Silent, c.silent)
		}
	}
	s := healthy()
	s.Drop("payment", 0)
	s.H.Logs = nil
	if f := judge(t, s.H)["no_lost_payment"]; f.Silent != nil || f.Outcome != verdict.Fail {
		t.Errorf("without logs silence was judged: %v (%s)", *f.Silent, f.Outcome)
	}
}

func TestDouble(t *testing.T) {
	doubleOf := func(s *checktest.Story) verdict.Finding { return judge(t, s.H)["no_double_charge"] }
	s := healthy()
	again := addCharge(s, 0)
	refund(s, "psp", again, again.Amount)
	if f := doubleOf(s); f.Outcome != verdict.Pass || !strings.Contains(f.Why, "1 were charged more than once and refunded") {
		t.Errorf("charged twice and refunded: %s (%s)", f.Outcome, f.Why)
	}
	s = healthy()
	again = addCharge(s, 0)
	refund(s, "payments", again, again.Amount)
	if f := doubleOf(s); f.Outcome != verdict.Fail {
		t.Errorf("a refund that only the target believes in: %s", f.Outcome)
	}
	s = healthy()
	again = addCharge(s, 0)
	refund(s, "psp", again, again.Amount/2)
	if f := doubleOf(s); f.Outcome != verdict.Fail {
		t.Errorf("half refunded: %s", f.Outcome)
	}
	s = healthy() // two halves add up to what was agreed, but a payment is charged once
	again = addCharge(s, 0)
	for i := range s.H.Audit {
		if r := &s.H.Audit[i]; r.Type == "charge" && r.Ref == again.Ref {
			r.Amount /= 2
		}
	}
	if f := doubleOf(s); f.Outcome != verdict.Fail {
		t.Errorf("charged in two halves: %s", f.Outcome)
	}
	refund(s, "psp", again, again.Amount/4)
	if f := doubleOf(s); f.Outcome != verdict.Fail {
		t.Errorf("charged in two halves, a little refunded: %s", f.Outcome)
	}
	s = healthy()
	again = addCharge(s, 0) // a key of its own per attempt, but the same payment
	s.H.Audit[len(s.H.Audit)-1].Key = again.Key + ":2"
	if f := doubleOf(s); f.Outcome != verdict.Fail {
		t.Errorf("a second attempt with a key of its own: %s", f.Outcome)
	}
	s = healthy()
	for i := range s.H.Audit {
		if s.H.Audit[i].Type == "charge" {
			s.H.Audit[i].Amount++
			break
		}
	}
	if f := doubleOf(s); f.Outcome != verdict.Fail || f.Amount != 1 {
		t.Errorf("charged more than agreed: %s, %d", f.Outcome, f.Amount)
	}
	s = healthy()
	first(s).Result, first(s).Status = journal.Unknown, 0
	addCharge(s, 0)
	if f := doubleOf(s); f.Outcome != verdict.Fail {
		t.Errorf("charged twice with an outcome nobody knows: %s", f.Outcome)
	}
}

func TestLedger(t *testing.T) {
	ledgerOf := func(s *checktest.Story) verdict.Finding { return judge(t, s.H)["ledger_balanced"] }
	s := healthy() // a refund on both books
	var charge journal.AuditRecord
	for _, r := range s.H.Audit {
		if r.Type == "charge" {
			charge = r
			break
		}
	}
	refund(s, "psp", charge, charge.Amount)
	if f := ledgerOf(s); f.Outcome != verdict.Fail {
		t.Errorf("refunded at the processor but not in the ledger: %s", f.Outcome)
	}
	for _, e := range []journal.AuditRecord{{Account: "merchant", Amount: charge.Amount}, {Account: "psp_clearing", Amount: -charge.Amount}} {
		e.Source, e.Type, e.Ref, e.Txn = "payments", "ledger", charge.Ref, "back"
		s.H.Audit = append(s.H.Audit, e)
	}
	if f := ledgerOf(s); f.Outcome != verdict.Pass {
		t.Errorf("refunded on both: %s (%s)", f.Outcome, f.Why)
	}
	s = healthy()
	key := checktest.RunID + strings.Repeat("f", 20)
	for _, amount := range []int64{5, -5} {
		s.H.Audit = append(s.H.Audit, journal.AuditRecord{Source: "payments", Type: "ledger", Key: key, Txn: "x", Account: fmt.Sprint(amount), Amount: amount})
	}
	if f := ledgerOf(s); f.Outcome != verdict.Fail || f.Count != 1 {
		t.Errorf("entries of a payment nobody knows: %s, %d", f.Outcome, f.Count)
	}
	s = healthy() // the ledger may be honest about a double charge
	addCharge(s, 0)
	for _, e := range []journal.AuditRecord{{Account: "merchant", Amount: -charge.Amount}, {Account: "psp_clearing", Amount: charge.Amount}} {
		e.Source, e.Type, e.Ref, e.Txn = "payments", "ledger", charge.Ref, "second"
		s.H.Audit = append(s.H.Audit, e)
	}
	trips(t, s.H, "no_double_charge")
}
