package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"chaos/targets/payments/cache"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

// quota counts requests per tenant in Redis. Without Redis it does what the
// route's policy says.
type quota struct {
	redis    *cache.Redis
	rate     int
	share    float64 // of this gateway, while each counts alone
	policies map[switches.Route]switches.Policy
	metrics  *telemetry.Metrics

	mu    sync.Mutex
	local map[string]*rate.Limiter
}

func newQuota(s settings.Settings, redis *cache.Redis, m *telemetry.Metrics) *quota {
	return &quota{
		redis: redis, rate: s.Quota, share: float64(s.Quota) / float64(s.Replicas), policies: s.Switches.OnRedisError,
		metrics: m, local: map[string]*rate.Limiter{},
	}
}

// decision about one request.
type decision struct {
	admitted    bool
	wait        time.Duration // until a token is there
	unavailable bool          // nobody could count, and the route is closed then
}

func (q *quota) decide(ctx context.Context, route switches.Route, tenant string) decision {
	admitted, wait, err := q.redis.Take(ctx, tenant, q.rate)
	if err == nil {
		q.count(admitted, "redis")
		return decision{admitted: admitted, wait: wait}
	}
	switch q.policies[route] {
	case switches.PolicyOpen:
		q.count(true, "fail_open")
		return decision{admitted: true}
	case switches.PolicyLocal:
		d := decision{admitted: q.limiter(tenant).Allow(), wait: time.Second}
		q.count(d.admitted, "local")
		return d
	default:
		q.count(false, "fail_closed")
		return decision{unavailable: true}
	}
}

func (q *quota) limiter(tenant string) *rate.Limiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.local[tenant]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(q.share), max(1, int(q.share)))
		q.local[tenant] = l
	}
	return l
}

func (q *quota) count(admitted bool, source string) {
	d := "deny"
	if admitted {
		d = "allow"
	}
	q.metrics.Limits.WithLabelValues(d, source).Inc()
}

func readBody(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxBody+1))
	if err == nil && len(data) > wire.MaxBody {
		err = fmt.Errorf("body is longer than %d bytes", wire.MaxBody)
	}
	return data, err
}
