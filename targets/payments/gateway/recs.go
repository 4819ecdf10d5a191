package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"chaos/targets/payments/guard"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	// recsPlaces bounds the recommendations that are waited for at once.
	recsPlaces = 16
	// What an answer without recommendations says.
	partRecommendations = "recommendations"
	enrichmentPending   = "pending"
)

// recs asks for recommendations: nice to have, and never worth a failure.
type recs struct {
	set     switches.Set
	client  *wire.Client
	breaker *guard.Breaker
	pool    *guard.Pool // nil with bulkhead=shared
	server  telemetry.Server
}

func newRecs(s settings.Settings, server telemetry.Server) *recs {
	c := &recs{set: s.Switches, client: wire.NewClient(s.RecsURL), server: server}
	if s.Switches.Breaker {
		c.breaker = guard.NewBreaker("recs", guard.Trip{Window: 10 * time.Second, MinCalls: 20, Ratio: 0.5, Open: time.Second}, server.Metrics.Breaker, nil)
	}
	if !s.Switches.BulkheadShared {
		c.pool = guard.NewPool("recs", recsPlaces, 0, 0, server.Metrics)
	}
	return c
}

var errNoRecs = errors.New("no recommendations")

// ask returns what goes with a sku. The error says why there is nothing.
func (c *recs) ask(ctx context.Context, sku string) ([]string, error) {
	leave, err := func() {}, error(nil)
	if c.pool != nil {
		if leave, err = c.pool.Enter(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoRecs, err)
		}
	}
	defer leave()
	report, err := c.breaker.Allow()
	if err != nil {
		c.count("open")
		return nil, fmt.Errorf("%w: %w", errNoRecs, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.set.RecsTimeout)
	defer cancel()
	ctx, span := c.server.Call(ctx, "recs", 1, attribute.String("breaker_state", c.breaker.State()))
	h := http.Header{}
	if t, ok := telemetry.TraceOf(ctx); ok {
		h.Set(telemetry.TraceHeader, t.Header())
		h.Set(telemetry.TenantHeader, t.Tenant)
	}
	reply, err := c.client.Do(ctx, http.MethodGet, "/v1/recommendations?sku="+url.QueryEscape(sku), h, nil)
	var answer struct {
		SKUs []string `json:"skus"`
	}
	if err == nil && reply.Code != http.StatusOK {
		err = fmt.Errorf("recs answered %d", reply.Code)
	}
	if err == nil {
		err = json.Unmarshal(reply.Body, &answer)
	}
	report(err)
	if err != nil {
		span.Done("error")
		c.count("error")
		return nil, fmt.Errorf("%w: %w", errNoRecs, err)
	}
	span.Done("ok")
	c.count("ok")
	return answer.SKUs, nil
}

func (c *recs) count(outcome string) {
	c.server.Metrics.Attempts.WithLabelValues("recs", "1", outcome).Inc()
}

// enrich hands an order on together with recommendations. Without them the order
// is an answer all the same: "degraded" says that they are missing, and
// "enrichment" that they were only too slow, so that a reader may ask again.
func (g *Gateway) enrich(ctx context.Context, w http.ResponseWriter, to *upstream, reply wire.Reply, err error) {
	var order wire.Order
	if err != nil || reply.Code != http.StatusOK || json.Unmarshal(reply.Body, &order) != nil {
		g.pass(ctx, w, to, reply, err)
		return
	}
	telemetry.DescribeOrder(w, order.ID)
	order.Recommendations, err = g.recs.ask(ctx, order.SKU)
	switch {
	case err == nil:
	case !g.set.DegradeRecs:
		wire.Refuse(w, http.StatusBadGateway, "recs_failed", err.Error())
		return
	case errors.Is(err, context.DeadlineExceeded):
		order.Enrichment = enrichmentPending
		fallthrough
	default:
		order.Degraded = []string{partRecommendations}
		telemetry.Describe(w, "degraded_recommendations", order.PaymentID)
		g.server.Metrics.Degraded.WithLabelValues(partRecommendations).Inc()
	}
	wire.Write(w, http.StatusOK, order)
}
