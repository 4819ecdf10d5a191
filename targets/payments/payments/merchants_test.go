package payments

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chaos/targets/payments/ledger"
	"chaos/targets/payments/pgtest"
)

// profileStore counts reads of profiles, and fails them when told to.
type profileStore struct {
	Store
	reads atomic.Int64
	fail  atomic.Bool
}

func (c *profileStore) Merchant(ctx context.Context, id string) (ledger.Merchant, error) {
	c.reads.Add(1)
	if c.fail.Load() {
		return ledger.Merchant{}, errors.New("the database is away")
	}
	return c.Store.Merchant(ctx, id)
}

// merchants is a rig whose store counts.
func merchants(t *testing.T, dsn string, single map[string]string) (*rig, *profileStore) {
	c := &profileStore{}
	r := newRig(t, dsn, options{preset: "resilient", single: single, store: func(s Store) Store { c.Store = s; return c }})
	return r, c
}

func (r *rig) profile(id string) int {
	return r.send(http.MethodGet, "/v1/merchants/"+id, "", "").Code
}

// outdate makes what the process remembers of a profile old, in Redis too.
func (r *rig) outdate(id string) {
	r.service.profiles.mu.Lock()
	one := r.service.profiles.local[id]
	one.Until = time.Now().Add(-time.Second)
	r.service.profiles.local[id] = one
	r.service.profiles.mu.Unlock()
}

func TestProfiles(t *testing.T) {
	pg := pgtest.Start(t)
	for _, c := range []struct {
		single bool
		most   int64
	}{{true, 1}, {false, 20}} {
		r, store := merchants(t, pg.Database(t), map[string]string{"cache_single_flight": map[bool]string{true: "on", false: "off"}[c.single]})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if code := r.profile("m-1"); code != 200 {
					t.Errorf("profile: %d", code)
				}
			})
		}
		all.Wait()
		if n := store.reads.Load(); c.single && n != c.most || !c.single && n < 2 {
			t.Errorf("single flight %v: %d reads", c.single, n)
		}
		if code := r.profile("m-99"); code != 404 {
			t.Errorf("unknown merchant: %d", code)
		}
	}
	for stale, want := range map[string]int{"on": 200, "off": 500} {
		r, store := merchants(t, pg.Database(t), map[string]string{"cache_stale": stale})
		if code := r.profile("m-1"); code != 200 {
			t.Errorf("profile: %d", code)
		}
		r.redis.FlushAll()
		store.fail.Store(true)
		r.outdate("m-1")
		if code := r.profile("m-1"); code != want {
			t.Errorf("stale %s: %d, want %d", stale, code, want)
		}
	}
	for _, spread := range []string{"on", "off"} {
		r, _ := merchants(t, pg.Database(t), map[string]string{"cache_spread": spread})
		low, high := time.Hour, time.Duration(0)
		for range 200 {
			d := r.service.profiles.life()
			low, high = min(low, d), max(high, d)
		}
		if even := low == high; even == (spread == "on") || low < 4*time.Second || high > 6*time.Second {
			t.Errorf("spread %s: from %v to %v", spread, low, high)
		}
	}
}
