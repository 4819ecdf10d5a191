package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of one proxy.
const (
	// MaxConnections is how many client connections one proxy holds at a time. One
	// more is reset at once and counted in Counters.OverLimit.
	MaxConnections = 4096

	listenTimeout  = 2 * time.Second       // to resolve and bind a listen address
	acceptRetry    = 50 * time.Millisecond // pause when the process is out of file descriptors
	rememberedGone = 16                    // removed toxics whose counters are kept
)

// proxy is one listener and its connections.
//
//	           start                     down{refused} added
//	disabled ─────────► open (accepting) ────────────────────► shut (port held, ECONNREFUSED)
//	   ▲                  │      ▲                                │
//	   └──── stop ────────┘      └──────── down{refused} removed ─┘
//
// While it is disabled or shut, the port stays bound to a socket that does not
// listen: dials are refused, and nobody else can take the port meanwhile.
type proxy struct {
	server      *Server
	name        string
	incarnation uint64
	dice        dice
	log         *slog.Logger
	n           traffic
	chain       atomic.Pointer[chain]

	// mu serialises changes. It is never held while waiting for a peer.
	mu       sync.Mutex
	listen   string
	upstream string
	enabled  bool
	gone     bool // deleted
	toxics   []*toxic
	ordinal  uint64
	removed  []removed
	rounds   map[uint64]chan struct{} // ends the repetition of a reset, by ordinal
	door     *door
	hold     io.Closer

	linksMu sync.Mutex // innermost lock
	links   map[*link]struct{}
	conns   uint64
	live    *door // connections of any other door are turned away
}

// removed is a toxic that is gone; the pumps still count what they release of it.
type removed struct {
	toxic *toxic
	at    time.Time
}

// door is one period of listening.
type door struct {
	ln       *net.TCPListener
	upstream string
	shutting chan struct{} // shut was called
	closed   chan struct{} // the accept loop has ended, so the kernel refuses from here on
}

func newProxy(s *Server, name, listen, upstream string, incarnation uint64) *proxy {
	p := &proxy{
		server: s, name: name, listen: listen, upstream: upstream, incarnation: incarnation,
		dice: newDice(s.seed, name), log: s.log.With("proxy", name),
		rounds: map[uint64]chan struct{}{}, links: map[*link]struct{}{},
	}
	p.chain.Store(newChain(nil))
	return p
}

// start enables the proxy. The caller holds mu, as for all methods down to view.
func (p *proxy) start() error {
	if p.enabled {
		return nil
	}
	if err := p.open(); err != nil {
		return err
	}
	p.enabled = true
	if refused(p.toxics) != nil {
		p.shut(false)
	}
	return nil
}

// stop disables the proxy as stock does: connections see EOF, dials are refused.
func (p *proxy) stop() {
	if p.enabled {
		p.enabled = false
		p.shut(false)
	}
}

// release stops for good and gives the port back.
func (p *proxy) release() {
	p.stop()
	p.gone = true
	for ordinal := range p.rounds {
		p.endRounds(ordinal)
	}
	p.letGo()
}

func (p *proxy) open() error {
	ctx, cancel := context.WithTimeout(context.Background(), listenTimeout)
	defer cancel()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.listen)
	if err != nil {
		return err // the text is part of stock's API
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return errors.Join(fmt.Errorf("listen: %T is no TCP listener", ln), ln.Close())
	}
	p.listen = ln.Addr().String()
	p.letGo()
	d := &door{ln: tcp, upstream: p.upstream, shutting: make(chan struct{}), closed: make(chan struct{})}
	p.door = d
	p.linksMu.Lock()
	p.live = d
	p.linksMu.Unlock()
	p.server.wg.Go(func() { p.accept(d) })
	return nil
}

// shut stops listening and ends every connection. It returns how many it ended.
func (p *proxy) shut(reset bool) int {
	d := p.door
	if d == nil {
		return 0
	}
	p.door = nil
	p.linksMu.Lock()
	p.live = nil
	p.linksMu.Unlock()
	close(d.shutting)
	p.closeQuietly(d.ln)
	<-d.closed // at once: the loop waits for nothing but Accept and shutting
	hold, err := holdPort(d.ln.Addr())
	if err != nil {
		p.log.Warn("port is not held while the proxy is down", "listen", p.listen, "error", err)
	}
	p.hold = hold
	ended := 0
	for _, l := range p.current() {
		if l.end(reset) {
			ended++
		}
	}
	return ended
}

func (p *proxy) letGo() {
	if p.hold != nil {
		p.closeQuietly(p.hold)
		p.hold = nil
	}
}

// update changes address, upstream and enabled, with stock's meaning: a change of an
// address ends all connections.
func (p *proxy) update(ctx context.Context, in proxyInput) error {
	differs, err := p.differs(ctx, in.Listen, in.Upstream)
	if err != nil {
		return err
	}
	if differs {
		p.stop()
		p.letGo()
		p.listen, p.upstream = in.Listen, in.Upstream
	}
	if *in.Enabled {
		return p.start()
	}
	p.stop()
	return nil
}

func (p *proxy) differs(ctx context.Context, listen, upstream string) (bool, error) {
	addr, err := resolveListen(ctx, listen)
	return addr != p.listen || upstream != p.upstream, err
}

// apply makes next the list of toxics. Pumps take it over on their own.
func (p *proxy) apply(next []*toxic) error {
	was, is := refused(p.toxics), refused(next)
	if was != nil && is == nil && p.enabled && p.door == nil {
		if err := p.open(); err != nil {
			return err
		}
	}
	p.retire(p.toxics, next)
	p.arrive(p.toxics, next)
	p.toxics = next
	p.chain.Store(newChain(next))
	if is != nil && was == nil {
		n := uint64(p.shut(true))
		is.n.connections.Add(n)
		is.n.resets.Add(n)
	}
	for _, l := range p.current() {
		l.kick()
	}
	return nil
}

// refused returns the toxic that keeps the proxy shut.
func refused(all []*toxic) *toxic {
	for _, t := range all {
		if t.kind == kindDown && t.set.mode == modeRefused {
			return t
		}
	}
	return nil
}

// retire keeps the counters of the toxics that next no longer has.
func (p *proxy) retire(old, next []*toxic) {
	still := map[uint64]bool{}
	for _, t := range next {
		still[t.ordinal] = true
	}
	for _, t := range old {
		if still[t.ordinal] {
			continue
		}
		p.endRounds(t.ordinal)
		t.n.until = p.n.accepted.Load()
		p.removed = append(p.removed, removed{t, time.Now()})
		if len(p.removed) > rememberedGone {
			p.removed = p.removed[1:]
		}
	}
}

// arrive notes how many connections were over before the toxics that old does not have were added.
func (p *proxy) arrive(old, next []*toxic) {
	was := map[uint64]bool{}
	for _, t := range old {
		was[t.ordinal] = true
	}
	p.linksMu.Lock()
	defer p.linksMu.Unlock()
	for _, t := range next {
		if !was[t.ordinal] {
			t.n.before = p.n.accepted.Load() - uint64(len(p.links))
		}
	}
}

// neutral enables the proxy and removes every toxic. True: there was something to do.
func (p *proxy) neutral() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || (p.enabled && len(p.toxics) == 0) {
		return false, nil
	}
	if err := p.apply(nil); err != nil {
		return true, err
	}
	return true, p.start()
}

// accept hands every new connection to a link of its own; nothing here waits for an
// upstream.
func (p *proxy) accept(d *door) {
	defer close(d.closed)
	for {
		conn, err := d.ln.AcceptTCP()
		if err == nil {
			if l := p.admit(d, conn); l != nil {
				p.server.wg.Go(l.run)
			}
			continue
		}
		if gone(err) {
			return
		}
		p.log.Warn("accept failed", "error", err)
		select {
		case <-time.After(acceptRetry):
		case <-d.shutting:
			return
		}
	}
}

// admit registers a connection, or turns it away.
func (p *proxy) admit(d *door, conn *net.TCPConn) *link {
	p.linksMu.Lock()
	if p.live != d {
		p.linksMu.Unlock()
		p.closeQuietly(conn)
		return nil
	}
	p.n.accepted.Add(1)
	p.conns++
	l := newLink(p, p.conns, d.upstream, conn)
	if len(p.links) >= MaxConnections {
		p.linksMu.Unlock()
		p.n.overLimit.Add(1)
		l.end(true)
		return nil
	}
	p.links[l] = struct{}{}
	p.linksMu.Unlock()
	for _, t := range p.chain.Load().refuse {
		if p.dice.hits(t, l.id) && l.end(true, &t.n.connections, &t.n.resets) {
			return nil
		}
	}
	return l
}

func (p *proxy) drop(l *link) {
	p.linksMu.Lock()
	delete(p.links, l)
	p.linksMu.Unlock()
}

// current lists the connections open now, so that ending one need not hold linksMu.
func (p *proxy) current() []*link {
	p.linksMu.Lock()
	defer p.linksMu.Unlock()
	all := make([]*link, 0, len(p.links))
	for l := range p.links {
		all = append(all, l)
	}
	return all
}

// closeQuietly closes what may already be dead; that is worth a line, not an error.
func (p *proxy) closeQuietly(c io.Closer) {
	if err := c.Close(); err != nil && !gone(err) {
		p.log.Debug("close", "error", err)
	}
}
