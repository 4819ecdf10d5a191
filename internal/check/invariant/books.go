package invariant

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"chaos/internal/journal"
)

// account is all that anybody knows of one payment, by the client's idempotency key.
type account struct {
	key    journal.ID
	ref    journal.ID // the target's id in the first acknowledgement
	first  int        // index of the client's first request in History.Samples; −1 when no client asked
	amount int64

	answers  int   // that settled the outcome
	acked    bool  // some answer was 2xx
	captured bool  // some answer was 201: the money is said to be taken
	declined bool  // some answer settled it otherwise than by 2xx: the card was declined
	doubt    bool  // some request may have had an effect
	clash    clash // in what two answers differ
	moved    bool  // it, or an order of it, made an illegal transition

	payments int    // rows in the payments' book
	open     int    // of these and of its refunds, without an end
	state    string // of the last of the rows that came furthest

	charges      int // successful ones at the processor
	charged      int64
	refunds      int // full ones
	refunded     int64
	chargesTrace string // of the newest charge, for evidence without a client
}

// known reports whether some answer settled the outcome.
func (a *account) known() bool { return a.answers > 0 }

// unresolved reports whether nobody knows what became of it, replays included.
func (a *account) unresolved() bool { return a.doubt && !a.known() }

// keeps reports whether the processor kept a charge.
func (a *account) keeps() bool { return a.charges-a.refunds > 0 }

// books are the client's history and the witnesses' records, by key.
type books struct {
	h        *journal.History
	run      [6]byte // what every key of the run begins with
	mine     bool    // run is known
	accounts []account
	byKey    map[journal.ID]int
	byRef    map[journal.ID]int // payment, order and charge ids → account
	ledger   []entry
	rows     map[string][]*journal.AuditRecord // of this run, by type
	settlers map[string]bool                   // sources that have charges: what they say of refunds is money, what others say is an opinion
	foreign  int                               // of somebody else
	orphans  []*journal.AuditRecord            // charges and refunds that belong to no payment anybody knows
	paying   bool                              // some load makes payments
	unsure   int                               // accounts that are unresolved

	orders   []order
	byOrder  map[journal.ID]int
	log      eventLog
	moved    map[journal.ID]string // payments and orders that made an illegal transition, and which
	followed int                   // payments and orders of which clients or the log say more than the books at the end
}

// entry is a ledger record with the account it belongs to, −1 when nobody knows.
type entry struct {
	record  *journal.AuditRecord
	account int
}

// heard says which witness could not be asked, or "". Silence is not health.
func heard(h *journal.History) string {
	asked := h.Find(journal.EventAudit)
	if len(asked) == 0 {
		return "the witnesses were not asked: the run has no audit"
	}
	for _, e := range asked {
		if e.Err != "" {
			return fmt.Sprintf("a witness could not be asked: %s", e.Err)
		}
	}
	return ""
}

// silent says which witness said nothing about this run, or "". Whether it is missing or everything is
// lost can't be told apart, so it is never a Pass.
func (b *books) silent(needs, some []string) string {
	if !b.paying {
		return "no load of the run makes payments"
	}
	if len(b.accounts) == 0 {
		return "no payment was made"
	}
	for _, typ := range needs {
		if len(b.rows[typ]) == 0 {
			return fmt.Sprintf("no witness has a %s record of this run: a missing witness or total loss", typ)
		}
	}
	if len(some) > 0 && !slices.ContainsFunc(some, func(typ string) bool { return len(b.rows[typ]) > 0 }) {
		return fmt.Sprintf("no witness has a record of this run of any of the types %s: a missing witness or total loss", strings.Join(some, ", "))
	}
	return ""
}

// asides are what a reader should know beside the judgement.
func (b *books) asides() string {
	if b.foreign > 0 {
		return fmt.Sprintf("; %d foreign records not judged (their keys are not of this run)", b.foreign)
	}
	return ""
}

// booksOf returns the books of a history, opened once where it is frozen.
func booksOf(h *journal.History) *books {
	type id struct{}
	return journal.Derive(h, id{}, open)
}

// open reads a history into books.
func open(h *journal.History) *books {
	expected := min(len(h.Audit)/3, len(h.Samples)) // of payments, to size the maps once
	b := &books{
		h: h, accounts: make([]account, 0, expected),
		byKey: make(map[journal.ID]int, expected), byRef: make(map[journal.ID]int, 2*expected),
		rows: make(map[string][]*journal.AuditRecord), settlers: make(map[string]bool),
	}
	n, err := hex.Decode(b.run[:], []byte(h.Run.ID[:min(len(h.Run.ID), 2*len(b.run))]))
	b.mine = err == nil && n == len(b.run)
	b.readClients()
	sizes := make(map[string]int)
	for i := range h.Audit {
		sizes[h.Audit[i].Type]++
		b.learn(&h.Audit[i])
	}
	for typ, n := range sizes {
		b.rows[typ] = make([]*journal.AuditRecord, 0, n)
	}
	for i := range h.Audit {
		b.sort(&h.Audit[i])
	}
	for _, typ := range []string{"payment", "charge"} { // refunds and ledger entries are about accounts, so those come first
		for _, r := range b.rows[typ] {
			b.post(r)
		}
	}
	for _, typ := range []string{"refund", "ledger"} {
		for _, r := range b.rows[typ] {
			b.post(r)
		}
	}
	for i := range b.accounts {
		if b.accounts[i].unresolved() {
			b.unsure++
		}
	}
	b.readOrders()
	b.readEvents()
	b.moved = b.illegal()
	return b
}

// at returns the index of a key's account, opening it when there is none.
func (b *books) at(key journal.ID) int {
	i, ok := b.byKey[key]
	if !ok {
		i = len(b.accounts)
		b.byKey[key] = i
		b.accounts = append(b.accounts, account{key: key, first: -1})
	}
	return i
}

// ours reads a key and reports whether it belongs to this run: all its keys begin with the run's id.
func (b *books) ours(text string) (key journal.ID, ok bool) {
	key, ok = parseID(text)
	return key, ok && b.mine && [6]byte(key[:6]) == b.run
}

// readClients takes in what the clients of payments saw, replays and preparations included.
func (b *books) readClients() {
	for _, l := range b.h.Run.Loads {
		b.paying = b.paying || l.Effect == "payment"
	}
	for i := range b.h.Samples {
		s := &b.h.Samples[i]
		if int(s.Op) >= len(b.h.Run.Loads) || b.h.Run.Loads[s.Op].Effect != "payment" || s.Key.Zero() {
			continue
		}
		n := b.at(s.Key)
		a := &b.accounts[n]
		if a.first < 0 {
			a.first = i
		}
		switch {
		case s.Result == journal.OK:
			a.answered(s)
		case s.Result == journal.Failed || s.Err == journal.ErrNotSent: // certainly no effect of this request
		default:
			a.doubt = true
		}
		if a.amount == 0 {
			a.amount = s.Amount
		}
		if !s.Ref.Zero() {
			b.byRef[s.Ref] = n
		}
	}
}

// answered takes in an answer that settled the outcome.
func (a *account) answered(s *journal.Sample) {
	good := s.Status >= 200 && s.Status < 300
	if a.answers > 0 {
		switch {
		case !s.Ref.Zero() && !a.ref.Zero() && s.Ref != a.ref:
			a.clash |= clashID
		case a.amount != s.Amount:
			a.clash |= clashBody
		}
		if good && s.Status == 201 && a.declined || !good && a.captured {
			a.clash |= clashEnd
		}
	}
	a.answers++
	a.acked = a.acked || good
	a.captured = a.captured || s.Status == 201
	a.declined = a.declined || !good
	if a.ref.Zero() {
		a.ref = s.Ref
	}
}

// learn learns which payment and charge ids belong to which key.
func (b *books) learn(r *journal.AuditRecord) {
	if r.Type != "payment" && r.Type != "charge" {
		return
	}
	if r.Type == "charge" {
		b.settlers[r.Source] = true
	}
	id, ok := parseID(r.ID)
	key, mine := b.ours(r.Key)
	if ok && mine {
		if _, known := b.byRef[id]; !known {
			b.byRef[id] = b.at(key)
		}
	}
}

// sort puts a record with those of its type, unless it is of somebody else.
func (b *books) sort(r *journal.AuditRecord) {
	if r.Key != "" {
		if _, mine := b.ours(r.Key); !mine && !b.about(r) {
			b.foreign++
			return
		}
	}
	b.rows[r.Type] = append(b.rows[r.Type], r)
}

// about reports whether a record whose key is not of this run is about a payment of it.
func (b *books) about(r *journal.AuditRecord) bool {
	for _, text := range []string{r.Ref, r.ID} {
		if id, is := parseID(text); is {
			if _, ok := b.byRef[id]; ok {
				return true
			}
		}
	}
	return false
}

// find returns the account of the payment that a record is about: by its reference to a payment (or
// charge), which survives a key of its own per attempt or refund, else by its own id, else by its key.
// ok says that the key is this run's; account is −1 when nobody else knows it.
func (b *books) find(r *journal.AuditRecord) (n int, key journal.ID, ok bool) {
	for _, text := range []string{r.Ref, r.ID} {
		if id, is := parseID(text); is {
			if n, ok = b.byRef[id]; ok {
				return n, b.accounts[n].key, true
			}
		}
	}
	if key, ok = b.ours(r.Key); !ok {
		return -1, key, false
	}
	if n, ok = b.byKey[key]; ok {
		return n, key, true
	}
	return -1, key, true
}
