package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"chaos/targets/payments/cache"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

type rig struct {
	t      *testing.T
	redis  *miniredis.Miniredis
	public *httptest.Server
	seen   atomic.Int64
	server telemetry.Server
}

func newRig(t *testing.T, payments http.HandlerFunc, env ...string) *rig {
	t.Helper()
	r := &rig{t: t, redis: miniredis.RunT(t), server: telemetry.Server{Log: telemetry.NewLogger(io.Discard, "gateway", "test", time.Now), Metrics: telemetry.NewMetrics()}}
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.seen.Add(1); payments(w, q) }))
	t.Cleanup(back.Close)
	s, err := settings.Read(settings.Gateway, append([]string{"PAYSYS_INTERNAL_TOKEN=t", "PAYSYS_PAYMENTS_URL=" + back.URL, "PAYSYS_REDIS_ADDR=" + r.redis.Addr()}, env...), "test")
	if err != nil {
		t.Fatal(err)
	}
	redis := cache.Open(s.RedisAddr, s.Switches, r.server.Metrics)
	t.Cleanup(func() { _ = redis.Close() })
	mux := http.NewServeMux()
	New(s, redis, r.server).Public(mux)
	r.public = httptest.NewServer(mux)
	t.Cleanup(r.public.Close)
	return r
}

func ok(w http.ResponseWriter, _ *http.Request) {
	wire.Write(w, http.StatusCreated, wire.Payment{ID: "p"})
}

type answer struct {
	code   int
	header http.Header
	took   time.Duration
}

func (r *rig) send(method, path, apiKey string) answer {
	r.t.Helper()
	q, err := http.NewRequest(method, r.public.URL+path, strings.NewReader(`{}`))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set(wire.APIKeyHeader, apiKey)
	q.Header.Set(wire.IdempotencyHeader, "k1")
	q.Header.Set(telemetry.TraceHeader, "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	start := time.Now()
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return answer{res.StatusCode, res.Header, time.Since(start)}
}

func (a answer) clean() bool {
	return a.code == 503 && a.header.Get("X-Shed") == "1" && a.header.Get("Retry-After") != ""
}

func TestPassesOnWhatMatters(t *testing.T) {
	var got http.Header
	var query string
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		got, query = q.Header.Clone(), q.URL.RawQuery
		w.Header().Set("Location", "/v1/payments/p")
		ok(w, q)
	})
	if a := r.send(http.MethodPost, "/v1/payments?op=7", "key-tenant-03"); a.code != 201 || a.header.Get("Location") != "/v1/payments/p" {
		t.Errorf("answer %+v", a)
	}
	if got.Get("X-Tenant") != "tenant-03" || got.Get(wire.IdempotencyHeader) != "k1" || query != "op=7" || !strings.Contains(got.Get("traceparent"), "0123456789abcdef0123456789abcdef") {
		t.Errorf("passed on: %v %q", got, query)
	}
	if left, ok := wire.TimeLeft(got); !ok || left <= 0 || left > 2500*time.Millisecond {
		t.Errorf("deadline %v %v", left, ok)
	}
	if got.Get(wire.APIKeyHeader) != "" {
		t.Error("the API key must stay here")
	}
	if a := r.send(http.MethodPost, "/v1/payments", "wrong"); a.code != 401 || r.seen.Load() != 1 {
		t.Errorf("wrong key: %d", a.code)
	}
}

func TestQuotaPerTenant(t *testing.T) {
	r := newRig(t, ok, "PAYSYS_QUOTA=5", "PAYSYS_SWITCH_REDIS_TIMEOUT=1s")
	codes, start := map[int]int{}, time.Now()
	for range 10 {
		a := r.send(http.MethodPost, "/v1/payments", "key-tenant-01")
		if codes[a.code]++; a.code == 429 {
			if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
		}
	}
	took := time.Since(start)
	if codes[201] < 5 || codes[201] > 6+int(5*took.Seconds()) || codes[201]+codes[429] != 10 {
		t.Errorf("codes %v for a burst of 5, and 5/s for %v", codes, took)
	}
	if a := r.send(http.MethodPost, "/v1/payments", "key-tenant-02"); a.code != 201 {
		t.Errorf("another tenant: %d", a.code)
	}
}

// What each policy does without Redis, route by route.
func TestPoliciesWithoutRedis(t *testing.T) {
	for _, c := range []struct {
		env                       string
		payments, reads, refunds  string
		admittedOf20AtAQuotaOfTen int
	}{
		{"PAYSYS_PRESET=resilient", "local", "local", "closed", 10},
		{"PAYSYS_PRESET=naive", "closed", "closed", "closed", 0},
		{"PAYSYS_SWITCH_RATELIMIT_ON_REDIS_ERROR=open", "open", "open", "open", 20},
	} {
		r := newRig(t, ok, "PAYSYS_QUOTA=10", c.env)
		r.redis.Close()
		admitted, start := 0, time.Now()
		for range 20 {
			switch a := r.send(http.MethodPost, "/v1/payments", "key-tenant-01"); {
			case a.code == 201:
				admitted++
			case c.payments == "local" && a.code != 429, c.payments == "closed" && !a.clean(), c.payments == "open":
				t.Errorf("%s: refused with %+v", c.env, a)
			}
		}
		most := 0
		if c.payments != "closed" {
			most = c.admittedOf20AtAQuotaOfTen + 1 + int(10*time.Since(start).Seconds()) // what the quota gave meanwhile
		}
		if admitted < c.admittedOf20AtAQuotaOfTen || admitted > most {
			t.Errorf("%s: %d of 20 admitted, want %d to %d", c.env, admitted, c.admittedOf20AtAQuotaOfTen, most)
		}
		refund := r.send(http.MethodPost, "/v1/refunds", "key-tenant-02")
		if closed := c.refunds == "closed"; closed != refund.clean() {
			t.Errorf("%s: refund %+v", c.env, refund)
		}
		for n := 0; c.env == "PAYSYS_PRESET=resilient" && refund.took > 50*time.Millisecond; n++ { // a busy machine may slow some
			if refund = r.send(http.MethodPost, "/v1/refunds", "key-tenant-02"); n == 20 {
				t.Errorf("a closed route took %v", refund.took)
			}
		}
		read := r.send(http.MethodGet, "/v1/payments/p", "key-tenant-03")
		if closed := c.reads == "closed"; closed != read.clean() {
			t.Errorf("%s: read %+v", c.env, read)
		}
	}
}

func TestShedsWhatIsTooMuch(t *testing.T) {
	block := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet {
			<-block
		}
		ok(w, q)
	}, "PAYSYS_QUOTA=100000", "PAYSYS_SWITCH_REDIS_TIMEOUT=1s", "PAYSYS_SWITCH_GATEWAY_TIMEOUT=30s")
	var all sync.WaitGroup
	for range readPlaces {
		all.Go(func() { r.send(http.MethodGet, "/v1/payments/p", "key-tenant-01") })
	}
	for limit := time.Now().Add(time.Minute); r.seen.Load() < readPlaces && time.Now().Before(limit); {
		time.Sleep(5 * time.Millisecond)
	}
	if a := r.send(http.MethodGet, "/v1/payments/p", "key-tenant-01"); !a.clean() || a.took > 15*time.Second {
		t.Errorf("beyond the limit: %+v", a)
	}
	if a := r.send(http.MethodPost, "/v1/payments", "key-tenant-01"); a.code != 201 {
		t.Errorf("full reads must not shed payments: %d", a.code)
	}
	close(block)
	all.Wait()
}

// Only retry_where=all makes the gateway send a request again.
func TestRetryWhere(t *testing.T) {
	broken := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for env, want := range map[string]int64{"PAYSYS_PRESET=resilient": 1, "PAYSYS_PRESET=naive": 3} {
		r := newRig(t, broken, env)
		if a := r.send(http.MethodPost, "/v1/payments", "key-tenant-01"); a.code != 502 || a.header.Get("X-Shed") != "" {
			t.Errorf("%s: a cut connection must be an unknown outcome: %+v", env, a)
		}
		if r.seen.Load() != want {
			t.Errorf("%s: %d requests, want %d", env, r.seen.Load(), want)
		}
	}
}

func TestTimeoutAndRefusedConnection(t *testing.T) {
	over := make(chan struct{})
	r := newRig(t, func(http.ResponseWriter, *http.Request) { <-over }, "PAYSYS_SWITCH_GATEWAY_TIMEOUT=100ms")
	t.Cleanup(func() { close(over) })
	if a := r.send(http.MethodPost, "/v1/payments", "key-tenant-01"); a.code != 504 || a.took > 30*time.Second {
		t.Errorf("timeout: %+v", a)
	}
	refused := newRig(t, ok, "PAYSYS_PAYMENTS_URL=http://127.0.0.1:1")
	if a := refused.send(http.MethodPost, "/v1/payments", "key-tenant-01"); !a.clean() {
		t.Errorf("refused connection: %+v", a)
	}
}
