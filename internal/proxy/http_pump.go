package proxy

import (
	"slices"
	"sync/atomic"
	"time"
)

// Ends of a connection that wait in the queue for their turn.
const (
	cutNone  uint8 = iota
	cutReset       // RST both sides
	cutClose       // FIN to the client, nothing more to or from the upstream
)

// enter queues what a filter let through.
func (p *pump) enter(c chunk) {
	p.chunks++
	c.number = p.chunks
	c.rehold(p.chain.https(), c.arrived)
	p.stamp(&c) // by the chain it was read under; adopt stamps it again
	p.q.push(c)
}

// endWith ends the connection as c, the first chunk, says. A FIN is the end of the stream: what delays that,
// slow_close and the slicer, delays it too.
func (p *pump) endWith(c *chunk, now time.Time) (step, time.Time) {
	p.settle(now)
	if c.cut == cutClose {
		if do, closes := p.close(now); do == stepWait {
			return do, closes
		}
	}
	if c.cut == cutReset {
		if c.by != nil {
			p.link.end(true, &c.by.n.resets)
		} else {
			p.link.end(true)
		}
		return stepReset, time.Time{}
	}
	if c.by != nil {
		c.by.n.closed.Add(1)
	}
	p.broken = false // whatever the upstream did meanwhile, what the client got is not to be overtaken by a RST
	p.link.hangUp()
	return stepFinish, time.Time{}
}

// hangUp closes the connection to the upstream alone.
func (l *link) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.proxy.closeQuietly(l.upstream)
	}
}

// https are the http toxics of a chain that may not be there yet.
func (c *chain) https() []*toxic {
	if c == nil {
		return nil
	}
	return c.http
}

// rehold takes over the delays of a changed chain: those of toxics that are gone have passed.
func (c *chunk) rehold(now []*toxic, at time.Time) {
	kept := c.holds[:0]
	for _, h := range c.holds {
		i := slices.IndexFunc(now, func(t *toxic) bool { return t.ordinal == h.t.ordinal })
		if i >= 0 {
			kept = append(kept, hold{now[i], now[i].set.http.delay})
		} else if !c.settled {
			h.t.n.delayed(at.Sub(c.arrived))
		}
	}
	c.holds = kept
}

// wait is how long toxics hold a chunk.
func (c *chunk) wait() (d time.Duration) {
	for _, h := range c.holds {
		d += h.d
	}
	return d
}

// unhold counts what the holds of a chunk added, which leaves added after it came, and returns it. With
// others that delay it too, they have what is over.
func (c *chunk) unhold(added time.Duration, others bool) time.Duration {
	total := c.wait()
	if total == 0 {
		return 0
	}
	added = max(0, added)
	if others {
		added = min(added, total)
	}
	for _, h := range c.holds {
		h.t.n.delayed(time.Duration(float64(added) * float64(h.d) / float64(total)))
	}
	return added
}

// httpTally is the live form of HTTPCounters.
type httpTally struct{ requests, matched, touched, blind atomic.Uint64 }

func (t *httpTally) read() *HTTPCounters {
	return &HTTPCounters{Requests: t.requests.Load(), Matched: t.matched.Load(), Touched: t.touched.Load(), NotUnderstood: t.blind.Load()}
}
