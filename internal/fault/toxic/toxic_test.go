package toxic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/fault/faulttest"
	"chaos/internal/fault/toxic"
	"chaos/internal/proxy"
	"chaos/internal/target"
)

// patient is how long a test waits for what must come: the machine may be busy.
const patient = time.Minute

const (
	theEdge = "gateway->redis"
	other   = "payments->redis"
)

var (
	shop = &target.Topology{Name: "shop", Edges: []target.EdgeSpec{{Name: theEdge}, {Name: other}}}
	able = target.Capabilities{Runtime: "test", Verbs: []target.Verb{target.VerbEdge}}
)

// shopSystem is a target of one real proxy in this process, with an echo server behind the link. The
// rest of target.System is never asked for.
type shopSystem struct {
	target.System
	gate   *faulttest.Gate
	proxy  *proxy.Server
	client *edge.Client
	addr   string // of the link

	mu    sync.Mutex
	conns []net.Conn
}

const link = "gateway-redis"

func (s *shopSystem) Link(_ context.Context, name string) (*edge.Client, string, error) {
	if name != theEdge {
		return nil, "", errors.New("no link for " + name)
	}
	return s.client, link, nil
}

// deadProxy is a target whose proxy does not run, or can't be asked.
type deadProxy struct {
	target.System
	why error
}

func (d deadProxy) Link(context.Context, string) (*edge.Client, string, error) { return nil, "", d.why }

// TestAToxicIsGoneWithItsProxy: a proxy that does not run has no toxics; one that can't be asked may have.
func TestAToxicIsGoneWithItsProxy(t *testing.T) {
	k := &toxic.Latency{Edge: theEdge, Stream: "downstream", Toxicity: 1, Chunks: 1, Latency: 50 * time.Millisecond}
	actions, err := k.Plan(shop, able, nil)
	if err != nil || len(actions) != 1 {
		t.Fatalf("plan: %v, %v", actions, err)
	}
	a := actions[0]
	a.ID, a.Before = "slow#1", json.RawMessage(`{"link":"x","toxics":[]}`)
	for why, gone := range map[error]bool{fmt.Errorf("find the proxy: %w", target.ErrProxyDown): true, target.ErrUnresponsive: false} {
		s := deadProxy{why: why}
		if err := k.Revert(t.Context(), s, a); (err == nil) != gone {
			t.Errorf("revert, %v: %v", why, err)
		}
		if err := k.Confirm(t.Context(), s, a, false); (err == nil) != gone {
			t.Errorf("confirm that it is gone, %v: %v", why, err)
		}
		if err := k.Confirm(t.Context(), s, a, true); err == nil {
			t.Errorf("it counts as active, %v", why)
		}
	}
}

func newShop(t testing.TB) *shopSystem {
	t.Helper()
	return shopBefore(t, echo(t))
}

// shopBefore is the shop whose link leads to the upstream.
func shopBefore(t testing.TB, upstream string) *shopSystem {
	t.Helper()
	s := &shopSystem{gate: &faulttest.Gate{}, proxy: proxy.New(proxy.Options{Seed: 1})}
	t.Cleanup(s.proxy.Close)
	api := httptest.NewServer(gated(s.gate, s.proxy.Handler()))
	t.Cleanup(api.Close)
	s.client = edge.New(api.Listener.Addr().String())
	s.client.Patience = patient
	body, err := json.Marshal(map[string]any{"name": link, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true})
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Listen string }
	if err := json.Unmarshal(s.ask(t, "POST", "/proxies", body), &made); err != nil || made.Listen == "" {
		t.Fatalf("make a link: %v", err)
	}
	s.addr = made.Listen
	t.Cleanup(s.hangUp)
	return s
}

// gated puts the API behind the gate: a refused call never reaches it, the answer of a lost one is
// thrown away.
func gated(g *faulttest.Gate, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch g.Next() {
		case faulttest.Lost:
			api.ServeHTTP(httptest.NewRecorder(), r)
			http.Error(w, faulttest.ErrInjected.Error(), http.StatusInternalServerError)
		case faulttest.Refused:
			http.Error(w, faulttest.ErrInjected.Error(), http.StatusInternalServerError)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// ask calls the API past the gate.
func (s *shopSystem) ask(t testing.TB, method, path string, body []byte) []byte {
	t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.proxy.Handler().ServeHTTP(w, r)
	if w.Code/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// hurt tells whether the link has a toxic, by the proxy itself.
func (s *shopSystem) hurt(t testing.TB) bool {
	return strings.TrimSpace(string(s.ask(t, "GET", "/proxies/"+link+"/toxics", nil))) != "[]"
}

// dial opens a connection over the edge and uses it once, so that it is established to the far end.
func (s *shopSystem) dial(t testing.TB) net.Conn {
	t.Helper()
	c := s.silent(t)
	if _, err := ping(c, patient); err != nil {
		t.Fatalf("first ping: %v", err)
	}
	return c
}

// silent dials and sends nothing: a reset that comes at once is no reason to fail.
func (s *shopSystem) silent(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.addr, patient)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	return c
}

func (s *shopSystem) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// ping sends one byte and waits for its echo.
func ping(c net.Conn, within time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := c.SetDeadline(began.Add(within)); err != nil {
		return 0, err
	}
	if _, err := c.Write([]byte{1}); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return time.Since(began), err
}

// echo serves until the test ends and returns its address.
func echo(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return ln.Addr().String()
}

func latency() fault.Fault {
	return &toxic.Latency{Edge: theEdge, Latency: 60 * time.Millisecond, Jitter: 10 * time.Millisecond, Stream: "downstream", Toxicity: 1, Chunks: 1}
}

func resets(every time.Duration, refuse bool) func() fault.Fault {
	return func() fault.Fault { return &toxic.Reset{Edge: theEdge, Every: every, Refuse: refuse} }
}

func down(mode string) func() fault.Fault {
	return func() fault.Fault { return &toxic.Down{Edge: theEdge, Mode: mode} }
}

func TestConformance(t *testing.T) {
	open := func(s *shopSystem) func(testing.TB) { return func(t testing.TB) { s.dial(t) } }
	// shout sends and expects nothing: the edge is broken in one way or another.
	shout := func(s *shopSystem) func(testing.TB) {
		return func(t testing.TB) {
			c, err := net.DialTimeout("tcp", s.addr, patient)
			if errors.Is(err, syscall.ECONNRESET) {
				return // the RST was as quick as the dial
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := ping(c, 200*time.Millisecond); err == nil {
				t.Error("a ping was answered")
			}
		}
	}
	for _, c := range []conformance{
		{"latency", "toxic.latency", latency, nil, use},
		{"reset once", "toxic.reset", resets(0, false), open, nil},
		{"reset again and again", "toxic.reset", resets(50*time.Millisecond, false), nil, func(s *shopSystem) func(testing.TB) {
			return func(t testing.TB) { waitReset(t, s.silent(t)) }
		}},
		{"reset and refuse", "toxic.reset", resets(0, true), nil, shout},
		{"down, refused", "toxic.down", down("refused"), open, nil},
		{"down, black hole", "toxic.down", down("blackhole"), nil, shout},
	} {
		t.Run(c.name, c.run)
	}
}

// use sends a few pings over one connection.
func use(s *shopSystem) func(testing.TB) {
	return func(t testing.TB) {
		c := s.dial(t)
		for range 4 {
			if _, err := ping(c, patient); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// conformance is a fault to hold against the suite.
type conformance struct {
	name, kind    string
	new           func() fault.Fault
	warm, traffic func(*shopSystem) func(testing.TB)
}

func (c conformance) run(t *testing.T) {
	t.Parallel()
	faulttest.Run(t, faulttest.Case{
		Kind: c.kind, New: c.new, Zero: zero(t, c.kind), Topology: shop, Capabilities: able, Needs: able.Verbs,
		Start: func(t testing.TB) *faulttest.World {
			s := newShop(t)
			w := &faulttest.World{System: s, Gate: s.gate, Hurt: func() bool { return s.hurt(t) }}
			if c.warm != nil {
				w.Warm = c.warm(s)
			}
			if c.traffic != nil {
				w.Traffic = c.traffic(s)
			}
			return w
		},
	})
}

func zero(t *testing.T, kind string) func() fault.Fault {
	return func() fault.Fault {
		f, err := toxic.Kinds().New(kind)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// waitReset reads until the connection ends, which must be by a RST.
func waitReset(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, not with a RST", err)
	}
}
