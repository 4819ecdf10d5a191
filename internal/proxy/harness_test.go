package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	client "github.com/Shopify/toxiproxy/v2/client"
	"github.com/Shopify/toxiproxy/v2/collectors"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

const (
	// patient is how long a test waits for what must come. Nothing depends on how soon it does: the machine may be busy.
	patient = time.Minute
	// never is longer than any test waits, in ms: what is held for so long and comes was let go.
	never = 3_600_000
	// attempts is how often a measurement of time may be played until it agrees.
	attempts = 20
)

// Stock leaks its own goroutines when a connection ends while it sends; ours may not.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leaks gives goroutines that are about to end the time for it.
func leaks() int {
	var err error
	for limit := time.Now().Add(patient); time.Now().Before(limit); {
		err = goleak.Find(
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
		if err == nil {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, "goleak:", err)
	return 1
}

// agrees plays a measurement of time until it has nothing against. Other work on the machine makes any single one
// late; what is wrong is so each time.
func agrees(t testing.TB, measure func() (against string)) {
	t.Helper()
	var against string
	for range attempts {
		if against = measure(); against == "" {
			return
		}
		t.Log("once more:", against)
	}
	t.Errorf("%d times, at last: %s", attempts, against)
}

// rig is a server of either make, and a client of it.
type rig struct {
	name string
	url  string
	api  *client.Client
	srv  *Server // nil for stock
}

func ours(t testing.TB, o Options) *rig {
	t.Helper()
	s := New(o)
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		h.Close()
		s.Close()
	})
	return &rig{name: "chaos", url: h.URL, api: client.NewClient(h.URL), srv: s}
}

func stock(t testing.TB) *rig {
	t.Helper()
	m := toxiproxy.NewMetricsContainer(prometheus.NewRegistry())
	m.ProxyMetrics = collectors.NewProxyMetricCollectors()
	s := toxiproxy.NewServer(m, zerolog.Nop())
	h := httptest.NewServer(s.Routes())
	t.Cleanup(func() {
		_ = s.Collection.Clear()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		h.Close()
	})
	return &rig{name: "stock", url: h.URL, api: client.NewClient(h.URL)}
}

// proxyTo makes a proxy called p.
func (r *rig) proxyTo(t testing.TB, upstream string) *client.Proxy {
	t.Helper()
	p, err := r.api.CreateProxy("p", "127.0.0.1:0", upstream)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// call sends a raw request and returns status, content type and body.
func (r *rig) call(t testing.TB, method, path, body string, header ...string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequest(method, r.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

func (r *rig) counters(t testing.TB) Counters {
	t.Helper()
	_, _, body := r.call(t, "GET", "/proxies/p/counters", "")
	var c Counters
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return c
}

// upstream is an echo server that counts its connections.
type upstream struct {
	ln        net.Listener
	open, max atomic.Int64
	total     atomic.Int64
}

func (u *upstream) addr() string { return u.ln.Addr().String() }

// serve runs handle for each connection, until the test ends.
func serve(t testing.TB, handle func(net.Conn)) *upstream {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{ln: ln}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			u.total.Add(1)
			n := u.open.Add(1)
			for m := u.max.Load(); n > m && !u.max.CompareAndSwap(m, n); m = u.max.Load() {
			}
			go func() {
				defer u.open.Add(-1)
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return u
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// dial connects through a proxy; the connection lives for as long as a test is patient.
func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// ping sends one message and returns how long its echo took.
func ping(t testing.TB, c net.Conn, msg string) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := c.Write([]byte(msg)); err != nil {
		t.Fatalf("write: %v", err)
	}
	got := make([]byte, len(msg))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("read: %v", err)
	}
	if string(got) != msg {
		t.Fatalf("got %q, want %q", got, msg)
	}
	return time.Since(start)
}

// ending says how a connection ended: EOF, RST, timeout, or data.
func ending(c net.Conn) string {
	n, err := c.Read(make([]byte, 1))
	switch {
	case n > 0:
		return "data"
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "RST"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return err.Error()
}

// fate dials and says how the connection ended: a RST may come before connect returns.
func fate(t testing.TB, addr string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		if errors.Is(err, syscall.ECONNRESET) {
			return "RST"
		}
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patient))
	return ending(c)
}

// within polls until ok.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.Now().Add(patient)
	for !ok() {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", patient, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// becomes polls until nothing is said against.
func becomes(t testing.TB, against func() string) {
	t.Helper()
	for limit := time.Now().Add(patient); ; time.Sleep(2 * time.Millisecond) {
		said := against()
		if said == "" {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("after %v still: %s", patient, said)
		}
	}
}

func toxicOf(t testing.TB, p *client.Proxy, kind, stream string, attrs client.Attributes) {
	t.Helper()
	if _, err := p.AddToxic("", kind, stream, 1, attrs); err != nil {
		t.Fatal(err)
	}
}
