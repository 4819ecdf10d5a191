package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout is how long an upstream may take to answer, name lookup included.
const dialTimeout = 5 * time.Second

// patience is what a half-closed connection is given. A side that has ended its stream may wait for the
// other as long as it likes, as without a proxy: a slow answer is no leak. But a client that is gone
// looks exactly like one that half-closed, and with an upstream that neither answers nor ends it would
// keep its connection for ever. So when a proxy is crowded, one on which nothing has moved for idle is reset.
type patience struct {
	idle  time.Duration
	crowd int // connections of one proxy
}

func defaultPatience() patience { return patience{idle: 10 * time.Second, crowd: MaxConnections / 8} }

// crowded tells whether connections that may be leaks are to make room.
func (p *proxy) crowded() bool {
	p.linksMu.Lock()
	defer p.linksMu.Unlock()
	return len(p.links) >= p.server.patience.crowd
}

// link is one client connection and its upstream connection.
//
//	accepted ─► (hole? hushed: read and forget) ─► dialling ─► pumping ─► ended
//	    └────────────────┴──────────────────────────────┴────────────────────┘ end() from anywhere
type link struct {
	proxy  *proxy
	id     uint64 // number of the connection at this proxy, from 1
	target string // upstream address
	client *net.TCPConn
	done   chan struct{}
	ctx    context.Context // of the dial; ends with the link
	cancel context.CancelFunc

	mu       sync.Mutex // guards upstream against end and kick
	upstream *net.TCPConn
	closed   bool
	finished int // pumps that are through

	half   atomic.Bool // one direction is over
	broken atomic.Bool // one direction can't deliver
	cut    atomic.Bool // a limit was reached: nothing more is read
	holed  atomic.Bool // the black hole swallowed bytes of it

	pumps [2]*pump
	web   web
}

func newLink(p *proxy, id uint64, target string, client *net.TCPConn) *link {
	l := &link{proxy: p, id: id, target: target, client: client, done: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for d := range l.pumps {
		l.pumps[d] = &pump{link: l, dir: direction(d), wake: make(chan struct{}, 1)}
	}
	l.pumps[up].src, l.pumps[down].dst = client, client
	l.web.link = l
	return l
}

// run serves the connection until it is over.
func (l *link) run() {
	defer l.end(false)
	if !l.hush() {
		return
	}
	conn, err := l.dial()
	if err != nil {
		if l.ctx.Err() == nil {
			l.proxy.n.dialFailures.Add(1)
			l.proxy.log.Info("dial failed", "upstream", l.target, "error", err)
		}
		l.end(true) // stock sends a FIN here; a RST tells a dead upstream from a polite one
		return
	}
	if !l.attach(conn) {
		return
	}
	l.proxy.n.upstreams.Add(1)
	defer l.proxy.n.upstreams.Add(-1)
	var both sync.WaitGroup
	both.Go(l.pumps[down].run)
	l.pumps[up].run()
	both.Wait()
	l.end(l.broken.Load())
}

// dial opens the upstream connection; the name is looked up each time, because a
// container that was restarted has a new address. Each has a resolver of its own: one
// resolver makes all who ask for a name wait for the first question, and that of a
// container that is down may go to a server far away, and hang long after it is up again.
func (l *link) dial() (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
	defer cancel()
	d := net.Dialer{ControlContext: l.proxy.server.allow.control(), Resolver: l.proxy.server.resolver()}
	conn, err := d.DialContext(ctx, "tcp", l.target)
	if err != nil {
		return nil, fmt.Errorf("dial upstream: %w", err)
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("dial upstream: %T is no TCP connection", conn), conn.Close())
	}
	return tcp, nil
}

// hush keeps a connection that was accepted inside a black hole: no upstream is
// dialled, and what the client says is forgotten. When the hole is lifted a client
// that said nothing is served (true); one that did is reset, for its bytes are lost.
func (l *link) hush() bool {
	p := l.pumps[up]
	var hole *toxic
	var buf []byte
	for {
		kicks := p.kicks.Load()
		next := l.proxy.chain.Load().hole
		if next == nil || (hole != nil && next.ordinal != hole.ordinal) {
			if l.holed.Load() {
				l.end(true, &hole.n.resets)
				return false
			}
			if next == nil {
				return true
			}
		}
		if hole == nil || hole.ordinal != next.ordinal {
			next.n.connections.Add(1)
		}
		hole = next
		if buf == nil {
			chunk := l.proxy.server.buffers.Get().(*[chunkSize]byte)
			defer l.proxy.server.buffers.Put(chunk)
			buf = chunk[:]
		}
		if l.client.SetReadDeadline(time.Time{}) != nil {
			return false
		}
		if p.kicks.Load() != kicks {
			continue
		}
		n, err := l.client.Read(buf)
		if n > 0 {
			l.proxy.n.received[up].Add(uint64(n))
			if l.proxy.chain.Load().hole == nil && !l.holed.Load() { // lifted before this was said
				l.web.filter(p, buf[:n], time.Now())
				p.q.own()
				return true
			}
			l.holed.Store(true)
			hole.n.swallow(n)
		}
		if err != nil && !late(err) {
			return false
		}
	}
}

// attach hands the upstream connection to the pumps, unless the link ended meanwhile.
func (l *link) attach(conn *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.proxy.closeQuietly(conn)
		return false
	}
	l.upstream = conn
	l.pumps[up].dst, l.pumps[down].src = conn, conn
	// A kick may have come before there was an upstream to interrupt, or may have
	// left a deadline on the client: let both pumps look once.
	l.pumps[up].kicks.Add(1)
	l.pumps[down].kicks.Add(1)
	return true
}

// kick makes both pumps look at the chain and the flags again. It never blocks.
func (l *link) kick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	past := time.Unix(1, 0)
	for _, p := range l.pumps {
		p.kicks.Add(1)
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	// A deadline can only fail on a socket that is closed, which wakes the pump too.
	_ = l.client.SetDeadline(past)
	if l.upstream != nil {
		_ = l.upstream.SetDeadline(past)
	}
}

// finish is called by a pump that is through: the peer gets the FIN, or, when bytes
// can't be delivered, everything is reset once the other direction is empty.
func (l *link) finish(p *pump, broken bool) {
	l.mu.Lock()
	l.finished++
	both := l.finished == len(l.pumps)
	l.mu.Unlock()
	if broken {
		l.broken.Store(true)
	} else if err := p.dst.CloseWrite(); err != nil && !gone(err) {
		l.broken.Store(true)
	}
	if both {
		l.end(l.broken.Load())
		return
	}
	l.half.Store(true)
	l.kick()
}

func (l *link) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// end closes both connections, once: with a RST, or with a FIN. It never blocks.
// True: it was this call that ended the link. Then each of count is one more, before anybody can see the end.
func (l *link) end(reset bool, count ...*atomic.Uint64) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.closed = true
	conns := []*net.TCPConn{l.client}
	if l.upstream != nil {
		conns = append(conns, l.upstream)
	}
	l.mu.Unlock()
	for _, n := range count {
		n.Add(1)
	}
	l.cancel()
	close(l.done)
	for _, c := range conns {
		if reset {
			// Only a socket that the peer already reset refuses this; then there is no RST left to send.
			_ = c.SetLinger(0)
		}
		l.proxy.closeQuietly(c)
	}
	l.proxy.drop(l)
	return true
}
