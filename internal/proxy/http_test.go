package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// shop is an HTTP server behind a link, which answers with what it was asked.
type shop struct {
	*rig
	p     *client.Proxy
	http  *http.Client
	asked atomic.Int64
	dials atomic.Int64
	sent  atomic.Int64 // request heads written by the client
}

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{}
	h := httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(h.Close)
	s.rig = ours(t, Options{Seed: 1})
	s.p = s.proxyTo(t, h.Listener.Addr().String())
	var d net.Dialer
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		s.dials.Add(1)
		return d.DialContext(ctx, network, s.p.Listen)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	s.http = &http.Client{Transport: tr, Timeout: patient}
	return s
}

func (s *shop) answer(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	body, err := io.ReadAll(r.Body)
	w.Header().Set("X-Sum", fmt.Sprintf("%x %v", sha256.Sum256(body), err))
	w.Header().Set("X-Saw", r.Header.Get("X-Client"))
	switch {
	case strings.HasPrefix(r.URL.Path, "/chunked"):
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	case strings.HasPrefix(r.URL.Path, "/none"):
		w.WriteHeader(http.StatusNoContent)
		return
	}
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
}

// heard is what a client got.
type heard struct {
	status int
	body   string
	header http.Header
	took   time.Duration
	err    error
}

// ask sends one request, of which net/http can make no silent second one: its body can't be got again.
func (s *shop) ask(t testing.TB, method, path string, body []byte, header ...string) heard {
	t.Helper()
	req, err := http.NewRequest(method, "http://shop"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if req.Body == http.NoBody {
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	req.GetBody = nil
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	trace := &httptrace.ClientTrace{WroteHeaders: func() { s.sent.Add(1) }}
	begun := time.Now()
	resp, err := s.http.Do(req.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
	if err != nil {
		return heard{err: err, took: time.Since(begun)}
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return heard{resp.StatusCode, string(got), resp.Header, time.Since(begun), err}
}

func (s *shop) add(t testing.TB, attrs client.Attributes) {
	t.Helper()
	if _, err := s.p.AddToxic("x", "http", "downstream", 1, attrs); err != nil {
		t.Fatal(err)
	}
}

func (s *shop) remove(t testing.TB) {
	t.Helper()
	if err := s.p.RemoveToxic("x"); err != nil {
		t.Fatal(err)
	}
}

// did are the counters of toxic x.
func (s *shop) did(t testing.TB) ToxicCounters {
	t.Helper()
	c := s.counters(t)
	if len(c.Toxics) != 1 || c.Toxics[0].HTTP == nil {
		t.Fatalf("%+v", c.Toxics)
	}
	return c.Toxics[0]
}

func headers(add string, remove ...string) map[string]any {
	all := map[string]any{"X-Client": add}
	for _, name := range remove {
		all[name] = nil
	}
	return all
}

// httpAction is what an http toxic does, and what a client sees of it.
type httpAction struct {
	name   string
	attrs  client.Attributes
	method string
	path   string
	asked  int64 // requests that reached the server
	lives  bool  // the connection does
	see    func(a heard) bool
}

// play holds one action against what it should do. That net/http keeps a connection is a matter of time too: it opens
// another one when its own goroutine is held up for 50 ms.
func (c httpAction) play(t *testing.T) (against string) {
	s := newShop(t)
	normal := func() {
		t.Helper()
		if a := s.ask(t, "POST", "/a", []byte("hello")); a.status != 200 || a.body != "POST /a hello" || a.err != nil {
			t.Fatalf("without a toxic: %+v", a)
		}
	}
	normal()
	c.attrs["path"], c.attrs["method"] = c.path, c.method
	s.add(t, c.attrs)
	if a := s.ask(t, c.method, c.path, []byte("hello")); !c.see(a) {
		t.Errorf("%+v", a)
	}
	if a := s.ask(t, "POST", "/b", []byte("hello")); a.err != nil || a.body != "POST /b hello" {
		t.Errorf("a request of another path: %+v", a)
	}
	becomes(t, func() string { // a reset is counted when it is made
		d := s.did(t)
		if d.HTTP.Matched != 1 || d.HTTP.Touched != 1 || d.HTTP.Requests != 2 || d.Connections != 1 || d.HTTP.NotUnderstood != 0 ||
			c.attrs["truncate"] != nil != (d.Closed == 1) || c.attrs["abort"] != nil != (d.Resets == 1) {
			return fmt.Sprintf("counters: %+v %+v", d, d.HTTP)
		}
		return ""
	})
	if d := s.did(t); c.attrs["delay"] != nil && d.AddedMax < 80*time.Millisecond {
		t.Errorf("added %v", d.AddedMax)
	}
	s.remove(t)
	normal()
	if got := s.asked.Load(); got != c.asked+3 {
		t.Errorf("the server was asked %d times, want %d", got, c.asked+3)
	}
	if s.sent.Load() != 4 {
		t.Errorf("4 requests were sent %d times", s.sent.Load())
	}
	if lived := s.dials.Load() == 1; lived != c.lives {
		return fmt.Sprintf("%d dials; the connection should live: %v", s.dials.Load(), c.lives)
	}
	return ""
}

// Each action does to a client what it says, on the connection that was there before, and it is over when the
// toxic is.
func TestHTTPActions(t *testing.T) {
	hasReset := func(a heard) bool { return errors.Is(a.err, syscall.ECONNRESET) }
	for _, c := range []httpAction{
		{"status", client.Attributes{"status": 503, "body": "no", "headers": map[string]any{"Retry-After": "7"}}, "POST", "/a", 0, true, func(a heard) bool {
			return a.status == 503 && a.body == "no" && a.header.Get("Retry-After") == "7"
		}},
		{"status to HEAD", client.Attributes{"status": 500, "body": "no"}, "HEAD", "/a", 0, true, func(a heard) bool { return a.status == 500 && a.body == "" }},
		{"status 204", client.Attributes{"status": 204}, "GET", "/a", 0, true, func(a heard) bool { return a.status == 204 && a.body == "" }},
		{"delay", client.Attributes{"delay": 80}, "POST", "/a", 1, true, func(a heard) bool {
			return a.body == "POST /a hello" && a.took > 80*time.Millisecond
		}},
		{"delayed answer", client.Attributes{"delay": 80, "stage": "response"}, "POST", "/chunked", 1, true, func(a heard) bool {
			return a.body == "POST /chunked hello" && a.took > 80*time.Millisecond
		}},
		{"abort", client.Attributes{"abort": true}, "POST", "/a", 0, false, hasReset},
		{"lost answer", client.Attributes{"abort": true, "stage": "response"}, "POST", "/a", 1, false, hasReset},
		{"truncate", client.Attributes{"truncate": 6}, "POST", "/a", 1, false, func(a heard) bool {
			return a.status == 200 && a.body == "POST /" && errors.Is(a.err, io.ErrUnexpectedEOF)
		}},
		{"truncate chunked", client.Attributes{"truncate": 6}, "POST", "/chunked", 1, false, func(a heard) bool {
			return a.status == 200 && a.body == "POST /" && errors.Is(a.err, io.ErrUnexpectedEOF)
		}},
		{"truncate the last byte", client.Attributes{"truncate": 12}, "POST", "/a", 1, false, func(a heard) bool {
			return a.status == 200 && a.body == "POST /a hell" && errors.Is(a.err, io.ErrUnexpectedEOF)
		}},
		{"body", client.Attributes{"body": "other", "headers": map[string]any{"Content-Type": "x/y"}}, "POST", "/a", 1, true, func(a heard) bool {
			return a.status == 200 && a.body == "other" && a.header.Get("X-Sum") != "" && a.header.Get("Content-Type") == "x/y"
		}},
		{"body chunked", client.Attributes{"body": "other"}, "POST", "/chunked", 1, true, func(a heard) bool { return a.status == 200 && a.body == "other" }},
		{"header", client.Attributes{"headers": headers("from chaos")}, "POST", "/a", 1, true, func(a heard) bool {
			return a.header.Get("X-Saw") == "from chaos" && a.body == "POST /a hello"
		}},
		{"header of the answer", client.Attributes{"headers": headers("from chaos", "x-sum"), "stage": "response"}, "POST", "/chunked", 1, true, func(a heard) bool {
			return a.header.Get("X-Client") == "from chaos" && a.header.Get("X-Sum") == "" && a.body == "POST /chunked hello"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			agrees(t, func() string { return c.play(t) })
		})
	}
}

// A GET that net/http may send again is sent once: a status is an answer, and a lost answer to a request
// that can be repeated is a second request, which is the client's doing.
func TestHTTPStatusIsNoReasonToReplay(t *testing.T) {
	agrees(t, func() string {
		s := newShop(t)
		s.add(t, client.Attributes{"status": 503})
		for range 20 {
			resp, err := s.http.Get("http://shop/")
			if err != nil || resp.StatusCode != 503 {
				t.Fatal(resp, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if d := s.did(t); d.HTTP.Requests != 20 || d.HTTP.Touched != 20 || s.asked.Load() != 0 {
			t.Errorf("%+v, %d asked", d.HTTP, s.asked.Load())
		}
		if n := s.dials.Load(); n != 1 { // net/http lets go of a connection when its goroutine is held up
			return fmt.Sprintf("%d dials", n)
		}
		return ""
	})
}

// Bodies of 1 MiB come through byte for byte, with a length and in chunks, with toxics that change heads.
func TestHTTPBodiesAreIntact(t *testing.T) {
	for name, attrs := range map[string]client.Attributes{
		"aware": {"status": 503, "ratio": 0}, "request head": {"headers": headers("x")}, "answer head": {"headers": headers("x"), "stage": "response"}, "delay": {"delay": 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.add(t, attrs)
			body := make([]byte, 1<<20)
			r := rand.NewChaCha8([32]byte{1})
			for i := range 4 {
				_, _ = r.Read(body)
				path := []string{"/a", "/chunked"}[i%2]
				req, err := http.NewRequest("POST", "http://shop"+path, struct{ io.Reader }{bytes.NewReader(body)}) // sent in chunks
				if i < 2 {
					req, err = http.NewRequest("POST", "http://shop"+path, bytes.NewReader(body))
				}
				if err != nil {
					t.Fatal(err)
				}
				if i%2 == 1 {
					req.Header.Set("Expect", "100-continue")
				}
				resp, err := s.http.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != "POST "+path+" "+string(body) {
					t.Errorf("answer %d: %v, %d bytes", i, err, len(got))
				}
				if want := fmt.Sprintf("%x <nil>", sha256.Sum256(body)); resp.Header.Get("X-Sum") != want {
					t.Errorf("request %d: the server got another body: %s", i, resp.Header.Get("X-Sum"))
				}
			}
			if d := s.did(t); d.HTTP.Requests != 4 || d.HTTP.NotUnderstood != 0 {
				t.Errorf("%+v", d.HTTP)
			}
		})
	}
}

// The share of the requests is the one asked for, the same ones again with the same seed, and more with a larger one.
func TestHTTPRatio(t *testing.T) {
	d := newDice(7, "p")
	x := &toxic{ordinal: 3, set: settings{http: httpSettings{ratio: 0.2}}}
	y := &toxic{ordinal: 3, set: settings{http: httpSettings{ratio: 0.3}}}
	hits := 0
	for conn := range uint64(100) {
		for n := range uint64(100) {
			hit := d.request(x, conn+1, n+1)
			if hit {
				hits++
			}
			if hit != newDice(7, "p").request(x, conn+1, n+1) || (hit && !d.request(y, conn+1, n+1)) {
				t.Fatal("the draw is not a matter of the numbers alone")
			}
		}
	}
	if hits < 1880 || hits > 2120 { // three standard deviations
		t.Errorf("%d of 10,000 at 0.2", hits)
	}
}

func TestHTTPGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"/a", "/a", true}, {"/a", "/ab", false}, {"/a*", "/a", true}, {"/a*", "/a/b/c", true}, {"*", "/x", true}, {"*/pay", "/v1/pay", true},
		{"/v1/*/refund", "/v1/7/refund", true}, {"/v1/*/refund", "/v1/refund", false}, {"/a*b*c", "/aXbYc", true}, {"/a*b*c", "/acb", false}, {"/a*a", "/a", false},
	} {
		if glob(c.pattern, c.text) != c.want {
			t.Errorf("%s on %s", c.pattern, c.text)
		}
	}
}

// A toxic that comes in the middle of a request leaves that request alone and acts on the next one.
func TestHTTPToxicInTheMiddle(t *testing.T) {
	s := newShop(t)
	c := dial(t, s.p.Listen)
	in := bufio.NewReader(c)
	read := func(want, when string) {
		t.Helper()
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if got := fmt.Sprint(resp.StatusCode, " ", string(body)); err != nil || got != want {
			t.Fatalf("%s: %q, want %q, %v", when, got, want, err)
		}
	}
	var said, passed int
	say := func(text string, passes int) { // and waits until it was read, alone, and so many bytes were passed on
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		said, passed = said+len(text), passed+passes
		within(t, "read", func() bool {
			n := s.counters(t)
			return n.Received.Upstream == uint64(said) && n.Sent.Upstream == uint64(passed)
		})
	}
	const post = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
	const all = len(post) + 5
	for _, at := range []int{3, 20, len(post) - 1, len(post), len(post) + 2} { // in the head, and in the body
		say((post + "hello")[:at], at)
		s.add(t, client.Attributes{"status": 503})
		say((post + "hello")[at:], all-at)
		read("200 POST /a hello", fmt.Sprint("added at ", at))
		for _, cut := range []int{0, 3, 20, len(post) - 1, len(post) + 2} { // now it is known from the start, however it comes
			say((post + "hello")[:cut], 0)
			say((post + "hello")[cut:], 0)
			read("503 ", fmt.Sprint("cut at ", cut))
		}
		if d := s.did(t); d.HTTP.NotUnderstood != 0 || d.HTTP.Touched != 5 {
			t.Errorf("toxic at %d: %+v", at, d.HTTP)
		}
		say((post + "hello")[:at], 0) // taken off in the middle: a head goes on, what was swallowed is answered
		if at < len(post) {
			s.remove(t)
			say((post + "hello")[at:], all)
			read("200 POST /a hello", fmt.Sprint("removed at ", at))
		} else {
			within(t, "swallowed", func() bool { return s.did(t).HTTP.Touched == 6 })
			s.remove(t)
			say((post + "hello")[at:], 0)
			read("503 ", fmt.Sprint("removed at ", at))
		}
	}
}

// Pipelined requests are answered in their order, whoever answers.
func TestHTTPPipelining(t *testing.T) {
	s := newShop(t)
	s.add(t, client.Attributes{"status": 503, "path": "/no*", "body": "sorry"})
	c := dial(t, s.p.Listen)
	var all strings.Builder
	for i := range 30 {
		path := []string{"/yes", "/no", "/chunked", "/no", "/none"}[i%5]
		fmt.Fprintf(&all, "POST %s%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: r\r\n\r\n", path, i)
	}
	go func() {
		for text := all.String(); text != ""; {
			n := min(len(text), 37)
			_, _ = io.WriteString(c, text[:n])
			text = text[n:]
		}
	}()
	in := bufio.NewReader(c)
	for i := range 30 {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		body, _ := io.ReadAll(resp.Body)
		want := []string{fmt.Sprintf("200 POST /yes%d abcde", i), "503 sorry", fmt.Sprintf("200 POST /chunked%d abcde", i), "503 sorry", "503 sorry"}[i%5]
		if got := fmt.Sprint(resp.StatusCode, " ", string(body)); got != want {
			t.Errorf("answer %d is %q, want %q", i, got, want)
		}
	}
	if d := s.did(t); d.HTTP.Requests != 30 || d.HTTP.Touched != 18 || s.asked.Load() != 12 {
		t.Errorf("%+v, %d asked", d.HTTP, s.asked.Load())
	}
}

// The toxic that answers an upload that waits for 100-continue ends the connection; the client gets the answer.
func TestHTTPExpect(t *testing.T) {
	s := newShop(t)
	s.add(t, client.Attributes{"status": 413, "body": "too much"})
	c := dial(t, s.p.Listen)
	if _, err := io.WriteString(c, "\r\nPOST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 413 ") || !strings.HasSuffix(string(got), "\r\n\r\ntoo much") || !strings.Contains(string(got), "Connection: close") {
		t.Errorf("%v %q", err, got)
	}
}
