package proxy

import "time"

// send writes what was let through of the first chunk. False: the pump has ended.
func (p *pump) send(kicks uint64) bool {
	var limit time.Time
	if p.writeDeadline || !p.halfSince.IsZero() {
		if !p.halfSince.IsZero() {
			limit = time.Now().Add(p.link.proxy.server.patience.idle)
		}
		if err := p.dst.SetWriteDeadline(limit); err != nil {
			return p.fail(err)
		}
		p.writeDeadline = false
		if p.kicks.Load() != kicks {
			return true
		}
	}
	n, err := p.dst.Write(p.q.first().data[:p.meter.let])
	p.unblock = time.Now()
	if n > 0 {
		p.lastMove = p.unblock
		p.link.proxy.n.sent[p.dir].Add(uint64(n))
		p.q.wrote(n)
		p.wrote(n)
	}
	if err == nil {
		return true
	}
	// A kick, which alone sets an earlier deadline, or a slow receiver that nobody else needs the room of.
	if late(err) && (limit.IsZero() || p.unblock.Before(limit) || !p.link.proxy.crowded()) {
		p.writeDeadline = true
		return true
	}
	return p.fail(err)
}

// fail ends the pump because its destination takes no more. What the other
// direction still holds is delivered before the connection is reset.
func (p *pump) fail(err error) bool {
	if gone(err) {
		p.link.end(false)
		return false
	}
	p.link.finish(p, true)
	return false
}

// wait reads until something arrives, or just waits when there is nothing to read
// or no room. False: the pump has ended.
func (p *pump) wait(until time.Time, kicks uint64) bool {
	if !until.IsZero() && p.q.len() > 0 && until.Equal(p.q.first().due) {
		p.link.proxy.server.alarm.at(until)
	}
	if p.ended || p.q.full() || p.crammed() {
		return p.sleep(until)
	}
	p.q.own()
	if p.readDeadline || !until.IsZero() {
		if err := p.src.SetReadDeadline(until); err != nil {
			p.link.end(false)
			return false
		}
		p.readDeadline = !until.IsZero()
		if p.kicks.Load() != kicks {
			return true
		}
	}
	n, err := p.src.Read(p.buf)
	if n > 0 {
		p.lastMove = time.Now()
		p.link.proxy.n.received[p.dir].Add(uint64(n))
		p.link.web.filter(p, p.buf[:n], p.lastMove)
	}
	switch {
	case err == nil:
	case late(err):
		p.readDeadline = true // until's, or one that a kicker set after the comparison
	case over(err):
		p.ended = true
		p.link.web.ended(p, time.Now())
	case gone(err):
		p.link.end(false)
		return false
	default:
		p.ended, p.broken = true, true
		p.link.web.ended(p, time.Now())
	}
	return true
}

// sleep waits for the time, a kick or the end of the link.
func (p *pump) sleep(until time.Time) bool {
	var tick <-chan time.Time
	if !until.IsZero() {
		d := time.Until(until)
		if p.timer == nil {
			p.timer = time.NewTimer(d)
		} else {
			p.timer.Reset(d)
		}
		tick = p.timer.C
	}
	select {
	case <-p.wake:
		return true
	case <-tick:
		return true
	case <-p.link.done:
		return false
	}
}

func (p *pump) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
