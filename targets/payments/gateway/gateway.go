// Package gateway is the role in front: it knows whose key a request has,
// counts quotas, sheds what is too much, and passes the rest on with the time
// that is left.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"chaos/targets/payments/cache"
	"chaos/targets/payments/guard"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	// requestDeadline is how long a request may take from here on.
	requestDeadline = 3 * time.Second
	// Limits of requests at once, per route: reads cannot take the places of
	// payments.
	paymentPlaces, refundPlaces, readPlaces = 200, 50, 100
	// Beyond them a short queue that is not waited in for long.
	shedQueue, shedPatience = 32, 40 * time.Millisecond
	// Reads are refused while payments have taken this share of their places:
	// money before curiosity.
	crowded = 0.8
	// closedRetryAfter is told when money-out routes are closed without Redis.
	closedRetryAfter = 2 * time.Second
)

// Gateway is the role.
type Gateway struct {
	set      switches.Set
	server   telemetry.Server
	keys     map[string]string
	quota    *quota
	payments *upstream
	orders   *upstream // nil: there are no orders
	recs     *recs
	retry    *guard.Retry
	places   map[switches.Route]*guard.Pool
	deadline wire.Deadlines
}

// upstream is a service behind the gateway.
type upstream struct {
	*wire.Balanced
	name    string
	timeout time.Duration
}

// New makes the gateway. It connects to nothing yet.
func New(s settings.Settings, redis *cache.Redis, server telemetry.Server) *Gateway {
	g := &Gateway{
		set: s.Switches, server: server, keys: s.APIKeys,
		payments: &upstream{guard.Instances("payments", s.PaymentsURLs, s.Switches, server.Metrics), "payments", s.Switches.GatewayTimeout},
		quota:    newQuota(s, redis, server.Metrics), retry: guard.NewRetry(s.Switches, uint64(time.Now().UnixNano())),
		deadline: wire.Deadlines{Absolute: s.Switches.DeadlineAbsolute, Now: server.Now},
	}
	if s.OrdersURL != "" {
		g.orders = &upstream{guard.Instances("orders", []string{s.OrdersURL}, s.Switches, server.Metrics), "orders", s.Switches.OrdersTimeout}
		g.recs = newRecs(s, server)
	}
	if s.Switches.Shed {
		pool := func(r switches.Route, places int) *guard.Pool {
			return guard.NewPool("gateway-"+string(r), places, shedQueue, shedPatience, server.Metrics)
		}
		g.places = map[switches.Route]*guard.Pool{
			switches.RoutePayments: pool(switches.RoutePayments, paymentPlaces),
			switches.RouteRefunds:  pool(switches.RouteRefunds, refundPlaces),
			switches.RouteReads:    pool(switches.RouteReads, readPlaces),
		}
	}
	return g
}

// Public are the routes for clients.
func (g *Gateway) Public(mux *http.ServeMux) {
	route := func(pattern, name string, route switches.Route, to *upstream, answer answerer) {
		mux.HandleFunc(pattern, g.server.Route(name, func(w http.ResponseWriter, r *http.Request) { g.handle(w, r, route, to, answer) }))
	}
	route("POST /v1/payments", "payments", switches.RoutePayments, g.payments, g.pass)
	route("GET /v1/payments/{id}", "reads", switches.RouteReads, g.payments, g.pass)
	route("POST /v1/refunds", "refunds", switches.RouteRefunds, g.payments, g.pass)
	route("GET /v1/merchants/{id}", "merchants", switches.RouteReads, g.payments, g.pass)
	route("GET /v1/reports/settlement", "reports", switches.RouteReads, g.payments, g.pass)
	if g.orders != nil {
		route("POST /v1/orders", "orders", switches.RoutePayments, g.orders, g.pass)
		route("GET /v1/orders/{id}", "order-reads", switches.RouteReads, g.orders, g.enrich)
	}
}

// Internal: the gateway has no internal routes of its own.
func (g *Gateway) Internal(*http.ServeMux) {}

// Ready asks whether payments, and orders, are alive. Redis and recs are not part
// of it.
func (g *Gateway) Ready(ctx context.Context) error {
	for _, u := range []*upstream{g.payments, g.orders} {
		if u == nil {
			continue
		}
		reply, err := u.Do(ctx, http.MethodGet, "/healthz", http.Header{}, nil)
		if err == nil && reply.Code != http.StatusOK {
			err = fmt.Errorf("healthz answered %d", reply.Code)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", u.name, err)
		}
	}
	return nil
}

// Run waits for the end: the gateway has no background work.
func (g *Gateway) Run(ctx context.Context) {
	<-ctx.Done()
	g.payments.Close()
	if g.orders != nil {
		g.orders.Close()
		g.recs.client.Close()
	}
}

// answerer writes what the service said.
type answerer func(ctx context.Context, w http.ResponseWriter, to *upstream, reply wire.Reply, err error)

// handle takes a request through key, quota and limits to a service.
func (g *Gateway) handle(w http.ResponseWriter, r *http.Request, route switches.Route, to *upstream, answer answerer) {
	start := time.Now()
	tenant, known := g.keys[r.Header.Get(wire.APIKeyHeader)]
	if !known {
		wire.Refuse(w, http.StatusUnauthorized, "unknown_api_key", "header X-Api-Key is missing or unknown")
		return
	}
	telemetry.Identify(w, tenant)
	switch d := g.quota.decide(r.Context(), route, tenant); {
	case d.unavailable:
		g.server.Metrics.Shed.WithLabelValues("quota_unavailable").Inc()
		wire.Shed(w, "quota_unavailable", closedRetryAfter)
		return
	case !d.admitted:
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(d.wait.Round(time.Second).Seconds()))))
		wire.Refuse(w, http.StatusTooManyRequests, "quota", "the tenant's quota is used up")
		return
	}
	if pool := g.places[route]; pool != nil {
		if route == switches.RouteReads && g.places[switches.RoutePayments].Share() >= crowded {
			g.server.Metrics.Shed.WithLabelValues("priority").Inc()
			wire.Shed(w, "priority", time.Second)
			return
		}
		leave, err := pool.Enter(r.Context())
		if err != nil {
			g.server.Metrics.Shed.WithLabelValues("gateway_" + string(route)).Inc()
			wire.Shed(w, "overload", time.Second)
			return
		}
		defer leave()
	}
	g.forward(w, r, tenant, start, to, answer)
}

// forward sends the request on: once, or as often as retry_where=all says.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, tenant string, start time.Time, to *upstream, answer answerer) {
	body, err := readBody(r)
	if err != nil {
		wire.Refuse(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	ctx := r.Context()
	if !g.set.DeadlinePropagation {
		ctx = context.WithoutCancel(ctx)
	}
	g.retry.First()
	for attempt := 1; ; attempt++ {
		reply, err := g.send(ctx, r, tenant, start, body, to, attempt)
		failed := err != nil || reply.Code >= http.StatusInternalServerError
		if !failed || !g.set.RetryEverywhere || !g.retry.Again(attempt) || guard.Pause(ctx, g.retry.Delay(attempt)) != nil {
			answer(ctx, w, to, reply, err)
			return
		}
	}
}

func (g *Gateway) send(ctx context.Context, r *http.Request, tenant string, start time.Time, body []byte, to *upstream, attempt int) (wire.Reply, error) {
	limit := to.timeout
	ctx, span := g.server.Call(ctx, to.name, attempt)
	h := http.Header{telemetry.TenantHeader: {tenant}}
	if t, ok := telemetry.TraceOf(ctx); ok {
		h.Set(telemetry.TraceHeader, t.Header())
	}
	for _, name := range []string{wire.IdempotencyHeader, "Content-Type"} {
		if v := r.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	if g.set.DeadlinePropagation {
		left := requestDeadline - time.Since(start)
		if asked, ok := g.deadline.Left(r.Header); ok {
			left = min(left, asked)
		}
		limit = min(limit, left)
		g.deadline.Set(h, limit)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	path := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	reply, err := to.Do(ctx, r.Method, path, h, body)
	outcome := "ok"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		outcome = "timeout"
	case err != nil:
		outcome = "connection"
	case reply.Code >= http.StatusInternalServerError:
		outcome = "http_" + strconv.Itoa(reply.Code)
	}
	span.Done(outcome)
	g.server.Metrics.Attempts.WithLabelValues(to.name, strconv.Itoa(attempt), outcome).Inc()
	return reply, err
}

// pass hands the reply on. Without one it says what is certain: a request
// that was never sent had no effect, any other may have had one.
func (g *Gateway) pass(ctx context.Context, w http.ResponseWriter, to *upstream, reply wire.Reply, err error) {
	if err == nil {
		for _, name := range []string{"Content-Type", "Location", "Retry-After", wire.ShedHeader} {
			if v := reply.Header.Get(name); v != "" {
				w.Header().Set(name, v)
			}
		}
		if reply.Code >= http.StatusInternalServerError {
			telemetry.Describe(w, to.name+"_http_"+strconv.Itoa(reply.Code), "")
		}
		w.WriteHeader(reply.Code)
		_, _ = w.Write(reply.Body) // the client is gone; the request's log line stands
		return
	}
	g.server.Log.WarnContext(ctx, "no answer of "+to.name, "dependency", to.name, "outcome", "error", "reason", err.Error())
	failed := new(wire.SendError)
	switch {
	case errors.As(err, &failed) && !failed.Sent:
		g.server.Metrics.Shed.WithLabelValues(to.name + "_unreachable").Inc()
		wire.Shed(w, to.name+"_unreachable", time.Second)
	case errors.Is(err, context.DeadlineExceeded):
		wire.Refuse(w, http.StatusGatewayTimeout, to.name+"_timeout", "outcome unknown: ask again with the same key")
	default:
		wire.Refuse(w, http.StatusBadGateway, to.name+"_connection", "outcome unknown: ask again with the same key")
	}
}
