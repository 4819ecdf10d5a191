package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// Toxics that come and go under load of all sorts hang nothing, and what is answered is right.
func TestHTTPTorture(t *testing.T) {
	cycles := 60
	if testing.Short() {
		cycles = 20
	}
	s := newShop(t)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var answered, failed, halved atomic.Int64
	for i := range 8 {
		load.Go(func() {
			body := bytes.Repeat([]byte{byte('a' + i)}, 1+i*i*2000)
			for n := 0; ctx.Err() == nil; n++ {
				path := []string{"/a", "/chunked", "/none"}[n%3]
				short, stop := context.WithTimeout(ctx, time.Duration(5+n%60)*time.Duration(1+n/500)*time.Millisecond)
				req, err := http.NewRequestWithContext(short, "POST", "http://shop"+path, iotest.OneByteReader(bytes.NewReader(body[:min(len(body), 300)])))
				if n%2 == 0 {
					req, err = http.NewRequestWithContext(short, "POST", "http://shop"+path, bytes.NewReader(body))
				}
				if err != nil {
					t.Error(err)
				}
				want := "POST " + path + " " + string(body)
				if n%2 == 1 {
					want = "POST " + path + " " + string(body[:min(len(body), 300)])
				}
				resp, err := s.http.Do(req)
				if err != nil {
					failed.Add(1)
					stop()
					continue
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				stop()
				switch {
				case err != nil, !strings.HasSuffix(resp.Header.Get("X-Sum"), "<nil>") && resp.Header.Get("X-Sum") != "":
					failed.Add(1) // the shop may have got half a request, and says so with what it answers
				case resp.StatusCode == 400 && resp.Header.Get("X-Sum") == "":
					halved.Add(1) // net/http says so to half a head
				case resp.StatusCode == 503 && string(got) == "no", resp.StatusCode == 200 && string(got) == "new", resp.StatusCode == 204, string(got) == want:
					answered.Add(1)
				default:
					t.Errorf("%d %.60q", resp.StatusCode, got)
				}
			}
		})
	}
	all := []client.Attributes{
		{"status": 503, "body": "no"}, {"delay": 20}, {"delay": 20, "stage": "response"}, {"abort": true}, {"abort": true, "stage": "response"},
		{"truncate": 30}, {"body": "new"}, {"headers": headers("x")}, {"headers": headers("x", "Date"), "stage": "response"},
	}
	beside := []struct {
		kind, stream string
		attrs        client.Attributes
	}{
		{"latency", "downstream", client.Attributes{"latency": 3}}, {"bandwidth", "downstream", client.Attributes{"rate": 0}},
		{"slicer", "upstream", client.Attributes{"average_size": 50, "delay": 100}}, {"slow_close", "downstream", client.Attributes{"delay": 1000}},
		{"limit_data", "upstream", client.Attributes{"bytes": 700}}, {"limit_data", "downstream", client.Attributes{"bytes": 700}},
		{"bandwidth", "upstream", client.Attributes{"rate": 300}}, {"reset_peer", "downstream", client.Attributes{"timeout": 5}},
	}
	worst, long, cuts := time.Duration(0), 0, int64(0)
	limit := time.Now().Add(patient)
	for i := 0; i < cycles || (answered.Load() == 0 || failed.Load() == 0) && time.Now().Before(limit); i++ {
		other := beside[i/3%len(beside)]
		begun := time.Now()
		attrs := all[i%len(all)]
		attrs["ratio"] = []float64{1, 0.5}[i%2]
		s.add(t, attrs)
		if i%3 == 0 {
			toxicOf(t, s.p, other.kind, other.stream, other.attrs)
			cuts += int64(btoi(other.kind == "limit_data"))
		}
		call := time.Since(begun)
		time.Sleep(time.Duration(i%30) * time.Millisecond)
		begun = time.Now()
		s.remove(t)
		if i%3 == 0 {
			if err := s.p.RemoveToxic(other.kind + "_" + other.stream); err != nil {
				t.Fatal(err)
			}
		}
		call = max(call, time.Since(begun))
		worst, long = max(worst, call), long+btoi(call > tortureLong)
	}
	cancel()
	load.Wait()
	s.http.CloseIdleConnections()
	t.Logf("%d cycles, worst calls %v, %d answered, %d failed, %d heads cut", cycles, worst, answered.Load(), failed.Load(), halved.Load())
	if long > 1+cycles/tortureLimit || answered.Load() == 0 || failed.Load() == 0 || halved.Load() > 8*cuts {
		t.Error("that is not what it should be")
	}
	within(t, "connections gone", func() bool { return s.counters(t).Upstreams == 0 })
}

// TestHTTPOverhead prints what reading along, and an http toxic that touches nothing, add to a request: the ways
// take turns, so that other work on the machine hits all of them alike.
func TestHTTPOverhead(t *testing.T) {
	const request, reply = "POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: 0123456789abcdef\r\nContent-Length: 16\r\n\r\n{\"amount\":12345}",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"
	up := serve(t, func(c net.Conn) {
		for b := make([]byte, len(request)); ; {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			if _, err := io.WriteString(c, reply); err != nil {
				return
			}
		}
	})
	ways := []struct {
		name  string
		proxy func(*client.Proxy, *Server)
		conn  net.Conn
		took  []time.Duration
	}{
		{name: "direct"}, {name: "plain, not reading along"}, {name: "no toxic"}, {name: "http toxic"},
	}
	for i := range ways {
		addr := up.addr()
		if i > 0 {
			r := ours(t, Options{})
			p := r.proxyTo(t, addr)
			if i == 3 {
				if _, err := p.AddToxic("x", "http", "", 1, client.Attributes{"status": 503, "path": "/other", "ratio": 0.5}); err != nil {
					t.Fatal(err)
				}
			}
			addr = p.Listen
			ways[i].conn = dial(t, addr)
			if i == 1 {
				within(t, "connection", func() bool { x, _ := r.srv.get("p"); return len(x.current()) == 1 && x.n.upstreams.Load() == 1 })
				x, err := r.srv.get("p")
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range x.current() {
					l.web.off.Store(true)
				}
			}
			continue
		}
		ways[i].conn = dial(t, addr)
	}
	n := 3000
	if testing.Short() {
		n = 300
	}
	got := make([]byte, len(reply))
	for i := range ways {
		if err := ways[i].conn.SetDeadline(time.Now().Add(10 * patient)); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		for i := range ways {
			begun := time.Now()
			if _, err := io.WriteString(ways[i].conn, request); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(ways[i].conn, got); err != nil || string(got) != reply {
				t.Fatal(err)
			}
			ways[i].took = append(ways[i].took, time.Since(begun))
		}
	}
	for _, w := range ways {
		slices.Sort(w.took)
		t.Logf("%-26s p50 %v p99 %v", w.name, w.took[n/2], w.took[n*99/100])
	}
	if plain, aware := ways[1].took[n/2], ways[3].took[n/2]; aware > 2*plain {
		t.Errorf("an aware link takes %v for a request, a plain one %v", aware, plain)
	}
}

// BenchmarkHTTP is one request and answer of net/http on one connection.
func BenchmarkHTTP(b *testing.B) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	b.Cleanup(h.Close)
	for _, way := range []string{"no toxic", "http toxic"} {
		for _, size := range []int{16, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%d", way, size), func(b *testing.B) {
				p := ours(b, Options{}).proxyTo(b, h.Listener.Addr().String())
				if way != "no toxic" {
					if _, err := p.AddToxic("x", "http", "", 1, client.Attributes{"status": 503, "ratio": 0}); err != nil {
						b.Fatal(err)
					}
				}
				c := &http.Client{Transport: &http.Transport{}}
				b.Cleanup(c.CloseIdleConnections)
				body, begun := make([]byte, size), time.Now()
				for b.Loop() {
					resp, err := c.Post("http://"+p.Listen, "x/y", bytes.NewReader(body))
					if err != nil {
						b.Fatal(err)
					}
					if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(size) {
						b.Fatal(errors.Join(err, resp.Body.Close()))
					}
					resp.Body.Close()
				}
				b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "requests/s")
			})
		}
	}
}
