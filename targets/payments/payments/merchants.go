package payments

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"chaos/targets/payments/guard"
	"chaos/targets/payments/ledger"
	"chaos/targets/payments/wire"
)

const (
	// profileFresh is how long a profile is served without asking again, and
	// profileKept for how long it may be served when asking does not help.
	profileFresh, profileKept = 5 * time.Second, 10 * time.Minute
	// profileSpread is the share by which lifetimes differ, so that entries that
	// were made together do not end together.
	profileSpread = 0.2
	// keptProfiles bounds what one process remembers.
	keptProfiles = 1000
	// Reports at once, and how many may wait for how long.
	reportPlaces, reportQueue, reportPatience = 2, 2, 500 * time.Millisecond
)

// profile is a merchant's profile with the time until which it is fresh.
type profile struct {
	Until time.Time       `json:"until"`
	Body  json.RawMessage `json:"body"`
}

// profiles are merchants' profiles, which are dear to make: this process's memory
// before Redis before PostgreSQL.
//
//	fresh here or in Redis ─▶ serve
//	old                    ─▶ serve, and one caller at a time makes a new one
//	nothing                ─▶ one caller at a time makes one, the others wait for it
type profiles struct {
	service *Service
	mu      sync.Mutex
	local   map[string]profile
}

func newProfiles(v *Service) *profiles {
	return &profiles{service: v, local: map[string]profile{}}
}

// merchant is GET /v1/merchants/{id}.
func (v *Service) merchant(w http.ResponseWriter, r *http.Request) {
	body, result, err := v.profiles.get(r.Context(), r.PathValue("id"))
	v.server.Metrics.Cache.WithLabelValues(result).Inc()
	if err != nil {
		v.refuse(w, r, err)
		return
	}
	wire.Write(w, http.StatusOK, body)
}

func (p *profiles) get(ctx context.Context, id string) (body json.RawMessage, result string, err error) {
	old, found := p.remembered(ctx, id)
	switch {
	case found && time.Now().Before(old.Until):
		return old.Body, "hit", nil
	case found && p.service.set.CacheStale:
		go func() { _, _ = p.make(context.WithoutCancel(ctx), id) }() // the next reader sees whether it worked
		return old.Body, "stale", nil
	}
	body, err = p.make(ctx, id)
	return body, "miss", err
}

func (p *profiles) remembered(ctx context.Context, id string) (one profile, found bool) {
	p.mu.Lock()
	one, found = p.local[id]
	p.mu.Unlock()
	if found && time.Now().Before(one.Until) {
		return one, true
	}
	data, ok, err := p.service.cache.Get(ctx, "merchant:"+id)
	if err != nil || !ok {
		return one, found
	}
	var there profile
	if json.Unmarshal(data, &there) != nil || found && there.Until.Before(one.Until) {
		return one, found
	}
	p.keep(id, there)
	return there, true
}

func (p *profiles) keep(id string, one profile) {
	if !p.service.set.CacheSingleFlight {
		return // the naive service has Redis and nothing else
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.local) >= keptProfiles {
		clear(p.local)
	}
	p.local[id] = one
}

// make reads the profile from the database and remembers it.
func (p *profiles) make(ctx context.Context, id string) (json.RawMessage, error) {
	load := func() (any, error) {
		m, err := p.service.store.Merchant(context.WithoutCancel(ctx), id)
		if err != nil {
			return json.RawMessage(nil), err
		}
		body, err := json.Marshal(m)
		if err != nil {
			return json.RawMessage(nil), err
		}
		one := profile{Until: time.Now().Add(p.life()), Body: body}
		p.keep(id, one)
		if data, err := json.Marshal(one); err == nil {
			_ = p.service.cache.Put(context.WithoutCancel(ctx), "merchant:"+id, int(one.Until.Unix()), data, profileKept) // a cache that is away is no failure
		}
		return json.RawMessage(body), nil
	}
	if !p.service.set.CacheSingleFlight {
		v, err := load()
		return v.(json.RawMessage), err
	}
	v, err, _ := p.service.flight.Do("merchant:"+id, load)
	return v.(json.RawMessage), err
}

func (p *profiles) life() time.Duration {
	if !p.service.set.CacheSpread {
		return profileFresh
	}
	return time.Duration(float64(profileFresh) * (1 - profileSpread + 2*profileSpread*p.service.engine.draw()))
}

// report is GET /v1/reports/settlement: what each merchant is owed. It is slow,
// and may take its time only in a compartment of its own.
func (v *Service) report(w http.ResponseWriter, r *http.Request) {
	if v.shared == nil {
		leave, err := v.reports.Enter(r.Context())
		if err != nil {
			v.shed(w, "reports")
			return
		}
		defer leave()
	}
	rows, err := v.store.Settlement(r.Context())
	if err != nil {
		v.failStore(w, r, err)
		return
	}
	wire.Write(w, http.StatusOK, map[string][]ledger.Owed{"merchants": rows})
}

func reportPool(v *Service) *guard.Pool {
	return guard.NewPool("reports", reportPlaces, reportQueue, reportPatience, v.server.Metrics)
}
