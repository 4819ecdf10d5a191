package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
	"golang.org/x/net/dns/dnsmessage"
)

func TestHalfCloseIsPropagated(t *testing.T) {
	up := serve(t, func(c net.Conn) {
		b, _ := io.ReadAll(c) // ends only with the client's FIN
		_, _ = c.Write(append([]byte("got "), b...))
	})
	r := ours(t, Options{})
	c := dial(t, r.proxyTo(t, up.addr()).Listen)
	if _, err := c.Write([]byte("all")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || string(b) != "got all" {
		t.Fatalf("%q, %v", b, err)
	}
}

// A name that nobody answers for holds up the connection that asked for it, and none that comes later.
func TestAHangingLookupIsOnlyItsOwn(t *testing.T) {
	up := serve(t, echo)
	_, port, err := net.SplitHostPort(up.addr())
	if err != nil {
		t.Fatal(err)
	}
	names := nameServer(t, netip.MustParseAddr("127.0.0.1"))
	var dials atomic.Int64
	var once sync.Once
	hung := make(chan struct{})
	r := ours(t, Options{})
	r.srv.resolver = func() *net.Resolver {
		first := dials.Add(1) == 1
		return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if first {
				once.Do(func() { close(hung) })
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return (&net.Dialer{}).DialContext(ctx, "udp", names)
		}}
	}
	p := r.proxyTo(t, net.JoinHostPort("upstream.test", port))
	dial(t, p.Listen)
	<-hung
	ping(t, dial(t, p.Listen), "x")
}

// nameServer answers every question for an address with a.
func nameServer(t *testing.T, a netip.Addr) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: a.As4()}}}
			}
			if b, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(b, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// Data that a latency holds back leaves at once, whole and in order, when it is removed.
func TestRemovingLatencyReleasesDataInOrder(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	c := dial(t, p.Listen)
	ping(t, c, "x")
	toxicOf(t, p, "latency", "downstream", client.Attributes{"latency": never, "jitter": 1000})
	sent := make([]byte, 300_000)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(sent)
	go func() { _, _ = c.Write(sent) }()
	within(t, "all queued, and none left", func() bool {
		n := r.counters(t)
		return n.Received.Downstream == 300_001 && n.Sent.Downstream == 1
	})
	if err := p.RemoveToxic("latency_downstream"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatal("other bytes came")
	}
	gone := r.counters(t).Removed
	if len(gone) != 1 || gone[0].Chunks == 0 || gone[0].AddedTotal <= 0 || gone[0].RemovedAt.IsZero() {
		t.Fatalf("removed: %+v", gone)
	}
	ping(t, c, "after")
}

func TestLatencyQueueIsBoundedAndLosesNothing(t *testing.T) {
	var sent = bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB, four times the queue
	up := serve(t, func(c net.Conn) { _, _ = c.Write(sent) })
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	toxicOf(t, p, "latency", "", client.Attributes{"latency": 50})
	c := dial(t, p.Listen)
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	n := r.counters(t).Toxics[0]
	if n.AddedP50 < 40*time.Millisecond || n.Connections != 1 {
		t.Fatalf("%+v", n)
	}
}

func TestUpstreamDownIsAReset(t *testing.T) {
	r := ours(t, Options{})
	if how := fate(t, r.proxyTo(t, deadUpstream(t)).Listen); how != "RST" {
		t.Fatalf("ended with %s", how)
	}
	if n := r.counters(t); n.DialFailures != 1 || n.Accepted != 1 {
		t.Fatalf("%+v", n)
	}
}

func TestResetToxic(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	c := dial(t, p.Listen)
	ping(t, c, "x")
	toxicOf(t, p, "reset", "", client.Attributes{"every": 100})
	if how := ending(c); how != "RST" {
		t.Fatalf("established connection ended with %s", how)
	}
	fresh := dial(t, p.Listen)
	for n := 1; !answers(fresh) && n < attempts; n++ { // new ones live, unless the machine is slower than the next round
		fresh = dial(t, p.Listen)
	}
	if how := ending(fresh); how != "RST" {
		t.Fatalf("second round: %s", how)
	}
	within(t, "counted", func() bool {
		n := r.counters(t).Toxics[0]
		return n.Resets >= 2 && n.Connections == n.Resets
	})
	if _, err := p.UpdateToxic("reset_downstream", -1, client.Attributes{"every": 0, "refuse": true}); err != nil {
		t.Fatal(err)
	}
	if how := fate(t, p.Listen); how != "RST" {
		t.Fatalf("refuse: %s", how)
	}
	if err := p.RemoveToxic("reset_downstream"); err != nil {
		t.Fatal(err)
	}
	ping(t, dial(t, p.Listen), "back")
	within(t, "upstream freed", func() bool { return up.open.Load() <= 1 })
}

func TestDownRefused(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	c := dial(t, p.Listen)
	ping(t, c, "x")
	toxicOf(t, p, "down", "", client.Attributes{"mode": "refused"})
	if _, err := net.Dial("tcp", p.Listen); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial: %v", err)
	}
	if how := ending(c); how != "RST" {
		t.Fatalf("established: %s", how)
	}
	within(t, "counted", func() bool { return r.counters(t).Toxics[0].Resets == 1 })
	if err := p.RemoveToxic("down_downstream"); err != nil {
		t.Fatal(err)
	}
	ping(t, dial(t, p.Listen), "back")
}

// No outgoing connection can be given the port of a proxy that is down.
func TestPortIsHeldWhileDown(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	if err := p.Disable(); err != nil {
		t.Fatal(err)
	}
	local, err := net.ResolveTCPAddr("tcp", p.Listen)
	if err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{LocalAddr: local}
	if c, err := d.Dial("tcp", up.addr()); err == nil {
		c.Close()
		t.Fatal("the port could be taken")
	}
	if err := p.Enable(); err != nil {
		t.Fatal(err)
	}
	ping(t, dial(t, p.Listen), "x")
}

func TestDownBlackhole(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	idle, talker := dial(t, p.Listen), dial(t, p.Listen)
	ping(t, idle, "x")
	ping(t, talker, "x")
	toxicOf(t, p, "down", "", client.Attributes{"mode": "blackhole"})
	before := up.total.Load()
	late, quiet := dial(t, p.Listen), dial(t, p.Listen) // accepted, silent, not dialled
	for _, c := range []net.Conn{talker, late} {
		if _, err := c.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if how := ending(c); how != "timeout" {
			t.Fatalf("in the hole: %s", how)
		}
		_ = c.SetReadDeadline(time.Now().Add(patient))
	}
	within(t, "swallowed", func() bool { return r.counters(t).Toxics[0].Swallowed == 8 })
	if up.total.Load() != before {
		t.Fatal("upstream was dialled from inside the hole")
	}
	if err := p.RemoveToxic("down_downstream"); err != nil {
		t.Fatal(err)
	}
	ping(t, idle, "lives on")
	ping(t, quiet, "is served now")
	if a, b := ending(talker), ending(late); a != "RST" || b != "RST" {
		t.Fatalf("connections that lost bytes: %s, %s", a, b)
	}
}

// The end of an upstream stays invisible inside a black hole; a client that gives up
// frees its upstream connection.
func TestBlackholeHidesUpstreamAndFreesClients(t *testing.T) {
	end := make(chan struct{})
	up := serve(t, func(c net.Conn) {
		_, _ = c.Write([]byte("x"))
		<-end
	})
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	a, b := dial(t, p.Listen), dial(t, p.Listen)
	for _, c := range []net.Conn{a, b} {
		if how := ending(c); how != "data" {
			t.Fatal(how)
		}
	}
	toxicOf(t, p, "down", "", client.Attributes{"mode": "blackhole"})
	b.Close()
	within(t, "given up", func() bool { return r.counters(t).Open == 1 })
	close(end)
	_ = a.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if how := ending(a); how != "timeout" {
		t.Fatalf("saw %s from inside the hole", how)
	}
}

func TestResetPeerOnEstablishedConnection(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	c := dial(t, p.Listen)
	ping(t, c, "x")
	toxicOf(t, p, "reset_peer", "", client.Attributes{"timeout": 50})
	start := time.Now()
	if _, err := c.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if how := ending(c); how != "RST" {
		t.Fatalf("ended with %s", how)
	}
	if took := time.Since(start); took < 45*time.Millisecond {
		t.Fatalf("after %v", took)
	}
}

// A removal while reset_peer waits lets the data go: stock can't be interrupted there.
func TestResetPeerCanBeInterrupted(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	c := dial(t, p.Listen)
	toxicOf(t, p, "reset_peer", "", client.Attributes{"timeout": never})
	if _, err := c.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	within(t, "caught", func() bool { return r.counters(t).Toxics[0].Connections == 1 })
	if err := p.RemoveToxic("reset_peer_downstream"); err != nil {
		t.Fatal(err)
	}
	if how := ending(c); how != "data" {
		t.Fatal(how)
	}
}

// answers says whether a connection lives long enough to be answered once.
func answers(c net.Conn) bool {
	if _, err := c.Write([]byte("x")); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == nil
}

// The same seed hits the same connections; another seed others.
func TestToxicityFollowsTheSeed(t *testing.T) {
	pick := func(seed uint64) string {
		d, out := newDice(seed, "p"), []byte{}
		for conn := range uint64(200) {
			out = append(out, "01"[btoi(d.hits(&toxic{ordinal: 1, toxicity: 0.3}, conn))])
		}
		return string(out)
	}
	if first, again := pick(1), pick(1); first != again || first == pick(2) {
		t.Fatal("seed")
	}
	if n := bytes.Count([]byte(pick(1)), []byte("1")); n < 40 || n > 80 {
		t.Fatalf("%d of 200 at 0.3", n)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestIdleLimit(t *testing.T) {
	p := &pump{link: &link{proxy: &proxy{server: New(Options{})}}}
	idle := defaultPatience().idle
	if !p.idleLimit().IsZero() {
		t.Fatal("limit before any half-close")
	}
	at := time.Now()
	p.halfSince, p.lastMove = at, at.Add(-time.Minute)
	if got := p.idleLimit(); !got.Equal(at.Add(idle)) {
		t.Fatal(got)
	}
	p.q.push(chunk{data: []byte("x")})
	if !p.idleLimit().IsZero() {
		t.Fatal("limit while data wait")
	}
}

// Who half-closed may wait for a slow answer, and take a long one slowly, many times over the limit; only
// in a crowd does a silent connection make room.
func TestHalfClosedStreamsMayBeSlow(t *testing.T) {
	const idle = 50 * time.Millisecond
	over := make(chan struct{})
	defer close(over)
	size := 8 << 20 // more than the sockets and the queue hold
	up := serve(t, func(c net.Conn) {
		b, _ := io.ReadAll(c)
		if string(b) == "mute" {
			<-over
			return
		}
		time.Sleep(6 * idle)
		_, _ = c.Write(make([]byte, size))
	})
	r := ours(t, Options{})
	r.srv.patience = patience{idle: idle, crowd: 2}
	p := r.proxyTo(t, up.addr())
	ask := func(text string) *net.TCPConn {
		t.Helper()
		c := dial(t, p.Listen)
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := ask("slow")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatalf("a slow answer: %v", err)
	}
	time.Sleep(6 * idle)
	if n, err := io.Copy(io.Discard, c); err != nil || n != int64(size-1) {
		t.Fatalf("a slow reader got %d bytes: %v", n, err)
	}

	mute := ask("mute")
	dial(t, p.Listen) // two
	if _, err := mute.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("in a crowd: %v, want a reset", err)
	}
}

func TestHistogramMedian(t *testing.T) {
	for _, d := range []time.Duration{1, 5, 900, 30 * time.Microsecond, 12 * time.Millisecond, 3 * time.Second, time.Hour} {
		var h histogram
		for range 5 {
			h.add(d)
		}
		h.add(0)
		if got := h.quantile(0.5); float64(got) < 0.984*float64(d) || float64(got) > 1.016*float64(d) {
			t.Errorf("median of %v: %v", d, got)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	if got := h.quantile(0.99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for ms := range 1000 {
		h.add(time.Duration(ms+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := h.quantile(q); float64(got) < 0.984*float64(want) || float64(got) > 1.016*float64(want) {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
}

// TestSeenConnections: the share that a toxic touched is of those that were open when it was added or came since, and it
// stands when the toxic is gone.
func TestSeenConnections(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	open := func(n int) (all []net.Conn) {
		for range n {
			c := dial(t, p.Listen)
			ping(t, c, "x")
			all = append(all, c)
		}
		return all
	}
	for _, c := range open(3) {
		c.Close()
	}
	within(t, "three are over", func() bool { return r.counters(t).Open == 0 })
	kept := open(2)
	toxicOf(t, p, "latency", "downstream", client.Attributes{"latency": 1})
	open(4)
	ping(t, kept[0], "y")
	now := r.counters(t).Toxics[0]
	if now.Seen != 6 || now.Connections != 5 || now.AddedP99 < now.AddedP50 || now.AddedP99 < time.Millisecond/2 {
		t.Errorf("seen 6, touched 5: %+v", now)
	}
	if err := p.RemoveToxic("latency_downstream"); err != nil {
		t.Fatal(err)
	}
	open(2)
	if gone := r.counters(t).Removed[0]; gone.Seen != 6 {
		t.Errorf("after it is gone: %+v", gone)
	}
}

// A second toxic on a stream that is in use, and its removal, end neither the process nor the connection.
func TestSecondToxicOnAnEstablishedConnection(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	c := dial(t, p.Listen)
	for _, name := range []string{"one", "two", "three"} {
		if _, err := p.AddToxic(name, "latency", "downstream", 1, client.Attributes{"latency": 5}); err != nil {
			t.Fatal(err)
		}
		ping(t, c, name)
	}
	for _, name := range []string{"two", "one"} {
		if err := p.RemoveToxic(name); err != nil {
			t.Fatal(err)
		}
		ping(t, c, name)
	}
	for _, n := range r.counters(t).Toxics {
		if n.Connections != 1 || n.Chunks != 3 {
			t.Errorf("%+v", n)
		}
	}
}
