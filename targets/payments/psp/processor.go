package psp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"chaos/targets/payments/wire"
)

// States of a charge or refund.
const (
	statePending   = "pending"
	stateSucceeded = "succeeded"
	stateDeclined  = "declined"

	reasonNoFunds = "insufficient_funds"
	// DecliningCard is a card token that is always declined.
	DecliningCard = "tok_declined"
)

// entry is one charge or refund in the settlement ledger.
type entry struct {
	kind     string // charge, refund
	orderKey string
	charge   wire.Charge
	at       time.Time
}

// stored is what an idempotency key made.
type stored struct {
	body  wire.ChargeRequest
	entry *entry // nil while in flight
}

// Stats are counters since the start.
type Stats struct {
	Charges   int64 `json:"charges"`  // settled, declined ones included
	Drawn     int64 `json:"drawn"`    // new charges: what will happen to them was drawn
	Accepted  int64 `json:"accepted"` // of these, not answered with 500
	Slow      int64 `json:"slow"`
	Errors    int64 `json:"errors"`
	Declined  int64 `json:"declined"`
	Dropped   int64 `json:"dropped"`
	Refunds   int64 `json:"refunds"`
	Replayed  int64 `json:"replayed"` // answered from a stored answer
	Attempts  int64 `json:"attempts"` // POST /charges read
	InFlight  int64 `json:"in_flight"`
	ByHand    int64 `json:"by_hand"`
	RefundTry int64 `json:"refund_attempts"`
	RefundBad int64 `json:"refund_failures"` // of these, answered with 500
}

// processor is the memory of the simulated card processor.
type processor struct {
	now func() time.Time

	mu        sync.Mutex
	behaviour Behaviour
	rng       *rand.Rand
	ledger    []*entry
	byRef     map[string][]*entry // charges, pending ones included
	keys      map[string]*stored
	refunded  map[string]int // failed tries by refund key
	stats     Stats
}

func newProcessor(seed uint64, now func() time.Time) *processor {
	return &processor{
		now: now, behaviour: Usual(seed), rng: newRNG(seed),
		byRef: map[string][]*entry{}, keys: map[string]*stored{}, refunded: map[string]int{},
	}
}

func newRNG(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }

// verdict is how begin answers.
type verdict int

const (
	proceed verdict = iota
	replay
	inProgress
	otherBody
	unknownCharge
	failing
)

// begin reads a charge: it claims the key, or says why not.
func (p *processor) begin(key string, body wire.ChargeRequest) (verdict, *entry, fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Attempts++
	if v, e := p.seen("charge", key, body); v != proceed {
		return v, e, fate{}
	}
	f := p.behaviour.draw(p.rng)
	p.stats.Drawn++
	f.declines = f.declines || body.CardToken == DecliningCard
	if f.fails {
		p.stats.Errors++
		return failing, nil, f
	}
	p.stats.Accepted++
	if f.slow {
		p.stats.Slow++
	}
	e := &entry{kind: "charge", orderKey: body.OrderKey, charge: wire.Charge{
		ID: uuid.NewString(), Reference: body.Reference, State: statePending, AmountMinor: body.AmountMinor,
	}}
	p.byRef[body.Reference] = append(p.byRef[body.Reference], e)
	p.claim("charge", key, body)
	p.stats.InFlight++
	return proceed, e, f
}

// beginRefund is begin for money that goes back. It may be more than was
// charged: the processor is not the one who knows what is right.
func (p *processor) beginRefund(key string, body wire.ChargeRequest) (verdict, *entry, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.RefundTry++
	if v, e := p.seen("refund", key, body); v != proceed {
		return v, e, 0
	}
	found := false
	for _, e := range p.byRef[body.Reference] {
		found = found || e.charge.State == stateSucceeded
	}
	if !found {
		return unknownCharge, nil, 0
	}
	takes := time.Duration(float64(p.behaviour.draw(p.rng).takes) * refundShare)
	if p.refunded[key] < p.behaviour.RefundFailFirst {
		p.refunded[key]++
		p.stats.RefundBad++
		return failing, nil, refusal
	}
	p.claim("refund", key, body)
	return proceed, &entry{kind: "refund", orderKey: body.OrderKey, charge: wire.Charge{
		ID: uuid.NewString(), Reference: body.Reference, State: statePending, AmountMinor: body.AmountMinor,
	}}, takes
}

// seen looks a key up: same key and same body gets the stored answer.
func (p *processor) seen(kind, key string, body wire.ChargeRequest) (verdict, *entry) {
	s := p.keys[kind+" "+key]
	switch {
	case !p.behaviour.HonourIdempotency || key == "" || s == nil:
		return proceed, nil
	case s.body != body:
		return otherBody, nil
	case s.entry == nil:
		return inProgress, nil
	}
	p.stats.Replayed++
	return replay, s.entry
}

func (p *processor) claim(kind, key string, body wire.ChargeRequest) {
	if key != "" {
		p.keys[kind+" "+key] = &stored{body: body}
	}
}

// settle puts the entry into the ledger and returns the answer about it.
func (p *processor) settle(e *entry, key string, declines bool) wire.Charge {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.charge.State = stateSucceeded
	if e.kind == "charge" {
		p.stats.InFlight--
		p.stats.Charges++
	} else {
		p.stats.Refunds++
	}
	if declines {
		e.charge.State, e.charge.Reason = stateDeclined, reasonNoFunds
		p.stats.Declined++
	}
	e.at = p.now()
	p.ledger = append(p.ledger, e)
	if s := p.keys[e.kind+" "+key]; s != nil && s.entry == nil {
		s.entry = e
	}
	return e.charge
}

// read is a consistent copy of an entry's answer.
func (p *processor) read(e *entry) wire.Charge {
	p.mu.Lock()
	defer p.mu.Unlock()
	return e.charge
}

// charges lists what is known of a reference, pending charges included.
func (p *processor) charges(reference string) []wire.Charge {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := []wire.Charge{}
	for _, e := range p.byRef[reference] {
		out = append(out, e.charge)
	}
	return out
}

// addByHand settles a charge that nobody asked for (seeded corruption).
func (p *processor) addByHand(body wire.ChargeRequest) wire.Charge {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &entry{kind: "charge", orderKey: body.OrderKey, at: p.now(), charge: wire.Charge{
		ID: uuid.NewString(), Reference: body.Reference, State: stateSucceeded, AmountMinor: body.AmountMinor,
	}}
	p.byRef[body.Reference] = append(p.byRef[body.Reference], e)
	p.ledger = append(p.ledger, e)
	p.stats.Charges++
	p.stats.ByHand++
	return e.charge
}

// change merges a document into the behaviour. A given seed restarts the
// sequence of draws.
func (p *processor) change(document []byte, seeded bool) (Behaviour, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, err := p.behaviour.Merge(document)
	if err != nil {
		return p.behaviour, fmt.Errorf("behaviour unchanged: %w", err)
	}
	p.behaviour = next
	if seeded {
		p.rng = newRNG(next.Seed)
	}
	return next, nil
}

func (p *processor) current() (Behaviour, Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.behaviour, p.stats
}

// settled copies the ledger's entries of a prefix of order keys.
func (p *processor) settled(prefix string) []entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []entry
	for _, e := range p.ledger {
		if strings.HasPrefix(e.orderKey, prefix) {
			out = append(out, *e)
		}
	}
	return out
}

func (p *processor) count(f func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.stats)
}
