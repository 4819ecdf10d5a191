package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// Stream keeps every event; DeadLetters what nobody could process.
	Stream      = "EVENTS"
	DeadLetters = "DEAD"
	deadPrefix  = "dead."

	reconnectWait = 250 * time.Millisecond
	dialTimeout   = 2 * time.Second
	// A connection that is silent for this long, asked twice, is given up.
	pingInterval = 2 * time.Second
	pingsLost    = 2
	// publishTimeout bounds one publication, the answer included.
	publishTimeout = 2 * time.Second
	// dedupWindow is how long the broker remembers message ids.
	dedupWindow  = 2 * time.Minute
	adminTimeout = 2 * time.Second
)

// Subjects that the stream keeps.
func subjects() []string { return []string{"order.*", "payment.*", "inventory.*"} }

// Broker is a connection to NATS JetStream that comes back by itself. A node
// may start before its broker.
type Broker struct {
	conn *nats.Conn
	js   jetstream.JetStream

	mu     sync.Mutex
	stream jetstream.Stream // nil until it was made sure of
}

// Dial opens the connection; it does not wait for it.
func Dial(url, instance string) (*Broker, error) {
	conn, err := nats.Connect(url, nats.Name(instance), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.Timeout(dialTimeout), nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(pingsLost),
		// What can't be sent now is an error now: the outbox keeps it.
		nats.ReconnectBufSize(-1), nats.IgnoreDiscoveredServers())
	if err != nil {
		return nil, fmt.Errorf("read PAYSYS_NATS_URL: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return &Broker{conn: conn, js: js}, nil
}

// Close ends the connection.
func (b *Broker) Close() { b.conn.Close() }

// Connected tells whether the broker is there.
func (b *Broker) Connected() bool { return b.conn.IsConnected() }

// Ensure makes the streams unless they are there.
func (b *Broker) Ensure(ctx context.Context) (jetstream.Stream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stream != nil {
		return b.stream, nil
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	if _, err := b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: DeadLetters, Subjects: []string{deadPrefix + ">"}, Storage: jetstream.FileStorage}); err != nil {
		return nil, fmt.Errorf("make stream %s: %w", DeadLetters, err)
	}
	s, err := b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: Stream, Subjects: subjects(), Storage: jetstream.FileStorage, Duplicates: dedupWindow})
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", Stream, err)
	}
	b.stream = s
	return s, nil
}

// forget makes the next Ensure look again: the broker may have lost its files.
func (b *Broker) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stream = nil
}

// message is what is published: the event as it stands in the outbox.
type message struct {
	id, subject, traceparent string
	payload                  []byte
}

func (m message) nats() *nats.Msg {
	msg := nats.NewMsg(m.subject)
	msg.Data = m.payload
	if m.traceparent != "" {
		msg.Header.Set("traceparent", m.traceparent)
	}
	return msg
}

// publish sends messages side by side and returns the error of each.
func (b *Broker) publish(ctx context.Context, messages []message) []error {
	errs := make([]error, len(messages))
	if _, err := b.Ensure(ctx); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		futures[i], errs[i] = b.js.PublishMsgAsync(m.nats(), jetstream.WithMsgID(m.id))
	}
	for i, f := range futures {
		if errs[i] != nil {
			continue
		}
		select {
		case <-f.Ok():
		case errs[i] = <-f.Err():
		case <-ctx.Done():
			errs[i] = fmt.Errorf("no acknowledgement: %w", ctx.Err())
		}
		if errors.Is(errs[i], jetstream.ErrNoStreamResponse) {
			b.forget()
		}
	}
	return errs
}

// bury puts a message that can't be processed among the dead letters.
func (b *Broker) bury(ctx context.Context, consumer string, m jetstream.Msg, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	msg := nats.NewMsg(deadPrefix + consumer + "." + m.Subject())
	msg.Data = m.Data()
	msg.Header.Set("Reason", reason)
	if id := m.Headers().Get(jetstream.MsgIDHeader); id != "" {
		msg.Header.Set(jetstream.MsgIDHeader, consumer+"/"+id)
	}
	if _, err := b.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("bury: %w", err)
	}
	return nil
}

// Subscriptions hands out who subscribes to what, as the broker knows it.
func (b *Broker) Subscriptions(ctx context.Context, each func(consumer, typ string) error) error {
	stream, err := b.Ensure(ctx)
	if err != nil {
		return err
	}
	all := stream.ListConsumers(ctx)
	for info := range all.Info() {
		if info.Config.Durable == "" {
			continue // an auditor's
		}
		for _, typ := range info.Config.FilterSubjects {
			if err := each(info.Config.Durable, typ); err != nil {
				return err
			}
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("list consumers: %w", err)
	}
	return nil
}

// Log hands out every event of the stream whose key has the prefix, as it was
// when the call began.
func (b *Broker) Log(ctx context.Context, prefix string, each func(seq uint64, e Event) error) error {
	stream, err := b.Ensure(ctx)
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	if info.State.Msgs == 0 {
		return nil
	}
	cons, err := b.js.OrderedConsumer(ctx, Stream, jetstream.OrderedConsumerConfig{InactiveThreshold: time.Minute})
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(1000))
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	defer it.Stop()
	for last := uint64(0); last < info.State.LastSeq; {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		last = meta.Sequence.Stream
		e, err := Parse(m.Data())
		if err != nil || len(e.Key) < len(prefix) || e.Key[:len(prefix)] != prefix {
			continue // a poison message has no key
		}
		if err := each(last, e); err != nil {
			return err
		}
	}
	return nil
}
