// Package recs is the role that recommends: a soft dependency, with few workers
// that take their time.
package recs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"chaos/targets/payments/guard"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	// workers of U(quickest, slowest) each: capacity 8 / 150 ms = 53 a second.
	workers           = 8
	quickest, slowest = 100 * time.Millisecond, 200 * time.Millisecond
	catalogue, advice = 20, 3
)

// Service is the recs role.
type Service struct {
	server telemetry.Server
	pool   *guard.Pool

	mu  sync.Mutex
	rng *rand.Rand
}

// New makes the service.
func New(seed uint64, server telemetry.Server) *Service {
	return &Service{server: server, pool: guard.NewPool("recs", workers, guard.Unbounded, 0, server.Metrics), rng: rand.New(rand.NewPCG(seed, 4))}
}

// Answer is what GET /v1/recommendations?sku= says.
type Answer struct {
	SKUs []string `json:"skus"`
}

// Public is the one route.
func (v *Service) Public(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/recommendations", v.server.Route("recommendations", v.recommend))
}

// Internal: recs has no internal routes of its own.
func (v *Service) Internal(*http.ServeMux) {}

// Ready: recs depends on nothing.
func (v *Service) Ready(context.Context) error { return nil }

// Run waits for the end: recs has no background work.
func (v *Service) Run(ctx context.Context) { <-ctx.Done() }

func (v *Service) recommend(w http.ResponseWriter, r *http.Request) {
	leave, err := v.pool.Enter(r.Context())
	if err != nil {
		return // the caller has left
	}
	defer leave()
	takes, skus := v.think(r.URL.Query().Get("sku"))
	if guard.Pause(r.Context(), takes) != nil {
		return
	}
	wire.Write(w, http.StatusOK, Answer{skus})
}

// think draws how long an answer takes, and what goes well with a sku.
func (v *Service) think(sku string) (takes time.Duration, skus []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	takes = quickest + time.Duration(v.rng.Int64N(int64(slowest-quickest)))
	for i := v.rng.IntN(catalogue); len(skus) < advice; i++ {
		if other := fmt.Sprintf("sku-%02d", i%catalogue+1); other != sku {
			skus = append(skus, other)
		}
	}
	return takes, skus
}
