package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// answerWithin bounds one question to the resolver that was there before: longer than clients wait.
	answerWithin = 15 * time.Second
	// idleWithin ends a connection on which nothing is asked.
	idleWithin = 30 * time.Second
	maxUDP     = 4096
	maxAtOnce  = 4096 // questions; further ones are dropped, as by a resolver that is overrun
)

// server answers questions by a rule, and passes on what it does not name.
type server struct {
	rule     Rule
	upstream string // host:port
	from     string // address to ask upstream from; "" is any

	ending chan struct{} // closed: nothing is held any longer
	places chan struct{}

	mu     sync.Mutex
	counts Counts
}

func newServer(r Rule, upstream, from string) *server {
	return &server{rule: r, upstream: upstream, from: from, ending: make(chan struct{}), places: make(chan struct{}, maxAtOnce)}
}

func (s *server) count(change func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}

func (s *server) now() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// serve answers on both sockets until they are closed, and returns when every question is answered.
func (s *server) serve(ctx context.Context, udp net.PacketConn, tcp net.Listener) {
	var all sync.WaitGroup
	all.Go(func() { s.packets(ctx, udp, &all) })
	all.Go(func() { s.streams(ctx, tcp, &all) })
	all.Wait()
}

func (s *server) packets(ctx context.Context, udp net.PacketConn, all *sync.WaitGroup) {
	buf := make([]byte, maxUDP)
	for {
		n, peer, err := udp.ReadFrom(buf)
		if err != nil {
			return
		}
		question := append([]byte(nil), buf[:n]...)
		s.begin(all, func() {
			if reply, err := s.answer(ctx, "udp", question); err == nil {
				_, _ = udp.WriteTo(reply, peer) // a client that left asks no more
			}
		})
	}
}

// begin answers one question beside the others, if there is room.
func (s *server) begin(all *sync.WaitGroup, answer func()) {
	select {
	case s.places <- struct{}{}:
		all.Go(func() {
			defer func() { <-s.places }()
			answer()
		})
	default:
	}
}

func (s *server) streams(ctx context.Context, tcp net.Listener, all *sync.WaitGroup) {
	for {
		conn, err := tcp.Accept()
		if err != nil {
			return
		}
		s.begin(all, func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			for {
				_ = conn.SetDeadline(time.Now().Add(idleWithin + s.rule.Late)) // a dead connection fails at its read
				question, err := readTCP(conn)
				if err != nil {
					return
				}
				reply, err := s.answer(ctx, "tcp", question)
				if err != nil || writeTCP(conn, reply) != nil {
					return
				}
			}
		})
	}
}

// answer is the reply to one question. What can't be read is passed on as it is.
func (s *server) answer(ctx context.Context, network string, question []byte) ([]byte, error) {
	arrived := time.Now()
	var p dnsmessage.Parser
	head, err := p.Start(question)
	if err != nil {
		return s.ask(ctx, network, question)
	}
	q, err := p.Question()
	if err != nil || !s.rule.hits(q) {
		s.count(func(c *Counts) { c.Passed++ })
		return s.ask(ctx, network, question)
	}
	s.count(func(c *Counts) { c.Hit++; c.Held++ })
	defer s.count(func(c *Counts) { c.Held-- })
	if s.rule.Do == Slow {
		if s.hold(s.rule.Late) {
			late := time.Since(arrived)
			s.count(func(c *Counts) { c.Done++; c.Late += late })
		}
		return s.ask(ctx, network, question)
	}
	reply, err := s.lie(head, q)
	if err == nil {
		s.count(func(c *Counts) { c.Done++ })
	}
	return reply, err
}

// hold waits, and tells whether it waited to the end: the end of the fault lets everything go.
func (s *server) hold(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ending:
		return false
	}
}

// lie makes the rule's answer. It may not be kept: its time to live is nothing.
func (s *server) lie(head dnsmessage.Header, q dnsmessage.Question) ([]byte, error) {
	reply := dnsmessage.Header{ID: head.ID, Response: true, OpCode: head.OpCode, RecursionDesired: head.RecursionDesired, RecursionAvailable: true}
	if s.rule.Do == NoSuchHost {
		reply.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, reply)
	b.EnableCompression()
	err := errors.Join(b.StartQuestions(), b.Question(q))
	if s.rule.Do == Wrong && q.Type == dnsmessage.TypeA {
		err = errors.Join(err, b.StartAnswers(), b.AResource(
			dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}, dnsmessage.AResource{A: s.rule.Address.As4()}))
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// ask passes a question on to the resolver that was there before.
func (s *server) ask(ctx context.Context, network string, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var d net.Dialer
	if ip := net.ParseIP(s.from); ip != nil {
		d.LocalAddr = &net.UDPAddr{IP: ip}
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: ip}
		}
	}
	conn, err := d.DialContext(ctx, network, s.upstream)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if network == "tcp" {
		if err := writeTCP(conn, question); err != nil {
			return nil, err
		}
		return readTCP(conn)
	}
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	buf := make([]byte, maxUDP)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if n >= 2 && len(question) >= 2 && buf[0] == question[0] && buf[1] == question[1] { // the same id
			return buf[:n], nil
		}
	}
}

// readTCP reads a message with its length before it.
func readTCP(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

func writeTCP(w io.Writer, message []byte) error {
	if len(message) > 1<<16-1 {
		return fmt.Errorf("an answer of %d bytes", len(message))
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}
