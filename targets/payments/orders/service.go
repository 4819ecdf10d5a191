// Package orders is the role that sells: it takes an order once per key, has it
// paid, waits for the stock, and gives the money back when there is none. The
// saga of an order is its row.
package orders

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"chaos/targets/payments/database"
	"chaos/targets/payments/events"
	"chaos/targets/payments/guard"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	// Requests at once; beyond them a short queue that is not waited in for long.
	places, queue, patience = 200, 64, 40 * time.Millisecond
	// worthTrying is the least time left for which payments is still asked.
	worthTrying = 100 * time.Millisecond
	// answerTime is kept of a deadline for writing and answering.
	answerTime = 50 * time.Millisecond
	// leaseSlack is added to the longest call before somebody else may take over.
	leaseSlack = 3 * time.Second
	finishTime = 3 * time.Second
	dependency = "payments"
)

// Service is the orders role.
type Service struct {
	set       switches.Set
	server    telemetry.Server
	store     *Store
	events    *events.Publisher
	consumer  *events.Consumer
	payments  *wire.Balanced
	retry     *guard.Retry
	pool      *guard.Pool // nil: any number at once
	memory    *memory     // nil: sagas are persisted
	sweeper   *sweeper
	deadline  wire.Deadlines
	stockWait time.Duration // how long a paid order waits for its stock
}

// New makes the service. It connects to nothing yet.
func New(s settings.Settings, store *Store, broker *events.Broker, server telemetry.Server) *Service {
	v := &Service{
		set: s.Switches, server: server, store: store, events: events.NewPublisher(store.DB, broker, s.Switches.PublishInline, server),
		payments: guard.Instances(dependency, s.PaymentsURLs, s.Switches, server.Metrics), retry: guard.NewRetry(s.Switches, uint64(time.Now().UnixNano())),
		stockWait: stockWait, deadline: wire.Deadlines{Absolute: s.Switches.DeadlineAbsolute, Now: server.Now},
	}
	if s.Switches.Shed {
		v.pool = guard.NewPool("orders", places, queue, patience, server.Metrics)
	}
	if s.Switches.SagaMemory {
		v.memory = &memory{states: map[string]State{}}
	}
	v.sweeper = newSweeper(v)
	v.consumer = events.NewConsumer("orders", []string{events.PaymentCaptured, events.PaymentFailed, events.PaymentRefunded, events.InventoryReserved, events.InventoryRejected},
		s.Switches, store.DB, broker, v.events, server, v.hear)
	return v
}

// Public are the routes behind the gateway.
func (v *Service) Public(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/orders", v.server.Route("orders", v.place))
	mux.HandleFunc("GET /v1/orders/{id}", v.server.Route("order-reads", v.read))
}

// Internal are the routes of auditors.
func (v *Service) Internal(mux *http.ServeMux) {
	mux.HandleFunc("GET /internal/audit", v.audit)
	mux.HandleFunc("GET /internal/settled", v.settled)
}

// Ready is about what the service cannot work without. The broker is not part
// of it.
func (v *Service) Ready(ctx context.Context) error { return v.store.Ready(ctx) }

// Run does the background work until the context ends.
func (v *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { v.events.Run(ctx) })
	all.Go(func() { v.consumer.Run(ctx) })
	if v.memory == nil {
		all.Go(func() { v.sweeper.run(ctx) })
	}
	all.Wait()
	v.payments.Close()
}

// place is POST /v1/orders.
//
//	row + order.created ─▶ payments ─▶ 201 paid | 402 declined
//	                          └ no answer in time, or pending ─▶ 202, the sweeper and events go on
func (v *Service) place(w http.ResponseWriter, r *http.Request) {
	var body wire.OrderRequest
	key := r.Header.Get(wire.IdempotencyHeader)
	err := wire.Read(r, &body)
	if err == nil {
		err = body.Check()
	}
	if err == nil && (key == "" || len(key) > wire.MaxKey) {
		err = errors.New("header Idempotency-Key of 1 to 255 characters is required")
	}
	if err != nil {
		wire.Refuse(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	limit := v.set.OrderPayTimeout
	if left, ok := v.deadline.Left(r.Header); ok && v.set.DeadlinePropagation {
		if limit = min(limit, left-answerTime); limit < worthTrying {
			v.shed(w, "deadline")
			return
		}
	}
	if v.pool != nil {
		leave, err := v.pool.Enter(r.Context())
		if err != nil {
			v.shed(w, "overload")
			return
		}
		defer leave()
	}
	t, _ := telemetry.TraceOf(r.Context())
	// Once the row is written the work goes on whether or not the client waits.
	ctx := context.WithoutCancel(r.Context())
	o := Order{ID: uuid.NewString(), Tenant: t.Tenant, ClientKey: key, SKU: body.SKU, Qty: body.Qty, AmountMinor: body.AmountMinor, Currency: body.Currency,
		CardToken: body.CardToken, Merchant: body.Merchant, TraceID: t.ID, Traceparent: t.Header()}
	told := v.events.Prepare(ctx, o.event(events.OrderCreated))
	made, o, err := v.store.create(ctx, o, v.set.IdempotencyAPI, fingerprint(body), limit+leaseSlack, told.Rows)
	switch {
	case err != nil:
		v.refuse(w, r, err)
	case !made:
		v.replay(w, o)
	default:
		if v.memory != nil {
			v.memory.put(o.ID, Pending)
		}
		told.After(ctx)
		v.server.Metrics.Orders.WithLabelValues("placed").Inc()
		v.payNow(ctx, w, o, limit)
	}
}

// payNow has the order paid while the client waits.
func (v *Service) payNow(ctx context.Context, w http.ResponseWriter, o Order, limit time.Duration) {
	o, said := v.pay(ctx, o, limit)
	if o.State == Pending && said != saidPending && v.set.AcceptMode != switches.AcceptDurable {
		telemetry.Describe(w, "", o.PaymentID)
		wire.Refuse(w, http.StatusBadGateway, "outcome_unknown", "payments did not answer: ask again with the same key")
		return
	}
	v.answer(w, o)
}

// replay answers for a key that was used before.
func (v *Service) replay(w http.ResponseWriter, o Order) {
	if o.InRequest && o.State == Pending {
		w.Header().Set("Retry-After", "1")
		wire.Refuse(w, http.StatusConflict, "in_progress", "the first request with this key is still being processed")
		return
	}
	v.answer(w, o)
}

// answer is about the payment of the order: it does not change by what becomes
// of the order afterwards, so that one key has one answer.
func (v *Service) answer(w http.ResponseWriter, o Order) {
	view := v.view(o)
	code := http.StatusCreated
	switch {
	case o.State == Pending:
		code = http.StatusAccepted
	case o.State == Cancelled && o.Reason == reasonDeclined:
		code = http.StatusPaymentRequired
	default:
		view.State, view.Reason = "paid", ""
	}
	w.Header().Set("Location", "/v1/orders/"+o.ID)
	telemetry.Describe(w, view.Reason, o.PaymentID)
	telemetry.DescribeOrder(w, o.ID)
	wire.Write(w, code, view)
}

// read is GET /v1/orders/{id}.
func (v *Service) read(w http.ResponseWriter, r *http.Request) {
	o, err := v.store.get(r.Context(), r.PathValue("id"))
	if err != nil {
		v.refuse(w, r, err)
		return
	}
	telemetry.DescribeOrder(w, o.ID)
	wire.Write(w, http.StatusOK, v.view(o))
}

func (v *Service) view(o Order) wire.Order {
	if v.memory != nil {
		o.State = v.memory.state(o.ID, o.State)
	}
	return wire.Order{ID: o.ID, State: strings.ToLower(string(o.State)), PaymentID: o.PaymentID, SKU: o.SKU, Qty: o.Qty, AmountMinor: o.AmountMinor, Currency: o.Currency, Reason: o.Reason}
}

func (v *Service) shed(w http.ResponseWriter, reason string) {
	v.server.Metrics.Shed.WithLabelValues(reason).Inc()
	wire.Shed(w, reason, time.Second)
}

// refuse answers for an error of the store: cleanly when nothing was written.
func (v *Service) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		wire.Refuse(w, http.StatusNotFound, "not_found", "there is no such order")
		return
	case errors.Is(err, ErrKeyReused):
		wire.Refuse(w, http.StatusUnprocessableEntity, "key_reused", "this key came with another body before")
		return
	}
	v.server.Log.WarnContext(r.Context(), "orders not written", "dependency", "postgres", "outcome", "error", "reason", err.Error())
	if database.NoEffect(err) {
		v.shed(w, "postgres")
		return
	}
	wire.Refuse(w, http.StatusInternalServerError, "outcome_unknown", "ask again with the same key")
}

// audit is GET /internal/audit?prefix=.
func (v *Service) audit(w http.ResponseWriter, r *http.Request) {
	err := wire.Dump(w, func(add func(any) error) error {
		return v.store.Audit(r.Context(), auditOrders+" UNION ALL "+database.AuditOutbox+" UNION ALL "+database.AuditInbox, r.URL.Query().Get("prefix"), add)
	})
	if err != nil {
		v.server.Log.WarnContext(r.Context(), "audit cut", "reason", err.Error())
		panic(http.ErrAbortHandler) // a cut dump must look cut
	}
}

// settled is GET /internal/settled?prefix=: how much the service knows that it
// still has to do.
func (v *Service) settled(w http.ResponseWriter, r *http.Request) {
	prefix := r.URL.Query().Get("prefix")
	open, err := v.store.open(r.Context(), prefix)
	if v.memory != nil {
		open = v.memory.size() // what it has forgotten it will not do
	}
	waiting := 0
	if err == nil {
		waiting, _, err = v.events.Unpublished(r.Context(), prefix)
	}
	lag := 0
	if err == nil {
		lag, err = v.consumer.Lag(r.Context())
	}
	if err != nil {
		wire.Refuse(w, http.StatusServiceUnavailable, "dependency", err.Error())
		return
	}
	wire.Write(w, http.StatusOK, map[string]int{"pending": open + waiting + lag})
}

// fingerprint tells whether two uses of a key mean the same.
func fingerprint(body wire.OrderRequest) string {
	data, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
