package psp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

type rig struct {
	t                *testing.T
	public, internal *httptest.Server
}

func start(t *testing.T) rig {
	t.Helper()
	p := New(7, telemetry.Server{Log: telemetry.NewLogger(io.Discard, "psp", "test", time.Now), Metrics: telemetry.NewMetrics()})
	pub, in := http.NewServeMux(), http.NewServeMux()
	p.Public(pub)
	p.Internal(in)
	r := rig{t, httptest.NewServer(pub), httptest.NewServer(in)}
	t.Cleanup(r.public.Close)
	t.Cleanup(r.internal.Close)
	r.behave(`{"error_rate":0,"decline_rate":0,"median_ms":1,"sigma":0}`, http.StatusOK)
	return r
}

func (r rig) behave(doc string, want int) string {
	r.t.Helper()
	return r.send(http.MethodPut, r.internal.URL+"/admin/behaviour", "", doc, want)
}

func (r rig) send(method, url, key, body string, want int) string {
	r.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set(wire.IdempotencyHeader, key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if res.StatusCode != want {
		r.t.Errorf("%s %s: %d %s, want %d", method, url, res.StatusCode, data, want)
	}
	return string(data)
}

// inFlight waits until the processor tells of a charge as pending.
func (r rig) inFlight(reference string) {
	r.t.Helper()
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		res, err := http.Get(r.public.URL + "/charges?reference=" + reference)
		if err != nil {
			r.t.Error(err)
			return
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil && res.StatusCode == http.StatusOK && strings.Contains(string(body), statePending) {
			return
		}
	}
	r.t.Errorf("%s is never pending", reference)
}

func (r rig) settlement(prefix string) []settlementRecord {
	r.t.Helper()
	var out []settlementRecord
	var last struct {
		Type  string
		Count int
	}
	s := bufio.NewScanner(strings.NewReader(r.send(http.MethodGet, r.internal.URL+"/settlement?prefix="+prefix, "", "", 200)))
	for s.Scan() {
		var rec settlementRecord
		if err := errors.Join(json.Unmarshal(s.Bytes(), &rec), json.Unmarshal(s.Bytes(), &last)); err != nil {
			r.t.Fatal(err)
		}
		if rec.Type != "end" {
			out = append(out, rec)
		}
	}
	if last.Type != "end" || last.Count != len(out) {
		r.t.Fatalf("last line %+v after %d records", last, len(out))
	}
	return out
}

const charge = `{"reference":"ref-1","order_key":"run1-a","amount_minor":500,"currency":"EUR","card_token":"tok"}`

// The promise the whole harness rests on: a charge that was read settles even
// though the client left.
func TestChargeSettlesAfterClientLeft(t *testing.T) {
	r := start(t)
	r.behave(`{"median_ms":2000}`, 200)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { r.inFlight("ref-1"); cancel() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.public.URL+"/charges", strings.NewReader(charge))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
		t.Fatalf("the client must be cut: %v", err)
	}
	if got := r.settlement("run1-"); len(got) != 0 {
		t.Fatalf("settled too early: %v", got)
	}
	got := r.settlement("run1-")
	for limit := time.Now().Add(time.Minute); len(got) == 0 && time.Now().Before(limit); got = r.settlement("run1-") {
		time.Sleep(20 * time.Millisecond)
	}
	if len(got) != 1 || got[0].Ref != "ref-1" || got[0].State != stateSucceeded || got[0].AmountMinor != 500 || got[0].Key != "run1-a" {
		t.Fatalf("settlement: %+v", got)
	}
	if got := r.settlement("other"); len(got) != 0 {
		t.Errorf("foreign prefix: %v", got)
	}
}

func TestIdempotency(t *testing.T) {
	r := start(t)
	first := r.send(http.MethodPost, r.public.URL+"/charges", "k1", charge, 201)
	if again := r.send(http.MethodPost, r.public.URL+"/charges", "k1", charge, 201); again != first {
		t.Errorf("stored answer differs: %s %s", first, again)
	}
	r.send(http.MethodPost, r.public.URL+"/charges", "k1", strings.Replace(charge, "500", "501", 1), 422)
	other := strings.Replace(charge, "ref-1", "ref-2", 1)
	r.behave(`{"median_ms":3000}`, 200)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.send(http.MethodPost, r.public.URL+"/charges", "k2", other, 201)
	}()
	r.inFlight("ref-2") // and seen as pending
	if body := r.send(http.MethodPost, r.public.URL+"/charges", "k2", other, 409); !strings.Contains(body, "in_progress") {
		t.Errorf("409 body: %s", body)
	}
	<-done
	if n := len(r.settlement("run1-")); n != 2 {
		t.Errorf("%d charges, want 2", n)
	}
	r.behave(`{"honour_idempotency":false,"median_ms":1}`, 200)
	r.send(http.MethodPost, r.public.URL+"/charges", "k1", charge, 201)
	if n := len(r.settlement("run1-")); n != 3 {
		t.Errorf("%d charges with honour_idempotency off, want 3", n)
	}
}

func TestCommitThenDropErrorsAndDeclines(t *testing.T) {
	r := start(t)
	r.behave(`{"commit_then_drop":1}`, 200)
	if _, err := http.Post(r.public.URL+"/charges", "application/json", strings.NewReader(charge)); err == nil {
		t.Error("the answer must be lost")
	}
	if n := len(r.settlement("")); n != 1 {
		t.Errorf("%d charges, want the one whose answer was lost", n)
	}
	r.behave(`{"commit_then_drop":0,"error_rate":1}`, 200)
	r.send(http.MethodPost, r.public.URL+"/charges", "e", charge, 500)
	r.behave(`{"error_rate":0}`, 200)
	r.send(http.MethodPost, r.public.URL+"/charges", "e", charge, 201) // an error stores no answer
	r.send(http.MethodPost, r.public.URL+"/charges", "d", strings.Replace(charge, `"tok"`, `"tok_declined"`, 1), 402)
	if stats := r.send(http.MethodGet, r.internal.URL+"/admin/stats", "", "", 200); !strings.Contains(stats, `"charges":3`) || !strings.Contains(stats, `"errors":1`) || !strings.Contains(stats, `"dropped":1`) ||
		!strings.Contains(stats, `"drawn":4`) || !strings.Contains(stats, `"accepted":3`) {
		t.Errorf("stats: %s", stats)
	}
}

func TestRefunds(t *testing.T) {
	r := start(t)
	refund := `{"reference":"ref-1","order_key":"run1-a","amount_minor":500}`
	r.send(http.MethodPost, r.public.URL+"/refunds", "r1", refund, 404)
	r.send(http.MethodPost, r.public.URL+"/charges", "k1", charge, 201)
	r.behave(`{"refund_fail_first":2}`, 200)
	r.send(http.MethodPost, r.public.URL+"/refunds", "r1", refund, 500)
	r.send(http.MethodPost, r.public.URL+"/refunds", "r1", refund, 500)
	r.send(http.MethodPost, r.public.URL+"/refunds", "r1", refund, 201)
	r.send(http.MethodPost, r.public.URL+"/refunds", "r1", refund, 201)
	got := r.settlement("run1-")
	if len(got) != 2 || got[1].Type != "refund" || got[1].Ref != "ref-1" {
		t.Errorf("settlement: %+v", got)
	}
}

func TestBehaviourDocument(t *testing.T) {
	r := start(t)
	for doc, want := range map[string]string{
		`{"latency":3}`:            "median_ms",
		`{"slow_fraction":1.5}`:    "from 0 to 1",
		`{"median_ms":-1}`:         "median_ms",
		`{"slow_ms":1e12}`:         "slow_ms",
		`{"refund_fail_first":-1}`: "refund_fail_first",
		`[]`:                       "valid fields",
		`{} {}`:                    "one JSON object",
	} {
		if got := r.behave(doc, 400); !strings.Contains(got, want) {
			t.Errorf("%s: %s must name %q", doc, got, want)
		}
	}
	var b Behaviour
	if err := json.NewDecoder(bytes.NewBufferString(r.behave(`{"slow_fraction":0.25}`, 200))).Decode(&b); err != nil {
		t.Fatal(err)
	}
	if b.SlowFraction != 0.25 || b.MedianMS != 1 || !b.HonourIdempotency {
		t.Errorf("only the given field may change: %+v", b)
	}
	r.send(http.MethodPost, r.internal.URL+"/admin/charge", "", `{"order_key":"run1-x","reference":"ghost","amount_minor":7}`, 201)
	if got := r.settlement("run1-x"); len(got) != 1 || got[0].Ref != "ghost" {
		t.Errorf("charge by hand: %+v", got)
	}
}

// The lognormal of the story: mean 400 ms, p99 800 ms.
func TestLatencyDistribution(t *testing.T) {
	const n = 40000
	rng := rand.New(rand.NewPCG(1, 2))
	var all []float64
	sum := 0.0
	for range n {
		ms := float64(Usual(1).draw(rng).takes) / float64(time.Millisecond)
		all = append(all, ms)
		sum += ms
	}
	slices.Sort(all)
	if mean := sum / n; mean < 396 || mean > 404 {
		t.Errorf("mean %.1f ms, want 400", mean)
	}
	if p99 := all[n*99/100]; p99 < 780 || p99 > 820 {
		t.Errorf("p99 %.1f ms, want 800", p99)
	}
	b := Usual(1)
	b.SlowFraction, b.SlowMS = 1, 4000
	if f := b.draw(rng); f.takes != 4*time.Second || !f.slow {
		t.Errorf("slow_fraction 1: %+v", f)
	}
}
