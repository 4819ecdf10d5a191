package toxic_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/toxic"
)

// webShop is a shop whose far side is an HTTP server.
type webShop struct {
	*shopSystem
	asked  atomic.Int64
	client *http.Client
}

func newWebShop(t testing.TB) *webShop {
	t.Helper()
	w := &webShop{}
	h := httptest.NewServer(http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		fmt.Fprintf(to, "%s %s %s", r.Method, r.URL.Path, r.Header.Get("X-Client"))
	}))
	t.Cleanup(h.Close)
	w.shopSystem = shopBefore(t, h.Listener.Addr().String())
	transport := &http.Transport{Proxy: nil}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport, Timeout: patient}
	return w
}

// post sends one request, which net/http can't repeat, and says what came of it. Its body is in memory, so head and
// body are one write: a client that is still writing when the connection breaks tells of the write, not of the break.
func (w *webShop) post(t testing.TB, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.addr+path, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil
	resp, err := w.client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Sprintf("%d %s, then %v", resp.StatusCode, body, err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func which(ratio float64) toxic.Requests {
	return toxic.Requests{Edge: theEdge, Method: "POST", Path: "/pay*", Ratio: ratio}
}

func pointer[T any](v T) *T { return &v }

func webKinds() map[string]func() fault.Fault {
	return map[string]func() fault.Fault{
		"http.status": func() fault.Fault { return &toxic.Status{Requests: which(1), Status: 503, Body: pointer("no")} },
		"http.delay": func() fault.Fault {
			return &toxic.Delay{Requests: which(1), Delay: 50 * time.Millisecond, Stage: "request"}
		},
		"http.abort":           func() fault.Fault { return &toxic.Abort{Requests: which(1), Stage: "request"} },
		"http.abort, answer":   func() fault.Fault { return &toxic.Abort{Requests: which(1), Stage: "response"} },
		"http.body, truncated": func() fault.Fault { return &toxic.Body{Requests: which(1), Truncate: pointer(int64(4))} },
		"http.body, replaced":  func() fault.Fault { return &toxic.Body{Requests: which(1), Replace: pointer("new")} },
		"http.header": func() fault.Fault {
			return &toxic.Header{Requests: which(1), Set: map[string]string{"X-Client": "chaos"}, Stage: "request"}
		},
	}
}

func zeroWeb(t *testing.T, kind string) func() fault.Fault {
	return func() fault.Fault {
		f, err := toxic.HTTPKinds().New(kind)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

func TestHTTPConformance(t *testing.T) {
	for name, make := range webKinds() {
		kind, _, _ := strings.Cut(name, ",")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faulttest.Run(t, faulttest.Case{
				Kind: kind, New: make, Zero: zeroWeb(t, kind), Topology: shop, Capabilities: able, Needs: able.Verbs,
				Start: func(t testing.TB) *faulttest.World {
					w := newWebShop(t)
					return &faulttest.World{System: w, Gate: w.gate, Hurt: func() bool { return w.hurt(t) }, Traffic: func(t testing.TB) {
						for range 10 {
							w.post(t, "/pay")
						}
					}}
				},
			})
		})
	}
}

// Each kind does to a client what its name says, and nothing once it is reverted.
func TestHTTPEffect(t *testing.T) {
	for name, c := range map[string]struct {
		want  string // part of it
		asked int64
	}{
		"http.status": {"503 no", 0}, "http.delay": {"200 POST /pay ", 1}, "http.abort": {"reset by peer", 0}, "http.abort, answer": {"reset by peer", 1},
		"http.body, truncated": {"200 POST, then unexpected EOF", 1}, "http.body, replaced": {"200 new", 1}, "http.header": {"200 POST /pay chaos", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebShop(t)
			if got := w.post(t, "/pay"); got != "200 POST /pay " {
				t.Fatalf("before: %s", got)
			}
			f := webKinds()[name]()
			a, revert := inject(t, w.shopSystem, f)
			begun := time.Now()
			if got := w.post(t, "/pay"); !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if name == "http.delay" && time.Since(begun) < 50*time.Millisecond {
				t.Errorf("it took %v", time.Since(begun))
			}
			if got := w.post(t, "/other"); got != "200 POST /other " {
				t.Errorf("another path: %q", got)
			}
			if got := w.asked.Load(); got != c.asked+2 {
				t.Errorf("asked %d times, want %d", got, c.asked+2)
			}
			b, err := f.Measure(t.Context(), w, a)
			if err != nil || !b.Bit || !strings.Contains(b.Delivered, "1 of 1 matching") || !strings.Contains(b.Asked, "100 % of POST /pay*") {
				t.Errorf("%+v, %v", b, err)
			}
			revert()
			if got := w.post(t, "/pay"); got != "200 POST /pay " {
				t.Errorf("after: %q", got)
			}
		})
	}
}

// A share of the requests is hit, and the measurement agrees with the client's count.
func TestHTTPShare(t *testing.T) {
	w := newWebShop(t)
	f := &toxic.Status{Requests: which(0.3), Status: 503}
	a, _ := inject(t, w.shopSystem, f)
	hit := 0
	for range 400 {
		if strings.HasPrefix(w.post(t, "/pay"), "503") {
			hit++
		}
	}
	b, err := f.Measure(t.Context(), w, a)
	if err != nil || !b.Bit || !strings.HasPrefix(b.Delivered, fmt.Sprintf("%d of 400 matching requests, on ", hit)) || hit < 80 || hit > 160 {
		t.Errorf("%d hit; %+v, %v", hit, b, err)
	}
}

// TestHitRequests: what the counters say of an http toxic, at the borders.
func TestHitRequests(t *testing.T) {
	h := func(requests, matched, touched, blind uint64) *edge.HTTPCounters {
		return &edge.HTTPCounters{Requests: requests, Matched: matched, Touched: touched, NotUnderstood: blind}
	}
	for _, c := range []struct {
		ratio float64
		delay time.Duration
		c     edge.ToxicCounters
		why   string
	}{
		{1, 0, edge.ToxicCounters{HTTP: h(1, 1, 1, 0)}, ""},
		{1, 0, edge.ToxicCounters{}, "counts no requests"},
		{1, 0, edge.ToxicCounters{HTTP: h(0, 0, 0, 0)}, "no request passed"},
		{1, 0, edge.ToxicCounters{HTTP: h(0, 0, 0, 3)}, "no HTTP/1"},
		{1, 0, edge.ToxicCounters{HTTP: h(9, 0, 0, 3)}, "none that it could hit"},
		{0.1, 0, edge.ToxicCounters{HTTP: h(9, 3, 0, 0)}, "none of 3 matching"},
		{0.1, 0, edge.ToxicCounters{HTTP: h(9, 6, 6, 0)}, ""}, // luck, once in a million times
		{0.1, 0, edge.ToxicCounters{HTTP: h(9, 8, 8, 0)}, "no luck of the draw"},
		{1, 0, edge.ToxicCounters{HTTP: h(500, 500, 371, 0)}, "no luck of the draw"},
		{1, time.Second, edge.ToxicCounters{HTTP: h(1, 1, 1, 0)}, ""}, // its client gave up, or it is still held
		{1, time.Second, edge.ToxicCounters{HTTP: h(1, 1, 1, 0), Chunks: 1, AddedP50: 800 * time.Millisecond}, ""},
		{1, time.Second, edge.ToxicCounters{HTTP: h(1, 1, 1, 0), Chunks: 1, AddedP50: 799 * time.Millisecond}, "median delay"},
	} {
		if got := toxic.HitRequests(c.ratio, c.delay, c.c); (got == "") != (c.why == "") || !strings.Contains(got, c.why) {
			t.Errorf("%+v %+v: %q, want %q", c.c, c.c.HTTP, got, c.why)
		}
	}
}

func TestHTTPPlanErrors(t *testing.T) {
	r := func(change func(*toxic.Requests)) fault.Fault {
		f := &toxic.Status{Requests: which(1), Status: 503}
		change(&f.Requests)
		return f
	}
	for _, c := range []struct {
		f    fault.Fault
		want string
	}{
		{r(func(r *toxic.Requests) { r.Edge = "" }), "name the edge"},
		{r(func(r *toxic.Requests) { r.Edge = "gateway->rediss" }), "its edges are"},
		{r(func(r *toxic.Requests) { r.Method = "post" }), "method"},
		{r(func(r *toxic.Requests) { r.Method = "GET|POST" }), "one method"},
		{r(func(r *toxic.Requests) { r.Path = "pay" }), "path"},
		{r(func(r *toxic.Requests) { r.Path = "/pay?x=1" }), "path"},
		{r(func(r *toxic.Requests) { r.Ratio = 0 }), "ratio 0"},
		{r(func(r *toxic.Requests) { r.Ratio = 1.5 }), "ratio 1.5"},
		{&toxic.Status{Requests: which(1), Status: 101}, "status 101"},
		{&toxic.Status{Requests: which(1), Status: 204, Body: pointer("x")}, "has no body"},
		{&toxic.Status{Requests: which(1), Status: 503, Headers: map[string]string{"Content-Length": "1"}}, "frames"},
		{&toxic.Delay{Requests: which(1), Stage: "request"}, "delay 0s"},
		{&toxic.Delay{Requests: which(1), Delay: time.Second, Stage: "later"}, `stage "later"`},
		{&toxic.Abort{Requests: which(1)}, `stage ""`},
		{&toxic.Body{Requests: which(1)}, "give truncate or replace"},
		{&toxic.Body{Requests: which(1), Truncate: pointer(int64(1)), Replace: pointer("x")}, "not both"},
		{&toxic.Body{Requests: which(1), Truncate: pointer(int64(-1))}, "truncate -1"},
		{&toxic.Header{Requests: which(1), Stage: "request"}, "give set or remove"},
		{&toxic.Header{Requests: which(1), Stage: "request", Remove: []string{"te"}}, "frames"},
		{&toxic.Header{Requests: which(1), Stage: "request", Remove: []string{"A", "a"}}, "twice"},
		{&toxic.Header{Requests: which(1), Stage: "request", Set: map[string]string{"A": "b"}, Remove: []string{"B"}}, "not both"},
		{&toxic.Header{Requests: which(1), Stage: "request", Set: map[string]string{"A": "b\r\nc"}}, "line ends"},
		{&toxic.Header{Requests: which(1), Stage: "request", Set: map[string]string{"Authorization": "Bearer abcdef"}}, "secret"},
	} {
		if _, err := c.f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.f, err, c.want)
		}
	}
}
