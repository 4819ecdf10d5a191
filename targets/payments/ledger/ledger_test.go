package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"chaos/targets/payments/pgtest"
	"chaos/targets/payments/switches"
)

type fixture struct {
	t     *testing.T
	books *Books
	ctx   context.Context
}

func TestBooks(t *testing.T) {
	pg := pgtest.Start(t)
	for name, test := range map[string]func(fixture){
		"CreateOncePerKey":        testCreateOncePerKey,
		"EveryPaymentTransition":  testEveryPaymentTransition,
		"Claim":                   testClaim,
		"RefundLifeCycle":         testRefundLifeCycle,
		"RefundRefusals":          testRefundRefusals,
		"PartialRefunds":          testPartialRefunds,
		"RefundOfPendingPayment":  testRefundOfPendingPayment,
		"OpenCountsWhatIsUndone":  testOpen,
		"AuditIsCompleteAndFlat":  testAudit,
		"StatementTimeoutIsClean": testStatementTimeout,
	} {
		t.Run(name, func(t *testing.T) {
			f := fixture{t, open(t, pg.Database(t)), context.Background()}
			test(f)
			f.balanced()
		})
	}
	t.Run("ReadyNamesMissingTables", func(t *testing.T) {
		if err := open(t, pg.Empty(t)).Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "ledger_entries") {
			t.Errorf("error %v must name the tables", err)
		}
		if err := open(t, pg.Database(t)).Ready(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Run("NoDatabaseIsWithoutEffect", func(t *testing.T) {
		b := open(t, "host=/nonexistent user=x dbname=x")
		_, _, err := b.Create(context.Background(), fixture{t: t}.order("k"))
		if err == nil || !NoEffect(err) {
			t.Errorf("no connection must count as without effect: %v", err)
		}
	})
}

func open(t *testing.T, dsn string) *Books {
	t.Helper()
	s, err := switches.Resolve("resilient", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(context.Background(), dsn, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func (f fixture) order(key string) Order {
	return Order{Payment: Payment{ID: uuid.NewString(), Tenant: "t1", ClientKey: key, AmountMinor: 500, Currency: "EUR", CardToken: "tok", Merchant: "m", TraceID: "trace", InRequest: true},
		Unique: true, Fingerprint: "f", Hold: time.Minute}
}

func (f fixture) create(key string) Payment {
	f.t.Helper()
	p, made, err := f.books.Create(f.ctx, f.order(key))
	if err != nil || !made {
		f.t.Fatal("create:", made, err)
	}
	return p
}

func (f fixture) settle(id string, to State, want bool) Payment {
	f.t.Helper()
	p, changed, err := f.books.Settle(f.ctx, id, to, "psp", "")
	if err != nil || changed != want {
		f.t.Fatalf("settle to %s: changed %v, want %v: %v", to, changed, want, err)
	}
	return p
}

func (f fixture) state(id string, want State) {
	f.t.Helper()
	p, err := f.books.Get(f.ctx, id)
	if err != nil || p.State != want {
		f.t.Errorf("state %s, want %s: %v", p.State, want, err)
	}
}

// balanced: every transaction sums to zero, and the books agree with the states.
func (f fixture) balanced() {
	f.t.Helper()
	txn, clearing, due := map[string]int64{}, map[string]int64{}, map[string]int64{}
	err := f.books.Audit(f.ctx, "", func(r Record) error {
		switch {
		case r.Type == "ledger":
			txn[r.Txn] += r.AmountMinor
			if r.Account == AccountClearing {
				clearing[r.Ref] += r.AmountMinor
			}
		case r.Type == "payment" && (r.State == string(Captured) || r.State == string(Refunding) || r.State == string(Refunded)):
			due[r.ID] += r.AmountMinor
		case r.Type == "refund" && r.State == string(RefundDone):
			due[r.Ref] -= r.AmountMinor
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for id, sum := range txn {
		if sum != 0 {
			f.t.Errorf("txn %s sums to %d", id, sum)
		}
	}
	for id, amount := range due {
		if clearing[id] != amount {
			f.t.Errorf("payment %s: books %d, states %d", id, clearing[id], amount)
		}
	}
}

func testCreateOncePerKey(f fixture) {
	p := f.create("k")
	again, made, err := f.books.Create(f.ctx, f.order("k"))
	if err != nil || made || again.ID != p.ID || !again.InRequest {
		f.t.Errorf("same key: made %v %+v %v", made, again, err)
	}
	other := f.order("k")
	other.Fingerprint = "g"
	if _, _, err := f.books.Create(f.ctx, other); !errors.Is(err, ErrKeyReused) {
		f.t.Errorf("other body: %v", err)
	}
	tenant := f.order("k")
	tenant.Tenant = "t2"
	if _, made, err := f.books.Create(f.ctx, tenant); err != nil || !made {
		f.t.Errorf("keys belong to a tenant: %v %v", made, err)
	}
	free := f.order("k")
	free.Unique = false
	if _, made, err := f.books.Create(f.ctx, free); err != nil || !made {
		f.t.Errorf("without uniqueness: %v %v", made, err)
	}
	results := make(chan bool, 20)
	for range 20 {
		go func() {
			_, made, err := f.books.Create(f.ctx, f.order("race"))
			results <- made && err == nil
		}()
	}
	wins := 0
	for range 20 {
		if <-results {
			wins++
		}
	}
	if wins != 1 {
		f.t.Errorf("%d creations of one key", wins)
	}
}

// Each transition that may happen does, once; each other leaves the row alone.
func testEveryPaymentTransition(f fixture) {
	states := map[State]func(string) string{
		Initiated: func(k string) string { return f.create(k).ID },
		Unknown: func(k string) string {
			id := f.create(k).ID
			if err := f.books.HandOver(f.ctx, id, true, 0); err != nil {
				f.t.Fatal(err)
			}
			return id
		},
		Captured: func(k string) string { id := f.create(k).ID; f.settle(id, Captured, true); return id },
		Declined: func(k string) string { id := f.create(k).ID; f.settle(id, Declined, true); return id },
	}
	for from, make := range states {
		for _, to := range []State{Captured, Declined} {
			id := make(fmt.Sprintf("%s-%s", from, to))
			f.state(id, from)
			open := from == Initiated || from == Unknown
			f.settle(id, to, open)
			want := from
			if open {
				want = to
			}
			f.state(id, want)
			if err := f.books.HandOver(f.ctx, id, true, 0); err != nil {
				f.t.Fatal(err)
			}
			f.state(id, want) // a final state never becomes UNKNOWN
		}
	}
	if _, _, err := f.books.Settle(f.ctx, f.create("x").ID, Refunded, "", ""); err == nil {
		f.t.Error("settling to REFUNDED must be refused")
	}
}

func testClaim(f fixture) {
	held, free, unsure := f.create("held"), f.create("free"), f.create("unsure")
	if err := errors.Join(f.books.HandOver(f.ctx, free.ID, false, 0), f.books.HandOver(f.ctx, unsure.ID, true, 0)); err != nil {
		f.t.Fatal(err)
	}
	claim := func(lease time.Duration, states ...State) []Payment {
		ps, err := f.books.Claim(f.ctx, states, 10, lease)
		if err != nil {
			f.t.Fatal(err)
		}
		return ps
	}
	if ps := claim(time.Minute, Unknown); len(ps) != 1 || ps[0].ID != unsure.ID || ps[0].State != Unknown || ps[0].Asked != 1 {
		f.t.Errorf("claim of UNKNOWN: %+v", ps)
	}
	if ps := claim(50*time.Millisecond, Initiated, Unknown); len(ps) != 1 || ps[0].ID != free.ID {
		f.t.Errorf("held and claimed ones must not be claimed: %+v", ps)
	}
	time.Sleep(60 * time.Millisecond) // a worker that died: its lease runs out
	if ps := claim(time.Minute, Initiated, Unknown); len(ps) != 1 || ps[0].ID != free.ID {
		f.t.Errorf("after the lease: %+v", ps)
	}
	f.state(held.ID, Initiated)
}

func (f fixture) refund(p Payment, key string, amount int64) (Refund, bool, error) {
	return f.books.CreateRefund(f.ctx, RefundOrder{ID: uuid.NewString(), PaymentID: p.ID, Tenant: "t1", ClientKey: key, AmountMinor: amount, Unique: true, Fingerprint: fmt.Sprint(p.ID, amount), Hold: time.Minute, AllowPending: true})
}

func (f fixture) mustRefund(p Payment, key string, amount int64) Refund {
	f.t.Helper()
	r, made, err := f.refund(p, key, amount)
	if err != nil || !made {
		f.t.Fatal("refund:", made, err)
	}
	return r
}

func testRefundLifeCycle(f fixture) {
	p := f.create("k")
	f.settle(p.ID, Captured, true)
	r := f.mustRefund(p, "r", 500)
	f.state(p.ID, Refunding)
	if again, made, err := f.refund(p, "r", 500); err != nil || made || again.ID != r.ID || !again.InRequest {
		f.t.Errorf("same key: %v %+v %v", made, again, err)
	}
	after, changed, err := f.books.FinishRefund(f.ctx, r)
	if err != nil || !changed || after.State != Refunded || after.Version <= p.Version {
		f.t.Errorf("finish: %v %+v %v", changed, after, err)
	}
	if _, changed, err := f.books.FinishRefund(f.ctx, r); err != nil || changed {
		f.t.Errorf("finish twice: %v %v", changed, err)
	}
	f.settle(p.ID, Declined, false)
	f.state(p.ID, Refunded)
}

func testRefundRefusals(f fixture) {
	p, d := f.create("k"), f.create("d")
	f.settle(p.ID, Captured, true)
	f.settle(d.ID, Declined, true)
	check := func(want error, p Payment, key string, amount int64) {
		f.t.Helper()
		if _, made, err := f.refund(p, key, amount); made || !errors.Is(err, want) || !NoEffect(err) {
			f.t.Errorf("made %v, %v, want %v without effect", made, err, want)
		}
	}
	check(ErrDeclined, d, "r1", 500)
	check(ErrOverRefund, p, "r2", 501)
	check(ErrNotFound, Payment{ID: uuid.NewString()}, "r3", 1)
	f.mustRefund(p, "r4", 500)
	check(ErrOverRefund, p, "r5", 1)
	check(ErrKeyReused, p, "r4", 1)
	f.state(p.ID, Refunding)
}

func testPartialRefunds(f fixture) {
	p := f.create("k")
	f.settle(p.ID, Captured, true)
	first := f.mustRefund(p, "r1", 200)
	f.state(p.ID, Captured)
	second := f.mustRefund(p, "r2", 300)
	f.state(p.ID, Refunding)
	done := make(chan error, 2)
	for _, r := range []Refund{first, second} {
		go func() { _, _, err := f.books.FinishRefund(f.ctx, r); done <- err }()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		f.t.Fatal(err)
	}
	f.state(p.ID, Refunded)
}

func testRefundOfPendingPayment(f fixture) {
	p, d := f.create("k"), f.create("d")
	r := f.mustRefund(p, "r", 500)
	f.mustRefund(d, "rd", 500)
	if err := f.books.HandOverRefund(f.ctx, r.ID, 0); err != nil {
		f.t.Fatal(err)
	}
	claim := func() []Refund {
		rs, err := f.books.ClaimRefunds(f.ctx, 10, time.Minute)
		if err != nil {
			f.t.Fatal(err)
		}
		return rs
	}
	if rs := claim(); len(rs) != 0 {
		f.t.Errorf("claimed before the payment has an outcome: %+v", rs)
	}
	f.settle(p.ID, Captured, true)
	if rs := claim(); len(rs) != 1 || rs[0].ID != r.ID || rs[0].OrderKey != "k" {
		f.t.Errorf("claimed: %+v", rs)
	}
	f.state(p.ID, Refunding)
	f.settle(d.ID, Declined, true)
	rs, err := f.books.RefundsOf(f.ctx, d.ID)
	if err != nil || len(rs) != 1 || rs[0].PaymentState != Declined {
		f.t.Fatalf("refunds of a declined payment: %+v %v", rs, err)
	}
	if err := f.books.FailRefund(f.ctx, rs[0].ID, "declined"); err != nil {
		f.t.Fatal(err)
	}
	if rs, _ := f.books.RefundsOf(f.ctx, d.ID); len(rs) != 0 {
		f.t.Errorf("still pending: %+v", rs)
	}
	p2 := f.create("k2")
	o := RefundOrder{ID: uuid.NewString(), PaymentID: p2.ID, Tenant: "t1", ClientKey: "r2", AmountMinor: 1}
	if _, _, err := f.books.CreateRefund(f.ctx, o); !errors.Is(err, ErrPending) {
		f.t.Errorf("pending payments must be refused when they are not allowed: %v", err)
	}
}

func testOpen(f fixture) {
	check := func(prefix string, want int) {
		f.t.Helper()
		if n, _, err := f.books.Open(f.ctx, prefix); err != nil || n != want {
			f.t.Errorf("open %q: %d, want %d: %v", prefix, n, want, err)
		}
	}
	p := f.create("run1-a")
	f.create("run2-a")
	check("run1-", 1)
	f.settle(p.ID, Captured, true)
	check("run1-", 0)
	r := f.mustRefund(p, "run1-r", 500)
	check("run1-", 2) // the refund, and the payment that is REFUNDING
	if _, _, err := f.books.FinishRefund(f.ctx, r); err != nil {
		f.t.Fatal(err)
	}
	check("run1-", 0)
	if _, oldest, err := f.books.Open(f.ctx, ""); err != nil || oldest <= 0 {
		f.t.Errorf("oldest %v %v", oldest, err)
	}
}

func testAudit(f fixture) {
	p := f.create("run1-a")
	f.settle(p.ID, Captured, true)
	f.settle(f.create("other").ID, Captured, true)
	f.mustRefund(p, "run1-r", 500)
	count := map[string]int{}
	err := f.books.Audit(f.ctx, "run1-", func(r Record) error {
		count[r.Type]++
		if r.Key != "run1-a" || r.At == "" || (r.Type != "payment" && r.Ref != p.ID) {
			f.t.Errorf("record %+v", r)
		}
		return nil
	})
	if err != nil || count["payment"] != 1 || count["ledger"] != 2 || count["refund"] != 1 {
		f.t.Errorf("audit: %v %v", count, err)
	}
}

func testStatementTimeout(f fixture) {
	err := f.books.updateRefund(f.ctx, "sleep", "SELECT pg_sleep(10)")
	if err == nil || !NoEffect(err) {
		f.t.Errorf("a cancelled statement must be without effect: %v", err)
	}
}
