package proxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// pump moves the bytes of one direction. One goroutine, no locks:
//
//	   ┌──────────────────────────── look ◄─────────────────────────────┐
//	   │ (chain changed? adopt: draw toxicity, stamp the queue again)   │
//	   ▼                                                                │
//	decide ─ send ────► write what was let through, until done or kicked ┤
//	   ├──── swallow ─► drop the first chunk ───────────────────────────┤
//	   ├──── wait ────► read until the next due time or kicked ─────────┤
//	   │                (queue full or stream over: only wait)          │
//	   ├──── finish ──► FIN (or mark broken) and end
//	   ├──── reset ───► RST both sides and end
//	   └──── cut ─────► FIN both sides and end
type pump struct {
	link     *link
	dir      direction
	src, dst *net.TCPConn

	// Written by whoever wants this pump to look again: count up, then interrupt.
	// The pump reads kicks, then sets a deadline, then compares kicks: so it either
	// sees the new count or its deadline is overwritten by the kicker's. The latter can
	// also happen after the pump has seen the count: a deadline that passed may always
	// be a kicker's, and is set again.
	kicks atomic.Uint64
	wake  chan struct{} // capacity 1

	// Below: the pump's own.
	chain                        *chain
	active                       []effect
	hole                         *toxic
	holeSeen                     bool // hole's tally counted this connection
	q                            queue
	chunks                       uint64 // so far
	rng                          *rand.Rand
	meter                        meter
	buf                          []byte
	readDeadline, writeDeadline  bool // may be set
	seen                         uint64
	ended                        bool      // src sent FIN or RST, or must not be read any more
	broken                       bool      // it was a RST
	halfSince, lastMove, unblock time.Time // halfSince: or since it was last spared
	overSince                    time.Time // the end of the stream was the next to leave
	timer                        *time.Timer
}

// effect is a toxic that hits this connection.
type effect struct {
	t       *toxic
	touched bool      // the tally counted this connection
	since   time.Time // timeout: start, or last data. reset_peer: first data
	pace    pace      // bandwidth
	knife   knife     // slicer
	quota   quota     // limit_data
}

func (e *effect) touch() {
	if !e.touched {
		e.touched = true
		e.t.n.connections.Add(1)
	}
}

type step uint8

const (
	stepWait step = iota
	stepSend
	stepSwallow
	stepFinish
	stepReset
	stepCut
)

// run pumps until the stream is over or the link is ended.
func (p *pump) run() {
	chunk := p.link.proxy.server.buffers.Get().(*[chunkSize]byte)
	defer p.link.proxy.server.buffers.Put(chunk)
	p.buf = chunk[:]
	defer p.stopTimer()
	p.lastMove = time.Now()
	for {
		kicks := p.look()
		do, until := p.decide(time.Now())
		switch do {
		case stepWait:
			if !p.wait(until, kicks) {
				return
			}
		case stepSend:
			if !p.send(kicks) {
				return
			}
		case stepSwallow:
			p.q.pop()
			p.meter.reset()
		case stepFinish:
			p.link.finish(p, p.broken)
			return
		case stepReset:
			p.link.end(true)
			return
		case stepCut:
			p.link.end(false)
			return
		}
	}
}

// look takes notice of what changed since the last step.
func (p *pump) look() uint64 {
	kicks := p.kicks.Load()
	if kicks != p.seen {
		p.seen = kicks
		p.readDeadline, p.writeDeadline = true, true // the kicker set both into the past
		if p.link.half.Load() && p.halfSince.IsZero() {
			p.halfSince = time.Now()
		}
		cut, broken := p.link.cut.Load(), p.link.broken.Load()
		if (cut || broken) && !p.ended {
			p.ended = true
			p.link.web.ended(p, time.Now())
		}
		p.broken = p.broken || broken
	}
	if c := p.link.proxy.chain.Load(); c != p.chain {
		p.adopt(c, time.Now())
	}
	if p.link.web.due[p.dir].Load() {
		p.link.web.attend(p, time.Now())
	}
	return kicks
}

// decide says what to do now, or until when to wait (zero: for ever).
func (p *pump) decide(now time.Time) (step, time.Time) {
	if p.link.ended() {
		return stepCut, time.Time{}
	}
	until := p.idleLimit()
	if !until.IsZero() && !now.Before(until) {
		if p.link.proxy.crowded() {
			return stepReset, time.Time{}
		}
		p.halfSince = now
		until = p.idleLimit()
	}
	head := p.q.len() > 0
	if head {
		if due := p.q.first().due; now.Before(due) {
			head, until = false, earlier(until, due)
		}
	}
	over := p.ended && p.q.len() == 0 && !(p.dir == down && p.link.web.owes())
	do, gate := p.gates(now, head, over)
	if do != stepWait {
		return do, time.Time{}
	}
	until = earlier(until, gate)
	if p.held(head, over) {
		return stepWait, until
	}
	if head && p.q.first().cut != cutNone {
		do, ends := p.endWith(p.q.first(), now)
		return do, earlier(until, ends)
	}
	if head {
		do, leaves := p.let(now)
		return do, earlier(until, leaves)
	}
	if over {
		do, closes := p.close(now)
		return do, earlier(until, closes)
	}
	return stepWait, until
}

// held tells whether a toxic keeps the first chunk, or the end of the stream, back.
func (p *pump) held(head, over bool) bool {
	if !head && !over {
		return false
	}
	if p.hole != nil {
		return true
	}
	for i := range p.active {
		if p.active[i].t.kind == kindResetPeer && !p.active[i].since.IsZero() {
			return true
		}
	}
	return false
}

// gates applies the toxics that act when a chunk (head) or the end of the stream
// (over) is about to leave, and those that act on the clock alone. stepWait means
// that none has anything to do before the returned time.
func (p *pump) gates(now time.Time, head, over bool) (step, time.Time) {
	if p.hole != nil && (head || over) {
		return p.inHole(head), time.Time{}
	}
	var until time.Time
	for i := range p.active {
		e := &p.active[i]
		switch e.t.kind {
		case kindLimitData:
			if e.quota.used && p.meter.let == 0 {
				return p.cutOff(e, now), time.Time{}
			}
		case kindTimeout:
			if head {
				e.touch()
				e.t.n.swallow(len(p.q.first().data))
				e.since = now
				return stepSwallow, time.Time{}
			}
			if over {
				return stepCut, time.Time{}
			}
			if limit := e.since.Add(e.t.set.timeout); e.t.set.timeout > 0 {
				if !now.Before(limit) {
					e.touch()
					p.link.end(false, &e.t.n.closed)
					return stepCut, time.Time{}
				}
				until = earlier(until, limit)
			}
		case kindResetPeer:
			if e.since.IsZero() && ((head && p.hits(e.t, p.q.first())) || (over && e.t.at(now).chunks >= 1 && e.t.set.onAt(now))) {
				e.touch()
				e.since = now
			}
			if e.since.IsZero() {
				continue
			}
			limit := e.since.Add(e.t.at(e.since).timeout)
			if !now.Before(limit) {
				p.link.end(true, &e.t.n.resets)
				return stepReset, time.Time{}
			}
			until = earlier(until, limit)
		}
	}
	return stepWait, until
}

// inHole swallows data. The end of the client's stream ends the connection, so that
// clients that give up free their upstream connection; the end of the upstream's
// stream stays invisible until the hole is lifted.
func (p *pump) inHole(head bool) step {
	if head {
		if !p.holeSeen && p.link.holed.CompareAndSwap(false, true) {
			p.hole.n.connections.Add(1)
		}
		p.holeSeen = true
		p.hole.n.swallow(len(p.q.first().data))
		return stepSwallow
	}
	if p.dir == up {
		return stepReset
	}
	return stepWait
}

// idleLimit is when a half-closed connection with nothing under way may be given up.
func (p *pump) idleLimit() time.Time {
	if p.halfSince.IsZero() || p.q.len() > 0 {
		return time.Time{}
	}
	if p.lastMove.After(p.halfSince) {
		return p.lastMove.Add(p.link.proxy.server.patience.idle)
	}
	return p.halfSince.Add(p.link.proxy.server.patience.idle)
}

// earlier returns the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// gone tells whether err means that this process closed the socket.
func gone(err error) bool { return errors.Is(err, net.ErrClosed) }

func late(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func over(err error) bool { return errors.Is(err, io.EOF) }
