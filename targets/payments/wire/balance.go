package wire

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// Permit is leave for one call; its outcome must be reported, nil is success.
type Permit func() (report func(error), err error)

// Endpoint is one instance of a service.
type Endpoint struct {
	*Client
	Permit Permit // nil lets everything through

	avoided atomic.Bool // it said that it is stopping
}

const (
	// An instance that is stopping is left alone until it, or the one that comes
	// after it, says that it is ready, but not for longer than avoidTime.
	avoidTime  = time.Minute
	lookEvery  = 250 * time.Millisecond
	lookWithin = time.Second
)

// Balanced spreads requests over the instances of a service in turn. An
// instance whose breaker is open, or that is stopping, is passed over while
// another will have the request; when none will, the next in turn gets it all
// the same, so that one instance alone behaves as if there were no breaker. A
// request that had no effect for certain goes to the next instance, and so does
// a GET, which never has one.
type Balanced struct {
	endpoints []*Endpoint
	next      atomic.Uint64
	life      context.Context
	end       context.CancelFunc
}

// NewBalanced makes a client for the instances.
func NewBalanced(endpoints ...*Endpoint) *Balanced {
	life, end := context.WithCancel(context.Background())
	return &Balanced{endpoints: endpoints, life: life, end: end}
}

var errFailed = errors.New("the instance failed")

// Do sends one request. The error is a *SendError.
func (b *Balanced) Do(ctx context.Context, method, path string, header http.Header, body []byte) (reply Reply, err error) {
	first := b.next.Add(1)
	n := uint64(len(b.endpoints))
	if n == 1 {
		return b.endpoints[0].Do(ctx, method, path, header, body)
	}
	var spared []*Endpoint
	for i := range n {
		e := b.endpoints[(first+i)%n]
		report, ok := e.willing()
		if !ok {
			spared = append(spared, e)
			continue
		}
		var another bool
		if reply, another, err = b.ask(ctx, e, report, method, path, header, body); !another {
			return reply, err
		}
	}
	// Nobody else will have it: those that were spared are asked after all.
	for _, e := range spared {
		var another bool
		if reply, another, err = b.ask(ctx, e, func(error) {}, method, path, header, body); !another {
			break
		}
	}
	return reply, err
}

// ask tries one instance; another says that the next one may be tried.
func (b *Balanced) ask(ctx context.Context, e *Endpoint, report func(error), method, path string, header http.Header, body []byte) (reply Reply, another bool, err error) {
	reply, err = e.try(ctx, report, method, path, header, body)
	another = b.stopping(e, reply, err) || notSent(err) || err != nil && method == http.MethodGet
	return reply, another && ctx.Err() == nil, err
}

// willing asks for leave to call the instance.
func (e *Endpoint) willing() (report func(error), ok bool) {
	if e.avoided.Load() {
		return nil, false
	}
	if e.Permit == nil {
		return func(error) {}, true
	}
	report, err := e.Permit()
	return report, err == nil
}

// try sends the request and tells the breaker how it went. A clean refusal is a
// sign of life.
func (e *Endpoint) try(ctx context.Context, report func(error), method, path string, header http.Header, body []byte) (Reply, error) {
	reply, err := e.Client.Do(ctx, method, path, header.Clone(), body)
	failed := err
	if err == nil && reply.Code >= http.StatusInternalServerError && reply.Header.Get(ShedHeader) == "" {
		failed = errFailed
	}
	report(failed)
	return reply, err
}

// stopping tells whether the instance refused because it is about to end, and
// leaves it alone from now on.
func (b *Balanced) stopping(e *Endpoint, reply Reply, err error) bool {
	if err != nil || reply.Header.Get(DrainHeader) == "" {
		return false
	}
	if e.avoided.CompareAndSwap(false, true) {
		go e.await(b.life)
	}
	return true
}

// await ends the avoiding when the instance is ready.
func (e *Endpoint) await(ctx context.Context) {
	defer e.avoided.Store(false)
	ctx, cancel := context.WithTimeout(ctx, avoidTime)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		look, done := context.WithTimeout(ctx, lookWithin)
		reply, err := e.Client.Do(look, http.MethodGet, "/readyz", nil, nil)
		done()
		if err == nil && reply.Code == http.StatusOK {
			return
		}
	}
}

func notSent(err error) bool {
	failed := new(SendError)
	return errors.As(err, &failed) && !failed.Sent
}

// Close gives up idle connections.
func (b *Balanced) Close() {
	b.end()
	for _, e := range b.endpoints {
		e.Close()
	}
}
