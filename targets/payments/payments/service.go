// Package payments is the role that owns the money: it accepts payments once
// per key, has them charged, and keeps the books.
package payments

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"chaos/targets/payments/cache"
	"chaos/targets/payments/events"
	"chaos/targets/payments/guard"
	"chaos/targets/payments/ledger"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	// syncSlack is what all tries of a request may take longer than one.
	syncSlack = 100 * time.Millisecond
	// finishTime is for writing the outcome after the processor answered.
	finishTime = 3 * time.Second
	// leaseSlack is added to the longest call before somebody else may take over.
	leaseSlack = 2 * time.Second
	// firstAsk is when an uncertain payment is looked at again for the first time.
	firstAsk = 500 * time.Millisecond
	// How long a cached payment is served: final ones longest.
	keepPending, keepCaptured, keepFinal = 250 * time.Millisecond, 10 * time.Second, time.Minute
	// refundWorkers bounds refunds that clients wait for.
	refundWorkers = 16
	// meterInterval is how often the age of the oldest open payment is read.
	meterInterval = 2 * time.Second
)

// Store is what the service needs of the books (package ledger has it).
type Store interface {
	Create(context.Context, ledger.Order) (ledger.Payment, bool, error)
	Get(context.Context, string) (ledger.Payment, error)
	Settle(ctx context.Context, id string, to ledger.State, pspID, reason string, told ...events.Row) (ledger.Payment, bool, error)
	HandOver(ctx context.Context, id string, unsure bool, after time.Duration) error
	Claim(context.Context, []ledger.State, int, time.Duration) ([]ledger.Payment, error)
	CreateRefund(context.Context, ledger.RefundOrder) (ledger.Refund, bool, error)
	FinishRefund(context.Context, ledger.Refund, ...events.Row) (ledger.Payment, bool, error)
	FailRefund(ctx context.Context, id, reason string) error
	HandOverRefund(ctx context.Context, id string, after time.Duration) error
	ClaimRefunds(context.Context, int, time.Duration) ([]ledger.Refund, error)
	RefundsOf(ctx context.Context, paymentID string) ([]ledger.Refund, error)
	Open(ctx context.Context, prefix string) (int, time.Duration, error)
	Audit(ctx context.Context, prefix string, each func(ledger.Record) error) error
	AuditOutbox(ctx context.Context, prefix string, add func(any) error) error
	Merchant(context.Context, string) (ledger.Merchant, error)
	Settlement(context.Context) ([]ledger.Owed, error)
	Ready(context.Context) error
}

// Service is the payments role.
type Service struct {
	set       switches.Set
	server    telemetry.Server
	store     Store
	cache     *cache.Redis
	processor *processor
	events    *events.Publisher // nil: nobody is told
	flight    singleflight.Group

	shared  *guard.Pool // bulkhead=shared: every request
	sync    *guard.Pool // payments that wait for the processor
	refunds *guard.Pool
	reports *guard.Pool
	queue   *memqueue
	engine  *engine

	profiles *profiles
	deadline wire.Deadlines
}

// New makes the service. It connects to nothing yet. Without a publisher nobody
// is told of what happens.
func New(s settings.Settings, store Store, redis *cache.Redis, publisher *events.Publisher, server telemetry.Server) *Service {
	set := s.Switches
	v := &Service{set: set, server: server, store: store, cache: redis, events: publisher, processor: newProcessor(s.PSPURL, set, server),
		deadline: wire.Deadlines{Absolute: set.DeadlineAbsolute, Now: server.Now}}
	if set.BulkheadShared {
		v.shared = guard.NewPool("shared", set.SyncWorkers, guard.Unbounded, 0, server.Metrics)
	}
	v.sync = guard.NewPool("sync", set.SyncWorkers, 0, 0, server.Metrics)
	v.refunds = guard.NewPool("refunds", refundWorkers, 0, 0, server.Metrics)
	v.queue = newMemqueue(v)
	v.engine = newEngine(v)
	v.reports, v.profiles = reportPool(v), newProfiles(v)
	return v
}

// Public are the routes behind the gateway.
func (v *Service) Public(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/payments", v.server.Route("payments", v.pooled(v.pay)))
	mux.HandleFunc("GET /v1/payments/{id}", v.server.Route("reads", v.pooled(v.read)))
	mux.HandleFunc("POST /v1/refunds", v.server.Route("refunds", v.pooled(v.refund)))
	mux.HandleFunc("GET /v1/merchants/{id}", v.server.Route("merchants", v.pooled(v.merchant)))
	mux.HandleFunc("GET /v1/reports/settlement", v.server.Route("reports", v.pooled(v.report)))
}

// Internal are the routes of auditors.
func (v *Service) Internal(mux *http.ServeMux) {
	mux.HandleFunc("GET /internal/audit", v.audit)
	mux.HandleFunc("GET /internal/settled", v.settled)
}

// Ready is about what the service cannot work without. Redis is not part of it.
func (v *Service) Ready(ctx context.Context) error { return v.store.Ready(ctx) }

// Run does the background work until the context ends.
func (v *Service) Run(ctx context.Context) {
	if v.set.AcceptMode == switches.AcceptMemqueue {
		v.queue.start(ctx)
	}
	go v.meter(ctx)
	var relay sync.WaitGroup
	if v.events != nil {
		relay.Go(func() { v.events.Run(ctx) })
	}
	v.engine.run(ctx)
	relay.Wait()
	v.processor.client.Close()
}

// meter shows the age of the oldest payment without an outcome.
func (v *Service) meter(ctx context.Context) {
	for guard.Pause(ctx, meterInterval) == nil {
		if _, oldest, err := v.store.Open(ctx, ""); err == nil {
			v.server.Metrics.Oldest.Set(oldest.Seconds())
		}
	}
}

// pooled puts a request into the shared pool, when there is one: the server
// that gives each request a thread and lets any number of them wait.
func (v *Service) pooled(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !v.set.DeadlinePropagation {
			// Such a server works for callers that left long ago.
			r = r.WithContext(context.WithoutCancel(r.Context()))
		} else if left, ok := v.deadline.Left(r.Header); ok && left < worthTrying {
			v.shed(w, "deadline")
			return
		}
		if v.shared != nil {
			leave, err := v.shared.Enter(r.Context())
			if err != nil {
				v.shed(w, "pool")
				return
			}
			defer leave()
		}
		next(w, r)
	}
}

func (v *Service) shed(w http.ResponseWriter, reason string) {
	v.server.Metrics.Shed.WithLabelValues(reason).Inc()
	wire.Shed(w, reason, time.Second)
}

// failStore answers when the books failed: cleanly when nothing was written,
// otherwise so that the client knows that it does not know.
func (v *Service) failStore(w http.ResponseWriter, r *http.Request, err error) {
	v.server.Log.WarnContext(r.Context(), "books failed", "dependency", "postgres", "outcome", "error", "reason", err.Error())
	if ledger.NoEffect(err) {
		v.shed(w, "postgres")
		return
	}
	wire.Refuse(w, http.StatusInternalServerError, "outcome_unknown", "ask again with the same key")
}

// view is a payment as the API shows it.
func view(p ledger.Payment) wire.Payment {
	state := "pending"
	if p.State != ledger.Initiated && p.State != ledger.Unknown {
		state = strings.ToLower(string(p.State))
	}
	return wire.Payment{ID: p.ID, State: state, AmountMinor: p.AmountMinor, Currency: p.Currency, Reason: p.Reason}
}

func cacheKey(id string) string { return "payment:" + id }

// remember puts a payment into the cache; a cache that is away is no failure.
func (v *Service) remember(ctx context.Context, p ledger.Payment) {
	keep := keepPending
	switch p.State {
	case ledger.Captured, ledger.Refunding:
		keep = keepCaptured
	case ledger.Declined, ledger.Refunded:
		keep = keepFinal
	}
	if data, err := json.Marshal(view(p)); err == nil {
		_ = v.cache.Put(ctx, cacheKey(p.ID), p.Version, data, keep)
	}
}

// read is GET /v1/payments/{id}: the cache, else the books.
func (v *Service) read(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	data, ok, err := v.cache.Get(r.Context(), cacheKey(id))
	if ok {
		v.server.Metrics.Cache.WithLabelValues("hit").Inc()
		telemetry.Describe(w, "", id)
		wire.Write(w, http.StatusOK, json.RawMessage(data))
		return
	}
	result := "miss"
	if err != nil {
		result = "error"
	}
	v.server.Metrics.Cache.WithLabelValues(result).Inc()
	p, err := v.load(r.Context(), id)
	if err != nil {
		v.refuse(w, r, err)
		return
	}
	telemetry.Describe(w, "", id)
	wire.Write(w, http.StatusOK, view(p))
}

func (v *Service) load(ctx context.Context, id string) (ledger.Payment, error) {
	fetch := func() (any, error) {
		p, err := v.store.Get(context.WithoutCancel(ctx), id)
		if err == nil {
			v.remember(ctx, p)
		}
		return p, err
	}
	if !v.set.CacheSingleFlight {
		p, err := fetch()
		return p.(ledger.Payment), err
	}
	p, err, _ := v.flight.Do(id, fetch)
	return p.(ledger.Payment), err
}

func (v *Service) warn(ctx context.Context, msg string, err error, paymentID string) {
	v.server.Log.LogAttrs(ctx, slog.LevelWarn, msg, slog.String("reason", err.Error()), slog.String("payment_id", paymentID))
}
