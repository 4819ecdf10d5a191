//go:build unix

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
	"golang.org/x/sys/unix"
)

const (
	tortureClients = 16
	tortureReply   = 64 << 10
	tortureLong    = 2 * time.Second // no cycle of ours is so long, unless the machine stands still: stock needs 5 to 25 s
	tortureLimit   = 25              // one cycle of so many may be
)

// TestTorture switches toxics on and off under what wedges stock: clients that time
// out, one that never reads, and an upstream that never accepts.
func TestTorture(t *testing.T) {
	cycles := 1000
	if testing.Short() {
		cycles = 100
	}
	r := ours(t, Options{Seed: 1})
	up := serve(t, replies)
	flood := serve(t, func(c net.Conn) { _, _ = io.Copy(c, zeros{}) })
	ps := map[string]*client.Proxy{}
	for name, to := range map[string]string{"healthy": up.addr(), "flood": flood.addr(), "deaf": deafUpstream(t)} {
		p, err := r.api.CreateProxy(name, "127.0.0.1:0", to)
		if err != nil {
			t.Fatal(err)
		}
		ps[name] = p
	}
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var done, failed atomic.Int64
	for i := range tortureClients {
		load.Go(func() { impatient(ctx, ps["healthy"].Listen, uint64(i), &done, &failed) })
	}
	for i := range 4 {
		load.Go(func() { impatient(ctx, ps["deaf"].Listen, uint64(100+i), new(atomic.Int64), new(atomic.Int64)) })
	}
	load.Go(func() { neverReads(ctx, ps["flood"].Listen) })
	worst, worstCall, total, long := time.Duration(0), "", time.Now(), 0
	maxUp := map[string]int64{}
	for i := range cycles {
		start := time.Now()
		for name, p := range ps {
			if call, took := cycle(t, p, i); took > worst {
				worst, worstCall = took, name+" "+call
			}
		}
		if took := time.Since(start); took > tortureLong {
			t.Logf("cycle %d took %v", i, took)
			long++
		}
		for name := range ps {
			proxy, err := r.srv.get(name)
			if err != nil {
				t.Fatal(err)
			}
			maxUp[name] = max(maxUp[name], proxy.n.upstreams.Load())
		}
	}
	spent := time.Since(total)
	cancel()
	load.Wait()
	t.Logf("%d cycles x 3 proxies in %v; worst call %v (%s); %d requests answered, %d given up; most upstream connections %v",
		cycles, spent.Round(time.Millisecond), worst, worstCall, done.Load(), failed.Load(), maxUp)
	if long > cycles/tortureLimit {
		t.Errorf("%d cycles took more than %v, worst call %v (%s)", long, tortureLong, worst, worstCall)
	}
	if done.Load() == 0 || failed.Load() == 0 {
		t.Error("the load did not do its part")
	}
	// A client has one connection at a time, and thousands in all; one that gave up is noticed soon.
	if maxUp["healthy"] > 10*tortureClients || maxUp["flood"] > 10 || up.max.Load() > 10*tortureClients {
		t.Errorf("upstream connections are not bounded: %v, %d", maxUp, up.max.Load())
	}
	within(t, "upstream connections gone", func() bool { return up.open.Load() == 0 && flood.open.Load() == 0 })
}

// cycle puts one fault on p and takes it off; it returns its slowest call.
func cycle(t *testing.T, p *client.Proxy, i int) (slowest string, worst time.Duration) {
	t.Helper()
	timed := func(name string, f func() error) {
		start := time.Now()
		if err := f(); err != nil {
			t.Fatalf("cycle %d: %s: %v", i, name, err)
		}
		if took := time.Since(start); took > worst {
			slowest, worst = name, took
		}
	}
	kinds := []struct {
		kind  string
		attrs client.Attributes
	}{
		{"latency", client.Attributes{"latency": 30, "jitter": 10}},
		{"latency", client.Attributes{"latency": 20, "jitter": 20, "distribution": "pareto", "chunks": 0.5}},
		{"timeout", client.Attributes{"timeout": 20}},
		{"timeout", client.Attributes{"timeout": 0}},
		{"reset_peer", client.Attributes{"timeout": 10}},
		{"reset", client.Attributes{"every": 10}},
		{"down", client.Attributes{"mode": "refused"}},
		{"down", client.Attributes{"mode": "blackhole"}},
		{"bandwidth", client.Attributes{"rate": 100}},
		{"slicer", client.Attributes{"average_size": 1000, "size_variation": 500, "delay": 2000}},
		{"limit_data", client.Attributes{"bytes": 100_000}},
		{"limit_data", client.Attributes{"bytes": 0}},
		{"bandwidth", client.Attributes{"rate": map[string]any{"from": 0, "to": 1000, "over": 10}, "on": 10, "off": 10}},
		{"corrupt", client.Attributes{"chunks": 0.5}},
		{"slow_close", client.Attributes{"delay": 20}},
		{"bandwidth", client.Attributes{"rate": 0}},
	}
	k := kinds[i%(len(kinds)+1)%len(kinds)]
	if i%(len(kinds)+1) == len(kinds) {
		timed("disable", p.Disable)
		timed("enable", p.Enable)
		return slowest, worst
	}
	stream := []string{"upstream", "downstream"}[i%2]
	timed("add "+k.kind, func() error { _, err := p.AddToxic("x", k.kind, stream, 1, k.attrs); return err })
	time.Sleep(time.Duration(i%7) * time.Millisecond) // let it bite
	timed("update "+k.kind, func() error { _, err := p.UpdateToxic("x", -1, k.attrs); return err })
	timed("remove "+k.kind, func() error { return p.RemoveToxic("x") })
	return slowest, worst
}

// replies answers each byte with tortureReply bytes.
func replies(c net.Conn) {
	one, reply := make([]byte, 1), make([]byte, tortureReply)
	for {
		if _, err := c.Read(one); err != nil {
			return
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

// impatient asks again and again, gives up after 5 to 65 ms, and then reconnects.
func impatient(ctx context.Context, addr string, seed uint64, done, failed *atomic.Int64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	reply := make([]byte, tortureReply)
	var d net.Dialer
	for ctx.Err() == nil {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			failed.Add(1)
			pause(ctx, time.Millisecond)
			continue
		}
		for err == nil && ctx.Err() == nil {
			_ = c.SetDeadline(time.Now().Add(time.Duration(5+rng.IntN(60)) * time.Millisecond))
			if _, err = c.Write([]byte{1}); err == nil {
				_, err = io.ReadFull(c, reply)
			}
			if err == nil {
				done.Add(1)
				pause(ctx, 2*time.Millisecond)
			}
		}
		failed.Add(1)
		c.Close()
		pause(ctx, time.Millisecond) // limit_data 0 ends connections faster than the server's goroutines end
	}
}

// neverReads keeps one connection open and takes nothing from it.
func neverReads(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			pause(ctx, time.Millisecond)
			continue
		}
		pause(ctx, 50*time.Millisecond)
		c.Close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// deafUpstream listens with the shortest backlog and never accepts: soon its SYNs
// are dropped and dials hang.
func deafUpstream(t *testing.T) string {
	t.Helper()
	fd := bound(t)
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	return boundTo(t, fd)
}

// deadUpstream is an address that refuses connections for as long as the test lasts: nobody else can be given it.
func deadUpstream(t *testing.T) string {
	t.Helper()
	return boundTo(t, bound(t))
}

// bound is a socket on loopback that does not listen.
func bound(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	return fd
}

func boundTo(t *testing.T, fd int) string {
	t.Helper()
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in := sa.(*unix.SockaddrInet4)
	return (&net.TCPAddr{IP: in.Addr[:], Port: in.Port}).String()
}

// Kicks that come at any moment break no connection, lose no byte, and leave no pump
// spinning on a deadline in the past.
func TestKicksBreakNothing(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	stop := make(chan struct{})
	var load sync.WaitGroup
	var conns []net.Conn
	for range 4 {
		c := dial(t, p.Listen)
		conns = append(conns, c)
		load.Go(func() {
			b := make([]byte, 100)
			for i := byte(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				b[0], b[99] = i, i
				if _, err := c.Write(b); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				if _, err := io.ReadFull(c, b); err != nil || b[0] != i || b[99] != i {
					t.Errorf("read: %v", err)
					return
				}
			}
		})
	}
	proxy, err := r.srv.get("p")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				for _, l := range proxy.current() {
					l.kick()
				}
				pause(t.Context(), time.Duration(n%50)*time.Microsecond)
			}
		})
	}
	time.Sleep(700 * time.Millisecond)
	close(stop)
	load.Wait()
	for _, l := range proxy.current() { // the second half of a kick, as late as can be
		if err := errors.Join(l.client.SetDeadline(time.Unix(1, 0)), l.upstream.SetDeadline(time.Unix(1, 0))); err != nil {
			t.Fatal(err)
		}
	}
	agrees(t, func() string { // who spins does it in each of them
		before := cpu(t)
		time.Sleep(300 * time.Millisecond)
		if used := cpu(t) - before; used > 50*time.Millisecond {
			return fmt.Sprintf("%v of processor time in 300 ms of idling", used)
		}
		return ""
	})
	for _, c := range conns {
		ping(t, c, "still there")
	}
}

// cpu is the processor time that this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// One case at a time, each with a wait long enough that stock would hang.
func TestNothingHangsACall(t *testing.T) {
	up := serve(t, func(c net.Conn) { _, _ = io.Copy(c, zeros{}) })
	for _, name := range []string{"client never reads", "upstream never accepts"} {
		t.Run(name, func(t *testing.T) {
			r := ours(t, Options{})
			to := up.addr()
			if name == "upstream never accepts" {
				to = deafUpstream(t)
			}
			agrees(t, func() string {
				p := r.proxyTo(t, to)
				for range 8 {
					dial(t, p.Listen)
				}
				toxicOf(t, p, "latency", "", client.Attributes{"latency": 5})
				time.Sleep(100 * time.Millisecond) // buffers fill, backlogs too
				start := time.Now()
				if err := p.RemoveToxic("latency_downstream"); err != nil {
					t.Fatal(err)
				}
				if err := p.Disable(); err != nil {
					t.Fatal(err)
				}
				if err := p.Delete(); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took > 200*time.Millisecond {
					return fmt.Sprintf("took %v", took)
				}
				return ""
			})
		})
	}
}
