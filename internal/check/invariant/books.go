package invariant

import (
	"fmt"
	"strings"

	"chaos/internal/journal"
)

// account is all that anybody knows of one payment, by the client's idempotency key.
type account struct {
	key    journal.ID
	first  int // index of the client's first request in History.Samples; −1 when no client asked
	amount int64

	acked    bool // some answer was 2xx
	captured bool // some answer was 201: the money is said to be taken
	known    bool // some answer settled the outcome
	doubt    bool // some request may have had an effect

	payments int    // rows in the payments' book
	state    string // of the last of them

	charges      int // successful ones at the processor
	charged      int64
	refunds      int // full ones
	refunded     int64
	chargesTrace string // of the newest charge, for evidence without a client
}

// books are the client's history and the witnesses' records, by key.
type books struct {
	h        *journal.History
	accounts []account
	byKey    map[journal.ID]int
	byRef    map[journal.ID]int // payment and charge ids → account
	ledger   []entry
	records  map[string]int  // of this run, by type
	settlers map[string]bool // sources that have charges: what they say of refunds is money, what others say is an opinion
	foreign  int             // of somebody else
	orphans  int             // charges and refunds that belong to no payment anybody knows (a ghost is not judged here)
	paying   bool            // some load makes payments
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
func (b *books) silent() string {
	if !b.paying {
		return "no load of the run makes payments"
	}
	if len(b.accounts) == 0 {
		return "no payment was made"
	}
	for _, typ := range []string{"payment", "charge", "ledger"} {
		if b.records[typ] == 0 {
			return fmt.Sprintf("no witness has a %s record of this run: a missing witness or total loss", typ)
		}
	}
	return ""
}

// asides are what a reader should know beside the judgement.
func (b *books) asides() string {
	text := ""
	if b.foreign > 0 {
		text += fmt.Sprintf("; %d foreign records not judged (their keys are not of this run)", b.foreign)
	}
	if b.orphans > 0 {
		text += fmt.Sprintf("; %d charges or refunds belong to no payment that anybody knows (not judged here)", b.orphans)
	}
	return text
}

// open reads a history into books.
func open(h *journal.History) *books {
	expected := min(len(h.Audit)/3, len(h.Samples)) // of payments, to size the maps once
	b := &books{
		h: h, accounts: make([]account, 0, expected),
		byKey: make(map[journal.ID]int, expected), byRef: make(map[journal.ID]int, 2*expected),
		records: make(map[string]int), settlers: make(map[string]bool),
	}
	b.readClients()
	for i := range h.Audit {
		b.index(&h.Audit[i])
	}
	later := make([]*journal.AuditRecord, 0, len(h.Audit)/2)
	for i := range h.Audit {
		if r := &h.Audit[i]; r.Type == "payment" || r.Type == "charge" {
			b.post(r)
		} else { // refunds and ledger entries are about accounts, so those come first
			later = append(later, r)
		}
	}
	for _, r := range later {
		b.post(r)
	}
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
		if a.amount == 0 {
			a.amount = s.Amount
		}
		switch {
		case s.Result == journal.OK:
			a.known = true
			a.acked = a.acked || s.Status >= 200 && s.Status < 300
			a.captured = a.captured || s.Status == 201
		case s.Result == journal.Failed || s.Err == journal.ErrNotSent: // certainly no effect of this request
		default:
			a.doubt = true
		}
		if !s.Ref.Zero() {
			b.byRef[s.Ref] = n
		}
	}
}

// index learns which payment and charge ids belong to which key.
func (b *books) index(r *journal.AuditRecord) {
	if r.Type != "payment" && r.Type != "charge" {
		return
	}
	if r.Type == "charge" {
		b.settlers[r.Source] = true
	}
	id, ok := parseID(r.ID)
	key, mine := parseID(r.Key)
	if ok && mine && ours(r.Key, b.h.Run.ID) {
		if _, known := b.byRef[id]; !known {
			b.byRef[id] = b.at(key)
		}
	}
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
	key, ok = parseID(r.Key)
	if !ok || !ours(r.Key, b.h.Run.ID) {
		return -1, key, false
	}
	if n, ok = b.byKey[key]; ok {
		return n, key, true
	}
	return -1, key, true
}

// post writes one audit record into its account.
func (b *books) post(r *journal.AuditRecord) {
	n, key, found := b.find(r)
	if !found && r.Key != "" && !ours(r.Key, b.h.Run.ID) {
		b.foreign++
		return
	}
	b.records[r.Type]++
	switch r.Type {
	case "payment", "charge", "refund":
	case "ledger":
		b.ledger = append(b.ledger, entry{r, n})
		return
	default:
		return
	}
	if !found {
		if r.Type != "payment" {
			b.orphans++
		}
		return
	}
	if n < 0 {
		n = b.at(key)
	}
	a := &b.accounts[n]
	switch r.Type {
	case "payment":
		a.payments++
		a.state = strings.ToUpper(r.State)
		if a.amount == 0 {
			a.amount = r.Amount
		}
	case "charge":
		if succeeded(r.State) {
			a.charges++
			a.charged += r.Amount
			a.chargesTrace = r.Trace
		}
	case "refund":
		if succeeded(r.State) && b.settlers[r.Source] {
			a.refunded += r.Amount
			if r.Amount >= a.amount {
				a.refunds++
			}
		}
	}
}

// succeeded reports whether a charge or refund in this state moved money.
func succeeded(state string) bool {
	switch strings.ToLower(state) {
	case "succeeded", "captured", "settled", "done", "":
		return true
	}
	return false
}

// terminal reports whether a payment in this state has come to its end.
func terminal(state string) bool {
	return state == "CAPTURED" || state == "DECLINED" || state == "REFUNDED"
}
