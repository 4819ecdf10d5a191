package proxy

import "time"

// adopt takes over a new chain: draws which toxics hit, and stamps what waits anew.
func (p *pump) adopt(c *chain, now time.Time) {
	p.chain = c
	if p.hole != nil && (c.hole == nil || c.hole.ordinal != p.hole.ordinal) {
		if p.link.holed.Load() {
			p.link.end(true, &p.hole.n.resets) // bytes are missing: the stream can't go on
		}
		p.holeSeen = false
	}
	p.hole = c.hole
	old := p.active
	p.active = nil
	p.meter.adopt()
	for _, t := range c.stream[p.dir] {
		if !p.link.proxy.dice.hits(t, p.link.id) {
			continue
		}
		e := effect{t: t}
		switch t.kind {
		case kindTimeout:
			e.since = now
		case kindBandwidth:
			e.pace.free = now
		}
		for i := range old {
			if old[i].t != nil && old[i].t.ordinal == t.ordinal {
				e.touched, e.since = old[i].touched, old[i].since
				e.pace, e.knife, e.quota = old[i].pace, old[i].knife, old[i].quota
				if old[i].t != t {
					e.knife.slices = nil // updated: the rest of the chunk is cut anew
				}
				old[i].t = nil
			}
		}
		p.active = append(p.active, e)
		p.meter.add(t.kind)
	}
	for i := range old {
		p.retire(&old[i], now)
	}
	for i := p.q.head; i < len(p.q.items); i++ {
		p.q.items[i].rehold(c.http, now)
		p.stamp(&p.q.items[i])
	}
	p.link.web.adopt(p, now)
}

// retire ends the effect of a toxic that is gone.
func (p *pump) retire(e *effect, now time.Time) {
	if e.t == nil {
		return
	}
	switch e.t.kind {
	case kindTimeout:
		e.touch()
		p.link.end(false, &e.t.n.closed) // as stock: what it swallowed can't be brought back
	case kindLatency:
		for i := p.q.head; i < len(p.q.items); i++ {
			if c := &p.q.items[i]; !c.settled && p.hits(e.t, c) {
				e.touch()
				e.t.n.delayed(now.Sub(c.arrived))
			}
		}
	case kindSlowClose:
		if !p.overSince.IsZero() {
			e.held(now.Sub(p.overSince))
		}
	case kindBandwidth, kindSlicer:
		if e.touched && p.q.len() > 0 && !p.q.first().ready.IsZero() {
			e.t.n.delayed(now.Sub(p.q.first().ready))
		}
	}
}

// stamp sets when c may leave: its arrival plus every latency. Only the first chunk of
// the queue ever leaves, so jitter can't change the order.
func (p *pump) stamp(c *chunk) {
	c.due = c.arrived.Add(c.wait())
	for i := range p.active {
		t := p.active[i].t
		if t.kind != kindLatency || !p.hits(t, c) {
			continue
		}
		if p.rng == nil {
			p.rng = p.link.proxy.dice.jitter(p.link.id, p.dir)
		}
		c.due = c.due.Add(t.at(c.arrived).drawLatency(p.rng))
	}
}

// hits tells whether a toxic with a pulse or a share of the chunks hits c: each time the same.
func (p *pump) hits(t *toxic, c *chunk) bool {
	if !t.set.onAt(c.arrived) {
		return false
	}
	set := t.at(c.arrived)
	return set.chunks >= 1 || set.draws(p.link.proxy.dice.chunk(t, p.link.id, p.dir, c.number))
}

// settle does, once, what the first chunk is in for when nothing delays it any more.
func (p *pump) settle(now time.Time) {
	c := p.q.first()
	if c.settled {
		return
	}
	c.settled = true
	p.countLatency(c, now)
	for i := range p.active {
		if e := &p.active[i]; e.t.kind == kindCorrupt {
			e.corrupt(p, c)
		}
	}
}

// countLatency counts the delay, by latencies and by http toxics, of a chunk that could leave now. Time that it waited for a receiver
// that does not read is not the toxic's. Several latencies share the delay by their size.
func (p *pump) countLatency(c *chunk, now time.Time) {
	var total time.Duration
	for i := range p.active {
		t := p.active[i].t
		if t.kind != kindLatency || !t.set.onAt(c.arrived) {
			continue
		}
		t.n.offered.Add(1)
		if p.hits(t, c) {
			set := t.at(c.arrived)
			total += set.latency + set.jitter + 1
		}
	}
	left := now
	if p.unblock.After(c.due) {
		left = c.due
	}
	added := left.Sub(c.arrived)
	added -= c.unhold(added, total > 0)
	if total == 0 {
		return
	}
	for i := range p.active {
		if e := &p.active[i]; e.t.kind == kindLatency && p.hits(e.t, c) {
			e.touch()
			set := e.t.at(c.arrived)
			share := float64(set.latency+set.jitter+1) / float64(total)
			e.t.n.delayed(time.Duration(float64(added) * share))
		}
	}
}
