package switches

import (
	"strings"
	"testing"
	"time"
)

func TestPresets(t *testing.T) {
	r, err := Resolve("resilient", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.AcceptMode != AcceptDurable || r.PSPTimeout != time.Second || r.RedisTimeout != 20*time.Millisecond ||
		r.RetryAttempts != 2 || r.RetryBudget != 0.1 || !r.Breaker || r.BulkheadShared || !r.IdempotencyPSP || !r.Reconcile {
		t.Errorf("resilient: %+v", r)
	}
	if r.OnRedisError[RoutePayments] != PolicyLocal || r.OnRedisError[RouteRefunds] != PolicyClosed {
		t.Errorf("resilient policies: %v", r.OnRedisError)
	}
	n, err := Resolve("naive", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n.AcceptMode != AcceptSync || n.PSPTimeout != 30*time.Second || n.RetryAttempts != 3 || n.RetryBudget != 0 ||
		n.Breaker || !n.BulkheadShared || n.IdempotencyAPI || n.IdempotencyPSP || n.Reconcile || n.CacheSingleFlight {
		t.Errorf("naive: %+v", n)
	}
	if n.OnRedisError[RouteReads] != PolicyClosed {
		t.Errorf("naive policies: %v", n.OnRedisError)
	}
	q, err := Resolve("naive-queue", nil)
	if err != nil {
		t.Fatal(err)
	}
	if q.AcceptMode != AcceptMemqueue || q.MemqueueWorkers != 40 || q.MemqueueDepth != 64 {
		t.Errorf("naive-queue: %+v", q)
	}
}

// A mutant differs from resilient in exactly its one switch.
func TestEachMutantTurnsOneSwitch(t *testing.T) {
	base, err := Resolve("resilient", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range Catalog() {
		m, err := Resolve("mutant:"+d.Name, nil)
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		for name, v := range m.Values {
			if same := v == base.Values[name]; same == (name == d.Name && d.Naive != d.Resilient) {
				t.Errorf("mutant:%s: %s is %q, resilient has %q", d.Name, name, v, base.Values[name])
			}
		}
	}
}

func TestSingleSwitchOverridesPreset(t *testing.T) {
	s, err := Resolve("mutant:retry.where=all", map[string]string{"ACCEPT_MODE": "memqueue", "ratelimit.on-redis-error": "refunds:open"})
	if err != nil {
		t.Fatal(err)
	}
	if !s.RetryEverywhere || s.AcceptMode != AcceptMemqueue {
		t.Errorf("overrides not taken: %+v", s)
	}
	if s.OnRedisError[RouteRefunds] != PolicyOpen || s.OnRedisError[RoutePayments] != PolicyLocal {
		t.Errorf("a list must change only the routes it names: %v", s.OnRedisError)
	}
}

func TestErrorsNameWhatIsValid(t *testing.T) {
	for _, c := range []struct {
		preset string
		single map[string]string
		want   string
	}{
		{"brave", nil, "naive-queue"},
		{"mutant:retries", nil, "retry_attempts"},
		{"mutant:accept_mode=maybe", nil, "durable, sync, memqueue"},
		{"resilient", map[string]string{"BRAKER": "on"}, "breaker"},
		{"resilient", map[string]string{"BREAKER": "yes"}, "on, off"},
		{"resilient", map[string]string{"PSP_TIMEOUT": "0s"}, "a duration"},
		{"resilient", map[string]string{"RETRY_BUDGET": "NaN"}, "ratio"},
		{"resilient", map[string]string{"RATELIMIT_ON_REDIS_ERROR": "reports:open"}, "route:policy"},
		{"resilient", map[string]string{"SYNC_WORKERS": "0"}, "1 to 10000"},
	} {
		_, err := Resolve(c.preset, c.single)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: error %v must name %q", c.preset, c.single, err, c.want)
		}
	}
}
