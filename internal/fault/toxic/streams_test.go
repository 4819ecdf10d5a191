package toxic_test

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"net"
	"strings"
	"testing"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/fault/toxic"
	"chaos/internal/kind"
)

// here is every connection's answers on the edge.
func here() toxic.Streams {
	return toxic.Streams{Edge: theEdge, Stream: "downstream", Toxicity: 1}
}

func bandwidth(rate kind.Throughput) func() fault.Fault {
	return func() fault.Fault { return &toxic.Bandwidth{Streams: here(), Rate: rate} }
}

// echoes sends size bytes in one go and waits for all of them.
func echoes(size int) func(*shopSystem) func(testing.TB) {
	return func(s *shopSystem) func(testing.TB) {
		return func(t testing.TB) { exchange(t, s.silent(t), size) }
	}
}

// exchange sends size bytes and returns what came back, and when.
func exchange(t testing.TB, c net.Conn, size int) ([]byte, time.Duration) {
	t.Helper()
	began := time.Now()
	if err := c.SetDeadline(began.Add(patient)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = c.Write(bytes.Repeat([]byte("m"), size)) }()
	got := make([]byte, size)
	n, err := io.ReadFull(c, got)
	if err != nil {
		t.Fatalf("%d of %d bytes: %v", n, size, err)
	}
	return got, time.Since(began)
}

func slicer(size, variation kind.Size, delay time.Duration) func() fault.Fault {
	return func() fault.Fault {
		return &toxic.Slicer{Streams: here(), AverageSize: size, SizeVariation: variation, Delay: delay, Chunks: 1}
	}
}

// begin sends size bytes and waits for the first of them.
func begin(t testing.TB, c net.Conn, size, first int) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(bytes.Repeat([]byte("m"), size)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, first)); err != nil {
		t.Fatal(err)
	}
}

func limitData(bytes kind.Size) func() fault.Fault {
	return func() fault.Fault { return &toxic.LimitData{Streams: here(), Bytes: bytes} }
}

// cutsShort sends size bytes, of which limit must come back before the end.
func cutsShort(size, limit int) func(*shopSystem) func(testing.TB) {
	return func(s *shopSystem) func(testing.TB) {
		return func(t testing.TB) {
			c := s.silent(t)
			begin(t, c, size, limit)
			if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
				t.Errorf("%d bytes over the limit, %v", n, err)
			}
		}
	}
}

func corrupt(chunks float64, bits int) func() fault.Fault {
	return func() fault.Fault { return &toxic.Corrupt{Streams: here(), Chunks: chunks, Bits: bits} }
}

// latencyOf is latency for a share of the chunks.
func latencyOf(chunks float64) func() fault.Fault {
	return func() fault.Fault {
		return &toxic.Latency{Edge: theEdge, Latency: 10 * time.Millisecond, Stream: "downstream", Toxicity: 1, Chunks: chunks}
	}
}

// tailed is latency of a distribution.
func tailed(distribution string, latency, jitter time.Duration) func() fault.Fault {
	return func() fault.Fault {
		return &toxic.Latency{Edge: theEdge, Latency: latency, Jitter: jitter, Distribution: distribution, Stream: "downstream", Toxicity: 1, Chunks: 1}
	}
}

// ramped is 50 ms of latency of which one parameter moves.
func ramped(name string, from toxic.Value, over time.Duration) func() fault.Fault {
	return func() fault.Fault {
		f := latencyOf(1)().(*toxic.Latency)
		f.Latency, f.Ramps = 50*time.Millisecond, map[string]toxic.Ramp{name: {From: from, Over: over}}
		return f
	}
}

// moving is a fault with moves.
func moving(f fault.Fault, m toxic.Moves) fault.Fault {
	switch f := f.(type) {
	case *toxic.Latency:
		f.Moves = m
	case *toxic.Bandwidth:
		f.Moves = m
	case *toxic.Slicer:
		f.Moves = m
	case *toxic.LimitData:
		f.Moves = m
	case *toxic.SlowClose:
		f.Moves = m
	case *toxic.Corrupt:
		f.Moves = m
	}
	return f
}

// to is a ramp of one parameter over a second.
func to(name string, from toxic.Value) toxic.Moves {
	return toxic.Moves{Ramps: map[string]toxic.Ramp{name: {From: from, Over: time.Second}}}
}

func pulse(on, off time.Duration) toxic.Moves {
	return toxic.Moves{Pulse: &toxic.Pulse{On: on, Off: off}}
}

func pings(s *shopSystem, n int) func(testing.TB) {
	return func(t testing.TB) {
		c := s.dial(t)
		for range n {
			if _, err := ping(c, patient); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func slowClose(delay time.Duration) func() fault.Fault {
	return func() fault.Fault { return &toxic.SlowClose{Streams: here(), Delay: delay} }
}

// hangUp ends its stream, which the server answers with the end of its own, and waits for that.
func hangUp(t testing.TB, c net.Conn, within time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	if err := c.SetDeadline(began.Add(within)); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Read(make([]byte, 1))
	return time.Since(began)
}

func hangsUp(within time.Duration) func(*shopSystem) func(testing.TB) {
	return func(s *shopSystem) func(testing.TB) {
		return func(t testing.TB) { hangUp(t, s.dial(t), within) }
	}
}

// mute sends and gets no answer for a while.
func mute(s *shopSystem) func(testing.TB) {
	return func(t testing.TB) {
		if _, err := ping(s.silent(t), 100*time.Millisecond); err == nil {
			t.Error("a ping was answered")
		}
	}
}

// tries is mute that may come too late, when the machine was busy for the whole of a pulse.
func tries(s *shopSystem) func(testing.TB) {
	return func(t testing.TB) { _, _ = ping(s.silent(t), 100*time.Millisecond) }
}

func TestStreamConformance(t *testing.T) {
	for _, c := range []conformance{
		{"bandwidth under demand", "toxic.bandwidth", bandwidth(200_000), nil, echoes(120_000)},
		{"bandwidth, little traffic", "toxic.bandwidth", bandwidth(1000), nil, echoes(20)},
		{"a stall", "toxic.bandwidth", bandwidth(0), nil, mute},
		{"slicer", "toxic.slicer", slicer(100, 20, 2*time.Millisecond), nil, echoes(1000)},
		{"slicer, a long pause", "toxic.slicer", slicer(10, 0, time.Hour), nil, func(s *shopSystem) func(testing.TB) {
			return func(t testing.TB) { begin(t, s.silent(t), 100, 6) }
		}},
		{"limit", "toxic.limit_data", limitData(3), nil, cutsShort(10, 3)},
		{"limit at once", "toxic.limit_data", limitData(0), nil, cutsShort(10, 0)},
		{"corrupt", "toxic.corrupt", corrupt(1, 3), nil, echoes(100)},
		{"latency of some chunks", "toxic.latency", latencyOf(0.5), nil, func(s *shopSystem) func(testing.TB) { return pings(s, 20) }},
		{"latency with a tail", "toxic.latency", tailed("pareto", 5*time.Millisecond, 5*time.Millisecond), nil, use},
		{"normal latency", "toxic.latency", tailed("normal", 20*time.Millisecond, 5*time.Millisecond), nil, use},
		{"a ramp of latency", "toxic.latency", ramped("latency", "10ms", 100*time.Millisecond), nil, use},
		{"a pulsing stall", "toxic.bandwidth", func() fault.Fault {
			f := &toxic.Bandwidth{Streams: here()}
			f.Pulse = &toxic.Pulse{On: 200 * time.Millisecond, Off: time.Hour}
			return f
		}, nil, tries},
		{"slow close", "toxic.slow_close", slowClose(30 * time.Millisecond), nil, hangsUp(60 * time.Millisecond)},
		{"slow close, held", "toxic.slow_close", slowClose(time.Hour), nil, hangsUp(60 * time.Millisecond)},
	} {
		t.Run(c.name, c.run)
	}
}

// Each kind does to a client what its name says, and the edge is whole again after the revert.
func TestStreamEffects(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault.Fault
		see   func(t *testing.T, s *shopSystem, old net.Conn)
	}{
		{"bandwidth", bandwidth(100_000)(), func(t *testing.T, _ *shopSystem, old net.Conn) {
			fastest(t, "20 KB at 100 KB/s", 150*time.Millisecond, 600*time.Millisecond, func() time.Duration {
				_, took := exchange(t, old, 20_000)
				return took
			})
		}},
		{"slicer", slicer(10, 5, 10*time.Millisecond)(), func(t *testing.T, _ *shopSystem, old net.Conn) {
			fastest(t, "150 bytes in slices of 10 ± 5, 10 ms apart", 80*time.Millisecond, 800*time.Millisecond, func() time.Duration {
				_, took := exchange(t, old, 150)
				return took
			})
		}},
		{"limit", limitData(6)(), func(t *testing.T, s *shopSystem, old net.Conn) {
			for range 6 {
				if _, err := ping(old, patient); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := ping(old, patient); !errors.Is(err, io.EOF) {
				t.Errorf("ping after 6 bytes: %v", err)
			}
			if _, err := ping(s.silent(t), patient); err != nil {
				t.Errorf("a new connection: %v", err)
			}
		}},
		{"corrupt", corrupt(1, 3)(), func(t *testing.T, _ *shopSystem, old net.Conn) {
			got, _ := exchange(t, old, 100)
			odd := 0
			for _, b := range got {
				odd += bits.OnesCount8(b ^ 'm')
			}
			if odd != 3 {
				t.Errorf("%d bits are odd", odd)
			}
		}},
		{"slow close", slowClose(120 * time.Millisecond)(), func(t *testing.T, s *shopSystem, old net.Conn) {
			fastest(t, "the end", 100*time.Millisecond, 500*time.Millisecond, func() time.Duration {
				took := hangUp(t, old, patient)
				old = s.dial(t)
				return took
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			old := s.dial(t)
			_, revert := inject(t, s, c.fault)
			c.see(t, s, old)
			revert()
			fastest(t, "after the revert", 0, 150*time.Millisecond, func() time.Duration {
				got, took := exchange(t, s.dial(t), 20_000)
				if odd := len(bytes.Trim(got, "m")); odd > 0 {
					t.Errorf("after the revert: %d odd bytes", odd)
				}
				return took
			})
		})
	}
}

// fastest plays what never takes less than least until it takes no more than most: other work on the machine makes any
// single one late.
func fastest(t *testing.T, what string, least, most time.Duration, play func() time.Duration) {
	t.Helper()
	var all []time.Duration
	for range 30 {
		took := play()
		if all = append(all, took); took < least {
			t.Errorf("%s: it took only %v", what, took)
		}
		if took <= most {
			return
		}
	}
	t.Errorf("%s: it took %v", what, all)
}

// The fidelity of the kinds, at their borders.
func TestStreamFidelity(t *testing.T) {
	cut := map[string]any{"average_size": 100.0, "size_variation": 50.0, "delay": 1000.0}
	spread := func(distribution string) map[string]any {
		return map[string]any{"latency": 100.0, "jitter": 20.0, "distribution": distribution}
	}
	ramp := map[string]any{"from": 10.0, "to": 50.0, "over": 1000.0}
	one := func(c edge.ToxicCounters) edge.ToxicCounters { c.Connections++; return c }
	for _, c := range []struct {
		kind       string
		attributes map[string]any
		c          edge.ToxicCounters
		why        string
	}{
		{"toxic.bandwidth", map[string]any{"rate": 64.0}, edge.ToxicCounters{}, "nothing passed"},
		{"toxic.bandwidth", map[string]any{"rate": 64.0}, one(edge.ToxicCounters{PacedBytes: 76_000, PacedFor: time.Second}), ""},
		{"toxic.bandwidth", map[string]any{"rate": 64.0}, one(edge.ToxicCounters{PacedBytes: 77_000, PacedFor: time.Second}), "did not deliver"},
		{"toxic.bandwidth", map[string]any{"rate": 64.0}, one(edge.ToxicCounters{PacedBytes: 51_000, PacedFor: time.Second}), "did not deliver"},
		{"toxic.bandwidth", map[string]any{"rate": 64.0}, one(edge.ToxicCounters{PacedFor: 199 * time.Millisecond, Chunks: 1, AddedMax: time.Millisecond}), ""},
		{"toxic.bandwidth", map[string]any{"rate": 64.0}, one(edge.ToxicCounters{Chunks: 9, AddedMax: 900 * time.Microsecond}), "ask for a lower one"},
		{"toxic.bandwidth", map[string]any{"rate": 0.0}, one(edge.ToxicCounters{}), ""},
		{"toxic.bandwidth", map[string]any{"rate": 0.0}, edge.ToxicCounters{}, "nothing passed"},
		{"toxic.slow_close", map[string]any{"delay": 100.0}, edge.ToxicCounters{}, "no stream ended"},
		{"toxic.slow_close", map[string]any{"delay": 100.0}, one(edge.ToxicCounters{}), ""},
		{"toxic.slow_close", map[string]any{"delay": 100.0}, one(edge.ToxicCounters{Closed: 1, AddedP50: 80 * time.Millisecond}), ""},
		{"toxic.slow_close", map[string]any{"delay": 100.0}, one(edge.ToxicCounters{Closed: 1, AddedP50: 79 * time.Millisecond}), "did not deliver"},
		{"toxic.slicer", cut, edge.ToxicCounters{}, "nothing over 150B"},
		{"toxic.slicer", cut, one(edge.ToxicCounters{}), ""},
		{"toxic.slicer", cut, one(edge.ToxicCounters{Chunks: 2, Slices: 12, AddedTotal: 8 * time.Millisecond}), ""},
		{"toxic.slicer", cut, one(edge.ToxicCounters{Chunks: 2, Slices: 12, AddedTotal: 7 * time.Millisecond}), "did not deliver"},
		{"toxic.limit_data", map[string]any{"bytes": 2000.0}, edge.ToxicCounters{}, "more than 2KB"},
		{"toxic.limit_data", map[string]any{"bytes": 2000.0}, one(edge.ToxicCounters{Closed: 1}), ""},
		{"toxic.corrupt", nil, edge.ToxicCounters{}, "nothing passed"},
		{"toxic.corrupt", nil, edge.ToxicCounters{Offered: 3}, "none of 3 chunks"},
		{"toxic.corrupt", nil, one(edge.ToxicCounters{Offered: 3, Chunks: 1, Flipped: 1}), ""},
		{"toxic.latency", spread("normal"), one(edge.ToxicCounters{Chunks: 1, AddedMax: time.Second, AddedP50: 32 * time.Millisecond}), ""},
		{"toxic.latency", spread("normal"), one(edge.ToxicCounters{Chunks: 1, AddedMax: time.Second, AddedP50: 31 * time.Millisecond}), "did not deliver"},
		{"toxic.latency", spread("normal"), one(edge.ToxicCounters{Chunks: 16, AddedMax: time.Second, AddedP50: 64 * time.Millisecond}), ""},
		{"toxic.latency", spread("normal"), one(edge.ToxicCounters{Chunks: 16, AddedMax: time.Second, AddedP50: 63 * time.Millisecond}), "did not deliver"},
		{"toxic.latency", spread("normal"), one(edge.ToxicCounters{Chunks: 1600, AddedMax: time.Second, AddedP50: 79 * time.Millisecond}), ""},
		{"toxic.latency", spread("normal"), one(edge.ToxicCounters{Chunks: 1600, AddedMax: time.Second, AddedP50: 78 * time.Millisecond}), "did not deliver"},
		{"toxic.latency", spread("lognormal"), one(edge.ToxicCounters{Chunks: 16, AddedMax: time.Second, AddedP50: 67 * time.Millisecond}), ""},
		{"toxic.latency", spread("lognormal"), one(edge.ToxicCounters{Chunks: 16, AddedMax: time.Second, AddedP50: 66 * time.Millisecond}), "did not deliver"},
		{"toxic.latency", spread("pareto"), one(edge.ToxicCounters{Chunks: 1, AddedMax: time.Second, AddedP50: 80 * time.Millisecond}), ""},
		{"toxic.latency", spread("pareto"), one(edge.ToxicCounters{Chunks: 1, AddedMax: time.Second, AddedP50: 79 * time.Millisecond}), "did not deliver"},
		{"toxic.latency", spread("uniform"), one(edge.ToxicCounters{Chunks: 1, AddedMax: time.Second, AddedP50: 64 * time.Millisecond}), ""},
		{"toxic.latency", spread("uniform"), one(edge.ToxicCounters{Chunks: 1, AddedMax: time.Second, AddedP50: 63 * time.Millisecond}), "did not deliver"},
		{"toxic.bandwidth", map[string]any{"rate": ramp}, one(edge.ToxicCounters{PacedBytes: 8_100, PacedFor: time.Second}), ""},
		{"toxic.bandwidth", map[string]any{"rate": ramp}, one(edge.ToxicCounters{PacedBytes: 59_000, PacedFor: time.Second}), ""},
		{"toxic.bandwidth", map[string]any{"rate": ramp}, one(edge.ToxicCounters{PacedBytes: 7_900, PacedFor: time.Second}), "of 10 to 50 KB/s"},
		{"toxic.bandwidth", map[string]any{"rate": ramp}, one(edge.ToxicCounters{PacedBytes: 61_000, PacedFor: time.Second}), "of 10 to 50 KB/s"},
		{"toxic.bandwidth", map[string]any{"rate": map[string]any{"from": 50.0, "to": 10.0, "over": 1000.0}}, one(edge.ToxicCounters{PacedBytes: 30_000, PacedFor: time.Second}), ""},
		{"toxic.latency", map[string]any{"latency": ramp, "jitter": 0.0}, one(edge.ToxicCounters{Chunks: 1, AddedMax: 8 * time.Millisecond, AddedP50: 8 * time.Millisecond}), ""},
		{"toxic.latency", map[string]any{"latency": ramp, "jitter": 0.0}, one(edge.ToxicCounters{Chunks: 1, AddedMax: 8 * time.Millisecond, AddedP50: 7 * time.Millisecond}), "did not deliver"},
	} {
		if got := toxic.Judge(c.kind, c.attributes, c.c); (got == "") != (c.why == "") || !strings.Contains(got, c.why) {
			t.Errorf("%s %v, %+v: %q, want %q", c.kind, c.attributes, c.c, got, c.why)
		}
	}
}

func TestStreamPlanErrors(t *testing.T) {
	nowhere, sideways, never := here(), here(), here()
	nowhere.Edge, sideways.Stream, never.Toxicity = "", "sideways", 0
	for _, c := range []struct {
		f    fault.Fault
		want string
	}{
		{&toxic.Bandwidth{Streams: nowhere, Rate: 1000}, "toxic.bandwidth: name the edge"},
		{&toxic.Bandwidth{Streams: sideways, Rate: 1000}, "neither downstream"},
		{&toxic.Bandwidth{Streams: never, Rate: 1000}, "toxicity 0"},
		{bandwidth(1500)(), "whole KB/s"},
		{bandwidth(-1000)(), "0B/s to 10GB/s"},
		{bandwidth(10_000_001_000)(), "0B/s to 10GB/s"},
		{slowClose(0)(), "toxic.slow_close: delay 0s"},
		{slowClose(2 * time.Hour)(), "delay 2h0m0s"},
		{&toxic.SlowClose{Streams: never, Delay: time.Second}, "toxicity 0"},
		{slicer(0, 0, 0)(), "average_size 0B"},
		{slicer(2<<20, 0, 0)(), "not 1B to 1MiB"},
		{slicer(10, 10, 0)(), "less than average_size 10B"},
		{slicer(10, 0, time.Nanosecond)(), "whole number of microseconds"},
		{&toxic.Slicer{Streams: sideways, AverageSize: 10}, "neither downstream"},
		{limitData(-1)(), "bytes -1B"},
		{limitData(kind.MaxSize + 1)(), "0B to 1000GB"},
		{&toxic.LimitData{Streams: nowhere}, "toxic.limit_data: name the edge"},
		{corrupt(0, 1)(), "chunks 0"},
		{corrupt(1.5, 1)(), "chunks 1.5"},
		{corrupt(1, 0)(), "bits 0"},
		{corrupt(1, 257)(), "not 1 to 256"},
		{&toxic.Corrupt{Streams: nowhere, Chunks: 1, Bits: 1}, "toxic.corrupt: name the edge"},
		{latencyOf(0)(), "chunks 0"},
		{latencyOf(2)(), "chunks 2"},
		{&toxic.Slicer{Streams: here(), AverageSize: 10}, "toxic.slicer: chunks 0"},
		{tailed("gauss", time.Second, 0)(), `distribution "gauss"`},
		{tailed("normal", time.Second, 2*time.Second)(), "over latency"},
		{tailed("uniform", time.Second, 2*time.Second)(), "over latency"},
		{moving(latencyOf(1)(), to("stream", "x")), `"stream" is no parameter that can move; these can: chunks, jitter, latency`},
		{moving(latencyOf(1)(), to("latency", "7")), "ramps: latency: from: duration"},
		{moving(latencyOf(1)(), to("latency", "2h")), "up to 1h"},
		{moving(latencyOf(1)(), to("latency", "1500us")), "whole number of 1ms"},
		{moving(tailed("pareto", time.Second, time.Second)(), to("latency", "0s")), "no meaning with distribution pareto"},
		{ramped("latency", "1ms", 0)(), "ramps: latency: over 0s"},
		{moving(bandwidth(1000)(), to("rate", "1500B/s")), "whole KB/s"},
		{moving(bandwidth(1000)(), to("rate", "64KB")), "size a second"},
		{moving(slicer(100, 20, 0)(), to("average_size", "0B")), "not 1B to"},
		{moving(slicer(100, 20, 0)(), to("average_size", "20B")), "must stay under"},
		{moving(slicer(100, 20, 0)(), to("chunks", "1.5")), "not a number from 0 to 1"},
		{moving(limitData(5)(), to("bytes", "5")), "no unit"},
		{moving(corrupt(1, 1)(), to("bits", "257")), "1 to 256"},
		{moving(slowClose(time.Second)(), pulse(time.Millisecond, time.Second)), "pulse: on 1ms"},
		{moving(slowClose(time.Second)(), pulse(time.Second, 0)), "pulse: off 0s"},
	} {
		if _, err := c.f.Plan(shop, able, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.f, err, c.want)
		}
	}
}

// What the proxy is asked for, in its own units; what stock would not understand is left out when it can be.
func TestStreamArguments(t *testing.T) {
	few := here()
	few.Stream, few.Toxicity = "upstream", 0.25
	for _, c := range []struct {
		f    fault.Fault
		want string
	}{
		{bandwidth(64_000)(), `{"type":"bandwidth","stream":"downstream","toxicity":1,"attributes":{"rate":64}}`},
		{&toxic.Bandwidth{Streams: few}, `{"type":"bandwidth","stream":"upstream","toxicity":0.25,"attributes":{"rate":0}}`},
		{slicer(100, 20, time.Millisecond)(), `{"type":"slicer","stream":"downstream","toxicity":1,"attributes":{"average_size":100,"delay":1000,"size_variation":20}}`},
		{&toxic.Slicer{Streams: here(), AverageSize: 9, Chunks: 0.5}, `{"type":"slicer","stream":"downstream","toxicity":1,"attributes":{"average_size":9,"chunks":0.5,"delay":0,"size_variation":0}}`},
		{limitData(5000)(), `{"type":"limit_data","stream":"downstream","toxicity":1,"attributes":{"bytes":5000}}`},
		{slowClose(time.Second)(), `{"type":"slow_close","stream":"downstream","toxicity":1,"attributes":{"delay":1000}}`},
		{corrupt(1, 2)(), `{"type":"corrupt","stream":"downstream","toxicity":1,"attributes":{"bits":2,"chunks":1}}`},
		{latencyOf(1)(), `{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"jitter":0,"latency":10}}`},
		{tailed("uniform", time.Second, time.Second)(), `{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"jitter":1000,"latency":1000}}`},
		{tailed("pareto", time.Second, 2*time.Second)(), `{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"distribution":"pareto","jitter":2000,"latency":1000}}`},
		{ramped("latency", "0ms", 30*time.Second)(), `{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"jitter":0,"latency":{"from":0,"over":30000,"to":50}}}`},
		{ramped("chunks", "0.25", time.Second)(), `{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"chunks":{"from":0.25,"over":1000,"to":1},"jitter":0,"latency":50}}`},
		{moving(bandwidth(64_000)(), to("rate", "1MB/s")), `{"type":"bandwidth","stream":"downstream","toxicity":1,"attributes":{"rate":{"from":1000,"over":1000,"to":64}}}`},
		{moving(slicer(100, 0, 0)(), to("delay", "5us")), `{"type":"slicer","stream":"downstream","toxicity":1,"attributes":{"average_size":100,"delay":{"from":5,"over":1000,"to":0},"size_variation":0}}`},
		{moving(slowClose(time.Second)(), pulse(time.Second, 4*time.Second)), `{"type":"slow_close","stream":"downstream","toxicity":1,"attributes":{"delay":1000,"off":4000,"on":1000}}`},
		{latencyOf(0.5)(), `{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"chunks":0.5,"jitter":0,"latency":10}}`},
	} {
		actions, err := c.f.Plan(shop, able, nil)
		if err != nil || len(actions) != 1 {
			t.Fatalf("%+v: %d actions, %v", c.f, len(actions), err)
		}
		if got := string(actions[0].Args); got != `{"edge":"`+jsonEdge+`","toxic":`+c.want+`}` {
			t.Errorf("%s\nwant the toxic %s", got, c.want)
		}
	}
}

// jsonEdge is theEdge as JSON has it.
const jsonEdge = `gateway-\u003eredis`
