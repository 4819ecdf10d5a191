package invariant

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/check/checktest"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// corruption is one defect and the only invariant that may name it.
type corruption struct {
	name  string
	do    func(*hand)
	trips string
}

// hand corrupts a story at places that its seed picks.
type hand struct {
	t   *testing.T
	s   *checktest.Story
	rng *rand.Rand
}

// pick is a record that fits, by its index.
func (c *hand) pick(typ string, fits func(r *journal.AuditRecord) bool) int {
	c.t.Helper()
	var all []int
	for i := range c.s.H.Audit {
		if r := &c.s.H.Audit[i]; r.Type == typ && (fits == nil || fits(r)) {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		c.t.Fatalf("no %s fits", typ)
	}
	return all[c.rng.IntN(len(all))]
}

func (c *hand) row(typ string, fits func(r *journal.AuditRecord) bool) *journal.AuditRecord {
	return &c.s.H.Audit[c.pick(typ, fits)]
}

func (c *hand) drop(typ string, fits func(r *journal.AuditRecord) bool) journal.AuditRecord {
	i := c.pick(typ, fits)
	r := c.s.H.Audit[i]
	c.s.H.Audit = slices.Delete(c.s.H.Audit, i, i+1)
	return r
}

func (c *hand) add(r journal.AuditRecord) { c.s.H.Audit = append(c.s.H.Audit, r) }

func in(states ...string) func(r *journal.AuditRecord) bool {
	return func(r *journal.AuditRecord) bool { return slices.Contains(states, r.State) }
}

// state is the state of a key's order or payment.
func (c *hand) state(typ, key string) string {
	for i := range c.s.H.Audit {
		if r := &c.s.H.Audit[i]; r.Type == typ && r.Key == key {
			return r.State
		}
	}
	return ""
}

func (c *hand) kept(r *journal.AuditRecord) bool {
	return r.State == "succeeded" && c.state("payment", r.Key) == "CAPTURED"
}

// answers are the samples of a key.
func (c *hand) answers(key string) (found []*journal.Sample) {
	for i := range c.s.H.Samples {
		if s := &c.s.H.Samples[i]; !s.Key.Zero() && checktest.UUID(s.Key) == key {
			found = append(found, s)
		}
	}
	return found
}

// count lets a counter say more or less.
func (c *hand) count(series string, by float64) {
	for i := range c.s.H.Readings {
		if r := &c.s.H.Readings[i]; r.Name == series && r.Source == journal.SourceMetrics+"a" {
			r.Value += by
		}
	}
}

// halt lets a refund stand still and returns its key.
func (c *hand) halt() string {
	p := c.row("payment", in("REFUNDED"))
	p.State = "REFUNDING"
	for i := range c.s.H.Audit {
		if r := &c.s.H.Audit[i]; r.Type == "refund" && r.Source == "payments" && r.Key == p.Key {
			r.State = "PENDING"
		}
	}
	return p.Key
}

// corruptions are what can go wrong, once each.
func corruptions() []corruption {
	return slices.Concat(moneyCorruptions(), sagaCorruptions(), eventCorruptions(), answerCorruptions())
}

func moneyCorruptions() []corruption {
	return []corruption{
		{"delete a ledger row", func(c *hand) { c.drop("ledger", nil) }, "ledger_balanced"},
		{"change a ledger row", func(c *hand) { c.row("ledger", nil).Amount += 7 }, "ledger_balanced"},
		{"a ledger entry of nobody", func(c *hand) {
			r := *c.row("ledger", nil)
			r.Key, r.Ref, r.Txn = "", "", "nobody's"
			c.add(r)
		}, "ledger_balanced"},
		{"charge once more", func(c *hand) {
			r := *c.row("charge", c.kept)
			r.ID = "again"
			c.add(r)
		}, "no_double_charge"},
		{"charge once more, by another reference", func(c *hand) {
			r := *c.row("charge", c.kept)
			r.ID, r.Ref = "again", checktest.UUID(journal.ID{9, 9, 9})
			c.add(r)
		}, "no_double_charge"},
		{"charge too much", func(c *hand) { c.row("charge", c.kept).Amount++ }, "no_double_charge"},
		{"charge a declined payment", func(c *hand) {
			c.row("charge", func(r *journal.AuditRecord) bool {
				return r.State == "declined" && slices.ContainsFunc(c.answers(r.Key), func(s *journal.Sample) bool { return s.Status == 402 })
			}).State = "succeeded"
		}, "no_ghost_charge"},
		{"a charge of an unknown reference", func(c *hand) {
			c.add(journal.AuditRecord{Source: "psp", Type: "charge", ID: "ghost", Ref: checktest.UUID(journal.ID{9, 9, 9}), State: "succeeded", Amount: 500})
		}, "no_ghost_charge"},
		{"a charge of a key that nobody sent", func(c *hand) {
			c.add(journal.AuditRecord{Source: "psp", Type: "charge", ID: "ghost", Key: checktest.RunID + strings.Repeat("e", 20), State: "succeeded", Amount: 500})
		}, "no_ghost_charge"},
		{"a charge of a request that was refused", func(c *hand) {
			var refused []*journal.Sample
			for i := range c.s.H.Samples {
				if s := &c.s.H.Samples[i]; s.Status == 503 {
					refused = append(refused, s)
				}
			}
			s := refused[c.rng.IntN(len(refused))]
			c.add(journal.AuditRecord{Source: "psp", Type: "charge", ID: "ghost", Key: checktest.UUID(s.Key), State: "succeeded", Amount: s.Amount})
		}, "no_ghost_charge"},
		{"lose a payment row", func(c *hand) { c.drop("payment", in("CAPTURED")) }, "no_lost_payment"},
		{"lose a charge", func(c *hand) { c.drop("charge", c.kept) }, "no_lost_payment"},
		{"a payment that never settled", func(c *hand) { c.row("payment", in("CAPTURED")).State = "UNKNOWN" }, "no_lost_payment"},
	}
}

func sagaCorruptions() []corruption {
	return []corruption{
		{"a saga that stands still", func(c *hand) { c.row("order", in("CONFIRMED")).State = "PAID" }, "no_stuck_payment"},
		{"a compensation that stands still", func(c *hand) {
			c.row("order", func(r *journal.AuditRecord) bool {
				return r.State == "CANCELLED" && c.state("payment", r.Key) == "REFUNDED"
			}).State = "COMPENSATING"
		}, "no_stuck_payment"},
		{"a refund that stands still", func(c *hand) { c.halt() }, "no_stuck_payment"},
		{"a refund that was done and not written down", func(c *hand) {
			key, n := c.halt(), 0
			c.s.H.Audit = slices.DeleteFunc(c.s.H.Audit, func(r journal.AuditRecord) bool {
				if r.Type != "ledger" || r.Key != key {
					return false
				}
				n++
				return n > 2
			})
		}, "no_stuck_payment"},
		{"hold stock for a cancelled order", func(c *hand) { c.row("reservation", in("REJECTED")).State = "HELD" }, "no_orphan_reservation"},
		{"lose the stock of a confirmed order", func(c *hand) { c.drop("reservation", in("SOLD")) }, "no_orphan_reservation"},
		{"sell more than there was", func(c *hand) { c.row("stock", in("free")).Amount++ }, "no_orphan_reservation"},
		{"hold stock for nobody", func(c *hand) {
			r := *c.row("reservation", in("REJECTED"))
			r.State, r.Ref, r.Key = "HELD", checktest.UUID(journal.ID{9, 9, 9}), ""
			c.add(r)
		}, "no_orphan_reservation"},
		{"a cancelled order whose money is kept", func(c *hand) {
			r := c.drop("refund", func(r *journal.AuditRecord) bool { return r.Source == "psp" })
			n := 0 // the ledger, the payment and the log say the same: only the order disagrees
			c.s.H.Audit = slices.DeleteFunc(c.s.H.Audit, func(x journal.AuditRecord) bool {
				if x.Type != "ledger" || x.Key != r.Key {
					return x.Type == "refund" && x.Key == r.Key
				}
				n++
				return n > 2
			})
			for i := range c.s.H.Audit {
				if x := &c.s.H.Audit[i]; x.Type == "payment" && x.Key == r.Key {
					x.State = "CAPTURED"
				}
			}
			c.drop("revenue", func(x *journal.AuditRecord) bool { return x.Key == r.Key && x.Amount < 0 })
			c.count(`refunds_total{result="done"}`, -1)
		}, "saga_consistent"},
		{"charge a cancelled order once more", func(c *hand) {
			r := *c.row("charge", func(r *journal.AuditRecord) bool { return c.state("payment", r.Key) == "REFUNDED" })
			r.ID = "again"
			c.add(r)
		}, "saga_consistent"},
		{"lose an order row", func(c *hand) { c.drop("order", nil) }, "saga_consistent"},
	}
}

func eventCorruptions() []corruption {
	return []corruption{
		{"drop an event from the log", func(c *hand) {
			r := c.row("event", nil)
			id := r.ID
			c.s.H.Audit = slices.DeleteFunc(c.s.H.Audit, func(x journal.AuditRecord) bool { return x.Type == "event" && x.ID == id })
		}, "no_lost_event"},
		{"an event that was neither promised, logged nor taken", func(c *hand) {
			id := c.row("event", in("payment.captured", "order.confirmed", "inventory.reserved", "payment.failed", "order.created")).ID
			c.s.H.Audit = slices.DeleteFunc(c.s.H.Audit, func(x journal.AuditRecord) bool {
				return x.ID == id && (x.Type == "event" || x.Type == "outbox" || x.Type == "inbox")
			})
		}, "no_lost_event"},
		{"drop an inbox row", func(c *hand) { c.drop("inbox", nil) }, "no_lost_event"},
		{"notify twice", func(c *hand) {
			r := *c.row("notification", nil)
			r.ID = "again"
			c.add(r)
		}, "no_duplicate_effect"},
		{"book revenue twice", func(c *hand) {
			r := *c.row("revenue", nil)
			r.ID = "again"
			c.add(r)
		}, "no_duplicate_effect"},
		{"reserve twice", func(c *hand) {
			r := *c.row("reservation", in("SOLD"))
			r.ID = "again"
			c.add(r)
			c.row("stock", func(s *journal.AuditRecord) bool { return s.Account == r.Account && s.State == "free" }).Amount--
		}, "no_duplicate_effect"},
		{"take an event twice", func(c *hand) { c.add(*c.row("inbox", nil)) }, "no_duplicate_effect"},
	}
}

func answerCorruptions() []corruption {
	replay := func(c *hand, change func(x *journal.Sample)) {
		var good []journal.Sample
		for _, s := range c.s.H.Samples {
			if s.Status == 201 && s.Flags == 0 {
				good = append(good, s)
			}
		}
		x := good[c.rng.IntN(len(good))]
		x.Due, x.Sent, x.Done, x.Flags = 32*time.Second, 32*time.Second, 33*time.Second, journal.FlagReplay
		change(&x)
		c.s.H.Samples = append(c.s.H.Samples, x)
	}
	return []corruption{
		{"another id on replay", func(c *hand) { replay(c, func(x *journal.Sample) { x.Ref = journal.ID{7, 7} }) }, "idempotency_holds"},
		{"another end on replay", func(c *hand) { replay(c, func(x *journal.Sample) { x.Status = 402 }) }, "idempotency_holds"},
		{"another amount accepted on replay", func(c *hand) { replay(c, func(x *journal.Sample) { x.Amount++ }) }, "idempotency_holds"},
		{"a second payment of one key", func(c *hand) {
			r := *c.row("payment", in("DECLINED"))
			r.ID = checktest.UUID(journal.ID{6, 6})
			c.add(r)
			event := journal.AuditRecord{Source: "events", Type: "event", ID: checktest.UUID(journal.ID{8, 8}), Account: r.ID, State: "payment.failed"}
			c.add(event)
			event.Type, event.Account = "inbox", "orders"
			c.add(event)
			c.count(`payments_settled_total{result="declined"}`, 1)
		}, "idempotency_holds"},
		{"flip the end of an order", func(c *hand) { c.row("order", in("CONFIRMED")).State = "CANCELLED" }, "no_illegal_transition"},
		{"flip the end of a payment", func(c *hand) { c.row("payment", in("CAPTURED")).State = "DECLINED" }, "no_illegal_transition"},
		{"a read that goes backwards", func(c *hand) {
			var ends []int
			for i, s := range c.s.H.Samples {
				if s.State == "confirmed" || s.State == "cancelled" {
					ends = append(ends, i)
				}
			}
			x := c.s.H.Samples[ends[c.rng.IntN(len(ends))]]
			x.Due, x.Sent, x.Done, x.State = 33*time.Second, 33*time.Second, 34*time.Second, "paid"
			c.s.H.Samples = append(c.s.H.Samples, x)
		}, "no_illegal_transition"},
		{"skew a counter", func(c *hand) {
			names := []string{`payments_settled_total{result="captured"}`, "revenue_minor_total", `orders_placed_total{result="confirmed"}`, `notifications_total{kind="order_received"}`}
			name := names[c.rng.IntN(len(names))]
			for i := range c.s.H.Readings {
				if r := &c.s.H.Readings[i]; r.Name == name && r.Source == journal.SourceMetrics+"a" {
					r.Value *= 1.05
				}
			}
		}, "honest_counters"},
		{"lose a booking of revenue", func(c *hand) { c.drop("revenue", func(r *journal.AuditRecord) bool { return r.Amount > 0 }) }, "honest_counters"},
	}
}

// Each seeded corruption of a healthy run trips exactly its invariant, wherever it lands.
func TestEachCorruptionTripsItsOwn(t *testing.T) {
	for _, x := range corruptions() {
		t.Run(x.name, func(t *testing.T) {
			for seed := range uint64(8) {
				s := checktest.Shop(seed, 300+int(seed)*20)
				c := &hand{t: t, s: s, rng: rand.New(rand.NewPCG(seed, 1))}
				x.do(c)
				s.H.Freeze()
				for name, f := range judge(t, s.H) {
					want := verdict.Pass
					if name == x.trips {
						want = verdict.Fail
					}
					if f.Outcome != want {
						t.Errorf("seed %d: %s is %s, want %s: %s (%s)", seed, name, f.Outcome, want, f.Got, f.Why)
					}
					if name == x.trips && (f.Count != 1 || len(f.Evidence) != 1 || f.Evidence[0].Note == "") {
						t.Errorf("seed %d: one defect is one offence: %s counts %d, %+v", seed, name, f.Count, f.Evidence)
					}
				}
			}
		})
	}
}

// A healthy run of any shape passes every invariant.
func TestHealthyRunsPass(t *testing.T) {
	for seed := range uint64(40) {
		n := 20 + int(seed*seed)
		s := checktest.Shop(seed+1000, n)
		s.H.Freeze()
		for name, f := range judge(t, s.H) {
			if f.Outcome != verdict.Pass {
				t.Errorf("seed %d, %d requests: %s is %s: %s (%s)", seed, n, name, f.Outcome, f.Got, f.Why)
			}
		}
	}
}
