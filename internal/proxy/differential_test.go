package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// observation is what a client sees of one scenario.
type observation struct {
	how  string        // how it ended, in words
	took time.Duration // the time that the scenario is about
}

// void is how a scenario ended that the machine was too slow to play: it tells nothing.
const void = "too late to tell"

// scenario is played against both makes; took may differ by tolerance, how must not,
// unless the difference is stated: then ours has to be exactly that.
type scenario struct {
	name      string
	play      func(*testing.T, *client.Proxy) observation
	tolerance time.Duration
	ours      string // the documented difference
}

// TestDifferential holds each stock kind against stock v2.12. How a scenario ends must agree each time. Other work on
// the machine makes either side late, so the times must agree once, or the shortest of all attempts.
func TestDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("not run: -short leaves the comparison with stock out")
	}
	for _, sc := range slices.Concat(scenarios(), metering()) {
		t.Run(sc.name, func(t *testing.T) {
			best := map[string]time.Duration{}
			agrees(t, func() string {
				seen := compare(t, sc)
				a, b := seen["stock"], seen["chaos"]
				if a.how == void || b.how == void {
					return void
				}
				for name, o := range seen {
					if least, ok := best[name]; !ok || o.took < least {
						best[name] = o.took
					}
				}
				differ := min((a.took - b.took).Abs(), (best["stock"] - best["chaos"]).Abs())
				if differ > sc.tolerance {
					return fmt.Sprintf("differs by %v, tolerance %v", differ, sc.tolerance)
				}
				return ""
			})
		})
	}
}

// compare plays sc once on each make.
func compare(t *testing.T, sc scenario) map[string]observation {
	t.Helper()
	seen := map[string]observation{}
	for _, r := range []*rig{stock(t), ours(t, Options{Seed: 3})} {
		up := serve(t, echo)
		seen[r.name] = sc.play(t, r.proxyTo(t, up.addr()))
	}
	a, b := seen["stock"], seen["chaos"]
	t.Logf("stock %-10s %8v   chaos %-10s %8v", a.how, a.took.Round(10*time.Microsecond), b.how, b.took.Round(10*time.Microsecond))
	if a.how == void || b.how == void {
		return seen
	}
	want := a.how
	if sc.ours != "" {
		want = sc.ours
		if a.how == sc.ours {
			t.Errorf("stock now does %s too: the difference is gone", a.how)
		}
	}
	if b.how != want {
		t.Errorf("ends with %s, want %s", b.how, want)
	}
	return seen
}

func scenarios() []scenario {
	const few = 10 * time.Millisecond
	return []scenario{
		{"neutral round trip", playNeutral, few, ""},
		{"latency downstream", playLatency("downstream", 50, 0, 20), few, ""},
		{"latency upstream", playLatency("upstream", 50, 0, 20), few, ""},
		{"latency with jitter", playLatency("downstream", 40, 20, 60), few, ""},
		{"jitter above latency", playLatency("downstream", 5, 20, 60), few, ""},
		{"two latencies add up", playTwoLatencies, few, ""},
		{"latency does not serialise chunks", playPipelined, few, ""},
		{"latency update applies at once", playUpdate, few, ""},
		{"latency removed in flight", playRemoved, few, ""},
		{"latency keeps data before EOF", playEOFBehindLatency, few, ""},
		{"toxicity 0 touches nobody", playToxicityZero, few, ""},
		{"timeout closes without data", playTimeout, few, ""},
		{"timeout is restarted by data", playTimeoutRestart, few, ""},
		{"timeout 0 is a black hole", playBlackhole, few, ""},
		{"timeout removed closes", playTimeoutRemoved, few, ""},
		{"reset_peer on a new connection", playResetPeerNew, few, ""},
		{"reset_peer on an established one", playResetPeerOld, few, "RST"},
		{"reset_peer without data", playResetPeerIdle, few, ""},
		{"disable: established", playDisable, few, ""},
		{"disable: new", playDisableNew, few, ""},
		{"disable and enable: same port", playReEnable, few, ""},
		{"delete", playDelete, few, ""},
		{"upstream refuses", playDeadUpstream, few, "RST"},
		{"half-close", playHalfClose, few, "answer"},
	}
}

func add(t *testing.T, p *client.Proxy, kind, stream string, attrs client.Attributes) {
	t.Helper()
	if _, err := p.AddToxic("x", kind, stream, 1, attrs); err != nil {
		t.Fatal(err)
	}
}

func p50(t *testing.T, c net.Conn, n int) time.Duration {
	t.Helper()
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = ping(t, c, "hello")
	}
	slices.Sort(all)
	return all[n/2]
}

func playNeutral(t *testing.T, p *client.Proxy) observation {
	return observation{"data", p50(t, dial(t, p.Listen), 100)}
}

func playLatency(stream string, latency, jitter, n int) func(*testing.T, *client.Proxy) observation {
	return func(t *testing.T, p *client.Proxy) observation {
		c := dial(t, p.Listen)
		ping(t, c, "established")
		add(t, p, "latency", stream, client.Attributes{"latency": latency, "jitter": jitter})
		return observation{"data", p50(t, c, n)}
	}
}

func playTwoLatencies(t *testing.T, p *client.Proxy) observation {
	add(t, p, "latency", "upstream", client.Attributes{"latency": 20})
	if _, err := p.AddToxic("y", "latency", "upstream", 1, client.Attributes{"latency": 30}); err != nil {
		t.Fatal(err)
	}
	return observation{"data", p50(t, dial(t, p.Listen), 10)}
}

// playPipelined sends ten chunks 5 ms apart: all arrive 50 ms late, not 500.
func playPipelined(t *testing.T, p *client.Proxy) observation {
	add(t, p, "latency", "", client.Attributes{"latency": 50})
	c := dial(t, p.Listen)
	start := time.Now()
	go func() {
		for range 10 {
			_, _ = c.Write([]byte("x"))
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	return observation{"data", time.Since(start)}
}

func playUpdate(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	add(t, p, "latency", "", client.Attributes{"latency": 10})
	ping(t, c, "x")
	if _, err := p.UpdateToxic("x", 1, client.Attributes{"latency": 60}); err != nil {
		t.Fatal(err)
	}
	return observation{"data", ping(t, c, "x")}
}

func playRemoved(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	add(t, p, "latency", "", client.Attributes{"latency": 4000})
	start := time.Now()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if err := p.RemoveToxic("x"); err != nil {
		t.Fatal(err)
	}
	return observation{ending(c), time.Since(start)}
}

func playEOFBehindLatency(t *testing.T, p *client.Proxy) observation {
	up := serve(t, func(c net.Conn) { _, _ = c.Write([]byte("last words")) })
	p.Upstream = up.addr()
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	add(t, p, "latency", "", client.Attributes{"latency": 50})
	start := time.Now()
	b, err := io.ReadAll(dial(t, p.Listen))
	if err != nil {
		t.Fatal(err)
	}
	return observation{string(b), time.Since(start)}
}

func playToxicityZero(t *testing.T, p *client.Proxy) observation {
	if _, err := p.AddToxic("x", "latency", "", 0, client.Attributes{"latency": 1000}); err != nil {
		t.Fatal(err)
	}
	return observation{"data", ping(t, dial(t, p.Listen), "x")}
}

func playTimeout(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "x")
	start := time.Now()
	add(t, p, "timeout", "", client.Attributes{"timeout": 80})
	return observation{ending(c), time.Since(start)}
}

func playTimeoutRestart(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "x")
	start := time.Now()
	add(t, p, "timeout", "", client.Attributes{"timeout": 80})
	time.Sleep(50 * time.Millisecond)
	if _, err := c.Write([]byte("lost")); err != nil || time.Since(start) > 80*time.Millisecond {
		return observation{how: void} // it was over before
	}
	return observation{ending(c), time.Since(start)}
}

func playBlackhole(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	add(t, p, "timeout", "", client.Attributes{"timeout": 0})
	start := time.Now()
	if _, err := c.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
	return observation{ending(c), time.Since(start)}
}

func playTimeoutRemoved(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "x")
	add(t, p, "timeout", "", client.Attributes{"timeout": 0})
	silent(t, c)
	start := time.Now()
	if err := p.RemoveToxic("x"); err != nil {
		t.Fatal(err)
	}
	return observation{ending(c), time.Since(start)}
}

// silent waits until what is written is not answered any more: on a busy machine a stream may take notice
// of its new toxic late, and one that never did has nothing to end with it.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	defer func() { _ = c.SetDeadline(time.Now().Add(patient)) }()
	for range 50 {
		if _, err := c.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if ending(c) == "timeout" {
			return
		}
	}
	t.Fatal("the toxic never took hold")
}

func playResetPeerNew(t *testing.T, p *client.Proxy) observation {
	add(t, p, "reset_peer", "", client.Attributes{"timeout": 30})
	return resetAfterData(t, dial(t, p.Listen))
}

func playResetPeerOld(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "x")
	add(t, p, "reset_peer", "", client.Attributes{"timeout": 30})
	return resetAfterData(t, c)
}

func resetAfterData(t *testing.T, c net.Conn) observation {
	t.Helper()
	start := time.Now()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	return observation{ending(c), time.Since(start)}
}

func playResetPeerIdle(t *testing.T, p *client.Proxy) observation {
	add(t, p, "reset_peer", "", client.Attributes{"timeout": 10})
	c := dial(t, p.Listen)
	start := time.Now()
	_ = c.SetReadDeadline(start.Add(100 * time.Millisecond))
	return observation{ending(c), time.Since(start)}
}

func playDisable(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "x")
	start := time.Now()
	if err := p.Disable(); err != nil {
		t.Fatal(err)
	}
	return observation{ending(c), time.Since(start)}
}

func playDisableNew(t *testing.T, p *client.Proxy) observation {
	if err := p.Disable(); err != nil {
		t.Fatal(err)
	}
	return refusedDial(p)
}

func refusedDial(p *client.Proxy) observation {
	c, err := net.Dial("tcp", p.Listen)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return observation{how: "refused"}
	}
	if err == nil {
		c.Close()
	}
	return observation{how: "not refused"}
}

func playReEnable(t *testing.T, p *client.Proxy) observation {
	before := p.Listen
	if err := errors.Join(p.Disable(), p.Enable()); err != nil {
		t.Fatal(err)
	}
	took := ping(t, dial(t, p.Listen), "x")
	if p.Listen != before {
		return observation{"another port", took}
	}
	return observation{"same port", took}
}

func playDelete(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "x")
	if err := p.Delete(); err != nil {
		t.Fatal(err)
	}
	return observation{how: ending(c) + ", " + refusedDial(p).how}
}

func playDeadUpstream(t *testing.T, p *client.Proxy) observation {
	p.Upstream = deadUpstream(t)
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	return observation{fate(t, p.Listen), time.Since(start)}
}

// playHalfClose ends the client's stream and waits for the answer: stock loses it.
func playHalfClose(t *testing.T, p *client.Proxy) observation {
	up := serve(t, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		time.Sleep(20 * time.Millisecond)
		_, _ = c.Write([]byte("answer"))
	})
	p.Upstream = up.addr()
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, p.Listen)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || len(b) == 0 {
		return observation{how: "nothing"}
	}
	return observation{how: string(b)}
}
