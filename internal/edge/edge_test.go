package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"chaos/internal/proxy"
)

// patient is how long a test waits for what must come: the machine may be busy.
const patient = time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	if err := leaks(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		code = 1
	}
	os.Exit(code)
}

// leaks gives goroutines that are about to end the time for it.
func leaks() (err error) {
	for limit := time.Now().Add(patient); time.Now().Before(limit); {
		err = goleak.Find( // stock leaks these when a connection ends while it sends
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
		if err == nil {
			return nil
		}
	}
	return err
}

func serveHTTP(t *testing.T, h http.Handler) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		s.Close()
	})
	c := New(s.Listener.Addr().String())
	c.Patience = patient
	return c
}

func chaos(t *testing.T) *Client {
	t.Helper()
	s := proxy.New(proxy.Options{})
	t.Cleanup(s.Close)
	return serveHTTP(t, s.Handler())
}

func stock(t *testing.T) *Client {
	t.Helper()
	s := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	t.Cleanup(func() { _ = s.Collection.Clear() })
	return serveHTTP(t, s.Routes())
}

func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return ln.Addr().String()
}

func ping(t *testing.T, addr string) time.Duration {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patient))
	start := time.Now()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func create(t *testing.T, c *Client, name, upstream string) Proxy {
	t.Helper()
	if err := c.Create(t.Context(), name, "127.0.0.1:0", upstream); err != nil {
		t.Fatal(err)
	}
	return must[Proxy](t)(c.Get(t.Context(), name))
}

func addToxic(t *testing.T, c *Client, proxy string, x Toxic) {
	t.Helper()
	if err := c.AddToxic(t.Context(), proxy, x); err != nil {
		t.Fatal(err)
	}
}

// Every call does the same with both makes, but for the version.
func TestCallsOnBothMakes(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *Client{"stock": stock, "chaos": chaos} {
		t.Run(name, func(t *testing.T) {
			ctx, c, up := t.Context(), start(t), echo(t)
			v := must[Version](t)(c.Version(ctx))
			if v.Stock != (name == "stock") || v.API == "" || (v.Epoch == "") != v.Stock {
				t.Fatalf("%+v", v)
			}
			p := create(t, c, "a", up)
			if strings.HasSuffix(p.Listen, ":0") || !p.Enabled {
				t.Fatalf("%+v", p)
			}
			create(t, c, "b->c", up)
			slow := Toxic{Type: "latency", Toxicity: 1, Attributes: map[string]any{"latency": 60}}
			addToxic(t, c, "a", slow)
			if err := c.AddToxic(ctx, "a", slow); !errors.Is(err, ErrExists) || !errors.Is(err, ErrRefused) || errors.Is(err, ErrNotFound) {
				t.Fatalf("twice: %v", err)
			}
			want := Toxic{"latency_downstream", "latency", "downstream", 1, map[string]any{"latency": 60.0, "jitter": 0.0}}
			if got := must[[]Toxic](t)(c.Toxics(ctx, "a")); !reflect.DeepEqual(got, []Toxic{want}) {
				t.Fatalf("%+v", got)
			}
			addToxic(t, c, "a", Toxic{Name: "keep", Type: "latency", Stream: "upstream", Toxicity: 0.5})
			if took := ping(t, p.Listen); took < 60*time.Millisecond {
				t.Fatalf("took %v", took)
			}
			if err := c.RemoveToxic(ctx, "a", "latency_downstream"); err != nil {
				t.Fatal(err)
			}
			fastest := ping(t, p.Listen)
			for range 20 { // of which a busy machine may slow some
				fastest = min(fastest, ping(t, p.Listen))
			}
			if fastest >= 60*time.Millisecond {
				t.Fatalf("after removal: %v", fastest)
			}
			if all := must[[]Toxic](t)(c.Toxics(ctx, "a")); len(all) != 1 || all[0].Name != "keep" || all[0].Toxicity != 0.5 {
				t.Fatalf("left: %+v", all)
			}
			if err := c.Neutral(ctx); err != nil {
				t.Fatal(err)
			}
			all := must[[]Proxy](t)(c.List(ctx))
			if len(all) != 2 || all[0].Name != "a" || all[0].Listen != p.Listen || len(all[0].Toxics) != 0 || !all[0].Enabled {
				t.Fatalf("%+v", all)
			}
			ping(t, p.Listen)
			addToxic(t, c, "b->c", Toxic{Type: "timeout", Toxicity: 1})
			if again := create(t, c, "b->c", up); len(again.Toxics) != 0 { // anew
				t.Fatalf("%+v", again)
			}
			idempotent(t, c)
		})
	}
}

func idempotent(t *testing.T, c *Client) {
	t.Helper()
	ctx := t.Context()
	for what, err := range map[string]error{
		"toxic is gone":    c.RemoveToxic(ctx, "a", "never"),
		"proxy is gone":    c.RemoveToxic(ctx, "never", "never"),
		"delete":           c.Delete(ctx, "a"),
		"delete again":     c.Delete(ctx, "a"),
		"neutral":          c.Neutral(ctx),
		"neutral again":    c.Neutral(ctx),
		"empty is no name": errOf(c.Delete(ctx, "")),
		"slash in a name":  errOf(c.RemoveToxic(ctx, "a/../b", "x")),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.Get(ctx, "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
}

// errOf turns an error that must be there into nil.
func errOf(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return nil
}

func TestCountersAndLease(t *testing.T) {
	ctx, c := t.Context(), chaos(t)
	p := create(t, c, "a", echo(t))
	addToxic(t, c, "a", Toxic{Type: "latency", Toxicity: 1, Attributes: map[string]any{"latency": 20}})
	ping(t, p.Listen)
	n := must[Counters](t)(c.Counters(ctx, "a"))
	v := must[Version](t)(c.Version(ctx))
	if n.Epoch != v.Epoch || n.Accepted != 1 || n.Received.Downstream != 1 || len(n.Toxics) != 1 {
		t.Fatalf("%+v", n)
	}
	tx := n.Toxics[0]
	if tx.Connections != 1 || tx.Chunks != 1 || tx.AddedTotal < 20*time.Millisecond || tx.AddedMax != tx.AddedTotal ||
		tx.AddedP50 < 19*time.Millisecond || tx.ActiveSince.IsZero() {
		t.Fatalf("%+v", tx)
	}
	if _, err := c.Counters(ctx, "nobody"); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrStock) {
		t.Fatalf("counters of nobody: %v", err)
	}
	l := must[LeaseState](t)(c.Renew(ctx, 200*time.Millisecond))
	if l.TTLMS != 200 || l.RemainingMS <= 0 || l.RemainingMS > 200 || l.Expired != 0 {
		t.Fatalf("%+v", l)
	}
	limit := time.Now().Add(patient)
	for len(must[[]Toxic](t)(c.Toxics(ctx, "a"))) > 0 {
		if time.Now().After(limit) {
			t.Fatal("the lease did not end")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := c.Renew(ctx, -time.Second); !errors.Is(err, ErrRefused) {
		t.Fatalf("negative lease: %v", err)
	}
}

func TestStockIsSaidSo(t *testing.T) {
	ctx, c := t.Context(), stock(t)
	create(t, c, "a", echo(t))
	if _, err := c.Counters(ctx, "a"); !errors.Is(err, ErrStock) {
		t.Errorf("counters: %v", err)
	}
	if _, err := c.Renew(ctx, time.Second); !errors.Is(err, ErrStock) {
		t.Errorf("lease: %v", err)
	}
}

// The undo of a stock server is quick even with a client that never reads, which makes
// its own removal of a toxic hang for 25 s.
func TestStockUndoDoesNotHang(t *testing.T) {
	ctx, c := t.Context(), stock(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			u, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer u.Close()
				for err == nil {
					_, err = u.Write(make([]byte, 64<<10))
				}
			}()
		}
	}()
	p := create(t, c, "a", ln.Addr().String())
	addToxic(t, c, "a", Toxic{Name: "x", Type: "latency", Toxicity: 1, Attributes: map[string]any{"latency": 5}})
	silent, err := net.Dial("tcp", p.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	time.Sleep(200 * time.Millisecond) // buffers fill
	start := time.Now()
	if err := c.RemoveToxic(ctx, "a", "x"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
	if got := must[Proxy](t)(c.Get(ctx, "a")); got.Listen != p.Listen || len(got.Toxics) != 0 {
		t.Errorf("%+v", got)
	}
}

// A server that never answers costs a second, a cancelled context nothing, and the
// calls left behind are bounded.
func TestDeadlines(t *testing.T) {
	release := make(chan struct{})
	var calls atomic.Int64
	c := serveHTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		<-release
	}))
	defer close(release)
	c.Patience = CallTimeout
	start := time.Now()
	_, err := c.List(t.Context())
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took < CallTimeout || took > 15*time.Second {
		t.Fatalf("%v after %v", err, took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start = time.Now()
	if err := c.Neutral(ctx); !errors.Is(err, context.Canceled) || time.Since(start) > 15*time.Second {
		t.Fatalf("%v after %v", err, time.Since(start))
	}
	if _, err := c.Counters(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for range 3 * maxCalls {
		short, done := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err = c.List(short)
		done()
		if err == nil {
			t.Fatal("an answer from nobody")
		}
	}
	if n := calls.Load(); n > maxCalls {
		t.Fatalf("%d calls are under way, limit %d", n, maxCalls)
	}
	if !strings.Contains(err.Error(), "hang already") {
		t.Fatal(err)
	}
}
