package proxy

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// direction of a stream, in stock's order of listing.
type direction uint8

const (
	up   direction = iota // client to upstream
	down                  // upstream to client
)

func (d direction) String() string { return [...]string{"upstream", "downstream"}[d] }

func parseDirection(s string) (direction, bool) {
	switch strings.ToLower(s) {
	case "upstream":
		return up, true
	case "downstream":
		return down, true
	}
	return up, false
}

// settings holds the attributes of every kind of toxic; a kind reads its own.
type settings struct {
	latency, jitter time.Duration // latency
	distribution    string        // latency
	rate            int64         // bandwidth: KB/s; 0: nothing leaves
	delay           time.Duration // slow_close
	sliceSize       int64         // slicer: bytes on average
	sliceVariation  int64         // slicer: bytes more or less; under sliceSize
	sliceDelay      int64         // slicer: µs between slices
	bytes           int64         // limit_data
	chunks          float64       // latency, slicer, corrupt, reset_peer: share of the chunks
	bits            int64         // corrupt: of a chunk
	timeout         time.Duration // timeout, reset_peer
	every           time.Duration // reset
	refuse          bool          // reset
	mode            string        // down
	ramps           []ramp        // never changed, but replaced
	on, off         time.Duration // pulse; 0: none
	pulsing         time.Time     // when on began
	http            httpSettings
}

// toxic is one entry of a proxy's list. It never changes: an update makes a new
// one with the same ordinal and tally.
type toxic struct {
	ordinal  uint64 // of this proxy; with the seed it decides which connections are hit
	name     string
	kind     string
	stream   string // as the caller wrote it
	dir      direction
	toxicity float32
	set      settings
	since    time.Time
	n        *tally
}

func (t *toxic) counters() ToxicCounters {
	c := t.n.read()
	c.Name, c.Type, c.Stream, c.Toxicity, c.ActiveSince = t.name, t.kind, t.stream, t.toxicity, t.since
	if t.kind == kindHTTP {
		c.HTTP = t.n.http.read()
	}
	return c
}

// chain is what the pumps of a proxy look at: an immutable snapshot of its toxics.
type chain struct {
	stream [2][]*toxic // what acts on the bytes of one direction, in order
	hole   *toxic      // down, mode blackhole
	refuse []*toxic    // reset with refuse: true
	http   []*toxic    // in order
}

func newChain(all []*toxic) *chain {
	c := &chain{}
	for _, t := range all {
		switch t.kind {
		case kindDown:
			if t.set.mode == modeBlackhole {
				c.hole = t
			}
		case kindReset:
			if t.set.refuse {
				c.refuse = append(c.refuse, t)
			}
		case kindHTTP:
			c.http = append(c.http, t)
		default:
			c.stream[t.dir] = append(c.stream[t.dir], t)
		}
	}
	return c
}

// dice answers every random question of one proxy. An answer depends on the seed,
// the proxy's name, the number of the connection and of the toxic, and not on
// timing, so that the same seed hits the same connections again.
type dice struct{ seed uint64 }

func newDice(seed uint64, proxy string) dice {
	h := fnv.New64a()
	h.Write([]byte(proxy))
	return dice{seed ^ h.Sum64()}
}

// hits tells whether t touches connection conn. It is drawn once, as in stock, but
// not again when a neighbour changes; raising toxicity only adds connections.
func (d dice) hits(t *toxic, conn uint64) bool {
	switch {
	case t.toxicity >= 1:
		return true
	case t.toxicity <= 0:
		return false
	}
	return float32(rand.New(rand.NewPCG(d.seed^t.ordinal<<32, conn)).Float64()) < t.toxicity
}

// chunk returns what decides about one chunk at one toxic.
func (d dice) chunk(t *toxic, conn uint64, dir direction, number uint64) *rand.Rand {
	return rand.New(rand.NewPCG(d.seed^t.ordinal<<32^conn, ^(number<<1 | uint64(dir))))
}

// draws tells, by the first draw from dice.chunk, whether a chunk is hit. Raising the share only adds chunks.
func (s *settings) draws(r *rand.Rand) bool { return r.Float64() < s.chunks }

// jitter returns the source of one direction of one connection.
func (d dice) jitter(conn uint64, dir direction) *rand.Rand {
	return rand.New(rand.NewPCG(^d.seed, conn<<1|uint64(dir)))
}
