package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// begin serves a rule on a port of its own, and returns how to look names up there and how to end it.
func begin(t *testing.T, r Rule, upstream string) (s *server, at string, lookup func(network, name string) ([]netip.Addr, error)) {
	t.Helper()
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	udp, tcp, err := sockets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s = newServer(r, upstream, "")
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); s.serve(ctx, udp, tcp) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(udp.Close(), tcp.Close()); err != nil {
			t.Error(err)
		}
		<-done
	})
	at = udp.LocalAddr().String()
	return s, at, func(network, name string) ([]netip.Addr, error) {
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, at)
		}}
		return resolver.LookupNetIP(t.Context(), "ip4", name)
	}
}

// right knows one name only.
func right(t *testing.T, name, address string) string {
	t.Helper()
	_, at, _ := begin(t, Rule{Name: name, Do: Wrong, Address: netip.MustParseAddr(address)}, "127.0.0.1:1")
	return at
}

func is(got []netip.Addr, want string) bool {
	return len(got) == 1 && got[0].Unmap() == netip.MustParseAddr(want)
}

func TestRules(t *testing.T) {
	var gone *net.DNSError
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			s, _, lookup := begin(t, Rule{Name: "db.internal", Do: NoSuchHost}, right(t, "cache.internal", "10.0.0.7"))
			if got, err := lookup(network, "DB.internal."); !errors.As(err, &gone) || !gone.IsNotFound {
				t.Errorf("no such host: %v, %v", got, err)
			}
			if got, err := lookup(network, "cache.internal."); err != nil || !is(got, "10.0.0.7") {
				t.Errorf("another name: %v, %v", got, err)
			}
			if c := s.now(); c.Hit != 1 || c.Done != 1 || c.Passed != 1 || c.Held != 0 {
				t.Errorf("counts %+v", c)
			}
			_, _, lookup = begin(t, Rule{Name: "db.internal", Do: Wrong, Address: netip.MustParseAddr("192.0.2.1")}, right(t, "db.internal", "10.0.0.7"))
			if got, err := lookup(network, "db.internal."); err != nil || !is(got, "192.0.2.1") {
				t.Errorf("wrong: %v, %v", got, err)
			}
		})
	}
}

// An answer is a reply to that question, may not be kept, and says no more than the rule: NXDOMAIN, or an address for
// the questions for one.
func TestAnswers(t *testing.T) {
	name := dnsmessage.MustNewName("db.internal.")
	for _, c := range []struct {
		rule    Rule
		asked   dnsmessage.Type
		rcode   dnsmessage.RCode
		answers int
	}{
		{Rule{Name: "db.internal", Do: NoSuchHost}, dnsmessage.TypeA, dnsmessage.RCodeNameError, 0},
		{Rule{Name: "db.internal", Do: NoSuchHost}, dnsmessage.TypeAAAA, dnsmessage.RCodeNameError, 0},
		{Rule{Name: "db.internal", Do: Wrong, Address: netip.MustParseAddr("192.0.2.1")}, dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{Rule{Name: "db.internal", Do: Wrong, Address: netip.MustParseAddr("192.0.2.1")}, dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 0},
	} {
		q := dnsmessage.Question{Name: name, Type: c.asked, Class: dnsmessage.ClassINET}
		question, err := (&dnsmessage.Message{Header: dnsmessage.Header{ID: 77, RecursionDesired: true}, Questions: []dnsmessage.Question{q}}).Pack()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := newServer(c.rule, "127.0.0.1:1", "").answer(t.Context(), "udp", question)
		if err != nil {
			t.Fatal(err)
		}
		var reply dnsmessage.Message
		if err := reply.Unpack(raw); err != nil {
			t.Fatal(err)
		}
		if reply.ID != 77 || !reply.Response || reply.RCode != c.rcode || len(reply.Answers) != c.answers || len(reply.Questions) != 1 || reply.Questions[0] != q {
			t.Errorf("%+v, %v: %+v", c.rule, c.asked, reply)
		}
		for _, a := range reply.Answers {
			if a.Header.TTL != 0 {
				t.Errorf("%+v may be kept for %d s", c.rule, a.Header.TTL)
			}
		}
	}
}

func TestSlow(t *testing.T) {
	const late = 300 * time.Millisecond
	s, _, lookup := begin(t, Rule{Name: "db.internal", Do: Slow, Late: late}, right(t, "db.internal", "10.0.0.7"))
	began := time.Now()
	got, err := lookup("udp", "db.internal.")
	if took := time.Since(began); err != nil || !is(got, "10.0.0.7") || took < late {
		t.Errorf("%v, %v after %v", got, err, took)
	}
	if c := s.now(); c.Done != 1 || c.Late < late || c.Held != 0 {
		t.Errorf("counts %+v", c)
	}
}

// At the end what waits is answered at once, and does not count as late.
func TestTheEndLetsGo(t *testing.T) {
	s, _, lookup := begin(t, Rule{Name: "db.internal", Do: Slow, Late: MaxLate}, right(t, "db.internal", "10.0.0.7"))
	answered := make(chan error, 1)
	go func() {
		got, err := lookup("udp", "db.internal.")
		if err == nil && !is(got, "10.0.0.7") {
			err = errors.New("another address")
		}
		answered <- err
	}()
	for limit := time.Now().Add(20 * time.Second); s.now().Held == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("it is not held")
		}
	}
	close(s.ending)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if c := s.now(); c.Hit == 0 || c.Done != 0 || c.Late != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestCheck(t *testing.T) {
	for _, r := range []Rule{
		{}, {Name: "a"}, {Name: "a.", Do: NoSuchHost}, {Do: NoSuchHost}, {Name: "a", Do: Slow}, {Name: "a", Do: Slow, Late: MaxLate + 1},
		{Name: "a", Do: Wrong}, {Name: "a", Do: Wrong, Address: netip.IPv6Loopback()}, {Name: "a", Do: NoSuchHost, Late: 1},
		{Name: string(make([]byte, 300)), Do: NoSuchHost},
	} {
		if r.Check() == nil {
			t.Errorf("%+v is a rule", r)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, question []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nothing is passed on
		s := newServer(Rule{Name: "a", Do: NoSuchHost}, "127.0.0.1:1", "")
		if reply, err := s.answer(ctx, "udp", question); err == nil && len(reply) < 12 {
			t.Errorf("a reply of %d bytes", len(reply))
		}
	})
}
