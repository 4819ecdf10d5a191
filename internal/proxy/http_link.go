package proxy

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxOpen is how many requests of one connection may wait for their answers.
const maxOpen = 1024

// web is what one link knows of the HTTP/1 on it. It reads along from the first byte, toxics or not: so a
// toxic that comes later acts from the next request on, on established connections too, and nothing
// has to be guessed in the middle of a stream. Without an http toxic every byte passes as it came.
//
//	client ──► up:   head ─ body ─ head …  ── request ──► upstream      open: asked and not answered,
//	                    │ own: swallowed                                 oldest first
//	                    ▼
//	client ◄── down: answers of the upstream and of toxics, in the order of open ◄── upstream
//
// What is not understood (HTTP/2, TLS, any other protocol, a message with two lengths, whatever follows an
// upgrade) makes the link blind for good: both directions pass untouched. Only when a toxic has already
// taken bytes away that belong to it can it not go on, and is reset.
type web struct {
	link *link
	off  atomic.Bool    // blind, and nobody is left to be told: no lock is needed any more
	due  [2]atomic.Bool // a pump has something to do though nothing came

	mu       sync.Mutex // taken before link.mu, never while it is held
	live     []*toxic   // http toxics that hit this connection
	requests uint64     // seen
	open     []exchange
	in       [2]stream
	quiet    bool     // the client's stream is over
	touched  []uint64 // ordinals of toxics whose tally counted this connection
	unseen   []uint64 // the same for those that were told that it is not understood
}

// place is where in a stream its next byte is.
type place uint8

const (
	atHead   place = iota
	inBody         // of a message
	atSwitch       // behind a request to switch protocols: only the answer tells
	atBlind        // not HTTP, or not any more: bytes pass
	atVoid         // after the last message: bytes go nowhere
)

// stream is one direction.
type stream struct {
	at   place
	held []byte // of a head that is not complete
	sent bool   // its bytes were passed on
	mark int    // of these came before this read
	line int    // bytes of its last line
	cr   bool   // which began with a \r

	body    body
	switchy bool   // up: a switch follows the body
	eater   *toxic // swallows the body
	cutter  *toxic // cuts it when left payload has passed
	left    int64
}

// exchange is one request that is not answered.
type exchange struct {
	head, connect bool
	acts          []act // on the answer

	// Of one that a toxic answers, and the upstream never sees:
	own    *toxic
	reset  bool // by a RST
	ready  bool // the request is complete
	last   bool // the connection ends after it
	answer []byte
	holds  []hold
}

// act is a toxic about to act on an answer, unless it is gone by then. hit: its share of requests has it.
type act struct {
	t   *toxic
	hit bool
}

// hold is a delay that a toxic wants for a chunk.
type hold struct {
	t *toxic
	d time.Duration
}

// outlet collects what leaves a filter for the queue of its pump.
type outlet struct {
	p        *pump
	in       []byte
	from, to int // run of in that passes as it came
	out      []chunk
}

// pass lets in[i:j] through.
func (o *outlet) pass(i, j int) {
	if o.to != i {
		o.seal()
		o.from = i
	}
	o.to = j
}

func (o *outlet) seal() {
	if o.to > o.from {
		o.out = append(o.out, chunk{data: bytes.Clone(o.in[o.from:o.to])})
	}
	o.from, o.to = 0, 0
}

// put adds a chunk that owns its data.
func (o *outlet) put(c chunk) {
	o.seal()
	o.out = append(o.out, c)
}

// flush hands everything to the queue. The usual case, all of a read and nothing else, is not copied.
func (o *outlet) flush(now time.Time) {
	if len(o.out) == 0 {
		if o.to > o.from {
			o.p.enter(chunk{data: o.in[o.from:o.to], arrived: now})
		}
		return
	}
	o.seal()
	o.p.q.own()
	for _, c := range o.out {
		c.arrived = now
		o.p.enter(c)
		o.p.q.borrowed = false
	}
}

// filter takes what a pump has read.
func (w *web) filter(p *pump, data []byte, now time.Time) {
	if w.off.Load() {
		p.enter(chunk{data: data, arrived: now})
		return
	}
	// Changed during the read: a call that has returned holds from now on. What is no toxic of requests can wait for look.
	if c := w.link.proxy.chain.Load(); c != p.chain && len(c.http)+len(p.chain.https()) > 0 {
		p.adopt(c, now)
	}
	o := outlet{p: p, in: data}
	w.mu.Lock()
	if p.dir == up {
		w.up(&o)
	} else {
		w.down(&o)
	}
	w.tell()
	wake := w.promise(p.dir)
	w.mu.Unlock()
	o.flush(now)
	if wake {
		w.link.kick()
	}
}

// promise tells the other pump, and true, when it has something to do.
func (w *web) promise(dir direction) bool {
	other := 1 - dir
	s := &w.in[other]
	if (other == down && w.answerable()) || (s.at == atBlind && len(s.held) > 0) {
		w.due[other].Store(true)
		return true
	}
	return false
}

// attend does what was promised to a pump.
func (w *web) attend(p *pump, now time.Time) {
	w.mu.Lock()
	w.due[p.dir].Store(false)
	o := outlet{p: p}
	if p.dir == down {
		w.serve(&o)
	}
	if s := &w.in[p.dir]; s.at == atBlind || !w.withholds(p.dir) {
		s.release(&o)
	}
	w.mu.Unlock()
	o.flush(now)
}

// adopt takes over the toxics of a new chain. Their draws depend on nothing else, so either pump may.
func (w *web) adopt(p *pump, now time.Time) {
	var live []*toxic
	for _, t := range p.chain.http {
		if w.link.proxy.dice.hits(t, w.link.id) {
			live = append(live, t)
		}
	}
	if p.dir == up {
		w.mu.Lock()
		if len(live) > 0 {
			w.off.Store(false)
		}
		w.live = live
		w.mu.Unlock()
	}
	w.attend(p, now)
}

// ended takes notice of the end of a stream.
func (w *web) ended(p *pump, now time.Time) {
	w.mu.Lock()
	o := outlet{p: p}
	w.in[p.dir].release(&o)
	wake := false
	if p.dir == up {
		w.quiet = true
		wake = len(w.open) > 0 && w.open[0].own != nil
	}
	w.mu.Unlock()
	o.flush(now)
	if wake {
		w.link.kick()
	}
}

// owes tells whether the client is still to get an answer though the upstream will say no more.
func (w *web) owes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.link.broken.Load() && len(w.open) > 0 && w.open[0].own != nil && w.in[down].at == atHead && (w.open[0].ready || !w.quiet)
}

// withholds tells whether the head that is coming in may have to be changed.
func (w *web) withholds(dir direction) bool {
	if dir == up {
		return len(w.live) > 0
	}
	return len(w.open) > 0 && len(w.open[0].acts) > 0
}

// release passes on what is held of a head.
func (s *stream) release(o *outlet) {
	if len(s.held) > 0 && !s.sent {
		o.put(chunk{data: bytes.Clone(s.held)})
		s.sent = true
	}
	if s.at == atBlind {
		s.held = nil
	}
}

// gather finds the end of a head: n bytes of b belong to it.
func (s *stream) gather(b []byte) (n int, done bool) {
	for n < len(b) {
		i := bytes.IndexByte(b[n:], '\n')
		if s.line == 0 && i != 0 {
			s.cr = b[n] == '\r'
		}
		if i < 0 {
			s.line += len(b) - n
			return len(b), false
		}
		size := s.line + i
		n += i + 1
		s.line = 0
		if size == 0 || (size == 1 && s.cr) {
			return n, true
		}
	}
	return n, false
}

// headOf goes on with a head: o.in[i:j] belongs to it. raw is all of it once it is complete; until then,
// blind says that it will never be one.
func (w *web) headOf(o *outlet, dir direction, i int) (j int, raw []byte, blind bool) {
	s := &w.in[dir]
	n, done := s.gather(o.in[i:])
	j, s.mark = i+n, len(s.held)
	if done && len(s.held) == 0 {
		return j, o.in[i:j], false
	}
	keep := w.withholds(dir)
	if len(s.held) == 0 {
		s.sent = !keep
	}
	s.held = append(s.held, o.in[i:j]...)
	begins := statusBegins
	if dir == up {
		begins = requestBegins
	}
	if !begins(s.held) || len(s.held) > maxHead {
		return j, nil, true
	}
	if done {
		raw = s.held
	}
	if s.sent && !done {
		o.pass(i, j)
	}
	return j, raw, false
}

// forward lets a complete head through as it came.
func (s *stream) forward(o *outlet, i, j int) {
	if len(s.held) == 0 || s.sent {
		o.pass(i, j)
		return
	}
	o.put(chunk{data: s.held})
}

// next prepares for the next head.
func (s *stream) next() { *s = stream{at: s.at} }

// blind gives up reading along. Bytes of a head that are held pass now, the other pump passes its own; from here
// on the caller's loop passes the rest.
func (w *web) blind(o *outlet, dir direction) {
	var thief *toxic
	for _, x := range w.open {
		if x.own != nil {
			thief = x.own
		}
	}
	for d := range w.in {
		if t := w.in[d].eater; t != nil {
			thief = t
		}
		w.in[d].at, w.in[d].eater, w.in[d].cutter = atBlind, nil, nil
	}
	w.open = nil
	if thief != nil {
		w.link.end(true, &thief.n.resets)
		return
	}
	w.in[dir].release(o)
}

// tell counts a connection that is not understood, once for each toxic that would have acted on it.
func (w *web) tell() {
	if w.in[up].at != atBlind {
		return
	}
	for _, t := range w.live {
		if !slices.Contains(w.unseen, t.ordinal) {
			w.unseen = append(w.unseen, t.ordinal)
			t.n.http.blind.Add(1)
		}
	}
	w.off.Store(len(w.in[up].held) == 0 && len(w.in[down].held) == 0)
}

// touch counts a request that t did something to.
func (w *web) touch(t *toxic) {
	t.n.http.touched.Add(1)
	if !slices.Contains(w.touched, t.ordinal) {
		w.touched = append(w.touched, t.ordinal)
		t.n.connections.Add(1)
	}
}
