package invariant

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// A witness that is missing, cut or silent is never a Pass; foreign records are told, not judged.
func TestWitnesses(t *testing.T) {
	without := func(typ string) func(*checktest.Story) {
		return func(s *checktest.Story) {
			s.H.Audit = slices.DeleteFunc(s.H.Audit, func(r journal.AuditRecord) bool { return r.Type == typ })
		}
	}
	for name, spoil := range map[string]func(*checktest.Story){
		"no payments": without("payment"), "no charges": without("charge"), "no ledger": without("ledger"),
		"charges of another run only": func(s *checktest.Story) {
			without("charge")(s)
			s.H.Audit = append(s.H.Audit, journal.AuditRecord{Source: "psp", Type: "charge", Key: "0badc0de0002" + strings.Repeat("0", 20), State: "succeeded"})
		},
		"a source failed": func(s *checktest.Story) {
			for i := range s.H.Events {
				if s.H.Events[i].Type == journal.EventAudit {
					s.H.Events[i].Err = "connection refused"
					return
				}
			}
		},
		"not asked": func(s *checktest.Story) {
			s.H.Events = slices.DeleteFunc(s.H.Events, func(e journal.Event) bool { return e.Type == journal.EventAudit })
		},
		"all of another run": func(s *checktest.Story) { s.H.Run.ID = "0badc0de0002"; s.H.Samples = nil },
	} {
		s := healthy()
		spoil(s)
		for check, f := range judge(t, s.H) {
			if f.Outcome != verdict.Inconclusive || f.Why == "" {
				t.Errorf("%s: %s is %s (%s), want Inconclusive with a reason", name, check, f.Outcome, f.Why)
			}
		}
	}
	s := healthy()
	for range 3 { // an older run's double charge
		s.H.Audit = append(s.H.Audit, journal.AuditRecord{Source: "psp", Type: "charge", Key: "0badc0de0002" + strings.Repeat("0", 20), State: "succeeded", Amount: 5})
	}
	for name, f := range trips(t, s.H) {
		if !strings.Contains(f.Why, "3 foreign records") {
			t.Errorf("%s does not tell of the foreign records: %s", name, f.Why)
		}
	}
}

// Evidence is bounded, its count is not.
func TestEvidenceIsBounded(t *testing.T) {
	s := healthy()
	for i := range 30 {
		addCharge(s, i)
	}
	if f := judge(t, s.H)["no_double_charge"]; f.Count != 30 || len(f.Evidence) != evidenceMax {
		t.Errorf("count %d, evidence %d; want 30 and %d", f.Count, len(f.Evidence), evidenceMax)
	}
}

func TestConformance(t *testing.T) {
	bugs := map[string]func(*checktest.Story){
		"no_lost_payment":  func(s *checktest.Story) { s.Drop("payment", 1) },
		"no_double_charge": func(s *checktest.Story) { addCharge(s, 1) },
		"ledger_balanced":  func(s *checktest.Story) { s.Drop("ledger", 1) },
	}
	for _, e := range Table() {
		s := healthy()
		bugs[e.Name](s)
		checktest.Run(t, e.New(), s.H)
	}
}

// 100,000 payments are judged by all invariants in a second (the budget of docs/performance.md).
func BenchmarkInvariants(b *testing.B) {
	s := checktest.NewStory(checktest.PayLoad(50))
	s.Drive("pay", 3*time.Second, 31*time.Second, 100_000, nil)
	s.Settle()
	for b.Loop() {
		for _, e := range Table() {
			if f := e.New().Judge(s.H); f.Outcome != verdict.Pass {
				b.Fatalf("%s: %s (%s)", e.Name, f.Outcome, f.Why)
			}
		}
	}
}
