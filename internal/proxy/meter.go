package proxy

import "time"

const (
	// paceStep is the most data that bandwidth lets through at once, as the time that they take: as stock.
	paceStep = 100 * time.Millisecond
	// maxCatchUp bounds what bandwidth lets through at once after this process was late.
	maxCatchUp = time.Second
	// blocked is how long a write takes that waited for the receiver, which is no doing of a toxic.
	blocked = time.Millisecond
	// narrowBytes is how much waits before a meter, about as in stock. More would take from the sender
	// what the receiver does not get for a long time.
	narrowBytes = 2 * chunkSize
)

// quota is what limit_data remembers of one stream.
type quota struct {
	passed int64 // bytes let through since the toxic is there
	last   int64 // of the parcel that waits: bytes that may pass
	counts bool  // the parcel that waits counts
	used   bool  // the last bytes that may pass were let through
}

// meter lets the first chunk of a pump's queue leave in parcels, each when every toxic that meters
// the stream agrees:
//
//	first chunk is due ─► pack: how many bytes, when ─► wait ─► let them through ─► send (until written)
//	                         ▲                                                          │
//	                         └──────────────────── rest of the chunk, next chunk ◄──────┘
//
// A changed chain drops the parcel that waits and packs anew.
type meter struct {
	on      bool      // some toxic meters
	narrow  bool      // the queue is kept short
	size    int       // of the parcel that waits, in bytes; 0: none does
	leaves  time.Time // when it may
	let     int       // bytes of the first chunk that may be written
	started time.Time // when they were let through
}

// pace is what bandwidth remembers of one stream.
type pace struct {
	free time.Time // when the bytes that left would have been through at the rate asked
	next time.Time // free after the parcel that waits
	left time.Time // when the last parcel really left
	rate int64     // of the parcel that waits; 0: none, the toxic pauses
}

// adopt forgets what the old chain meant. Bytes that were let through stay so.
func (m *meter) adopt() { *m = meter{let: m.let, started: m.started} }

// add takes notice of a toxic of the new chain.
func (m *meter) add(kind string) {
	switch kind {
	case kindBandwidth, kindSlicer:
		m.on, m.narrow = true, true
	case kindLimitData:
		m.on = true
	}
}

// reset forgets the first chunk, which was taken away.
func (m *meter) reset() { m.size, m.let = 0, 0 }

// crammed tells whether enough waits before the meters. Chunks that a latency holds back are
// not before them, and are as many as they must be.
func (p *pump) crammed() bool {
	if !p.meter.narrow || p.q.bytes < narrowBytes {
		return false
	}
	for i := range p.active {
		if p.active[i].t.kind == kindLatency {
			return false
		}
	}
	return true
}

// let decides about the first chunk, which is due: stepSend when some of it may be written.
func (p *pump) let(now time.Time) (step, time.Time) {
	m := &p.meter
	if m.let > 0 {
		return stepSend, time.Time{}
	}
	c := p.q.first()
	p.settle(now)
	if !m.on {
		m.let = len(c.data)
		return stepSend, time.Time{}
	}
	if c.ready.IsZero() {
		c.ready = later(c.due, p.unblock)
	}
	if m.size == 0 {
		if do, wake := p.pack(c, now); do != stepSend {
			return do, wake
		}
	}
	if now.Before(m.leaves) {
		return stepWait, m.leaves
	}
	p.dispatch(c, now)
	return stepSend, time.Time{}
}

// pack decides how much of c leaves next, and when. stepWait: nothing, before the time;  stepFinish: the connection is over.
func (p *pump) pack(c *chunk, now time.Time) (step, time.Time) {
	size := len(c.data)
	for i := range p.active {
		e := &p.active[i]
		on, set := e.t.set.onAt(now), e.t.at(now)
		switch e.t.kind {
		case kindLimitData:
			if e.quota.counts = on; !on {
				continue
			}
			left := set.bytes - e.quota.passed
			if left <= 0 {
				return p.cutOff(e, now), time.Time{}
			}
			size = int(min(int64(size), left))
			e.quota.last = left
		case kindBandwidth:
			if e.pace.rate = 0; !on {
				continue
			}
			e.touch()
			if set.rate == 0 {
				return p.stall(), e.t.wake(now)
			}
			e.pace.rate = set.rate
			size = min(size, int(set.rate*paceStep.Milliseconds())) // 1 KB/s is 1 B/ms
		case kindSlicer:
			if e.knife.chunk != c.number || len(e.knife.slices) == 0 {
				e.knife.cut(c, e.t.at(c.arrived), p.link.proxy.dice.chunk(e.t, p.link.id, p.dir, c.number))
			}
			if len(e.knife.slices) > 1 {
				e.touch()
			}
			size = min(size, e.knife.slices[0])
		}
	}
	leaves := now
	for i := range p.active {
		e := &p.active[i]
		switch e.t.kind {
		case kindSlicer:
			leaves = later(leaves, e.knife.free(e.t.at(now)))
		case kindBandwidth:
			if e.pace.rate == 0 {
				continue
			}
			start := later(later(e.pace.free, c.due), now.Add(-maxCatchUp))
			e.pace.next = start.Add(time.Duration(size) * time.Millisecond / time.Duration(e.pace.rate))
			leaves = later(leaves, e.pace.next)
		}
	}
	p.meter.size, p.meter.leaves = size, leaves
	return stepSend, time.Time{}
}

// stall is bandwidth with rate 0. As in a black hole the end of the client's stream, and any RST,
// end the connection: nobody waits for what never comes, and the upstream's is freed.
func (p *pump) stall() step {
	if p.link.broken.Load() || (p.dir == down && p.link.half.Load()) {
		return stepReset
	}
	return stepWait
}

// cutOff ends a connection that has had its quota, as stock does: what waits behind it is lost, neither
// side is read any more, and what was read from the other is delivered first.
func (p *pump) cutOff(e *effect, now time.Time) step {
	p.link.web.ended(p, now) // what it holds of a head waits behind the limit too
	e.touch()
	e.t.n.swallowed.Add(uint64(p.q.bytes))
	e.t.n.closed.Add(1)
	p.link.cut.Store(true)
	return stepFinish
}

// let counts size bytes that leave now. Those that waited for the ones before tell the real rate.
func (a *pace) let(n *tally, size int, due, now, unblock time.Time) {
	if !a.left.IsZero() && !due.After(a.left) {
		n.pacedBytes.Add(uint64(size))
		n.pacedFor.Add(int64(now.Sub(later(a.left, unblock))))
	}
	a.free, a.left = a.next, now
}

// dispatch lets the parcel through.
func (p *pump) dispatch(c *chunk, now time.Time) {
	m := &p.meter
	last := m.size == len(c.data)
	for i := range p.active {
		e := &p.active[i]
		switch e.t.kind {
		case kindLimitData:
			if e.quota.counts {
				e.quota.passed += int64(m.size)
				e.quota.used = int64(m.size) == e.quota.last
			}
		case kindSlicer:
			if e.knife.take(m.size) && !e.knife.whole {
				e.knife.left = now
			}
			if last && e.t.set.onAt(c.arrived) {
				e.t.n.offered.Add(1)
			}
			if last && e.knife.sent > 1 {
				e.t.n.slices.Add(uint64(e.knife.sent))
				e.t.n.delayed(now.Sub(c.ready))
			}
		case kindBandwidth:
			if e.pace.rate == 0 {
				continue
			}
			e.pace.let(e.t.n, m.size, c.due, now, p.unblock)
			if last {
				e.t.n.delayed(now.Sub(c.ready))
			}
		}
	}
	m.let, m.size, m.started = m.size, 0, now
}

// wrote takes notice of n bytes that were written. Time that the receiver took is given
// back to the meters: they don't catch up on it.
func (p *pump) wrote(n int) {
	m := &p.meter
	m.let -= n
	if !m.on || m.started.IsZero() {
		return
	}
	if took := p.unblock.Sub(m.started); took > blocked {
		for i := range p.active {
			p.active[i].pace.free = p.active[i].pace.free.Add(took)
		}
	}
	m.started = p.unblock // of the rest, when it was written in part
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// close decides about the end of the stream, which is the next to leave: several slow_closes add up.
func (p *pump) close(now time.Time) (step, time.Time) {
	if p.overSince.IsZero() {
		p.overSince = now
	}
	closes := p.overSince
	for i := range p.active { // as stock: no slice is followed at once by the end
		closes = later(closes, p.active[i].knife.free(p.active[i].t.at(now)))
	}
	for i := range p.active {
		if e := &p.active[i]; e.t.kind == kindSlowClose && e.t.set.onAt(p.overSince) {
			e.touch()
			closes = closes.Add(e.t.at(p.overSince).delay)
		}
	}
	if now.Before(closes) {
		return stepWait, closes
	}
	for i := range p.active {
		if e := &p.active[i]; e.t.kind == kindSlowClose && e.t.set.onAt(p.overSince) {
			e.held(min(e.t.at(p.overSince).delay, now.Sub(p.overSince)))
		}
	}
	return stepFinish, time.Time{}
}

// held counts the end of a stream that was passed on d late.
func (e *effect) held(d time.Duration) {
	e.t.n.late(d)
	e.t.n.closed.Add(1)
}
