package proxy

import (
	"bytes"
	"io"
	"math/bits"
	"net"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// say sends msg and returns what comes back in its place.
func say(t *testing.T, c net.Conn, msg []byte) []byte {
	t.Helper()
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(msg))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// differing counts the bits in which two messages differ.
func differing(a, b []byte) (n int) {
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

// Each message, which is a chunk, comes back with exactly so many bits flipped, and the counters say so.
func TestCorruptFlipsBits(t *testing.T) {
	for _, want := range []int{1, 3, 8, 256} {
		r := ours(t, Options{Seed: 5})
		p := r.proxyTo(t, serve(t, echo).addr())
		toxicOf(t, p, "corrupt", "", client.Attributes{"bits": want})
		c := dial(t, p.Listen)
		msg := bytes.Repeat([]byte{0xa5}, 32)
		for range 20 {
			if n := differing(msg, say(t, c, msg)); n != want {
				t.Errorf("%d bits flipped, want %d", n, want)
			}
		}
		if got := say(t, c, []byte{7}); want >= 8 && got[0] != 7^0xff {
			t.Errorf("at least 8 bits of one byte: %x", got)
		}
		if n := r.counters(t).Toxics[0]; n.Connections != 1 || n.Chunks != 21 || n.Offered != 21 || n.Flipped != uint64(20*want+min(want, 8)) {
			t.Errorf("%+v", n)
		}
		if err := p.RemoveToxic("corrupt_downstream"); err != nil {
			t.Fatal(err)
		}
		if n := differing(msg, say(t, c, msg)); n != 0 {
			t.Errorf("%d bits flipped after the removal", n)
		}
	}
}

// A share of the chunks is hit, the same ones and the same bits for the same seed; a higher share only adds.
func TestCorruptFollowsTheSeed(t *testing.T) {
	const messages = 200
	run := func(seed uint64, chunks float64) (hit [messages]bool, all []byte) {
		r := ours(t, Options{Seed: seed})
		p := r.proxyTo(t, serve(t, echo).addr())
		toxicOf(t, p, "corrupt", "upstream", client.Attributes{"chunks": chunks, "bits": 2})
		c := dial(t, p.Listen)
		msg := make([]byte, 64)
		for i := range hit {
			got := say(t, c, msg)
			hit[i] = differing(msg, got) > 0
			all = append(all, got...)
		}
		n := r.counters(t).Toxics[0]
		if n.Offered != messages || n.Flipped != 2*n.Chunks || float64(n.Chunks) < messages*chunks/2 || float64(n.Chunks) > messages*chunks*2 {
			t.Errorf("share %v: %+v", chunks, n)
		}
		return hit, all
	}
	few, a := run(1, 0.2)
	again, b := run(1, 0.2)
	if few != again || !bytes.Equal(a, b) {
		t.Error("the same seed does not repeat")
	}
	if other, _ := run(2, 0.2); other == few {
		t.Error("another seed hits the same chunks")
	}
	more, _ := run(1, 0.6)
	for i := range few {
		if few[i] && !more[i] {
			t.Errorf("chunk %d is hit at 0.2 and not at 0.6", i)
		}
	}
	if none, _ := run(1, 0); none != [messages]bool{} {
		t.Error("share 0 hits")
	}
}

// A chunk that leaves in parts is corrupted once, and what is corrupt reaches the receiver through other toxics.
func TestCorruptOncePerChunk(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	toxicOf(t, p, "slicer", "", client.Attributes{"average_size": 10, "delay": 200})
	toxicOf(t, p, "corrupt", "", client.Attributes{"bits": 4})
	msg := make([]byte, 500)
	if n := differing(msg, say(t, dial(t, p.Listen), msg)); n != 4 {
		t.Errorf("%d bits flipped", n)
	}
}

// Latency, slicer and reset_peer hit their share of the chunks, and leave the others alone.
func TestShareOfChunks(t *testing.T) {
	r := ours(t, Options{Seed: 8})
	p := r.proxyTo(t, serve(t, echo).addr())
	toxicOf(t, p, "latency", "", client.Attributes{"latency": 30, "chunks": 0.2})
	toxicOf(t, p, "slicer", "upstream", client.Attributes{"average_size": 30, "delay": 100, "chunks": 0.3})
	c := dial(t, p.Listen)
	slow := uint64(0)
	for range 60 {
		if ping(t, c, "a message that is long enough to be cut") >= 29*time.Millisecond {
			slow++
		}
	}
	all := r.counters(t).Toxics // upstream first
	cut, late := all[0], all[1]
	// Others may be slow by themselves on a busy machine; a message that was cut may come back as two chunks.
	if late.Chunks < 4 || late.Chunks > 30 || late.Offered < 60 || late.AddedP50 < 25*time.Millisecond || slow < late.Chunks*3/4 {
		t.Errorf("%d slow pings; %+v", slow, late)
	}
	if cut.Offered != 60 || cut.Chunks < 8 || cut.Chunks > 32 || cut.Slices != 2*cut.Chunks {
		t.Errorf("%+v", cut)
	}
	if err := p.RemoveToxic("latency_downstream"); err != nil {
		t.Fatal(err)
	}
	toxicOf(t, p, "reset_peer", "", client.Attributes{"chunks": 0.1})
	c = dial(t, p.Listen) // its chunks are numbered anew: how many the cut messages became is the machine's doing
	sent := 0
	for ; sent < 100; sent++ {
		if _, err := c.Write([]byte("x")); err != nil {
			break
		}
		if how := ending(c); how != "data" {
			if how != "RST" {
				t.Errorf("ended with %s", how)
			}
			break
		}
	}
	if sent == 0 || sent == 100 {
		t.Errorf("reset after %d chunks at a share of 0.1", sent)
	}
}

// With a share of the chunks an orderly end of the stream is left alone by reset_peer.
func TestResetPeerOfChunksLetsEnds(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, func(c net.Conn) { _, _ = c.Write([]byte("x")) }).addr())
	toxicOf(t, p, "reset_peer", "", client.Attributes{"chunks": 0})
	if how := rest(dial(t, p.Listen), 1); how != "whole" {
		t.Errorf("ended %s", how)
	}
}
