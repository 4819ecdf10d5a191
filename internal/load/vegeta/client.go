package vegeta

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chaos/internal/journal"
	"chaos/internal/load"
)

const (
	maxBody    = 64 << 10 // bytes of an answer that are read
	maxHeaders = 64 << 10
	idleFor    = 90 * time.Second
)

// ErrNotLoopback is the refusal to send load anywhere but to this machine.
var ErrNotLoopback = errors.New("load goes only to loopback addresses")

// client sends the requests of one load of one run, each exactly once, and records them.
type client struct {
	load      *Load
	session   load.Session
	run       [6]byte
	template  *template
	needs     []need
	offers    []need // ids of our answers that other loads may want
	url       string // scheme and host; the host is only a name for the connection pool
	transport *http.Transport
	made      uint64 // requests that prepared ids
	unsent    uint64 // requests that were never sent

	dials   sync.WaitGroup // the transport dials in the background: a run ends when the last has ended
	mu      sync.Mutex
	refused error // the first dial that was not allowed
}

func newClient(l *Load, s load.Session, idle uint64) (*client, error) {
	t := s.System.Topology()
	op, err := l.resolve(t)
	if err != nil {
		return nil, err
	}
	c := &client{load: l, session: s, needs: needsOf(op), offers: offers(t, l.Op)}
	if c.template, err = compile(l.Op, op); err != nil {
		return nil, err
	}
	if n, err := hex.Decode(c.run[:], []byte(s.Run)); err != nil || n != len(c.run) {
		return nil, fmt.Errorf("run id %q is not 12 hex digits", s.Run)
	}
	c.url = "http://" + l.Node
	c.transport = &http.Transport{
		Proxy:                  nil, // never through somebody's environment
		DialContext:            c.dial,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2
		MaxIdleConnsPerHost:    int(idle),
		IdleConnTimeout:        idleFor,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaders,
	}
	return c, nil
}

// close ends idle connections and waits for dials in the background.
func (c *client) close() {
	c.dials.Wait()
	c.transport.CloseIdleConnections()
}

// dial connects to where the node's port is now: a restarted node has another port.
func (c *client) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	c.dials.Add(1)
	defer c.dials.Done()
	ctx, cancel := context.WithTimeout(valueless{ctx}, c.load.Timeout)
	defer cancel()
	addrs, err := c.addresses(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range addrs {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, a.String())
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// valueless is a context without the values of the one it wraps. The request's httptrace must not see
// the HTTP calls by which a runtime looks up an endpoint: it would take their headers for a replay.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

// addresses resolves the endpoint and refuses it unless every address is loopback.
func (c *client) addresses(ctx context.Context) ([]netip.AddrPort, error) {
	endpoint, err := c.session.System.Endpoint(ctx, c.load.Node, c.template.op.Port)
	if err != nil {
		return nil, fmt.Errorf("asking for the endpoint of %s: %w", c.load.Node, err)
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint of %s: %w", c.load.Node, err)
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, fmt.Errorf("endpoint of %s: %w", c.load.Node, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("endpoint of %s: %w", c.load.Node, err)
	}
	addrs := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		if ip = ip.Unmap(); !ip.IsLoopback() {
			err := fmt.Errorf("%w: node %s is at %s (%s)", ErrNotLoopback, c.load.Node, endpoint, ip)
			c.fail(err)
			return nil, err
		}
		addrs[i] = netip.AddrPortFrom(ip, uint16(number))
	}
	return addrs, nil
}

// allowed refuses a target that is elsewhere before anything is sent. A target that is down is fine:
// that is for the samples to say.
func (c *client) allowed(ctx context.Context) error {
	if _, err := c.addresses(ctx); errors.Is(err, ErrNotLoopback) {
		return err
	}
	return nil
}

// fail remembers the first error that must end the load.
func (c *client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = err
	}
}

// refusal is the first dial that was not allowed, or nil.
func (c *client) refusal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// attempt is what came of sending a request once.
type attempt struct {
	status int
	header http.Header
	body   []byte
	err    journal.ErrClass
	writes uint8 // times that request headers were written
}

// onceBody is a body that net/http can't send twice: with it the transport never replays a request
// whose connection broke. It is not nil even when it is empty.
type onceBody struct{ *strings.Reader }

func (onceBody) Close() error { return nil }

// send makes one HTTP request and reads the answer. It returns when the last byte was read, or after
// the load's timeout, or when ctx is done.
func (c *client) send(ctx context.Context, t *template, v *values) (a attempt) {
	var writes atomic.Uint32
	ctx, cancel := context.WithTimeout(ctx, c.load.Timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { writes.Add(1) }})
	defer func() {
		a.writes = uint8(min(writes.Load(), 127))
		if a.writes > 1 {
			a.err = journal.ErrReplayed
		}
	}()
	req, err := c.request(ctx, t, v)
	if err != nil {
		a.err = journal.ErrOther
		return a
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		a.err = classify(err)
		return a
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody)); err != nil {
		a.err = classify(err)
	}
	return a
}

// request fills the template in.
func (c *client) request(ctx context.Context, t *template, v *values) (*http.Request, error) {
	u, err := url.Parse(c.url + t.path.fill(v))
	if err != nil {
		return nil, err
	}
	body := t.body.fill(v)
	header := make(http.Header, len(t.headers))
	for _, h := range t.headers {
		header[h.name] = []string{h.text.fill(v)}
	}
	req := &http.Request{
		Method: t.method, URL: u, Host: u.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: onceBody{strings.NewReader(body)}, ContentLength: int64(len(body)),
	}
	return req.WithContext(ctx), nil
}

// fillSample puts what came of an attempt into s.
func (t *template) fillSample(s *journal.Sample, a attempt) answer {
	s.Status, s.Err, s.Attempts = uint16(a.status), a.err, a.writes
	s.Result, s.Class = journal.Unknown, journal.Bad
	switch {
	case a.err == journal.ErrReplayed:
	case a.err != journal.ErrNone:
		if a.writes == 0 {
			s.Result = journal.Failed // not a byte of the request was written
		}
	default:
		var flags journal.Flags
		s.Result, s.Class, flags = t.outcome(a.status, a.header)
		s.Flags |= flags
		if (t.op.ID != "" || t.op.State != "") && s.Result == journal.OK {
			got := parseAnswer(a.body)
			s.Ref, s.State = got.ref(t.op.ID), got.state(t.op.State)
			return got
		}
	}
	return nil
}
