package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chaos/internal/journal"
	"chaos/internal/spec"
	"chaos/internal/target"
	local "chaos/internal/target/process"
	"chaos/internal/verdict"
)

// liar corrupts witnesses of a whole payment system that runs.
type liar struct {
	ctx  context.Context
	run  string
	topo *target.Topology
	sys  target.System
	rows []journal.AuditRecord
	used map[string]bool // keys that a lie was told about
}

// shopLie is one lie to one witness: the invariant that must name it, and it alone. tell returns the key that it was
// told about; "" when it is about a sum.
type shopLie struct {
	check string
	tell  func(*liar) (key string, err error)
}

// shopLies has one for each invariant.
func shopLies() []shopLie {
	order := func(state string, sql string) func(*liar) (string, error) {
		return func(l *liar) (string, error) {
			o, err := l.order(state)
			if err != nil {
				return "", err
			}
			return o.Key, l.sql("orders", fmt.Sprintf(sql, o.ID))
		}
	}
	return []shopLie{
		{"no_stuck_payment", order("CONFIRMED", `UPDATE orders SET state = 'PAID', held_until = now() + interval '1 hour' WHERE id = '%s'`)},
		{"no_illegal_transition", order("CONFIRMED", `UPDATE orders SET state = 'CANCELLED' WHERE id = '%s'`)},
		{"no_orphan_reservation", func(l *liar) (string, error) {
			o, err := l.order("CANCELLED")
			if err != nil {
				return "", err
			}
			return o.Key, l.sql("inventory", `UPDATE reservations SET state = 'HELD' WHERE order_id = '`+o.ID+`'`)
		}},
		{"saga_consistent", func(l *liar) (string, error) { return l.chargeAgain("CANCELLED") }},
		{"no_double_charge", func(l *liar) (string, error) { return l.chargeAgain("CONFIRMED") }},
		{"no_ghost_charge", func(l *liar) (string, error) {
			key := l.run + strings.Repeat("e", 32-len(l.run))
			return key, l.charge(key, uuid.NewString(), 500)
		}},
		{"ledger_balanced", func(l *liar) (string, error) {
			o, err := l.order("CONFIRMED")
			if err != nil {
				return "", err
			}
			return o.Key, l.sql("payments", `DELETE FROM ledger_entries WHERE id = (SELECT min(id) FROM ledger_entries WHERE payment_id = '`+o.Ref+`')`)
		}},
		{"no_lost_payment", func(l *liar) (string, error) {
			o, err := l.order("CONFIRMED")
			if err != nil {
				return "", err
			}
			return o.Key, l.sql("payments", `UPDATE payments SET state = 'UNKNOWN', held_until = now() + interval '1 hour' WHERE id = '`+o.Ref+`'`)
		}},
		{"no_lost_event", (*liar).forgetEvent},
		{"no_duplicate_effect", func(l *liar) (string, error) {
			o, err := l.order("CONFIRMED")
			if err != nil {
				return "", err
			}
			return o.Key, l.sql("notify", `INSERT INTO notifications (event_id, order_id, client_key, tenant, kind, trace_id)
				SELECT event_id, order_id, client_key, tenant, kind, trace_id FROM notifications WHERE order_id = '`+o.ID+`' AND kind = 'order_confirmed'`)
		}},
		{"idempotency_holds", (*liar).payAgain},
		{"honest_counters", func(l *liar) (string, error) {
			o, err := l.order("CONFIRMED")
			if err != nil {
				return "", err
			}
			return "", l.sql("notify", `DELETE FROM revenue WHERE payment_id = '`+o.Ref+`'`)
		}},
	}
}

// order picks one that came to this end, of which all is on the books, and about which nobody lied yet. One that was
// cancelled had been paid and was refunded.
func (l *liar) order(state string) (journal.AuditRecord, error) {
	whole := func(key string) bool {
		for _, r := range l.rows {
			if r.Type == "payment" && r.Key == key {
				return r.State == map[string]string{"CONFIRMED": "CAPTURED", "CANCELLED": "REFUNDED"}[state]
			}
		}
		return false
	}
	for _, r := range l.rows {
		if r.Type == "order" && r.State == state && !l.used[r.Key] && whole(r.Key) {
			l.used[r.Key] = true
			return r, nil
		}
	}
	return journal.AuditRecord{}, fmt.Errorf("no order is %s", state)
}

// sql runs a statement as a database's owner, past every service. It must change one row.
func (l *liar) sql(database, statement string) error {
	one := "1"
	count := `WITH changed AS (` + statement + ` RETURNING 1) SELECT count(*) FROM changed`
	steps, ok := l.sys.(interface {
		Steps(context.Context, string, []target.Step) error
	})
	if !ok {
		return fmt.Errorf("runtime %T runs no steps", l.sys)
	}
	return steps.Steps(l.ctx, "lie", []target.Step{{Node: "postgres", Want: &one,
		Exec: []string{"psql", "-qXAt", "--set=ON_ERROR_STOP=1", "--username=postgres", "--dbname=" + database, "--command=" + count}}})
}

// charge makes the processor settle a charge that nobody asked for.
func (l *liar) charge(key, reference string, amount int64) error {
	body, err := json.Marshal(map[string]any{"order_key": key, "reference": reference, "amount_minor": amount, "currency": "EUR"})
	if err != nil {
		return err
	}
	q := l.topo.Behaviours["psp"].Write
	q.Method, q.Path = "POST", "/admin/charge"
	_, err = l.sys.Call(l.ctx, target.Call{Query: q, Body: body})
	return err
}

func (l *liar) chargeAgain(state string) (string, error) {
	o, err := l.order(state)
	if err != nil {
		return "", err
	}
	return o.Key, l.charge(o.Key, o.Ref, o.Amount)
}

// payAgain puts a second payment under a key, which is told of as a payment would be.
func (l *liar) payAgain() (string, error) {
	o, err := l.order("CONFIRMED")
	if err != nil {
		return "", err
	}
	id := uuid.NewString()
	err = l.sql("payments", `INSERT INTO payments (id, tenant, client_key, state, amount_minor, currency, card_token, merchant, trace_id, order_id)
		SELECT '`+id+`', tenant, client_key, 'DECLINED', amount_minor, currency, card_token, merchant, trace_id, order_id FROM payments WHERE id = '`+o.Ref+`'`)
	if err != nil {
		return "", err
	}
	return o.Key, l.sql("payments", `INSERT INTO outbox (event_id, subject, client_key, traceparent, payload)
		SELECT e, 'payment.failed', client_key, '', jsonb_build_object('v', 1, 'id', e, 'type', 'payment.failed', 'at', now(), 'key', client_key, 'tenant', tenant, 'order_id', order_id, 'payment_id', id)
		FROM payments, gen_random_uuid() e WHERE id = '`+id+`'`)
}

// forgetEvent deletes an event from the broker's log: that an order was confirmed.
func (l *liar) forgetEvent() (string, error) {
	o, err := l.order("CONFIRMED")
	if err != nil {
		return "", err
	}
	at, ok := l.sys.(interface {
		Addresses() (map[string][]string, error)
	})
	if !ok {
		return "", fmt.Errorf("runtime %T has no addresses", l.sys)
	}
	links, err := at.Addresses()
	if err != nil {
		return "", err
	}
	conn, err := nats.Connect("nats://" + links["notify->nats"][0])
	if err != nil {
		return "", err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return "", err
	}
	stream, err := js.Stream(l.ctx, "EVENTS")
	if err != nil {
		return "", err
	}
	for seq := uint64(1); ; {
		m, err := stream.GetMsg(l.ctx, seq, jetstream.WithGetMsgSubject("order.confirmed"))
		if err != nil {
			return "", fmt.Errorf("find order %s among the confirmed: %w", o.ID, err)
		}
		if bytes.Contains(m.Data, []byte(o.ID)) {
			return o.Key, stream.DeleteMsg(l.ctx, m.Sequence)
		}
		seq = m.Sequence + 1
	}
}

// TestEachInvariantOnALiveShop lies to every witness of the whole payment system while it runs, once for each
// invariant: each names its lie, and no other.
func TestEachInvariantOnALiveShop(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: starts the whole payment system")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	topo, err := spec.LoadTarget(filepath.Join(root, "targets/payments/shop.target.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if missing := local.New(local.Config{}).Missing(topo); len(missing) > 0 {
		t.Skipf("not run (make setup installs what is missing): %s", strings.Join(missing, "; "))
	}
	b := &bench{t: t, dir: t.TempDir(), root: root}
	b.binary = filepath.Join(b.dir, "chaos")
	if out, err := exec.Command("go", "build", "-o", b.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	text, err := os.ReadFile("testdata/e2e/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	experiment := filepath.Join(b.dir, "lie-0.yaml")
	changed := strings.NewReplacer("name: lies", "name: lie-0", "target: shop", "target: "+filepath.Join(root, "targets/payments/shop.target.yaml")).Replace(string(text))
	if err := os.WriteFile(experiment, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	b.undisturbed(func() string {
		p := b.startOn("process", "run", "--runtime", "process", "--reports", b.reports(), experiment)
		if !b.waitForPhase(p, 0, "recovery") {
			return "ended before phase recovery:\n" + p.said() + p.stdout.String()
		}
		about, err := b.lieToShop(topo)
		if err != nil {
			t.Fatalf("%v\n%s", err, p.said())
		}
		b.exit(p, 5*time.Minute)
		return namesEach(b.verdict(0), about, p.stdout.String())
	})
}

// startOn is start for a run on a runtime: without docker there is no engine.
func (b *bench) startOn(runtime string, args ...string) *process {
	b.t.Helper()
	command, words := first(b.binary, args)
	p := &process{Cmd: exec.Command(command, words...), ended: make(chan struct{})}
	if p.Env = os.Environ(); runtime != "docker" {
		p.Env = append(p.Env, "DOCKER_HOST=unix:///nonexistent/engine.sock")
	}
	p.Dir, p.Cmd.Stdout, p.Cmd.Stderr = b.root, &p.stdout, p
	if err := p.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() { _ = p.Wait(); close(p.ended) }()
	b.t.Cleanup(func() {
		_ = p.Process.Signal(os.Interrupt) // over, as a rule
		<-p.ended
	})
	return p
}

// lieToShop tells all lies, and returns about which key each was, by the invariant.
func (b *bench) lieToShop(topo *target.Topology) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	info, err := journal.ReadInfo(filepath.Join(b.folder(0), "resilient"))
	if err != nil {
		return nil, err
	}
	sys, err := local.New(local.Config{Binary: b.binary}).Attach(ctx, topo, info.Handle)
	if err != nil {
		return nil, err
	}
	l := &liar{ctx: ctx, run: info.ID, topo: topo, sys: sys, used: make(map[string]bool)}
	for name, q := range topo.Audit {
		dump, err := sys.Call(ctx, target.Call{Query: q, Run: info.ID})
		if err != nil {
			return nil, fmt.Errorf("audit %s: %w", name, err)
		}
		for line := range strings.Lines(string(dump)) {
			var r journal.AuditRecord
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				return nil, fmt.Errorf("audit %s: %w", name, err)
			}
			l.rows = append(l.rows, r)
		}
	}
	about := make(map[string]string)
	for _, lie := range shopLies() {
		if about[lie.check], err = lie.tell(l); err != nil {
			return nil, fmt.Errorf("lie for %s: %w", lie.check, err)
		}
	}
	return about, nil
}

// namesEach says in what the findings differ from the lies: each invariant must name one offence, which is the one
// about its key. (Sums may be off by what other lies added.)
func namesEach(v verdict.Verdict, about map[string]string, said string) (against string) {
	for _, f := range v.Findings {
		key, told := about[f.Check]
		switch {
		case !told: // an SLO
		case f.Outcome != verdict.Fail || len(f.Evidence) == 0:
			against += fmt.Sprintf("%s is %v: %s\n", f.Check, f.Outcome, f.Why)
		case key != "" && (f.Count != 1 || f.Evidence[0].Key != strings.ReplaceAll(key, "-", "")):
			against += fmt.Sprintf("%s names %d, want the one about %s: %+v\n", f.Check, f.Count, key, f.Evidence)
		}
		delete(about, f.Check)
	}
	if len(about) > 0 {
		against += fmt.Sprintf("not judged: %v\n", about)
	}
	if against != "" {
		against += said
	}
	return against
}
