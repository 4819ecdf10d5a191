package payments

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"chaos/targets/payments/cache"
	"chaos/targets/payments/ledger"
	"chaos/targets/payments/pgtest"
	"chaos/targets/payments/psp"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

// rig is the payments role with a real processor and real books around it.
type rig struct {
	t        *testing.T
	service  *Service
	books    *ledger.Books
	public   *httptest.Server
	internal *httptest.Server
	pspAdmin *httptest.Server
	log      *safeBuffer
	redis    *miniredis.Miniredis

	mu   sync.Mutex
	cut  func(*http.Request) cutPoint // decides what happens to a call to the processor
	seen int                          // POST /charges that arrived
}

type cutPoint int

const (
	pass cutPoint = iota
	cutBefore
	cutAfter
	answer500
)

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

const (
	patient = time.Minute     // for what must come: the machine may be busy
	unhurt  = 5 * time.Second // that a request waits for the processor, where a test is not about giving up
	gaveUp  = "1s"            // where it is
)

// impatient is of tests whose requests give up waiting for the processor.
func impatient() map[string]string { return map[string]string{"PSP_TIMEOUT": gaveUp} }

// options of a rig: store wraps the books, idle leaves the background off.
type options struct {
	preset string
	single map[string]string
	store  func(Store) Store
	idle   bool
}

func newRig(t *testing.T, dsn string, o options) *rig {
	t.Helper()
	set, err := switches.Resolve(o.preset, o.single)
	if err != nil {
		t.Fatal(err)
	}
	if o.single["PSP_TIMEOUT"] == "" {
		set.PSPTimeout = max(set.PSPTimeout, unhurt)
	}
	set.DatabaseTimeout = max(set.DatabaseTimeout, patient/2)
	r := &rig{t: t, log: &safeBuffer{}}
	quiet := telemetry.Server{Log: telemetry.NewLogger(io.Discard, "psp", "test", time.Now), Metrics: telemetry.NewMetrics()}
	processor := psp.New(1, quiet)
	pub, admin := http.NewServeMux(), http.NewServeMux()
	processor.Public(pub)
	processor.Internal(admin)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.toProcessor(pub, w, q) }))
	r.pspAdmin = httptest.NewServer(admin)
	if r.books, err = ledger.Open(context.Background(), dsn, set); err != nil {
		t.Fatal(err)
	}
	store := Store(r.books)
	if o.store != nil {
		store = o.store(store)
	}
	server := telemetry.Server{Log: telemetry.NewLogger(r.log, "payments", "test", time.Now), Metrics: telemetry.NewMetrics()}
	set.RedisTimeout = time.Second // the machine may be busy; what Redis does is tested elsewhere
	r.redis = miniredis.RunT(t)
	redis := cache.Open(r.redis.Addr(), set, server.Metrics)
	r.service = New(settings.Settings{PSPURL: front.URL, Switches: set}, store, redis, nil, server)
	mux, internal := http.NewServeMux(), http.NewServeMux()
	r.service.Public(mux)
	r.service.Internal(internal)
	r.public, r.internal = httptest.NewServer(mux), httptest.NewServer(internal)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !o.idle {
			r.service.Run(ctx)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
		r.public.Close()
		r.internal.Close()
		front.CloseClientConnections()
		front.Close()
		r.pspAdmin.Close()
		_ = redis.Close()
		r.books.Close()
	})
	r.behave(`{"median_ms":5,"sigma":0,"error_rate":0,"decline_rate":0}`)
	return r
}

// toProcessor lets a call through or breaks it at one of the crash points.
func (r *rig) toProcessor(next http.Handler, w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body) // first, as the processor would: what it has read it settles, whoever left
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	cut := r.cut
	if q.Method == http.MethodPost && q.URL.Path == "/charges" {
		r.seen++
	}
	r.mu.Unlock()
	point := pass
	if cut != nil {
		point = cut(q)
	}
	switch point {
	case cutBefore:
		panic(http.ErrAbortHandler)
	case answer500:
		w.WriteHeader(http.StatusInternalServerError)
	case cutAfter:
		next.ServeHTTP(httptest.NewRecorder(), q)
		panic(http.ErrAbortHandler)
	default:
		next.ServeHTTP(w, q)
	}
}

func (r *rig) breaks(f func(*http.Request) cutPoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = f
}

// holds keeps every charge from the processor until release, however busy the machine is.
func (r *rig) holds() (release func()) {
	gate := make(chan struct{})
	r.breaks(func(q *http.Request) cutPoint {
		if q.Method == http.MethodPost && q.URL.Path == "/charges" {
			<-gate
		}
		return pass
	})
	release = sync.OnceFunc(func() { r.breaks(nil); close(gate) })
	r.t.Cleanup(release)
	return release
}

// reached waits until so many charges arrived at the processor.
func (r *rig) reached(attempts int) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%d charges reach the processor", attempts), func() bool { return r.attempts() >= attempts })
}

func (r *rig) eventually(what string, is func() bool) {
	r.t.Helper()
	for limit := time.Now().Add(patient); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			r.t.Fatalf("not within %v: %s", patient, what)
		}
	}
}

func (r *rig) attempts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

func (r *rig) behave(doc string) {
	r.t.Helper()
	q, err := http.NewRequest(http.MethodPut, r.pspAdmin.URL+"/admin/behaviour", strings.NewReader(doc))
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil || res.StatusCode != http.StatusOK {
		r.t.Fatal("behaviour:", res, err)
	}
	_ = res.Body.Close()
}

type answer struct {
	Code   int
	Header http.Header
	wire.Payment
	Text string
	Took time.Duration
}

func (r *rig) send(method, path, key, body string) answer {
	r.t.Helper()
	q, err := http.NewRequest(method, r.public.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set(wire.IdempotencyHeader, key)
	q.Header.Set(telemetry.TenantHeader, "tenant-01")
	start := time.Now()
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Error(err)
		return answer{}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Error(err)
	}
	a := answer{Code: res.StatusCode, Header: res.Header, Text: string(data), Took: time.Since(start)}
	_ = json.Unmarshal(data, &a.Payment)
	return a
}

const order = `{"amount_minor":500,"currency":"EUR","card_token":"tok","merchant":"m"}`

func (r *rig) pay(key string) answer {
	r.t.Helper()
	return r.send(http.MethodPost, "/v1/payments", key, order)
}

func (r *rig) refund(key, id string, amount int) answer {
	r.t.Helper()
	return r.send(http.MethodPost, "/v1/refunds", key, fmt.Sprintf(`{"payment_id":%q,"amount_minor":%d}`, id, amount))
}

func (r *rig) want(a answer, code int, state string) answer {
	r.t.Helper()
	if a.Code != code || (state != "" && a.State != state) {
		r.t.Errorf("answer %d %s, want %d %s", a.Code, a.Text, code, state)
	}
	return a
}

// until waits for a state.
func (r *rig) until(id, state string) {
	r.t.Helper()
	deadline := time.Now().Add(patient)
	var a answer
	for time.Now().Before(deadline) {
		if a = r.send(http.MethodGet, "/v1/payments/"+id, "", ""); a.State == state {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.t.Fatalf("payment %s is %s, want %s", id, a.State, state)
}

type line struct {
	Type, Key, Ref, State, Account, ID string
	RefundKey                          string `json:"refund_key"`
	AmountMinor                        int64  `json:"amount_minor"`
	Count                              int
}

func dump(t *testing.T, url string) (out []line) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s := bufio.NewScanner(res.Body)
	for s.Scan() {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	if n := len(out); n == 0 || out[n-1].Type != "end" || out[n-1].Count != n-1 {
		t.Fatalf("dump of %s is cut: %d lines", url, n)
	}
	return out[:len(out)-1]
}

// charges counts the processor's successful charges by client key.
func (r *rig) charges() map[string]int {
	r.t.Helper()
	n := map[string]int{}
	for _, l := range dump(r.t, r.pspAdmin.URL+"/settlement") {
		if l.Type == "charge" && l.State == "succeeded" {
			n[l.Key]++
		}
	}
	return n
}

// agree checks that books and processor tell the same: one charge for each
// captured payment, no other, and money equal.
func (r *rig) agree() {
	r.t.Helper()
	charges, captured := r.charges(), map[string]int{}
	var clearing, settled int64
	for _, l := range dump(r.t, r.internal.URL+"/internal/audit") {
		switch {
		case l.Type == "payment" && (l.State == "CAPTURED" || l.State == "REFUNDING" || l.State == "REFUNDED"):
			captured[l.Key]++
		case l.Type == "ledger" && l.Account == ledger.AccountClearing:
			clearing += l.AmountMinor
		}
	}
	for _, l := range dump(r.t, r.pspAdmin.URL+"/settlement") {
		switch {
		case l.Type == "refund":
			settled -= l.AmountMinor
		case l.State == "succeeded":
			settled += l.AmountMinor
		}
	}
	for k, n := range charges {
		if n != 1 || captured[k] != 1 {
			r.t.Errorf("key %s: %d charges, %d captured payments", k, n, captured[k])
		}
	}
	if len(captured) != len(charges) || clearing != settled {
		r.t.Errorf("%d captured, %d charged; books %d, processor %d", len(captured), len(charges), clearing, settled)
	}
}

func TestService(t *testing.T) {
	pg := pgtest.Start(t)
	for name, test := range map[string]func(*testing.T, string){
		"IdempotencyTable":           testIdempotencyTable,
		"PendingIsReplayed":          testPendingIsReplayed,
		"FiftyAtOnce":                testFiftyAtOnce,
		"Refunds":                    testRefunds,
		"RefundWhilePending":         testRefundWhilePending,
		"SlowProcessor":              testSlowProcessor,
		"CrashPoints":                testCrashPoints,
		"ReconcileOffLeavesUnknown":  testReconcileOff,
		"DroppedAnswers":             testDroppedAnswers,
		"RetrySwitches":              testRetrySwitches,
		"BreakerOpensAndCloses":      testBreaker,
		"FullBulkhead":               testFullBulkhead,
		"Memqueue":                   testMemqueue,
		"NaiveChargesTwice":          testNaiveChargesTwice,
		"NaiveWorksForThoseWhoLeft":  testNaiveWorksForThoseWhoLeft,
		"PassedDeadlineHasNoEffect":  testPassedDeadline,
		"NoDatabaseIsACleanRefusal":  testNoDatabase,
		"ReadsAreCachedAndCoalesced": testReads,
		"BadRequests":                testBadRequests,
		"SettledCountsKnownWork":     testSettled,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, pg.Database(t)) })
	}
}
