package invariant

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// What a subscriber without an inbox took is not known: nothing is lost for certain, and nothing passes.
func TestSubscribers(t *testing.T) {
	eventsOf := func(s *checktest.Story) verdict.Finding {
		c, _ := Table().New("no_lost_event")
		return c.Judge(s.H)
	}
	subscribe := func(s *checktest.Story, consumer, typ string) {
		s.H.Audit = append(s.H.Audit, journal.AuditRecord{Source: "events", Type: "subscription", ID: consumer + typ, Account: consumer, State: typ})
	}
	silence := func(s *checktest.Story, consumer string) {
		s.H.Audit = slices.DeleteFunc(s.H.Audit, func(r journal.AuditRecord) bool {
			return r.Type == "inbox" && (consumer == "" || r.Account == consumer)
		})
	}
	for name, x := range map[string]struct {
		spoil   func(s *checktest.Story)
		outcome verdict.Outcome
		why     string
	}{
		"inferred": {func(*checktest.Story) {}, verdict.Pass, "inferred"},
		"declared": {func(s *checktest.Story) { subscribe(s, "notify", "order.created") }, verdict.Pass, "each of"},
		"declared, and never taken": {func(s *checktest.Story) {
			subscribe(s, "notify", "inventory.reserved")
		}, verdict.Fail, "notify has not taken it"},
		"no inbox of one": {func(s *checktest.Story) {
			silence(s, "notify")
			subscribe(s, "notify", "order.created")
		}, verdict.Inconclusive, "taken by notify is not known"},
		"no inbox": {func(s *checktest.Story) { silence(s, "") }, verdict.Inconclusive, "taken by anybody is not known"},
		"no inbox, and an event is missing": {func(s *checktest.Story) {
			silence(s, "")
			id := s.Drop("event", 3).ID
			s.H.Audit = slices.DeleteFunc(s.H.Audit, func(r journal.AuditRecord) bool { return r.Type == "event" && r.ID == id })
		}, verdict.Fail, "not in the broker's log"},
	} {
		s := checktest.Shop(3, 200)
		x.spoil(s)
		if f := eventsOf(s); f.Outcome != x.outcome || !strings.Contains(f.Why, x.why) {
			t.Errorf("%s: %s (%s), want %s with %q", name, f.Outcome, f.Why, x.outcome, x.why)
		}
	}
}

// What nobody knows is never zero: it widens the count of each invariant that it concerns, and is no Pass of any of
// them; the others judge what is on the books.
func TestTheUnresolved(t *testing.T) {
	concerned := func(s *checktest.Story) map[string]string {
		got := make(map[string]string)
		for name, f := range judge(t, s.H) {
			if strings.Contains(f.Got, "∈") {
				got[name] = f.Got
				if f.Count == 0 && f.Outcome != verdict.Inconclusive || f.Count > 0 && f.Outcome != verdict.Fail {
					t.Errorf("%s is %s with %s", name, f.Outcome, f.Got)
				}
			} else if f.Outcome != verdict.Pass {
				t.Errorf("%s is %s: %s (%s)", name, f.Outcome, f.Got, f.Why)
			}
		}
		return got
	}
	// forget takes the answers of a key away whose order came to its end.
	forget := func(c *hand) string {
		key := c.row("order", in("CONFIRMED")).Key
		for _, s := range c.answers(key) {
			s.Status, s.Result, s.Ref, s.State, s.Err = 0, journal.Unknown, journal.ID{}, "", journal.ErrTimeout
		}
		return key
	}
	hands := func() *hand {
		return &hand{t: t, s: checktest.Shop(9, 300), rng: rand.New(rand.NewPCG(9, 9))}
	}
	c := hands()
	forget(c)
	want := map[string]string{"no_lost_payment": "lost ∈ [0, 1]", "no_ghost_charge": "ghosts ∈ [0, 1]", "no_double_charge": "charged twice ∈ [0, 1]"}
	if got := concerned(c.s); !maps.Equal(got, want) {
		t.Errorf("on all books: %v, want %v", got, want)
	}
	c = hands()
	var refused *journal.Sample // nobody has a row of it
	for i := range c.s.H.Samples {
		if s := &c.s.H.Samples[i]; s.Status == 503 {
			refused = s
		}
	}
	refused.Status, refused.Result, refused.Err = 0, journal.Unknown, journal.ErrReset
	want = map[string]string{"no_lost_payment": "lost ∈ [0, 1]", "no_ghost_charge": "ghosts ∈ [0, 1]", "no_stuck_payment": "stuck ∈ [0, 1]"}
	if got := concerned(c.s); !maps.Equal(got, want) {
		t.Errorf("on no book: %v, want %v", got, want)
	}
	c = hands()
	key := forget(c) // and its payment is still open, charged but not in the ledger
	c.row("payment", func(r *journal.AuditRecord) bool { return r.Key == key }).State = "UNKNOWN"
	c.s.H.Audit = slices.DeleteFunc(c.s.H.Audit, func(r journal.AuditRecord) bool { return r.Type == "ledger" && r.Key == key })
	found := judge(t, c.s.H)
	for name, got := range map[string]string{"ledger_balanced": "unbalanced ∈ [0, 1]", "no_stuck_payment": "1 stuck", "no_lost_payment": "lost ∈ [0, 1]"} {
		if found[name].Got != got {
			t.Errorf("still open: %s is %s, want %s (%s)", name, found[name].Got, got, found[name].Why)
		}
	}
	c = hands()
	key = forget(c) // it has come to its end, so the books must agree
	c.s.H.Audit = slices.DeleteFunc(c.s.H.Audit, func(r journal.AuditRecord) bool { return r.Type == "ledger" && r.Key == key })
	if f := judge(t, c.s.H)["ledger_balanced"]; f.Outcome != verdict.Fail || f.Count != 1 {
		t.Errorf("captured without a ledger: %s (%s)", f.Outcome, f.Why)
	}
}

// Of an outcome that a replay resolved all witnesses must agree.
func TestTheResolved(t *testing.T) {
	resolved := func(c *hand, status uint16) string {
		for i := range c.s.H.Samples {
			s := &c.s.H.Samples[i]
			if s.Flags&journal.FlagReplay != 0 && s.Status == status && slices.ContainsFunc(c.answers(checktest.UUID(s.Key)), func(x *journal.Sample) bool { return x.Result == journal.Unknown }) {
				return checktest.UUID(s.Key)
			}
		}
		t.Fatalf("nothing was resolved by %d", status)
		return ""
	}
	without := func(typ string) func(*hand, string) {
		return func(c *hand, key string) {
			c.s.H.Audit = slices.DeleteFunc(c.s.H.Audit, func(r journal.AuditRecord) bool {
				return r.Type == typ && r.Key == key && (typ != "event" || r.State == "payment.captured")
			})
		}
	}
	for name, x := range map[string]struct {
		status uint16
		do     func(c *hand, key string)
		trips  string
	}{
		"no charge":  {201, without("charge"), "no_lost_payment"},
		"no payment": {201, without("payment"), "no_lost_payment"},
		"no ledger":  {201, without("ledger"), "ledger_balanced"},
		"no event":   {201, without("event"), "no_lost_event"},
		"declined, and charged": {402, func(c *hand, key string) {
			c.row("charge", func(r *journal.AuditRecord) bool { return r.Key == key }).State = "succeeded"
		}, "no_ghost_charge"},
	} {
		c := &hand{t: t, s: checktest.Shop(11, 1500), rng: rand.New(rand.NewPCG(1, 1))}
		x.do(c, resolved(c, x.status))
		for check, f := range judge(t, c.s.H) {
			if (f.Outcome == verdict.Fail) != (check == x.trips) {
				t.Errorf("%s: %s is %s (%s)", name, check, f.Outcome, f.Why)
			}
		}
	}
}
