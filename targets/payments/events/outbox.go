package events

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"

	"chaos/targets/payments/database"
	"chaos/targets/payments/telemetry"
)

const (
	relayPoll  = 250 * time.Millisecond
	relayBatch = 200
	// relayLinger collects what is committed within a moment into one batch.
	relayLinger = 50 * time.Millisecond
	// relayLease is how long a relay owns rows that it publishes. One that was
	// frozen for longer finds that its token is not theirs any more.
	relayLease = 5 * time.Second
	meterEvery = time.Second
)

// Tx is a transaction with the events that it makes true, statements that wait for its end, and work for after its commit.
type Tx struct {
	pgx.Tx
	queue pgx.Batch
	spans []telemetry.Span
	told  []Row
	after []func(context.Context)
}

// Queue adds a statement whose result nobody needs: all of them are sent at once before the commit.
func (t *Tx) Queue(ctx context.Context, sql string, args ...any) {
	t.spans = append(t.spans, database.Begin(ctx, sql))
	t.queue.Queue(sql, args...)
}

// AfterCommit does f once the transaction is committed.
func (t *Tx) AfterCommit(f func(context.Context)) { t.after = append(t.after, f) }

func (t *Tx) committed(ctx context.Context) {
	for _, f := range t.after {
		f(ctx)
	}
}

// Publisher writes events of one service. With the outbox they are rows of the
// transaction that made them true, and the relay publishes them; inline they are
// sent after the commit, and what can't be sent then is lost.
type Publisher struct {
	db     *database.DB
	broker *Broker
	inline bool
	server telemetry.Server
	wake   chan struct{}
}

// NewPublisher makes a publisher. inline is the dual write.
func NewPublisher(db *database.DB, b *Broker, inline bool, server telemetry.Server) *Publisher {
	return &Publisher{db: db, broker: b, inline: inline, server: server, wake: make(chan struct{}, 1)}
}

// Fill completes an event that was just made, by the writer's clock.
func Fill(e Event, now time.Time) Event {
	e.Version, e.ID, e.At = version, uuid.NewString(), now.UTC()
	return e
}

// Emit makes an event part of the transaction.
func (p *Publisher) Emit(ctx context.Context, tx *Tx, e Event) {
	told := p.Prepare(ctx, e)
	tx.told = append(tx.told, told.Rows...)
	tx.AfterCommit(told.After)
}

// flush sends what was queued, and one statement for all events.
func (t *Tx) flush(ctx context.Context) error {
	if len(t.told) > 0 {
		columns := make([][]string, 5)
		for _, r := range t.told {
			for i, v := range []string{r.EventID, r.Subject, r.Key, r.Traceparent, string(r.Payload)} {
				columns[i] = append(columns[i], v)
			}
		}
		t.Queue(ctx, `INSERT INTO outbox (event_id, subject, client_key, traceparent, payload)
			SELECT id::uuid, subject, key, trace, payload::jsonb FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS e (id, subject, key, trace, payload)`,
			columns[0], columns[1], columns[2], columns[3], columns[4])
	}
	if t.queue.Len() == 0 {
		return nil
	}
	err := t.SendBatch(ctx, &t.queue).Close()
	for _, s := range t.spans {
		s.Done(outcomeOf(err))
	}
	if err != nil {
		return fmt.Errorf("write effects and events: %w", err)
	}
	return nil
}

// Transact runs f in a transaction and then what it left for afterwards.
func (p *Publisher) Transact(ctx context.Context, pool *pgxpool.Pool, doing string, f func(context.Context, *Tx) error) error {
	var t *Tx
	err := p.db.Transact(ctx, pool, doing, func(ctx context.Context, tx pgx.Tx) error {
		t = &Tx{Tx: tx}
		if err := f(ctx, t); err != nil {
			return err
		}
		return t.flush(ctx)
	})
	if err == nil {
		t.committed(ctx)
	}
	return err
}

// Send publishes at once, after the commit: the second half of a dual write.
func (p *Publisher) Send(ctx context.Context, e Event) {
	data, err := json.Marshal(e)
	if err == nil {
		batch := []message{{e.ID, e.Type, header(ctx), data}}
		spans := p.begin(ctx, batch)
		err = p.broker.publish(ctx, batch)[0]
		spans[0].Done(outcomeOf(err))
	}
	if err != nil {
		p.server.Log.WarnContext(ctx, "event not published", "dependency", "nats", "outcome", "error", "reason", err.Error(), "order_id", e.OrderID, "payment_id", e.PaymentID)
	}
}

// Nudge tells the relay that there may be work.
func (p *Publisher) Nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func header(ctx context.Context) string {
	if t, ok := telemetry.TraceOf(ctx); ok {
		return t.Header()
	}
	return ""
}

// Run relays the outbox to the broker until the context ends.
func (p *Publisher) Run(ctx context.Context) {
	if p.inline {
		<-ctx.Done()
		return
	}
	go p.meter(ctx)
	poll := time.NewTicker(relayPoll)
	defer poll.Stop()
	for {
		for {
			n, err := p.relay(ctx)
			if err != nil && ctx.Err() == nil {
				p.server.Log.WarnContext(ctx, "outbox waits", "dependency", "nats", "outcome", "error", "reason", err.Error())
				if !pause(ctx, relayPoll) {
					return
				}
			}
			if n < relayBatch || err != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case <-p.wake:
			if !pause(ctx, relayLinger) {
				return
			}
		}
	}
}

// relay publishes one batch: claim with a fresh token, publish, mark what is
// still ours. A row that was published and not marked is published again, with
// the same id.
func (p *Publisher) relay(ctx context.Context) (n int, err error) {
	if !p.broker.Connected() {
		return 0, nil
	}
	token := uuid.NewString()
	seqs, batch, err := p.claim(ctx, token)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	spans := p.begin(ctx, batch)
	var done, failed []int64
	for i, e := range p.broker.publish(ctx, batch) {
		spans[i].Done(outcomeOf(e))
		if e != nil {
			failed, err = append(failed, seqs[i]), e
			continue
		}
		done = append(done, seqs[i])
	}
	if marked := p.mark(ctx, token, done, failed); marked != nil {
		return len(done), marked
	}
	return len(done), err
}

// begin starts the span of each message, and makes the message carry it.
func (p *Publisher) begin(ctx context.Context, batch []message) []telemetry.Span {
	spans := make([]telemetry.Span, len(batch))
	for i, m := range batch {
		c, span := p.server.Start(telemetry.WithTrace(ctx, telemetry.Join(m.traceparent)), "publish "+m.subject, telemetry.Sending,
			attribute.String("dependency", "nats"), attribute.String("peer.service", "nats"), attribute.String("messaging.system", "nats"), attribute.String("event_id", m.id))
		spans[i], batch[i].traceparent = span, header(c)
	}
	return spans
}

func outcomeOf(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

func (p *Publisher) claim(ctx context.Context, token string) (seqs []int64, batch []message, err error) {
	const claim = `UPDATE outbox SET token = $1, leased_until = now() + $2::bigint * interval '1 microsecond'
		WHERE seq IN (SELECT seq FROM outbox WHERE published_at IS NULL AND leased_until <= now() ORDER BY seq LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING seq, event_id::text, subject, traceparent, payload`
	err = p.db.Use(ctx, p.db.Background, "claim outbox", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, claim, token, relayLease.Microseconds(), relayBatch)
		if err != nil {
			return err
		}
		var seq int64
		var m message
		_, err = pgx.ForEachRow(rows, []any{&seq, &m.id, &m.subject, &m.traceparent, &m.payload}, func() error {
			seqs, batch = append(seqs, seq), append(batch, m)
			m.payload = nil
			return nil
		})
		return err
	})
	return seqs, batch, err
}

// mark ends the lease of a batch. Rows that another relay has taken since are
// not touched.
func (p *Publisher) mark(ctx context.Context, token string, done, failed []int64) error {
	return p.db.Use(ctx, p.db.Background, "mark outbox", func(ctx context.Context, c *pgxpool.Conn) error {
		tag, err := c.Exec(ctx, `UPDATE outbox SET published_at = CASE WHEN seq = ANY($2::bigint[]) THEN now() END, leased_until = now()
			WHERE seq = ANY($2::bigint[] || $3::bigint[]) AND token = $1 AND published_at IS NULL`, token, done, failed)
		if lost := int64(len(done)+len(failed)) - tag.RowsAffected(); err == nil && lost > 0 {
			p.server.Metrics.Fenced.Add(float64(lost))
		}
		return err
	})
}

// meter shows how much waits, and for how long.
func (p *Publisher) meter(ctx context.Context) {
	for pause(ctx, meterEvery) {
		n, oldest, err := p.Unpublished(ctx, "")
		if err != nil {
			if ctx.Err() == nil {
				p.server.Log.LogAttrs(ctx, slog.LevelDebug, "outbox not read", slog.String("reason", err.Error()))
			}
			continue
		}
		p.server.Metrics.Unpublished.Set(float64(n))
		p.server.Metrics.OutboxOldest.Set(oldest.Seconds())
	}
}

// Unpublished counts what the relay has still to do for keys with the prefix.
func (p *Publisher) Unpublished(ctx context.Context, prefix string) (n int, oldest time.Duration, err error) {
	var seconds float64
	err = p.db.Use(ctx, p.db.Audits, "count outbox", func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox WHERE published_at IS NULL AND starts_with(client_key, $1)`, prefix).Scan(&n, &seconds)
	})
	return n, time.Duration(seconds * float64(time.Second)), err
}

// pause waits; false means that the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Row is an outbox row for a statement that its owner writes itself.
type Row struct {
	EventID, Subject, Key, Traceparent string
	Payload                            []byte
}

// Prepared is an event that is about to become true: Rows go into the
// transaction, After is done once it is committed.
type Prepared struct {
	Rows  []Row
	After func(context.Context)
}

// Prepare readies an event. A nil publisher has nobody to tell.
func (p *Publisher) Prepare(ctx context.Context, e Event) Prepared {
	if p == nil {
		return Prepared{After: func(context.Context) {}}
	}
	e = Fill(e, p.server.Now())
	if p.inline {
		return Prepared{After: func(ctx context.Context) { p.Send(ctx, e) }}
	}
	data, err := json.Marshal(e)
	if err != nil { // an Event always encodes
		p.server.Log.ErrorContext(ctx, "event not encoded", "reason", err.Error())
	}
	return Prepared{
		Rows:  []Row{{EventID: e.ID, Subject: e.Type, Key: e.Key, Traceparent: header(ctx), Payload: data}},
		After: func(context.Context) { p.Nudge() },
	}
}
