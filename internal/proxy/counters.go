package proxy

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Flow counts the bytes of both directions, named like Toxiproxy's streams.
type Flow struct {
	Upstream   uint64 `json:"upstream"`   // client to upstream, bytes
	Downstream uint64 `json:"downstream"` // upstream to client, bytes
}

// Counters is what a proxy did since it was created. All but Open only grow; they
// start again at zero when Epoch (the process) or Incarnation (the proxy) changes.
type Counters struct {
	Epoch        string          `json:"epoch"`         // random, drawn at the start of the process
	Proxy        string          `json:"proxy"`         // name
	Incarnation  uint64          `json:"incarnation"`   // differs when the proxy was deleted and created again
	Accepted     uint64          `json:"accepted"`      // client connections accepted
	Open         int64           `json:"open"`          // client connections open now
	Upstreams    int64           `json:"upstreams"`     // upstream connections open now
	OverLimit    uint64          `json:"over_limit"`    // reset at once: MaxConnections were open
	DialFailures uint64          `json:"dial_failures"` // upstream refused, did not resolve or did not answer in time
	Received     Flow            `json:"received"`      // read from the sending side
	Sent         Flow            `json:"sent"`          // written to the receiving side
	Toxics       []ToxicCounters `json:"toxics"`        // in the order of GET /toxics
	Removed      []ToxicCounters `json:"removed"`       // the last few toxics that are gone, oldest first
}

// ToxicCounters is what one toxic did since it was added; an update keeps it.
type ToxicCounters struct {
	Name        string        `json:"name"`
	Type        string        `json:"type"`
	Stream      string        `json:"stream"`
	Toxicity    float32       `json:"toxicity"`
	ActiveSince time.Time     `json:"active_since"`
	RemovedAt   time.Time     `json:"removed_at,omitzero"`
	Connections uint64        `json:"connections"`      // connections that it touched
	Seen        uint64        `json:"seen_connections"` // connections that were open when it was added, or accepted since
	Chunks      uint64        `json:"chunks"`           // reads of at most 32 KiB that it delayed, swallowed or changed
	AddedTotal  time.Duration `json:"added_total_ns"`   // delay really added, summed over chunks
	AddedMax    time.Duration `json:"added_max_ns"`     // the longest delay of one chunk
	AddedP50    time.Duration `json:"added_p50_ns"`     // median delay of a chunk, within 1.6 %
	AddedP99    time.Duration `json:"added_p99_ns"`     // 99th percentile, within 1.6 %
	Resets      uint64        `json:"resets"`           // connections that got a RST from it
	Swallowed   uint64        `json:"swallowed_bytes"`  // bytes read and thrown away
	Closed      uint64        `json:"closed"`           // connections closed by it with a FIN; slow_close: closed late
	PacedBytes  uint64        `json:"paced_bytes"`      // bandwidth: bytes that left right behind others
	Offered     uint64        `json:"offered_chunks"`   // latency, slicer, corrupt: chunks that it could have touched
	Flipped     uint64        `json:"flipped_bits"`     // corrupt
	Slices      uint64        `json:"slices"`           // slicer: parts of the chunks that it cut
	PacedFor    time.Duration `json:"paced_for_ns"`     // bandwidth: how long these took, summed over connections; without waits for receivers
	HTTP        *HTTPCounters `json:"http,omitempty"`   // of an http toxic
}

// HTTPCounters is what an http toxic did to requests, on the connections that its toxicity hits. What acts on
// answers counts requests as matched and touched when the answer comes.
type HTTPCounters struct {
	Requests      uint64 `json:"requests"`       // seen
	Matched       uint64 `json:"matched"`        // of its method and path; ratio is the share of these
	Touched       uint64 `json:"touched"`        // it did something to
	NotUnderstood uint64 `json:"not_understood"` // connections that passed untouched: no HTTP/1, or no longer
}

// AllCounters is the answer of GET /counters.
type AllCounters struct {
	Epoch   string              `json:"epoch"`
	Lease   LeaseState          `json:"lease"`
	Proxies map[string]Counters `json:"proxies"`
}

// flow is Flow, written by the pumps of all connections.
type flow [2]atomic.Uint64

func (f *flow) read() Flow {
	return Flow{Upstream: f[up].Load(), Downstream: f[down].Load()}
}

// traffic is the live form of Counters.
type traffic struct {
	accepted, overLimit, dialFailures atomic.Uint64
	upstreams                         atomic.Int64
	received, sent                    flow
}

// tally is the live form of ToxicCounters.
type tally struct {
	connections, chunks, resets, swallowed, closed atomic.Uint64
	pacedBytes, slices, offered, flipped           atomic.Uint64
	addedTotal, addedMax, pacedFor                 atomic.Int64
	delays                                         histogram
	http                                           httpTally

	// For Seen, under the proxy's lock: how many connections were over before it was added, and how many
	// had been accepted when it was removed.
	before, until uint64
}

// delayed records one chunk that left d after it came.
func (t *tally) delayed(d time.Duration) {
	t.chunks.Add(1)
	t.late(d)
}

// late records what was passed on d after it came.
func (t *tally) late(d time.Duration) {
	d = max(d, 0)
	t.addedTotal.Add(int64(d))
	for {
		seen := t.addedMax.Load()
		if int64(d) <= seen || t.addedMax.CompareAndSwap(seen, int64(d)) {
			break
		}
	}
	t.delays.add(d)
}

// swallow records one chunk of n bytes that goes nowhere.
func (t *tally) swallow(n int) {
	t.chunks.Add(1)
	t.swallowed.Add(uint64(n))
}

func (t *tally) read() ToxicCounters {
	return ToxicCounters{
		Connections: t.connections.Load(), Chunks: t.chunks.Load(),
		AddedTotal: time.Duration(t.addedTotal.Load()), AddedMax: time.Duration(t.addedMax.Load()),
		AddedP50: t.delays.quantile(0.5), AddedP99: t.delays.quantile(0.99),
		Resets: t.resets.Load(), Swallowed: t.swallowed.Load(), Closed: t.closed.Load(),
		PacedBytes: t.pacedBytes.Load(), PacedFor: time.Duration(t.pacedFor.Load()), Slices: t.slices.Load(),
		Offered: t.offered.Load(), Flipped: t.flipped.Load(),
	}
}

// Shape of a histogram: a bucket's middle is at most 1/(2·perOctave) = 1.6 % away from
// any duration in it, and the longest delay that a toxic may have falls into the last octave.
const (
	octaveBits = 5 // log2 of perOctave
	perOctave  = 1 << octaveBits
	octaves    = 43 // up to 2^43 ns, over two hours
)

// histogram counts durations in log-linear buckets. Durations under perOctave ns have
// a bucket each; octave o holds [2^(o+octaveBits), 2^(o+octaveBits+1)) ns.
type histogram [(octaves - octaveBits + 1) * perOctave]atomic.Uint64

func (h *histogram) add(d time.Duration) { h[min(bucket(uint64(d)), len(h)-1)].Add(1) }

func bucket(ns uint64) int {
	if ns < perOctave {
		return int(ns)
	}
	shift := bits.Len64(ns) - 1 - octaveBits
	return shift*perOctave + int(ns>>shift) // ns>>shift is in [perOctave, 2*perOctave)
}

// quantile is the least duration that the share q, over 0 up to 1, of all is not over.
func (h *histogram) quantile(q float64) time.Duration {
	var total uint64
	for i := range h {
		total += h[i].Load()
	}
	var seen uint64
	for i := range h {
		seen += h[i].Load()
		if total > 0 && float64(seen) >= q*float64(total) {
			return middle(i)
		}
	}
	return 0
}

func middle(i int) time.Duration {
	if i < 2*perOctave {
		return time.Duration(i)
	}
	shift := i/perOctave - 1
	low := uint64(i-shift*perOctave) << shift
	return time.Duration(low + 1<<shift/2)
}
