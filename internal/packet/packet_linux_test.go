package packet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wire is two network namespaces and a cable between them. The test's thread is in the first one.
type wire struct {
	here, there netip.Addr
	far         *net.UDPConn // listens in the other namespace
}

// newWire skips, by name and with the reason, where no namespace can be made. The thread is never given back.
func newWire(t *testing.T) *wire {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		t.Skipf("not run: no network namespace can be made here (%v): run it as root", err)
	}
	w := &wire{here: netip.MustParseAddr("10.99.0.1"), there: netip.MustParseAddr("10.99.0.2")}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := openNS(t)
	must(unix.Unshare(unix.CLONE_NEWNET))
	second := openNS(t)
	must(unix.Setns(int(first.Fd()), unix.CLONE_NEWNET))
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near"}, PeerName: "far"}))
	far, err := netlink.LinkByName("far")
	must(err)
	must(netlink.LinkSetNsFd(far, int(second.Fd())))
	must(up("near", w.here))
	must(unix.Setns(int(second.Fd()), unix.CLONE_NEWNET))
	must(up("far", w.there))
	w.far, err = net.ListenUDP("udp4", &net.UDPAddr{IP: w.there.AsSlice(), Port: 5000})
	must(err)
	t.Cleanup(func() { _ = w.far.Close() })
	must(unix.Setns(int(first.Fd()), unix.CLONE_NEWNET))
	return w
}

func openNS(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// up brings a device up, without IPv6: its neighbour discovery would be counted too.
func up(device string, at netip.Addr) error {
	var errs []error
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0o644); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for name, address := range map[string]string{device: at.String() + "/24", "lo": ""} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if address != "" {
			a, err := netlink.ParseAddr(address)
			errs = append(errs, err, netlink.AddrAdd(link, a))
		}
		errs = append(errs, netlink.LinkSetUp(link))
	}
	return errors.Join(errs...)
}

// send sends datagrams to an address. An error of a send is one that a program would see.
func send(t *testing.T, to *net.UDPAddr, n int) {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range n {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatalf("the sender is told of a lost packet: %v", err)
		}
	}
}

// through sends n datagrams and returns how many came through, a few at a time: a socket may hold no more.
func (w *wire) through(t *testing.T, n int) (got int) {
	t.Helper()
	for left := n; left > 0; left -= 100 {
		send(t, w.farAddr(), min(left, 100))
		got += w.come(t, 10*time.Millisecond)
	}
	return got + w.arrived(t)
}

// arrived is how many datagrams came through, until none comes any more.
func (w *wire) arrived(t *testing.T) int { return w.come(t, 500*time.Millisecond) }

// come is how many datagrams came, until none does for a while.
func (w *wire) come(t *testing.T, quiet time.Duration) (n int) {
	t.Helper()
	for buf := make([]byte, 16); ; n++ {
		if err := w.far.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.far.Read(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func (w *wire) farAddr() *net.UDPAddr { return &net.UDPAddr{IP: w.there.AsSlice(), Port: 5000} }

// do makes a request as the program does.
func do(t *testing.T, r Request) Answer {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := serve([]string{string(raw)}, &out, &errs)
	var a Answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil || code != exitOK {
		t.Fatalf("%s: exit %d, %q, %q", raw, code, out.String(), errs.String())
	}
	return a
}

const id = "a.loss#0"

// What is counted is what did not arrive, to the packet, and nobody is told of it.
func TestLossOut(t *testing.T) {
	w := newWire(t)
	const n = 3000
	do(t, Request{Op: OpLoss, ID: id, Loss: &Loss{Share: 0.3, Out: true}})
	got := w.through(t, n)
	l, there := do(t, Request{Op: OpLook}).Loss(id)
	if !there || l.In != nil || l.Out == nil || l.Out.Seen != n || int(l.Out.Lost) != n-got {
		t.Fatalf("%d of %d arrived; counted %+v, %v", got, n, l.Out, there)
	}
	// 0.3 ± 6 standard deviations of a draw of 3000
	if share := float64(l.Out.Lost) / n; share < 0.25 || share > 0.35 {
		t.Errorf("lost %.3f of the packets, want 0.3", share)
	}
	do(t, Request{Op: OpClear, ID: id})
	if got := w.through(t, n); got != n {
		t.Errorf("the loss was ended, and %d of %d arrived", got, n)
	}
}

// In is what arrives here; what is sent is left alone.
func TestLossIn(t *testing.T) {
	w := newWire(t)
	near, err := net.ListenUDP("udp4", &net.UDPAddr{IP: w.here.AsSlice(), Port: 5000})
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	do(t, Request{Op: OpLoss, ID: id, Loss: &Loss{Share: 1, In: true, Streams: []Stream{{Peer: w.there}}}})
	for range 100 {
		if _, err := w.far.WriteTo([]byte("x"), near.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	send(t, w.farAddr(), 100)
	if got := w.arrived(t); got != 100 {
		t.Errorf("%d of 100 packets out arrived", got)
	}
	l, _ := do(t, Request{Op: OpLook}).Loss(id)
	if l.Out != nil || l.In == nil || l.In.Lost != 100 || l.In.Seen != 100 {
		t.Errorf("in %+v, out %+v", l.In, l.Out)
	}
}

// A stream is by address, and by TCP port where one is named; all else and the loopback device pass.
func TestStreams(t *testing.T) {
	w := newWire(t)
	other := netip.MustParseAddr("10.99.0.9")
	for _, c := range []struct {
		name    string
		streams []Stream
		to      *net.UDPAddr
		lost    uint64
	}{
		{"the peer", []Stream{{Peer: other}, {Peer: w.there}}, w.farAddr(), 50},
		{"another address", []Stream{{Peer: other}}, w.farAddr(), 0},
		{"a TCP port of the peer is none of UDP", []Stream{{Peer: w.there, Remote: 5000}}, w.farAddr(), 0},
		{"all", nil, w.farAddr(), 50},
		{"loopback", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, 0},
	} {
		a := do(t, Request{Op: OpLoss, ID: id, Loss: &Loss{Share: 1, Out: true, Streams: c.streams}})
		l, there := a.Loss(id)
		var want []string
		for _, s := range c.streams {
			want = append(want, s.String())
		}
		if !there || l.Out.Seen != 0 || strings.Join(l.Streams, ";") != strings.Join(want, ";") {
			t.Errorf("%s: %+v, want streams %v and nothing counted", c.name, l, want)
		}
		if c.lost > 0 {
			send(t, c.to, 50)
		} else if conn, err := net.DialUDP("udp4", nil, c.to); err == nil {
			for range 50 {
				_, _ = conn.Write([]byte("x")) // nobody listens on port 9
			}
			_ = conn.Close()
		}
		if l, _ := do(t, Request{Op: OpLook}).Loss(id); l.Out.Lost != c.lost || l.Out.Seen != c.lost {
			t.Errorf("%s: %+v, want %d lost", c.name, l.Out, c.lost)
		}
	}
}

// TCP ports are the peer's or ours, whichever way a packet goes.
func TestStreamsOfTCP(t *testing.T) {
	w := newWire(t)
	ln, err := net.Listen("tcp4", fmt.Sprintf("%v:6000", w.here)) // this namespace's; dialled from it as well
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, c := range []struct {
		stream Stream
		hit    bool
	}{
		{Stream{Peer: w.there, Remote: 6000}, true},
		{Stream{Peer: w.there, Remote: 6001}, false},
		{Stream{Peer: w.there, Local: 6000}, false},
	} {
		do(t, Request{Op: OpLoss, ID: id, Loss: &Loss{Share: 1, In: true, Out: true, Streams: []Stream{c.stream}}})
		d := net.Dialer{Timeout: map[bool]time.Duration{true: 200 * time.Millisecond, false: time.Minute}[c.hit]}
		conn, err := d.Dial("tcp4", fmt.Sprintf("%v:6000", w.there)) // nobody listens there: refused, unless lost
		if err == nil {
			_ = conn.Close()
			t.Fatal("somebody listens")
		}
		if refused := errors.Is(err, syscall.ECONNREFUSED); refused == c.hit {
			t.Errorf("%v: %v", c.stream, err)
		}
		if l, _ := do(t, Request{Op: OpLook}).Loss(id); (l.Out.Lost > 0) != c.hit || l.Out.Seen != l.Out.Lost {
			t.Errorf("%v: %+v", c.stream, l.Out)
		}
	}
}

// Each id is a loss of its own; one that is set again starts anew; what is not there is cleared all the same;
// and other people's rules are left alone.
func TestIDs(t *testing.T) {
	w := newWire(t)
	const other = "b#1"
	for range 2 {
		do(t, Request{Op: OpLoss, ID: id, Loss: &Loss{Share: 1, Out: true}})
	}
	do(t, Request{Op: OpLoss, ID: other, Loss: &Loss{Share: 1, Out: true}})
	send(t, w.farAddr(), 10)
	a := do(t, Request{Op: OpLook})
	if len(a.Losses) != 2 {
		t.Errorf("two losses: %+v", a.Losses)
	}
	for range 2 {
		a = do(t, Request{Op: OpClear, ID: id})
	}
	if _, there := a.Loss(id); there || len(a.Losses) != 1 || a.Losses[0].Name != "chaos/b/1" {
		t.Errorf("one was ended: %+v", a.Losses)
	}
	a = do(t, Request{Op: OpLoss, ID: other, Loss: &Loss{Share: 0.5, In: true}})
	if l, _ := a.Loss(other); l.Out != nil || l.In == nil || l.In.Seen != 0 {
		t.Errorf("set anew: %+v", l)
	}
	do(t, Request{Op: OpClear, ID: other})
	if tables, err := ourTables(); err != nil || len(tables) != 0 {
		t.Errorf("left: %v, %v", tables, err)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	newWire(t) // one that was not refused must not hit this machine
	for _, text := range []string{
		``, `{`, `{"op":"loss"}`, `{"op":"loss","id":"x","loss":{"share":0,"in":true}}`, `{"op":"loss","id":"x","loss":{"share":1.1,"in":true}}`,
		`{"op":"loss","id":"x","loss":{"share":0.5}}`, `{"op":"delay","id":"x"}`, `{"op":"delay","id":"x","delay":{"latency_ns":-1}}`, `{"op":"clear"}`, `{"op":"dance"}`,
	} {
		var out, errs bytes.Buffer
		if code := serve([]string{text}, &out, &errs); code == exitOK || out.Len()+errs.Len() == 0 {
			t.Errorf("%s: exit %d, %q, %q", text, code, out.String(), errs.String())
		}
	}
}

// Typed in a shell it does nothing, whatever it is asked for.
func TestOnlyInAContainer(t *testing.T) {
	newWire(t)
	var out, errs bytes.Buffer
	if code := Main(t.Context(), []string{`{"op":"loss","id":"x","loss":{"share":1,"in":true}}`}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "first process of a container") {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
	if a := do(t, Request{Op: OpLook}); len(a.Losses) > 0 {
		t.Errorf("it was done: %+v", a)
	}
}

// The probe says what the kernel lacks by its name, and leaves nothing.
func TestProbe(t *testing.T) {
	newWire(t)
	a := do(t, Request{Op: OpProbe})
	if lacks := a.Lacks[OpLoss]; lacks != "" {
		t.Errorf("this kernel lacks what a loss needs (the other tests should have failed): %s", lacks)
	}
	if lacks := a.Lacks[OpDelay]; lacks != "" && !strings.Contains(lacks, "the kernel has no sch_netem") {
		t.Errorf("delay: %s", lacks)
	}
	if a := do(t, Request{Op: OpLook}); len(a.Losses)+len(a.Delays) > 0 {
		t.Errorf("left: %+v", a)
	}
}

// On a kernel with sch_netem a delay delays; on one without, it fails by that name and leaves nothing. Either
// way clearing what is not there is no error.
func TestDelay(t *testing.T) {
	w := newWire(t)
	do(t, Request{Op: OpClear, ID: id})
	asked := Delay{Latency: 200 * time.Millisecond}
	a, err := Do(Request{Op: OpDelay, ID: id, Delay: &asked})
	if err != nil && strings.Contains(err.Error(), "the kernel has no sch_netem") {
		if a := do(t, Request{Op: OpLook}); len(a.Delays) > 0 {
			t.Errorf("left: %+v", a)
		}
		t.Logf("that a delay delays was not tried: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	send(t, w.farAddr(), 1)
	if err := w.far.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.far.Read(make([]byte, 16)); err != nil || time.Since(began) < asked.Latency {
		t.Errorf("arrived after %v, %v", time.Since(began), err)
	}
	a = do(t, Request{Op: OpLook})
	if d := a.Delay(id); len(d) != 1 || d[0].Device != "near" || d[0].Latency != asked.Latency || d[0].Left == 0 {
		t.Errorf("%+v", a.Delays)
	}
	if a := do(t, Request{Op: OpClear, ID: id}); len(a.Delays) > 0 {
		t.Errorf("left: %+v", a.Delays)
	}
}

// What netem is asked for, and how what it says is read, where no kernel here has it.
func TestNetem(t *testing.T) {
	asked := Delay{Latency: 123456 * time.Microsecond, Jitter: 7 * time.Millisecond}
	q := netem(id, asked, 3)
	if major, minor := netlink.MajorMinor(q.Handle); major != Handle(id) || minor != 0 || q.Parent != netlink.HANDLE_ROOT || q.LinkIndex != 3 || q.Limit != queueLimit {
		t.Errorf("%+v", q)
	}
	if h := Handle(id); h < 0xc000 || h > 0xcfff || h == Handle("another") {
		t.Errorf("handle %x", h)
	}
	q.Statistics = &netlink.QdiscStatistics{Basic: &netlink.GnetStatsBasic{Packets: 5}, Queue: &netlink.GnetStatsQueue{Qlen: 2, Drops: 1}}
	want := DelayState{Handle: Handle(id), Device: "near", Latency: asked.Latency, Jitter: asked.Jitter, Left: 5, Waiting: 2, Dropped: 1}
	if got := state(q, Handle(id), "near"); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
