// Package checktest has the conformance suite of checks and a builder of histories to judge. It is for
// tests only.
package checktest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// RunID is the id of every story's run; each of its keys begins with these 6 bytes.
const RunID = "c0ffee000001"

// Story builds the history of a run in memory, on the time line of profile quick:
//
//	0 warmup 3 baseline 10 gap 11 fault 21 recovery 31
//	                                     24 settled 31
type Story struct {
	H   *journal.History
	seq map[journal.OpID]uint64
}

// NewStory is a run without faults and without requests that came to its end.
func NewStory(loads ...journal.LoadInfo) *Story {
	h := &journal.History{Windows: make(map[string]journal.Window)}
	h.Run = journal.RunInfo{ID: RunID, Experiment: "story", Variant: "resilient", Loads: loads}
	for _, w := range []journal.Window{
		{Name: "warmup", From: 0, To: 3}, {Name: "baseline", From: 3, To: 10}, {Name: "fault", From: 11, To: 21},
		{Name: "recovery", From: 21, To: 31}, {Name: "settled", From: 24, To: 31}, {Name: "run", From: 3, To: 31},
	} {
		w.From, w.To = w.From*time.Second, w.To*time.Second
		h.Windows[w.Name] = w
	}
	s := &Story{H: h, seq: make(map[journal.OpID]uint64)}
	s.Event(0, journal.EventRunStart, "", nil)
	s.Event(10*time.Second, journal.EventBaseline, "", nil)
	s.Event(32*time.Second, journal.EventSettled, "", nil)
	s.Event(33*time.Second, journal.EventRunEnd, "", nil)
	return s
}

// PayLoad is a load that makes payments.
func PayLoad(rate float64) journal.LoadInfo {
	return journal.LoadInfo{Name: "pay", Op: "pay", Node: "gateway", Rate: rate, Timeout: 5 * time.Second, Effect: "payment"}
}

// ReadLoad is a load without effect.
func ReadLoad(rate float64) journal.LoadInfo {
	return journal.LoadInfo{Name: "read", Op: "read", Node: "gateway", Rate: rate, Timeout: 5 * time.Second}
}

// Event adds a fact, in its place in time; about is the action or, where no fault is meant, the subject.
func (s *Story) Event(at time.Duration, typ, about string, detail any) {
	e := journal.Event{At: at, Type: typ, Action: about}
	switch typ {
	case journal.EventNodeDied, journal.EventAudit, journal.EventGuard:
		e.Action, e.Subject = "", about
	}
	if detail != nil {
		e.Detail, _ = json.Marshal(detail)
	}
	s.H.Events = append(s.H.Events, e)
	slices.SortStableFunc(s.H.Events, func(a, b journal.Event) int { return int(a.At - b.At) })
	for i := range s.H.Events {
		s.H.Events[i].Seq = uint64(i)
	}
}

// Fault plans a fault that lives its whole life in phase fault, and bites.
func (s *Story) Fault(id, place string) {
	action := id + "#0"
	w := s.H.Windows["fault"]
	s.H.Run.Faults = append(s.H.Run.Faults, journal.FaultInfo{ID: id, Kind: "node.stop", For: 10 * time.Second})
	s.H.Windows["fault:"+id] = journal.Window{Name: "fault:" + id, From: w.From, To: w.To}
	s.Event(w.From, journal.EventIntent, action, map[string]string{"id": action, "fault": id, "place": place, "undo": "start " + place})
	s.Event(w.From, journal.EventActive, action, nil)
	s.Event(w.To, journal.EventMeasured, action, verdict.Bite{Fault: id, Action: action, Place: place, Asked: "down 10s", Delivered: "down 10s", Bit: true})
	s.Event(w.To, journal.EventReverting, action, nil)
	s.Event(w.To, journal.EventReverted, action, nil)
}

// Drive sends n requests of a load, evenly over [from, to). All are good; edit may spoil any of them.
func (s *Story) Drive(load string, from, to time.Duration, n int, edit func(i int, x *journal.Sample)) {
	op, ok := s.H.Load(load)
	if !ok {
		panic("no load " + load)
	}
	for i := range n {
		seq := s.seq[op]
		s.seq[op]++
		due := from + (to-from)*time.Duration(i)/time.Duration(n)
		x := journal.Sample{
			Seq: seq, Op: op, Due: due, Sent: due + 100*time.Microsecond, Done: due + 20*time.Millisecond,
			Key: id(byte(op), seq, 'k'), Trace: id(byte(op), seq, 't'), Status: 200, Result: journal.OK, Class: journal.Good, Attempts: 1,
		}
		if s.H.Run.Loads[op].Effect == "payment" {
			x.Status, x.Amount, x.Ref = 201, 1000+int64(seq%97), id(byte(op), seq, 'p')
		}
		if edit != nil {
			edit(i, &x)
		}
		s.H.Samples = append(s.H.Samples, x)
	}
	slices.SortStableFunc(s.H.Samples, func(a, b journal.Sample) int { return int(a.Due - b.Due) })
}

// Steady drives every load at its rate from warm-up to load stop.
func (s *Story) Steady() {
	for _, l := range s.H.Run.Loads {
		s.Drive(l.Name, 0, 31*time.Second, int(l.Rate*31), nil)
	}
}

// id makes a 16-byte id that begins with the run's.
func id(op byte, seq uint64, what byte) journal.ID {
	var out journal.ID
	copy(out[:], []byte{0xc0, 0xff, 0xee, 0, 0, 1, op, what})
	binary.BigEndian.PutUint64(out[8:], seq)
	return out
}

// UUID writes an id as targets do.
func UUID(x journal.ID) string {
	h := x.String()
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// Settle lets the target keep its books: for each acknowledged payment a payment, a charge and two
// ledger entries, and the events that say that the witnesses were asked.
func (s *Story) Settle() {
	for i := range s.H.Samples {
		if x := &s.H.Samples[i]; s.H.Run.Loads[x.Op].Effect == "payment" && x.Result == journal.OK && x.Status < 300 {
			s.Book(x)
		}
	}
	for _, source := range []string{"payments", "psp"} {
		s.Event(32*time.Second, journal.EventAudit, source, nil)
	}
	s.H.Logs = append(s.H.Logs, journal.LogLine{Node: "payments", Level: "info", Msg: "ready"})
}

// Book writes one captured payment into all books.
func (s *Story) Book(x *journal.Sample) {
	payment, key := UUID(x.Ref), UUID(x.Key)
	s.H.Audit = append(s.H.Audit,
		journal.AuditRecord{Source: "payments", Type: "payment", Key: key, ID: payment, State: "CAPTURED", Amount: x.Amount, Currency: "EUR"},
		journal.AuditRecord{Source: "payments", Type: "ledger", Key: key, Ref: payment, Txn: "txn-" + payment, Account: "psp_clearing", Amount: x.Amount},
		journal.AuditRecord{Source: "payments", Type: "ledger", Key: key, Ref: payment, Txn: "txn-" + payment, Account: "merchant", Amount: -x.Amount},
		journal.AuditRecord{Source: "psp", Type: "charge", Key: key, ID: "ch-" + payment, Ref: payment, State: "succeeded", Amount: x.Amount},
	)
}

// Drop removes the audit record of one type of the n-th payment and says which sample it was of.
func (s *Story) Drop(typ string, n int) journal.AuditRecord {
	for i, r := range s.H.Audit {
		if r.Type != typ {
			continue
		}
		if n == 0 {
			s.H.Audit = slices.Delete(s.H.Audit, i, i+1)
			return r
		}
		n--
	}
	panic(fmt.Sprintf("no such %s record", typ))
}
