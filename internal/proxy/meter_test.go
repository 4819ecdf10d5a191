package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// A flow is paced to the rate asked, by the proxy's own counters too, and no byte is lost or moved.
func TestBandwidthIsCounted(t *testing.T) {
	up := serve(t, echo)
	agrees(t, func() string {
		r := ours(t, Options{})
		p := r.proxyTo(t, up.addr())
		toxicOf(t, p, "bandwidth", "", client.Attributes{"rate": 400})
		c := dial(t, p.Listen)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 12_500) // 200 KB
		start := time.Now()
		go func() { _, _ = c.Write(sent) }()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("equal %v, %v", bytes.Equal(got, sent), err)
		}
		if took := time.Since(start); took < 450*time.Millisecond {
			t.Errorf("200 KB at 400 KB/s took %v", took)
		}
		n := r.counters(t).Toxics[0]
		rate := float64(n.PacedBytes) / n.PacedFor.Seconds()
		if n.Connections != 1 || n.Chunks == 0 || n.AddedTotal == 0 || n.PacedBytes < 100_000 {
			t.Errorf("%+v: %.0f B/s", n, rate)
		}
		if rate < 360_000 || rate > 440_000 { // what this process is late with it catches up on
			return fmt.Sprintf("%+v: %.0f B/s", n, rate)
		}
		return ""
	})
}

// What the receiver does not take is not caught up on: after it reads again the rate holds.
func TestBandwidthDoesNotCatchUpOnReceivers(t *testing.T) {
	m := meter{on: true}
	e := effect{t: &toxic{kind: kindBandwidth}, pace: pace{free: time.Unix(100, 0)}}
	p := &pump{active: []effect{e}, meter: m, unblock: time.Unix(107, 0)}
	p.meter.let, p.meter.started = 10, time.Unix(100, 0)
	p.wrote(10)
	if got := p.active[0].pace.free; !got.Equal(time.Unix(107, 0)) {
		t.Errorf("free at %v", got)
	}
}

// While a flow is throttled the proxy takes little more from the sender than the receiver gets.
func TestBandwidthPushesBack(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, func(c net.Conn) { _, _ = io.Copy(c, zeros{}) }).addr())
	toxicOf(t, p, "bandwidth", "", client.Attributes{"rate": 1})
	dial(t, p.Listen)
	within(t, "something received", func() bool { return r.counters(t).Received.Downstream >= narrowBytes })
	time.Sleep(50 * time.Millisecond)
	n := r.counters(t)
	if got := n.Received.Downstream - n.Sent.Downstream; got > narrowBytes+chunkSize {
		t.Errorf("%d bytes taken from the sender before they could leave", got)
	}
}

// A stall holds nobody's upstream connection once the client has given up.
func TestStallFreesClientsThatGaveUp(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	toxicOf(t, p, "bandwidth", "", client.Attributes{"rate": 0})
	for range 4 {
		c := dial(t, p.Listen)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		within(t, "stalled", func() bool { return up.open.Load() == 1 && r.counters(t).Received.Downstream > 0 })
		c.Close()
		within(t, "upstream freed", func() bool { return up.open.Load() == 0 && r.counters(t).Upstreams == 0 })
	}
	if n := r.counters(t).Toxics[0]; n.Connections != 4 {
		t.Errorf("%+v", n)
	}
}

// A slow close is counted when it is over, and when it is cut short; a connection that ends by itself waits for none.
func TestSlowCloseIsCounted(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, func(c net.Conn) { _, _ = c.Write([]byte("x")) }).addr())
	toxicOf(t, p, "slow_close", "", client.Attributes{"delay": 40})
	if how := rest(dial(t, p.Listen), 1); how != "whole" {
		t.Fatal(how)
	}
	within(t, "counted", func() bool { return r.counters(t).Toxics[0].Closed == 1 })
	if n := r.counters(t).Toxics[0]; n.Connections != 1 || n.Chunks != 0 || n.AddedMax < 40*time.Millisecond {
		t.Errorf("%+v", n)
	}
	if _, err := p.UpdateToxic("slow_close_downstream", 1, client.Attributes{"delay": never}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, p.Listen)
	if how := ending(c); how != "data" {
		t.Fatal(how)
	}
	within(t, "held", func() bool { return r.counters(t).Toxics[0].Connections == 2 })
	if err := p.RemoveToxic("slow_close_downstream"); err != nil {
		t.Fatal(err)
	}
	if how := ending(c); how != "EOF" {
		t.Fatal(how)
	}
	within(t, "counted", func() bool { return r.counters(t).Removed[0].Closed == 2 })
}

// Slices are within their sizes, cover the chunk, and are the same for the same seed.
func TestKnife(t *testing.T) {
	cut := func(seed uint64, length, size, variation int64) []int {
		var k knife
		d := newDice(seed, "p")
		k.cut(&chunk{number: 3, data: make([]byte, length)}, &settings{sliceSize: size, sliceVariation: variation, chunks: 1}, d.chunk(&toxic{ordinal: 1}, 7, down, 3))
		return k.slices
	}
	for _, c := range [][3]int64{{1, 1, 0}, {32768, 1, 0}, {32768, 1000, 999}, {1000, 100, 20}, {5, 2, 1}, {1500, 1500, 0}, {1501, 1500, 0}, {9, 1 << 20, 0}} {
		slices, sum := cut(1, c[0], c[1], c[2]), 0
		for _, n := range slices {
			sum += n
			if n < 1 || int64(n) > c[1]+c[2] {
				t.Errorf("%v: a slice of %d bytes", c, n)
			}
		}
		if int64(sum) != c[0] {
			t.Errorf("%v: %d bytes in all", c, sum)
		}
	}
	if one, again, other := cut(1, 9000, 100, 90), cut(1, 9000, 100, 90), cut(2, 9000, 100, 90); !slices.Equal(one, again) || slices.Equal(one, other) {
		t.Error("slices don't follow the seed")
	}
}

// Slices are counted, and an update of a long delay takes effect in the middle of a chunk.
func TestSlicerIsCountedAndUpdated(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	toxicOf(t, p, "slicer", "", client.Attributes{"average_size": 125, "delay": 5000})
	c := dial(t, p.Listen)
	msg := string(bytes.Repeat([]byte("abcdefgh"), 125)) // 8 slices
	ping(t, c, msg)
	if n := r.counters(t).Toxics[0]; n.Slices != 8 || n.Chunks != 1 || n.Connections != 1 || n.AddedTotal < 35*time.Millisecond {
		t.Errorf("%+v", n)
	}
	if _, err := p.UpdateToxic("slicer_downstream", 1, client.Attributes{"delay": 3_600_000_000}); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		_, _ = p.UpdateToxic("slicer_downstream", 1, client.Attributes{"delay": 0, "average_size": 1})
	}()
	ping(t, c, msg)
	if n := r.counters(t).Toxics[0]; n.Slices < 500 {
		t.Errorf("the rest was not cut anew: %+v", n)
	}
}

// A limit is counted where it cut, with what was lost, and goes with other meters.
func TestLimitIsCounted(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	toxicOf(t, p, "limit_data", "", client.Attributes{"bytes": 25})
	toxicOf(t, p, "slicer", "", client.Attributes{"average_size": 2, "size_variation": 1, "delay": 100})
	toxicOf(t, p, "bandwidth", "", client.Attributes{"rate": 1})
	c := dial(t, p.Listen)
	ping(t, c, "twenty bytes of data")
	if n := r.counters(t).Toxics[0]; n.Connections != 0 || n.Closed != 0 {
		t.Errorf("under the limit: %+v", n)
	}
	if _, err := c.Write([]byte("eight...")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "eight" {
		t.Errorf("%q, %v", got, err)
	}
	if n := r.counters(t).Toxics[0]; n.Connections != 1 || n.Closed != 1 || n.Swallowed != 3 {
		t.Errorf("%+v", n)
	}
}
