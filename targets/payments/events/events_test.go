package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"

	paysys "chaos/targets/payments"
	"chaos/targets/payments/database"
	"chaos/targets/payments/natstest"
	"chaos/targets/payments/pgtest"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
)

const patience = 60 * time.Second

// rig is a service's database and its broker.
type rig struct {
	t         *testing.T
	set       switches.Set
	db        *database.DB
	nats      *natstest.Server
	broker    *Broker
	server    telemetry.Server
	publisher *Publisher
}

func newRig(t *testing.T, pg *pgtest.Server, single map[string]string) *rig {
	t.Helper()
	set, err := switches.Resolve("resilient", single)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, set: set, nats: natstest.Start(t), server: telemetry.Server{Log: telemetry.NewLogger(io.Discard, "test", "test", time.Now), Metrics: telemetry.NewMetrics()}}
	if r.db, err = database.Open(context.Background(), pg.Of(t, paysys.OrdersSchema), set); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.db.Close)
	if r.broker, err = Dial(r.nats.URL(), "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.broker.Close)
	r.publisher = NewPublisher(r.db, r.broker, set.PublishInline, r.server)
	return r
}

// background runs f until the test ends.
func (r *rig) background(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	stop = func() { cancel(); <-done }
	r.t.Cleanup(stop)
	return stop
}

// commit makes a change with an event.
func (r *rig) commit(e Event, after error) error {
	return r.publisher.Transact(context.Background(), r.db.Requests, "test", func(ctx context.Context, tx *Tx) error {
		r.publisher.Emit(ctx, tx, e)
		return after
	})
}

// log is what the broker has, by event id.
func (r *rig) log() map[string]int {
	r.t.Helper()
	ids := map[string]int{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.broker.Log(ctx, "k", func(_ uint64, e Event) error { ids[e.ID]++; return nil }); err != nil {
		r.t.Fatal(err)
	}
	return ids
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("never: " + what)
		}
	}
}

func (r *rig) unpublished() int {
	n, _, err := r.publisher.Unpublished(context.Background(), "")
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func event(n int) Event {
	return Event{Type: OrderCreated, Key: fmt.Sprint("k", n), OrderID: uuid.NewString()}
}

// heard counts what a handler was given.
type heard struct {
	mu  sync.Mutex
	ids map[string]int
	err func(e Event, times int) error
}

func (h *heard) handle(_ context.Context, _ *Tx, e Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids == nil {
		h.ids = map[string]int{}
	}
	h.ids[e.Key]++
	if h.err != nil {
		return h.err(e, h.ids[e.Key])
	}
	return nil
}

func (h *heard) times(key string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ids[key]
}

func (r *rig) consumer(h *heard) *Consumer {
	return NewConsumer("test", []string{OrderCreated}, r.set, r.db, r.broker, r.publisher, r.server, h.handle)
}

func TestEvents(t *testing.T) {
	pg := pgtest.Start(t)
	for name, test := range map[string]func(*testing.T, *pgtest.Server){
		"CommitAndEventAreOne":      testCommitAndEvent,
		"PublishedTwiceKeptOnce":    testPublishedTwice,
		"FrozenRelayIsFenced":       testFenced,
		"DualWriteLoses":            testDualWrite,
		"RedeliveryHasOneEffect":    testRedelivery,
		"TwiceInOneBatch":           testTwiceInOneBatch,
		"AckFirstLoses":             testAckFirst,
		"PoisonGoesToDeadLetters":   testPoison,
		"WithoutDeadLettersForEver": testNoDeadLetters,
		"BrokerForgetsEverything":   testBrokerForgets,
	} {
		t.Run(name, func(t *testing.T) { test(t, pg) })
	}
}

// c5: an event is told if and only if its change was committed, however long
// the broker was away.
func testCommitAndEvent(t *testing.T, pg *pgtest.Server) {
	r := newRig(t, pg, nil)
	r.nats.Down()
	r.background(r.publisher.Run)
	if err := r.commit(event(1), nil); err != nil {
		t.Fatal(err)
	}
	if err := r.commit(event(2), errors.New("the change failed")); err == nil {
		t.Fatal("a failed change was committed")
	}
	if n := r.unpublished(); n != 1 {
		t.Errorf("%d events wait", n)
	}
	r.nats.Up()
	r.until("the event is published", func() bool { return r.unpublished() == 0 })
	if ids := r.log(); len(ids) != 1 {
		t.Errorf("told: %v", ids)
	}
}

// c6: a relay that dies between publishing and marking publishes again, and the
// broker knows the id.
func testPublishedTwice(t *testing.T, pg *pgtest.Server) {
	r := newRig(t, pg, nil)
	if err := r.commit(event(1), nil); err != nil {
		t.Fatal(err)
	}
	r.until("connected", r.broker.Connected)
	_, batch, err := r.publisher.claim(context.Background(), "dead relay")
	if err != nil || len(batch) != 1 {
		t.Fatal(batch, err)
	}
	if err := errors.Join(r.broker.publish(context.Background(), batch)...); err != nil {
		t.Fatal(err)
	}
	r.expireLeases()
	r.background(r.publisher.Run)
	r.until("published again", func() bool { return r.unpublished() == 0 })
	if ids := r.log(); len(ids) != 1 || ids[batch[0].id] != 1 {
		t.Errorf("told: %v", ids)
	}
}

func (r *rig) expireLeases() {
	r.t.Helper()
	err := r.db.Use(context.Background(), r.db.Requests, "expire", func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `UPDATE outbox SET leased_until = now()`)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// A relay that was frozen for longer than its lease can't touch rows that
// another one has now.
func testFenced(t *testing.T, pg *pgtest.Server) {
	r := newRig(t, pg, nil)
	ctx := context.Background()
	if err := r.commit(event(1), nil); err != nil {
		t.Fatal(err)
	}
	seqs, _, err := r.publisher.claim(ctx, "frozen")
	if err != nil || len(seqs) != 1 {
		t.Fatal(seqs, err)
	}
	if again, _, err := r.publisher.claim(ctx, "other"); err != nil || len(again) != 0 {
		t.Errorf("leased rows were claimed: %v %v", again, err)
	}
	r.expireLeases()
	if again, _, err := r.publisher.claim(ctx, "other"); err != nil || len(again) != 1 {
		t.Fatal("rows whose lease ran out were not claimed", err)
	}
	if err := r.publisher.mark(ctx, "frozen", seqs, nil); err != nil {
		t.Fatal(err)
	}
	if n := r.unpublished(); n != 1 || testutil.ToFloat64(r.server.Metrics.Fenced) != 1 {
		t.Errorf("the frozen relay marked a row of another one: %d wait", n)
	}
	if err := r.publisher.mark(ctx, "other", seqs, nil); err != nil || r.unpublished() != 0 {
		t.Error("the owner could not mark its row", err)
	}
}

// The dual write: what is committed while the broker is away is never told.
func testDualWrite(t *testing.T, pg *pgtest.Server) {
	r := newRig(t, pg, map[string]string{"publish": "inline"})
	r.until("connected", r.broker.Connected)
	if err := r.commit(event(1), nil); err != nil {
		t.Fatal(err)
	}
	r.nats.Down()
	if err := r.commit(event(2), nil); err != nil {
		t.Fatal(err)
	}
	r.nats.Up()
	r.until("connected again", r.broker.Connected)
	if err := r.commit(event(3), nil); err != nil {
		t.Fatal(err)
	}
	if ids := r.log(); len(ids) != 2 {
		t.Errorf("told: %v, want the first and the last", ids)
	}
}

// c7: an event that comes again, by the broker or from a writer that published
// it beyond the broker's memory, has one effect; without the inbox it has two.
func testRedelivery(t *testing.T, pg *pgtest.Server) {
	for _, dedup := range []string{"on", "off"} {
		r := newRig(t, pg, map[string]string{"consumer_dedup": dedup})
		h := &heard{}
		r.background(r.publisher.Run)
		if err := r.commit(event(1), nil); err != nil {
			t.Fatal(err)
		}
		stop := r.background(r.consumer(h).Run)
		r.until("heard", func() bool { return h.times("k1") == 1 })
		stop()
		r.again()
		r.background(r.consumer(h).Run)
		if dedup == "off" {
			r.until("heard twice", func() bool { return h.times("k1") == 2 })
			continue
		}
		r.until("the duplicate is seen", func() bool { return testutil.ToFloat64(r.server.Metrics.Duplicates.WithLabelValues("test")) == 1 })
		if n := h.times("k1"); n != 1 {
			t.Errorf("%d effects", n)
		}
	}
}

// An event that comes several times within one batch, its id spelt in two ways, has one effect.
func testTwiceInOneBatch(t *testing.T, pg *pgtest.Server) {
	r := newRig(t, pg, nil)
	h := &heard{}
	const id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	for _, id := range []string{id, strings.ToUpper(id), id} {
		r.raw(fmt.Sprintf(`{"v":1,"id":%q,"type":%q,"key":"k1"}`, id, OrderCreated))
	}
	r.raw(fmt.Sprintf(`{"v":1,"id":%q,"type":%q,"key":"k2"}`, "6BA7B811-9DAD-11D1-80B4-00C04FD430C8", OrderCreated))
	r.background(r.consumer(h).Run)
	r.until("both are heard, and the duplicates seen", func() bool {
		return h.times("k2") == 1 && testutil.ToFloat64(r.server.Metrics.Duplicates.WithLabelValues("test")) == 2
	})
	if n := h.times("k1"); n != 1 {
		t.Errorf("%d effects", n)
	}
}

// again publishes everything once more, without message ids.
func (r *rig) again() {
	r.t.Helper()
	var all []Event
	ctx := context.Background()
	if err := r.broker.Log(ctx, "k", func(_ uint64, e Event) error { all = append(all, e); return nil }); err != nil {
		r.t.Fatal(err)
	}
	for _, e := range all {
		r.raw(fmt.Sprintf(`{"v":1,"id":%q,"type":%q,"key":%q}`, e.ID, e.Type, e.Key))
	}
}

func (r *rig) raw(data string) {
	r.t.Helper()
	r.until("published", func() bool {
		if _, err := r.broker.Ensure(context.Background()); err != nil {
			return false
		}
		_, err := r.broker.js.PublishMsg(context.Background(), &nats.Msg{Subject: OrderCreated, Data: []byte(data)})
		return err == nil
	})
}

// A handler that fails once gets the event again; acknowledged before, it is lost.
func testAckFirst(t *testing.T, pg *pgtest.Server) {
	for _, ack := range []string{"after", "before"} {
		r := newRig(t, pg, map[string]string{"consumer_ack": ack})
		h := &heard{err: func(e Event, times int) error {
			if e.Key == "k1" && times == 1 {
				return errors.New("the database is away")
			}
			return nil
		}}
		r.background(r.consumer(h).Run)
		r.raw(`{"id":"` + uuid.NewString() + `","type":"order.created","key":"k1"}`)
		r.until("failed", func() bool { return h.times("k1") >= 1 })
		if ack == "after" {
			r.until("heard again", func() bool { return h.times("k1") == 2 })
		}
		r.raw(`{"id":"` + uuid.NewString() + `","type":"order.created","key":"k2"}`)
		r.until("went on", func() bool { return h.times("k2") >= 1 })
		r.until("nothing is left", func() bool { n, err := r.consumer(h).Lag(context.Background()); return err == nil && n == 0 })
		if n := h.times("k1"); ack == "before" && n != 1 {
			t.Errorf("acknowledged before, heard %d times", n)
		}
	}
}

func (r *rig) dead() (n uint64) {
	s, err := r.broker.js.Stream(context.Background(), DeadLetters)
	if err != nil {
		return 0
	}
	return s.CachedInfo().State.Msgs
}

// One bad event does not stop the others: what can't be read is buried at once,
// what can't be processed after eight tries. A newer version is no poison.
func testPoison(t *testing.T, pg *pgtest.Server) {
	r := newRig(t, pg, nil)
	h := &heard{err: func(e Event, _ int) error {
		if e.Key == "k-bad" {
			return errors.New("no")
		}
		if e.Key == "k-v2" && e.AmountMinor != 7 {
			return fmt.Errorf("amount %d", e.AmountMinor)
		}
		return nil
	}}
	r.background(r.consumer(h).Run)
	r.raw(`not json`)
	r.raw(`{"id":"` + uuid.NewString() + `","type":"order.created","key":"k-bad"}`)
	r.raw(`{"v":2,"id":"` + uuid.NewString() + `","type":"order.created","key":"k-v2","amount":7,"colour":"blue"}`)
	for i := range 20 {
		r.raw(`{"id":"` + uuid.NewString() + `","type":"order.created","key":"k` + fmt.Sprint(i) + `"}`)
	}
	r.until("the good ones are heard", func() bool { return h.times("k19") > 0 && h.times("k-v2") > 0 })
	r.until("two are buried", func() bool { return r.dead() == 2 })
	if n := testutil.ToFloat64(r.server.Metrics.DeadLetters.WithLabelValues("test")); n != 2 {
		t.Errorf("counted: %v", n)
	}
	r.until("nothing is left", func() bool { n, err := r.consumer(h).Lag(context.Background()); return err == nil && n == 0 })
}

func testNoDeadLetters(t *testing.T, pg *pgtest.Server) {
	r := newRig(t, pg, map[string]string{"consumer_dlq": "off"})
	h := &heard{err: func(Event, int) error { return errors.New("no") }}
	r.background(r.consumer(h).Run)
	r.raw(`{"id":"` + uuid.NewString() + `","type":"order.created","key":"k1"}`)
	r.until("tried more often than dead letters would allow", func() bool { return h.times("k1") > 3*maxDeliver })
	if n := r.dead(); n != 0 {
		t.Errorf("%d buried", n)
	}
}

// A broker that comes back empty gets its streams and consumers again.
func testBrokerForgets(t *testing.T, pg *pgtest.Server) {
	r := newRig(t, pg, nil)
	h := &heard{}
	r.background(r.publisher.Run)
	r.background(r.consumer(h).Run)
	if err := r.commit(event(1), nil); err != nil {
		t.Fatal(err)
	}
	r.until("heard", func() bool { return h.times("k1") == 1 })
	for _, s := range []string{Stream, DeadLetters} {
		if err := r.broker.js.DeleteStream(context.Background(), s); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Fatal(err)
		}
	}
	if err := r.commit(event(2), nil); err != nil {
		t.Fatal(err)
	}
	r.until("heard after the loss", func() bool { return h.times("k2") == 1 })
}
