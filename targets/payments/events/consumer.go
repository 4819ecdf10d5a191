package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"

	"chaos/targets/payments/database"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
)

const (
	ackWait    = 5 * time.Second
	maxDeliver = 8
	// Up to batchSize events that came within linger share one transaction.
	batchSize = 32
	linger    = 50 * time.Millisecond
	workers   = 2
	// retryWait is doubled with each delivery of a message that failed.
	retryWait    = 100 * time.Millisecond
	longestRetry = 2 * time.Second
	settleTime   = 3 * time.Second
)

// Handler applies one event inside the transaction that also remembers it.
// The same event may come twice when the inbox is off.
type Handler func(ctx context.Context, tx *Tx, e Event) error

// Consumer takes events of a durable consumer. Its switches are consumer_dedup,
// consumer_ack and consumer_dlq.
type Consumer struct {
	name      string
	types     []string
	handle    Handler
	set       switches.Set
	db        *database.DB
	broker    *Broker
	publisher *Publisher
	server    telemetry.Server
}

// NewConsumer makes a consumer called name for the given types.
func NewConsumer(name string, types []string, set switches.Set, db *database.DB, b *Broker, p *Publisher, server telemetry.Server, h Handler) *Consumer {
	return &Consumer{name: name, types: types, handle: h, set: set, db: db, broker: b, publisher: p, server: server}
}

// Run consumes until the context ends. What was taken is finished and
// acknowledged first.
func (c *Consumer) Run(ctx context.Context) {
	go c.meter(ctx)
	for ctx.Err() == nil {
		if err := c.session(ctx); err != nil && ctx.Err() == nil {
			c.server.Log.WarnContext(ctx, "consumer waits for the broker", "dependency", "nats", "outcome", "error", "reason", err.Error())
		}
		pause(ctx, reconnectWait)
	}
}

func (c *Consumer) durable(ctx context.Context) (jetstream.Consumer, error) {
	if _, err := c.broker.Ensure(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	cfg := jetstream.ConsumerConfig{Durable: c.name, FilterSubjects: c.types, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: 4 * batchSize}
	cons, err := c.broker.js.CreateOrUpdateConsumer(ctx, Stream, cfg)
	if err != nil {
		c.broker.forget()
		return nil, fmt.Errorf("make consumer %s: %w", c.name, err)
	}
	return cons, nil
}

// session consumes until the context ends or the broker lost the consumer.
func (c *Consumer) session(ctx context.Context) error {
	cons, err := c.durable(ctx)
	if err != nil {
		return err
	}
	taken := make(chan jetstream.Msg, batchSize)
	over := make(chan struct{})
	var once sync.Once
	var cause error
	pulling, err := cons.Consume(func(m jetstream.Msg) {
		select {
		case taken <- m:
		case <-over:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessages(2*batchSize), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrNoHeartbeat) {
				once.Do(func() { cause = err; close(over) })
			}
		}))
	if err != nil {
		return fmt.Errorf("pull %s: %w", c.name, err)
	}
	defer pulling.Stop()
	var all sync.WaitGroup
	gathering := make(chan struct{}, 1)
	for range workers {
		all.Go(func() { c.work(ctx, taken, gathering, over) })
	}
	all.Wait()
	select {
	case <-over:
		return cause
	default:
		return nil
	}
}

// work takes batches until it is over. One worker gathers at a time: two would share out what belongs together.
func (c *Consumer) work(ctx context.Context, taken <-chan jetstream.Msg, gathering chan struct{}, over <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case gathering <- struct{}{}:
		}
		var batch []delivery
		select {
		case <-ctx.Done():
		case <-over:
		case m := <-taken:
			batch = gather(m, taken)
		}
		<-gathering
		if len(batch) > 0 {
			// What was begun is finished: the node waits for it.
			work, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime+c.set.DatabaseTimeout)
			c.process(work, batch)
			cancel()
		}
	}
}

// gather takes what comes within a moment, so that it shares a transaction.
func gather(first jetstream.Msg, taken <-chan jetstream.Msg) []delivery {
	batch := []delivery{open(first)}
	t := time.NewTimer(linger)
	defer t.Stop()
	for len(batch) < batchSize {
		select {
		case m := <-taken:
			batch = append(batch, open(m))
		case <-t.C:
			return batch
		}
	}
	return batch
}

// delivery is a message with what it says.
type delivery struct {
	jetstream.Msg
	event Event
	bad   error
	tries uint64
}

func open(m jetstream.Msg) delivery {
	d := delivery{Msg: m, tries: 1}
	d.event, d.bad = Parse(m.Data())
	if meta, err := m.Metadata(); err == nil {
		d.tries = meta.NumDelivered
	}
	return d
}

// begin starts the span of an event: in the trace of its cause, and linked to it.
func (c *Consumer) begin(ctx context.Context, d delivery) (context.Context, telemetry.Span) {
	ctx = d.trace(ctx)
	link := telemetry.Linked(ctx)
	ctx, span := c.server.Start(ctx, "consume "+d.event.Type, telemetry.Taking, attribute.String("consumer", c.name), attribute.String("messaging.system", "nats"), attribute.String("event_id", d.event.ID),
		attribute.String("order_id", d.event.OrderID), attribute.Int64("attempt", int64(d.tries)))
	span.AddLink(link)
	return ctx, span
}

func (d delivery) trace(ctx context.Context) context.Context {
	t := telemetry.Join(d.Headers().Get("traceparent"))
	t.Tenant = d.event.Tenant
	return telemetry.WithTrace(ctx, t)
}

// process applies a batch in one transaction. When that fails, each event gets
// a transaction of its own, so that a bad one stands alone.
func (c *Consumer) process(ctx context.Context, batch []delivery) {
	good := batch[:0]
	for _, d := range batch {
		if d.tries > 1 {
			c.server.Metrics.Redeliveries.WithLabelValues(c.name).Inc()
		}
		if c.set.ConsumerAckFirst {
			c.ack(ctx, d)
		}
		if d.bad != nil {
			c.refuse(ctx, d, d.bad)
			continue
		}
		good = append(good, d)
	}
	if len(good) == 0 {
		return
	}
	err := c.apply(ctx, good)
	if err != nil && len(good) > 1 {
		for _, d := range good {
			if err := c.apply(ctx, []delivery{d}); err != nil {
				c.refuse(ctx, d, err)
			}
		}
		return
	}
	if err != nil {
		c.refuse(ctx, good[0], err)
	}
}

// apply runs the handlers and acknowledges after the commit.
func (c *Consumer) apply(ctx context.Context, batch []delivery) error {
	start := time.Now()
	var spans []telemetry.Span
	err := c.publisher.Transact(ctx, c.db.Background, "consume", func(ctx context.Context, tx *Tx) error {
		work := make([]context.Context, len(batch))
		for i, d := range batch {
			own, span := c.begin(ctx, d)
			work[i], spans = own, append(spans, span)
		}
		fresh, err := c.remember(ctx, tx, batch)
		for i := 0; i < len(batch) && err == nil; i++ {
			if fresh[i] {
				err = c.handle(work[i], tx, batch[i].event)
				continue
			}
			tx.AfterCommit(func(context.Context) { c.server.Metrics.Duplicates.WithLabelValues(c.name).Inc() })
		}
		return err
	})
	outcome := outcomeOf(err)
	for _, span := range spans {
		span.Done(outcome)
	}
	if err != nil {
		return err
	}
	took := telemetry.Milliseconds(time.Since(start))
	for _, d := range batch {
		if !c.set.ConsumerAckFirst {
			c.ack(ctx, d)
		}
		c.server.Log.InfoContext(d.trace(ctx), "consumed", "event", d.event.Type, "event_id", d.event.ID, "order_id", d.event.OrderID,
			"payment_id", d.event.PaymentID, "attempt", d.tries, "outcome", "ok", "duration_ms", took)
	}
	return nil
}

// remember writes the batch into the inbox and says which deliveries of it are to be handled: those whose event was
// not there, each once. Without an inbox all are.
func (c *Consumer) remember(ctx context.Context, tx *Tx, batch []delivery) ([]bool, error) {
	fresh := make([]bool, len(batch))
	ids, types, keys := make([]string, len(batch)), make([]string, len(batch)), make([]string, len(batch))
	for i, d := range batch {
		fresh[i] = true
		ids[i], types[i], keys[i] = d.event.ID, d.event.Type, d.event.Key
	}
	if !c.set.ConsumerDedup {
		return fresh, nil
	}
	for i := range ids {
		id, err := uuid.Parse(ids[i])
		if err != nil {
			return nil, fmt.Errorf("id of the event: %w", err)
		}
		ids[i] = id.String() // one spelling, which is the database's
	}
	// In one order, so that two workers who have the same events do not wait for each other.
	rows, err := tx.Query(ctx, `INSERT INTO inbox (consumer, event_id, type, client_key)
		SELECT $1, id::uuid, type, key FROM unnest($2::text[], $3::text[], $4::text[]) AS e (id, type, key) ORDER BY id
		ON CONFLICT DO NOTHING RETURNING event_id::text`, c.name, ids, types, keys)
	if err != nil {
		return nil, fmt.Errorf("write inbox: %w", err)
	}
	written := map[string]bool{}
	var id string
	if _, err = pgx.ForEachRow(rows, []any{&id}, func() error { written[id] = true; return nil }); err != nil {
		return nil, fmt.Errorf("write inbox: %w", err)
	}
	for i, id := range ids {
		fresh[i] = written[id]
		delete(written, id)
	}
	return fresh, nil
}

func (c *Consumer) ack(ctx context.Context, d delivery) {
	if err := d.Ack(); err != nil {
		c.server.Log.WarnContext(ctx, "not acknowledged", "dependency", "nats", "outcome", "error", "reason", err.Error())
	}
}

// refuse says no to a message: later again, and after maxDeliver tries, or at
// once when it can't be read, among the dead letters. Without dead letters it
// is tried for ever.
func (c *Consumer) refuse(ctx context.Context, d delivery, cause error) {
	ctx = d.trace(ctx)
	c.server.Log.WarnContext(ctx, "event not processed", "event", d.Subject(), "event_id", d.event.ID, "attempt", d.tries, "outcome", "error", "reason", cause.Error())
	if c.set.ConsumerAckFirst {
		return // it is gone
	}
	var err error
	switch {
	case !c.set.ConsumerDLQ:
		err = d.Nak()
	case d.bad == nil && d.tries < maxDeliver:
		err = d.NakWithDelay(min(longestRetry, retryWait<<min(d.tries-1, 10)))
	default:
		if err = c.broker.bury(ctx, c.name, d.Msg, cause.Error()); err == nil {
			c.server.Metrics.DeadLetters.WithLabelValues(c.name).Inc()
			err = d.Term()
		}
	}
	if err != nil {
		c.server.Log.WarnContext(ctx, "refusal not sent", "dependency", "nats", "outcome", "error", "reason", err.Error(), "attempt", strconv.FormatUint(d.tries, 10))
	}
}

// meter shows how far the consumer is behind.
func (c *Consumer) meter(ctx context.Context) {
	for pause(ctx, meterEvery) {
		if n, err := c.Lag(ctx); err == nil {
			c.server.Metrics.Lag.WithLabelValues(c.name).Set(float64(n))
		}
	}
}

// Lag is how many events the broker has for the consumer that it has not
// acknowledged.
func (c *Consumer) Lag(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	cons, err := c.broker.js.Consumer(ctx, Stream, c.name)
	if err != nil {
		return 0, fmt.Errorf("read consumer %s: %w", c.name, err)
	}
	info := cons.CachedInfo()
	return int(info.NumPending) + info.NumAckPending, nil
}
