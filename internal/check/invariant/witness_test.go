package invariant

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// A witness that is missing, cut or silent is never a Pass; foreign records are told, not judged.
func TestWitnesses(t *testing.T) {
	for _, typ := range []string{"payment", "charge", "ledger", "order", "reservation", "stock", "event"} {
		s := checktest.Shop(1, 200)
		s.H.Audit = slices.DeleteFunc(s.H.Audit, func(r journal.AuditRecord) bool { return r.Type == typ })
		if typ == "charge" { // those of another run are none
			s.H.Audit = append(s.H.Audit, journal.AuditRecord{Source: "psp", Type: "charge", Key: "0badc0de0002" + strings.Repeat("0", 20), State: "succeeded"})
		}
		for _, e := range Table() {
			i := e.New().(*invariant)
			if f := i.Judge(s.H); slices.Contains(i.needs, typ) && (f.Outcome != verdict.Inconclusive || f.Why == "") {
				t.Errorf("no %s: %s is %s (%s), want Inconclusive with a reason", typ, i.name, f.Outcome, f.Why)
			}
		}
	}
	for name, spoil := range map[string]func(*checktest.Story){
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
		if core(name) && !strings.Contains(f.Why, "3 foreign records") {
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
	for _, e := range Table() {
		s := checktest.Shop(1, 300)
		c := &hand{t: t, s: s, rng: rand.New(rand.NewPCG(1, 1))}
		all := corruptions()
		i := slices.IndexFunc(all, func(x corruption) bool { return x.trips == e.Name })
		if i < 0 {
			t.Fatalf("no corruption trips %s", e.Name)
		}
		all[i].do(c)
		checktest.Run(t, e.New(), s.H)
	}
}

// 100,000 orders are judged by all invariants in five seconds (the budget of docs/performance.md): the books are
// opened once.
func BenchmarkAudit(b *testing.B) {
	s := checktest.Shop(1, 100_000)
	for b.Loop() {
		s.H.Freeze()
		for _, e := range Table() {
			if f := e.New().Judge(s.H); f.Outcome != verdict.Pass {
				b.Fatalf("%s: %s (%s)", e.Name, f.Outcome, f.Why)
			}
		}
	}
	b.ReportMetric(float64(len(s.H.Audit)), "records")
}
