package invariant

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/check"
	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// bank is a run of another system: 200 transfers between accounts, in words of its own.
func bank() *checktest.Story {
	read := checktest.ReadLoad(10)
	s := checktest.NewStory(checktest.PayLoad(50), read)
	s.Drive("pay", 3*time.Second, 31*time.Second, 200, nil)
	for i := range s.H.Samples {
		x := &s.H.Samples[i]
		id, key := checktest.UUID(x.Ref), checktest.UUID(x.Key)
		at := time.Unix(int64(i), 0)
		s.H.Audit = append(s.H.Audit,
			journal.AuditRecord{Source: "core", Type: "transfer", Key: key, ID: id, State: "booked", Amount: x.Amount, At: at.Add(time.Second)},
			journal.AuditRecord{Source: "core", Type: "transfer", Key: key, ID: id, State: "asked", Amount: x.Amount, At: at},
			journal.AuditRecord{Source: "core", Type: "posting", Key: key, Txn: "t-" + id, Account: fmt.Sprintf("acc-%d", i%5), Amount: -x.Amount, Currency: "EUR"},
			journal.AuditRecord{Source: "core", Type: "posting", Key: key, Txn: "t-" + id, Account: fmt.Sprintf("acc-%d", i%5+1), Amount: x.Amount, Currency: "EUR"},
			journal.AuditRecord{Source: "mail", Type: "letter", Key: key, ID: fmt.Sprint(i), Ref: id, Amount: x.Amount, State: "sent"},
			journal.AuditRecord{Source: "clearing", Type: "settlement", Key: key, ID: "s-" + id, Ref: id, Amount: x.Amount})
	}
	for i := range 20 {
		x := s.H.Samples[i]
		for n, state := range []string{"asked", "booked"} {
			at := x.Done + time.Duration(n+1)*time.Second
			s.H.Samples = append(s.H.Samples, journal.Sample{Op: 1, Seq: uint64(2*i + n), Due: at, Sent: at, Done: at + time.Millisecond, Ref: x.Ref, Status: 200, Result: journal.OK, State: state})
		}
	}
	for _, source := range []string{"core", "mail", "clearing"} {
		s.Event(32*time.Second, journal.EventAudit, source, nil)
	}
	return s
}

// asked are the checks that an experiment on the bank would name.
func asked() map[string]check.Check {
	return map[string]check.Check{
		"transactions sum to zero":        &Conservation{Of: []string{"posting"}, By: byTxn},
		"no money is made":                &Conservation{Of: []string{"posting"}, By: byNothing},
		"settled as transferred":          &Conservation{Of: []string{"settlement"}, By: byKey, SameAs: []string{"transfer"}, SameStates: []string{"BOOKED"}},
		"one settlement each":             &ExactlyOnce{Of: "settlement", Per: acked, By: byKey},
		"one letter each":                 &ExactlyOnce{Of: "letter", States: []string{"sent"}, Per: "transfer", PerStates: []string{"booked"}, By: byRef},
		"no second letter":                &ExactlyOnce{Of: "letter", Per: "transfer", PerStates: []string{"booked"}, By: byRef, AtMost: true},
		"a letter for each that is there": &Completeness{Of: "letter", Per: "transfer", PerStates: []string{"booked"}, By: byRef},
		"forward only":                    &MonotonicState{Of: "transfer", Order: []string{"asked", "booked", "void"}, Terminal: []string{"void"}, Load: "read"},
	}
}

func TestGeneralKinds(t *testing.T) {
	find := func(s *checktest.Story, typ string, n int) *journal.AuditRecord {
		for i := range s.H.Audit {
			if r := &s.H.Audit[i]; r.Type == typ {
				if n--; n < 0 {
					return r
				}
			}
		}
		t.Fatalf("no %s", typ)
		return nil
	}
	for _, c := range []struct {
		name  string
		spoil func(s *checktest.Story)
		fails []string
	}{
		{"healthy", func(*checktest.Story) {}, nil},
		{"a posting is missing", func(s *checktest.Story) { s.Drop("posting", 7) }, []string{"transactions sum to zero", "no money is made"}},
		{"two postings cancel out over transactions", func(s *checktest.Story) { find(s, "posting", 1).Amount++; find(s, "posting", 3).Amount-- }, []string{"transactions sum to zero"}},
		{"a posting in another currency", func(s *checktest.Story) { find(s, "posting", 1).Currency = "USD" }, []string{"transactions sum to zero", "no money is made"}},
		{"settled twice", func(s *checktest.Story) {
			r := *find(s, "settlement", 3)
			r.ID = "again"
			s.H.Audit = append(s.H.Audit, r)
		}, []string{"settled as transferred", "one settlement each"}},
		{"settled something else", func(s *checktest.Story) { find(s, "settlement", 3).Amount-- }, []string{"settled as transferred"}},
		{"settled for nobody", func(s *checktest.Story) {
			s.H.Audit = append(s.H.Audit, journal.AuditRecord{Type: "settlement", Key: checktest.RunID + strings.Repeat("e", 20), Amount: 5})
		}, []string{"settled as transferred"}},
		{"not settled", func(s *checktest.Story) { s.Drop("settlement", 3) }, []string{"settled as transferred", "one settlement each"}},
		{"two letters", func(s *checktest.Story) { s.H.Audit = append(s.H.Audit, *find(s, "letter", 9)) }, []string{"one letter each", "no second letter"}},
		{"no letter", func(s *checktest.Story) { s.Drop("letter", 9) }, []string{"one letter each", "a letter for each that is there"}},
		{"a letter that was not sent", func(s *checktest.Story) { find(s, "letter", 9).State = "waiting" }, []string{"one letter each"}},
		{"went back", func(s *checktest.Story) {
			r := *find(s, "transfer", 30*2)
			r.State, r.At = "asked", r.At.Add(time.Hour)
			s.H.Audit = append(s.H.Audit, r)
		}, []string{"forward only"}},
		{"left its end", func(s *checktest.Story) {
			r := *find(s, "transfer", 30*2)
			r.State = "VOID"
			r.At = r.At.Add(-time.Hour)
			s.H.Audit = append(s.H.Audit, r)
		}, []string{"forward only"}},
		{"a state of another order", func(s *checktest.Story) {
			r := *find(s, "transfer", 30*2)
			r.State = "odd"
			s.H.Audit = append(s.H.Audit, r)
		}, []string{"forward only"}},
		{"read backwards", func(s *checktest.Story) { s.H.Samples[len(s.H.Samples)-2].State = "void" }, []string{"forward only"}},
		{"read at the same time", func(s *checktest.Story) {
			x := &s.H.Samples[len(s.H.Samples)-2]
			x.State, x.Done = "booked", x.Done+time.Minute
			s.H.Samples[len(s.H.Samples)-1].State = "asked"
		}, nil},
		{"read further than the books are", func(s *checktest.Story) {
			s.H.Samples[len(s.H.Samples)-1].State = "void"
		}, []string{"forward only"}},
	} {
		s := bank()
		c.spoil(s)
		for name, ch := range asked() {
			if v, ok := ch.(interface{ Validate() error }); ok {
				if err := v.Validate(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			f := ch.Judge(s.H)
			want := verdict.Pass
			if slices.Contains(c.fails, name) {
				want = verdict.Fail
			}
			if f.Outcome != want || want == verdict.Fail && (f.Count < 1 || len(f.Evidence) != f.Count) {
				t.Errorf("%s: %s is %s, want %s: %s (%s)", c.name, name, f.Outcome, want, f.Got, f.Why)
			}
		}
	}
}

// What is not known widens what is judged by acknowledgements, and is never a Pass.
func TestGeneralKindsAndTheUnknown(t *testing.T) {
	s := bank()
	s.H.Samples[0].Result, s.H.Samples[0].Status = journal.Unknown, 0
	if f := asked()["one settlement each"].Judge(s.H); f.Outcome != verdict.Inconclusive || f.Got != "off ∈ [0, 1]" {
		t.Errorf("unknown: %s, %s", f.Outcome, f.Got)
	}
	s.Drop("settlement", 5)
	if f := asked()["one settlement each"].Judge(s.H); f.Outcome != verdict.Fail || f.Got != "off ∈ [1, 2]" {
		t.Errorf("unknown, and one off: %s, %s", f.Outcome, f.Got)
	}
	for name, typ := range map[string]string{"transactions sum to zero": "posting", "one letter each": "letter", "a letter for each that is there": "transfer", "forward only": "transfer", "one settlement each": "settlement"} {
		s := bank()
		s.H.Audit = slices.DeleteFunc(s.H.Audit, func(r journal.AuditRecord) bool { return r.Type == typ })
		if f := asked()[name].Judge(s.H); f.Outcome != verdict.Inconclusive || !strings.Contains(f.Why, typ) {
			t.Errorf("no %s: %s is %s (%s)", typ, name, f.Outcome, f.Why)
		}
	}
	s = bank()
	s.H.Audit = slices.DeleteFunc(s.H.Audit, func(r journal.AuditRecord) bool { return r.Type == "transfer" && r.State == "asked" })
	s.H.Samples = s.H.Samples[:200]
	if f := asked()["forward only"].Judge(s.H); f.Outcome != verdict.Inconclusive {
		t.Errorf("nothing was seen twice: %s (%s)", f.Outcome, f.Why)
	}
}

func TestGeneralKindsAreStrict(t *testing.T) {
	for want, c := range map[string]interface{ Validate() error }{
		"name a type":       &Conservation{},
		"leave one out":     &Conservation{Of: []string{"a"}, Total: 1, SameAs: []string{"b"}},
		"same_as, which is": &Conservation{Of: []string{"a"}, SameStates: []string{"b"}},
		"has no states":     &ExactlyOnce{Of: "a", Per: acked, By: byKey, PerStates: []string{"x"}},
		"goes by key":       &ExactlyOnce{Of: "a", Per: acked, By: byRef},
		"against itself":    &Completeness{Of: "a", Per: "a", By: byKey},
		"two states":        &MonotonicState{Of: "a", Order: []string{"x"}},
		"in order twice":    &MonotonicState{Of: "a", Order: []string{"x", "X"}},
		"is not in order":   &MonotonicState{Of: "a", Order: []string{"x", "y"}, Terminal: []string{"z"}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	has := journal.RunInfo{Witnesses: []string{"posting", "transfer"}}
	for name, want := range map[string]bool{"transactions sum to zero": true, "one settlement each": false, "one letter each": false, "a letter for each that is there": false} {
		if err := asked()[name].(check.Demanding).Demands(has); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
		if err := asked()[name].(check.Demanding).Demands(journal.RunInfo{}); err != nil {
			t.Errorf("%s on a target that declares no types: %v", name, err)
		}
	}
	if err := asked()["forward only"].(check.Demanding).Demands(has); err == nil || !strings.Contains(err.Error(), `no load "read"`) {
		t.Errorf("a load that is not there: %v", err)
	}
}

func TestGeneralConformance(t *testing.T) {
	for name, spoil := range map[string]func(s *checktest.Story){
		"transactions sum to zero": func(s *checktest.Story) { s.Drop("posting", 1) },
		"one settlement each":      func(s *checktest.Story) { s.Drop("settlement", 1) },
		"one letter each":          func(s *checktest.Story) { s.Drop("letter", 1) },
		"forward only":             func(s *checktest.Story) { s.H.Samples[len(s.H.Samples)-1].State = "void" },
	} {
		s := bank()
		spoil(s)
		checktest.Run(t, asked()[name], s.H)
	}
}
