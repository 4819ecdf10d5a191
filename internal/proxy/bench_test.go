package proxy

import (
	"io"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// routes are the ways from a client to an upstream that the benchmarks compare.
func routes(b *testing.B, up *upstream, f func(*testing.B, string)) {
	b.Run("direct", func(b *testing.B) { f(b, up.addr()) })
	b.Run("chaos", func(b *testing.B) { f(b, ours(b, Options{}).proxyTo(b, up.addr()).Listen) })
	b.Run("stock", func(b *testing.B) { f(b, stock(b).proxyTo(b, up.addr()).Listen) })
	b.Run("chaos latency 0", func(b *testing.B) {
		p := ours(b, Options{}).proxyTo(b, up.addr())
		if _, err := p.AddToxic("", "latency", "", 1, client.Attributes{"latency": 0}); err != nil {
			b.Fatal(err)
		}
		f(b, p.Listen)
	})
}

// BenchmarkRoundTrip is 64 bytes there and back on one connection.
func BenchmarkRoundTrip(b *testing.B) {
	routes(b, serve(b, echo), func(b *testing.B, addr string) {
		c := open(b, addr)
		msg, got := make([]byte, 64), make([]byte, 64)
		for b.Loop() {
			if _, err := c.Write(msg); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, got); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkThroughput sends 1 MiB at a time to an upstream that only reads.
func BenchmarkThroughput(b *testing.B) {
	up := serve(b, func(c net.Conn) { _, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, make([]byte, 256<<10)) })
	routes(b, up, func(b *testing.B, addr string) {
		c, block := open(b, addr), make([]byte, 1<<20)
		b.SetBytes(int64(len(block)))
		for b.Loop() {
			if _, err := c.Write(block); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func open(b *testing.B, addr string) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// TestHopOverhead prints what a hop adds to a small round trip, the three ways taking
// turns, so that other work on the machine hits all of them alike.
func TestHopOverhead(t *testing.T) {
	up := serve(t, echo)
	ways := []struct {
		name string
		conn net.Conn
		took []time.Duration
	}{
		{name: "direct", conn: dial(t, up.addr())},
		{name: "chaos", conn: dial(t, ours(t, Options{}).proxyTo(t, up.addr()).Listen)},
		{name: "stock", conn: dial(t, stock(t).proxyTo(t, up.addr()).Listen)},
	}
	n := 5000
	if testing.Short() {
		n = 500
	}
	for range n {
		for i := range ways {
			ways[i].took = append(ways[i].took, ping(t, ways[i].conn, "sixty-four bytes or so of a small request, there and back again.."))
		}
	}
	for _, w := range ways {
		slices.Sort(w.took)
		t.Logf("%-6s p50 %v p99 %v", w.name, w.took[n/2], w.took[n*99/100])
	}
	if chaos, stock := ways[1].took[n/2], ways[2].took[n/2]; chaos > 2*stock {
		t.Errorf("a hop costs %v, stock's %v", chaos, stock)
	}
}

// BenchmarkLatencyFidelity is what a round trip takes beyond the latency that was asked for, the hop included: 16
// connections, each with one byte under way at a time. Spread, each sends at any moment of that time; in a burst all
// of them send, and are due, at once, so that the last one waits until the processors have served the others.
func BenchmarkLatencyFidelity(b *testing.B) {
	for _, asked := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond} {
		b.Run(asked.String()+"/spread", func(b *testing.B) { fidelity(b, asked, asked) })
		b.Run(asked.String()+"/burst", func(b *testing.B) { fidelity(b, asked, 1) })
	}
}

func fidelity(b *testing.B, asked, spread time.Duration) {
	p := ours(b, Options{}).proxyTo(b, serve(b, echo).addr())
	if _, err := p.AddToxic("", "latency", "", 1, client.Attributes{"latency": asked.Milliseconds()}); err != nil {
		b.Fatal(err)
	}
	conns := make([]net.Conn, 16)
	for i := range conns {
		conns[i] = open(b, p.Listen)
		ping(b, conns[i], "x") // established to the far end
	}
	var over []time.Duration
	for b.Loop() {
		took := make([]time.Duration, len(conns))
		var wg sync.WaitGroup
		for i, c := range conns {
			wg.Go(func() {
				time.Sleep(rand.N(spread))
				began := time.Now()
				_, err := c.Write([]byte{1})
				if err == nil {
					_, err = io.ReadFull(c, make([]byte, 1))
				}
				if took[i] = time.Since(began); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		for _, d := range took {
			over = append(over, d-asked)
		}
	}
	slices.Sort(over)
	at := func(q float64) float64 { return over[int(math.Ceil(q*float64(len(over))))-1].Seconds() * 1e3 }
	if over[0] < 0 {
		b.Errorf("an answer came %v early", -over[0])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(over)), "samples")
	b.ReportMetric(at(0.5), "p50-over-ms")
	b.ReportMetric(at(0.99), "p99-over-ms")
}
