package checktest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
)

// shop keeps the books of a system with orders, payments, stock, a broker and messages, as targets/payments does.
type shop struct {
	*Story
	rng  *rand.Rand
	sold int64 // pieces of sku-01

	payments, psp, orders, inventory, notify, events []journal.AuditRecord
	counts                                           map[string]float64
	more                                             []journal.Sample // replays and reads
}

// consumers subscribe to these types of events.
func consumers() map[string][]string {
	return map[string][]string{
		"orders":    {"payment.captured", "payment.failed", "payment.refunded", "inventory.reserved", "inventory.rejected"},
		"inventory": {"payment.captured", "order.confirmed", "order.cancelled"},
		"notify":    {"order.created", "order.confirmed", "order.cancelled", "payment.captured", "payment.refunded"},
	}
}

// Shop is a healthy run of n requests of a random shape: orders that were confirmed at once or later, sold out and
// refunded, declined, refused without effect, or lost on their way and replayed; payments without an order; reads of
// orders; and metrics of several instances, one of which is restarted in between. All books agree.
func Shop(seed uint64, n int) *Story {
	order, read := PayLoad(50), ReadLoad(100)
	order.Name, order.Op = "order", "order"
	s := &shop{Story: NewStory(read, PayLoad(50), order), rng: rand.New(rand.NewPCG(seed, 7)), counts: make(map[string]float64)}
	s.Drive("order", 3*time.Second, 31*time.Second, n*9/10, nil)
	s.Drive("pay", 3*time.Second, 31*time.Second, n-n*9/10, nil)
	for i := range s.H.Samples {
		s.happen(i)
	}
	s.H.Samples = append(s.H.Samples, s.more...)
	slices.SortStableFunc(s.H.Samples, func(a, b journal.Sample) int { return int(a.Due - b.Due) })
	s.inventory = append(s.inventory,
		journal.AuditRecord{Source: "inventory", Type: "stock", ID: "sku-01", Account: "sku-01", State: "initial", Amount: 1_000_000},
		journal.AuditRecord{Source: "inventory", Type: "stock", ID: "sku-01", Account: "sku-01", State: "free", Amount: 1_000_000 - s.sold},
		journal.AuditRecord{Source: "inventory", Type: "stock", ID: "sku-soldout", Account: "sku-soldout", State: "initial"},
		journal.AuditRecord{Source: "inventory", Type: "stock", ID: "sku-soldout", Account: "sku-soldout", State: "free"})
	for name, rows := range map[string]*[]journal.AuditRecord{"events": &s.events, "inventory": &s.inventory, "notify": &s.notify, "orders": &s.orders, "payments": &s.payments, "psp": &s.psp} {
		s.Event(32*time.Second, journal.EventAudit, name, nil)
		for i := range *rows {
			(*rows)[i].Source = name
		}
	}
	s.H.Audit = slices.Concat(s.events, s.inventory, s.notify, s.orders, s.payments, s.psp)
	s.H.Logs = append(s.H.Logs, journal.LogLine{Node: "payments", Level: "info", Msg: "ready"})
	s.meter()
	return s.Story
}

// uuid is an id of the target's own, which does not begin with the run's.
func (s *shop) uuid() journal.ID {
	var x journal.ID
	binary.BigEndian.PutUint64(x[:8], s.rng.Uint64()|1<<63)
	binary.BigEndian.PutUint64(x[8:], s.rng.Uint64())
	return x
}

// happen decides what became of one request.
func (s *shop) happen(i int) {
	x := &s.H.Samples[i]
	if s.H.Run.Loads[x.Op].Name == "pay" {
		x.Ref = s.uuid()
		s.charge(x, x.Ref, journal.ID{}, "CAPTURED")
		return
	}
	x.Ref = s.uuid()
	switch p := s.rng.Float64(); {
	case p < 0.05: // refused
		x.Status, x.Result, x.Class, x.Ref = 503, journal.Failed, journal.Bad, journal.ID{}
		return
	case p < 0.12: // the answer was lost; a replay brought it
		again := *x
		x.Status, x.Result, x.Class, x.Ref, x.Err = 0, journal.Unknown, journal.Bad, journal.ID{}, journal.ErrTimeout
		again.Due, again.Sent, again.Done, again.Flags = 31*time.Second, 31*time.Second, 31*time.Second+20*time.Millisecond, journal.FlagReplay
		s.end(&again)
		s.more = append(s.more, again)
		return
	case p < 0.14: // asked twice, answered twice
		s.end(x)
		again := *x
		again.Due, again.Sent, again.Done, again.Flags = 31*time.Second, 31*time.Second, 31*time.Second+20*time.Millisecond, journal.FlagReplay
		s.more = append(s.more, again)
		return
	}
	s.end(x)
}

// end lets an order come to one of its ends.
func (s *shop) end(x *journal.Sample) {
	later := s.rng.Float64() < 0.1
	switch p := s.rng.Float64(); {
	case p < 0.1:
		x.Status = 402
		s.order(x, "CANCELLED", "DECLINED")
	case p < 0.2:
		s.order(x, "CANCELLED", "REFUNDED")
	default:
		s.order(x, "CONFIRMED", "CAPTURED")
	}
	if later {
		x.Status = 202
	}
}

// order books an order with all that belongs to it.
func (s *shop) order(x *journal.Sample, state, payment string) {
	id, key := UUID(x.Ref), UUID(x.Key)
	pid := s.uuid()
	sku := "sku-01"
	if payment == "REFUNDED" {
		sku = "sku-soldout"
	}
	s.orders = append(s.orders, journal.AuditRecord{Type: "order", Key: key, ID: id, Ref: UUID(pid), Account: sku, State: state, Amount: x.Amount, Currency: "EUR", Trace: x.Trace.String()})
	s.counts[`orders_placed_total{result="placed"}`]++
	s.counts[fmt.Sprintf("orders_placed_total{result=%q}", strings.ToLower(state))]++
	s.publish(&s.orders, "order.created", x, id, UUID(pid), x.Amount)
	s.charge(x, pid, x.Ref, payment)
	reservation := journal.AuditRecord{Type: "reservation", Key: key, ID: UUID(s.uuid()), Ref: id, Account: sku, State: "SOLD", Amount: 1}
	switch payment {
	case "CAPTURED":
		s.sold++
		s.publish(&s.inventory, "inventory.reserved", x, id, UUID(pid), x.Amount)
	case "REFUNDED":
		reservation.State = "REJECTED"
		s.publish(&s.inventory, "inventory.rejected", x, id, UUID(pid), x.Amount)
	}
	if payment != "DECLINED" {
		s.inventory = append(s.inventory, reservation)
	}
	s.publish(&s.orders, "order."+strings.ToLower(state), x, id, UUID(pid), x.Amount)
	s.read(x, state)
}

// read lets a client look at an order: on its way, and at its end.
func (s *shop) read(x *journal.Sample, state string) {
	if s.rng.Float64() > 0.2 {
		return
	}
	op, _ := s.H.Load("read")
	for i, st := range []string{"pending", "paid", strings.ToLower(state), strings.ToLower(state)} {
		if i == 1 && state == "CANCELLED" {
			continue
		}
		due := max(x.Done, x.Sent) + time.Duration(i+1)*100*time.Millisecond
		seq := s.seq[op]
		s.seq[op]++
		s.more = append(s.more, journal.Sample{Seq: seq, Op: op, Due: due, Sent: due, Done: due + 5*time.Millisecond,
			Trace: id(byte(op), seq, 't'), Ref: x.Ref, Status: 200, Result: journal.OK, Class: journal.Good, Attempts: 1, State: st})
	}
}

// charge books a payment; order is zero for one without.
func (s *shop) charge(x *journal.Sample, pid, order journal.ID, state string) {
	payment, key, ref := UUID(pid), UUID(x.Key), UUID(pid)
	if !order.Zero() {
		ref = UUID(order)
	}
	s.payments = append(s.payments, journal.AuditRecord{Type: "payment", Key: key, ID: payment, State: state, Amount: x.Amount, Currency: "EUR", Trace: x.Trace.String()})
	charge := journal.AuditRecord{Type: "charge", Key: key, ID: UUID(s.uuid()), Ref: payment, State: "succeeded", Amount: x.Amount}
	if state == "DECLINED" {
		charge.State = "declined"
		s.psp = append(s.psp, charge)
		s.counts[`payments_settled_total{result="declined"}`]++
		s.publish(&s.payments, "payment.failed", x, ref, payment, x.Amount)
		return
	}
	s.psp = append(s.psp, charge)
	s.transaction(key, payment, x.Amount)
	s.counts[`payments_settled_total{result="captured"}`]++
	s.counts["payments_accepted_total"]++
	s.counts["revenue_minor_total"] += float64(x.Amount)
	s.publish(&s.payments, "payment.captured", x, ref, payment, x.Amount)
	if state == "REFUNDED" {
		s.payments = append(s.payments, journal.AuditRecord{Type: "refund", Key: key, ID: UUID(s.uuid()), Ref: payment, State: "DONE", Amount: x.Amount})
		s.psp = append(s.psp, journal.AuditRecord{Type: "refund", Key: key, ID: UUID(s.uuid()), Ref: payment, State: "succeeded", Amount: x.Amount})
		s.transaction(key, payment, -x.Amount)
		s.counts[`refunds_total{result="done"}`]++
		s.publish(&s.payments, "payment.refunded", x, ref, payment, x.Amount)
	}
}

func (s *shop) transaction(key, payment string, amount int64) {
	txn := UUID(s.uuid())
	for account, sign := range map[string]int64{"psp_clearing": 1, "merchant": -1} {
		s.payments = append(s.payments, journal.AuditRecord{Type: "ledger", Key: key, Ref: payment, Txn: txn, Account: account, Amount: sign * amount})
	}
}

// publish promises an event, logs it, and lets every subscriber take it.
func (s *shop) publish(outbox *[]journal.AuditRecord, typ string, x *journal.Sample, ref, payment string, amount int64) {
	event, key := UUID(s.uuid()), UUID(x.Key)
	*outbox = append(*outbox, journal.AuditRecord{Type: "outbox", Key: key, ID: event, Ref: ref, State: typ, Amount: amount, Trace: "published"})
	logged := journal.AuditRecord{Type: "event", Key: key, ID: event, Ref: ref, Account: payment, State: typ, Amount: amount}
	s.events = append(s.events, logged)
	if s.rng.Float64() < 0.02 {
		s.events = append(s.events, logged) // published again: legal
	}
	for _, consumer := range []string{"orders", "inventory", "notify"} {
		if !slices.Contains(consumers()[consumer], typ) {
			continue
		}
		in := map[string]*[]journal.AuditRecord{"orders": &s.orders, "inventory": &s.inventory, "notify": &s.notify}[consumer]
		*in = append(*in, journal.AuditRecord{Type: "inbox", Key: key, ID: event, Account: consumer, State: typ})
	}
	switch typ {
	case "payment.captured", "payment.refunded":
		if typ == "payment.refunded" {
			amount = -amount
		}
		s.notify = append(s.notify, journal.AuditRecord{Type: "revenue", Key: key, ID: fmt.Sprint(len(s.notify)), Ref: event, Account: "revenue", State: payment, Amount: amount})
	case "order.created", "order.confirmed", "order.cancelled":
		kind := "order_" + strings.TrimPrefix(strings.Replace(typ, "created", "received", 1), "order.")
		s.notify = append(s.notify, journal.AuditRecord{Type: "notification", Key: key, ID: fmt.Sprint(len(s.notify)), Ref: event, Account: kind, State: ref})
		s.counts[fmt.Sprintf("notifications_total{kind=%q}", kind)]++
	}
}

// meter tells the counters of two instances each second. The second is restarted just after a scrape, so that nothing
// is lost, and begins again from zero.
func (s *shop) meter() {
	s.H.Run.Telemetry = &journal.TelemetryInfo{Metrics: []string{"a", "b"}}
	const restart, last = 15, 33
	for second := range last + 1 {
		at := time.Duration(second) * time.Second
		for _, node := range []string{"a", "b"} {
			source := journal.SourceMetrics + node
			for name, whole := range s.counts {
				share := func(t int) float64 { return float64(int(whole/2) * t / last) }
				v := share(second)
				if node == "a" {
					v = whole - 2*share(last) + share(second) // what does not divide
				} else if second >= restart {
					v -= share(restart - 1)
				}
				s.H.Readings = append(s.H.Readings, journal.Reading{At: at, Source: source, Name: name, Value: v})
			}
			s.H.Readings = append(s.H.Readings, journal.Reading{At: at, Source: source, Name: journal.MetricsUp, Value: 1})
		}
	}
}
