package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// What is not HTTP/1 passes untouched, and is counted, also when it looks like it at first.
func TestHTTPNotUnderstood(t *testing.T) {
	s := ours(t, Options{})
	p := s.proxyTo(t, serve(t, echo).addr())
	if _, err := p.AddToxic("x", "http", "downstream", 1, client.Attributes{"status": 503}); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x16\x03\x01\x00\xa5\x01", "*1\r\n$4\r\nPING\r\n", "PING", "P\x00",
		"GET / HTTP/3.0\r\n\r\n", "get /x\r\n", "GET /\r\n", "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
		"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", "POST / HTTP/1.1\r\nContent-Length: -0\r\n\r\n", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\r\nA : b\r\n\r\n",
		"GET / HTTP/1.1\r\nA" + strings.Repeat("a", maxHead) + ": b\r\n\r\n", "GET /" + strings.Repeat("a", maxHead), "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc",
	} {
		for _, part := range []int{len(text), 1, 7} {
			if part == 1 && len(text) > 1000 {
				continue
			}
			c := dial(t, p.Listen)
			go func() {
				for left := text; left != ""; {
					n := min(part, len(left))
					_, _ = io.WriteString(c, left[:n])
					left = left[n:]
				}
			}()
			got := make([]byte, len(text))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
				t.Errorf("%.40q in parts of %d came back as %.40q, %v", text, part, got, err)
			}
			ping(t, c, "GET / HTTP/1.1\r\n\r\n") // and stays so
			c.Close()
		}
		n := s.counters(t).Toxics[0]
		if n.HTTP.Touched != 0 || n.HTTP.NotUnderstood < uint64(2*i+2) {
			t.Errorf("after %.40q: %+v", text, n.HTTP)
		}
	}
}

// What passes an unarmed link that reads along is what came, whatever it is, cut anywhere.
func FuzzHTTPReadsAlong(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 100 \r\n\r\n"), uint8(3), false)
	f.Add([]byte("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nabc"), []byte("HTTP/1.1 101 X\r\n\r\nabc"), uint8(5), true)
	f.Add([]byte("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n"), []byte("HTTP/1.1 101 X\r\n\r\nabc"), uint8(255), false)
	f.Add([]byte("\r\nPOST /x HTTP/1.1\r\nContent-Length: 7\r\n\r\n1234567PRI"), []byte("HTTP/1.1 204 \r\n\r\nHTTP"), uint8(1), true)
	f.Fuzz(func(t *testing.T, asked, said []byte, size uint8, armed bool) {
		p := &proxy{server: &Server{}}
		c := &chain{}
		if armed {
			c.http = []*toxic{{ordinal: 1, toxicity: 1, n: &tally{}, set: settings{http: httpSettings{method: "NEVER", status: 503, truncate: noTruncate}}}}
		}
		p.chain.Store(c)
		l := newLink(p, 1, "", nil)
		l.closed = true // there is nobody to kick
		var got [2][]byte
		talk(l, asked, said, int(size)+1)
		for d, pump := range l.pumps {
			for pump.q.len() > 0 {
				got[d] = append(got[d], pump.q.first().data...)
				pump.q.pop()
			}
		}
		if !bytes.Equal(got[0], asked) || !bytes.Equal(got[1], said) {
			t.Errorf("%q and %q became %q and %q", asked, said, got[0], got[1])
		}
	})
}

// talk lets both sides say what they say, in parts of a size and in turns, to the end.
func talk(l *link, asked, said []byte, size int) {
	all := [][]byte{asked, said}
	for turn := 0; len(all[0])+len(all[1]) > 0; turn++ {
		d := turn % 2
		l.pumps[d].look()
		if n := min(len(all[d]), size); n > 0 {
			l.web.filter(l.pumps[d], all[d][:n], time.Time{})
			l.pumps[d].q.own()
			all[d] = all[d][n:]
		}
	}
	for _, pump := range l.pumps {
		l.web.ended(pump, time.Time{})
		pump.look()
	}
}

// A protocol that HTTP is left for passes untouched; a switch that the server declines leaves HTTP.
func TestHTTPUpgrade(t *testing.T) {
	const greeting = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" // the new protocol may look like the old one
	agree := true
	s := ours(t, Options{})
	p := s.proxyTo(t, serve(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if r.Header.Get("Upgrade") != "" && agree {
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"+greeting)
				_, _ = io.Copy(c, in)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}).addr())
	if _, err := p.AddToxic("x", "http", "", 1, client.Attributes{"status": 503}); err != nil {
		t.Fatal(err)
	}
	ask := func(c net.Conn, in *bufio.Reader, header string, want int) {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"+header+"\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatal(resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	c := dial(t, p.Listen)
	in := bufio.NewReader(c)
	ask(c, in, "", 503)
	ask(c, in, "Upgrade: x\r\nConnection: upgrade\r\n", 101)
	said := make([]byte, len(greeting))
	if _, err := io.ReadFull(in, said); err != nil || string(said) != greeting {
		t.Fatal(string(said), err)
	}
	ping(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if n := s.counters(t).Toxics[0].HTTP; n.NotUnderstood != 1 || n.Matched != 1 || n.Requests != 2 {
		t.Errorf("%+v", n)
	}
	agree = false
	c = dial(t, p.Listen)
	in = bufio.NewReader(c)
	ask(c, in, "Upgrade: x\r\nConnection: upgrade\r\n", 200)
	ask(c, in, "", 503)
	if n := s.counters(t).Toxics[0].HTTP; n.NotUnderstood != 1 || n.Matched != 2 {
		t.Errorf("%+v", n)
	}
}

// Answers without bodies are known as such: to HEAD, 204, 304, whatever length they name. Nothing is replaced in
// them, and what follows on the connection is understood.
func TestHTTPBodiless(t *testing.T) {
	s := ours(t, Options{})
	p := s.proxyTo(t, serve(t, func(c net.Conn) {
		for in := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			answer := "HTTP/1.1 " + strings.TrimPrefix(r.URL.Path, "/") + " X\r\nContent-Length: 2\r\n\r\n"
			if r.Method != "HEAD" && r.URL.Path == "/200" {
				answer += "ok"
			}
			_, _ = io.WriteString(c, "HTTP/1.1 103 X\r\nLink: x\r\n\r\n"+answer)
		}
	}).addr())
	for name, attrs := range map[string]client.Attributes{"x": {"body": "new"}, "y": {"truncate": 2}} {
		if _, err := p.AddToxic(name, "http", map[string]string{"x": "upstream", "y": "downstream"}[name], 1, attrs); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, p.Listen)
	in := bufio.NewReader(c)
	for _, line := range []string{"HEAD /200", "GET /200", "GET /204", "GET /200", "GET /304", "GET /200"} {
		if _, err := io.WriteString(c, line+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		method, path, _ := strings.Cut(line, " /")
		for _, want := range []string{"103", path} {
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil || !strings.HasPrefix(resp.Status, want) {
				t.Fatal(line, resp, err)
			}
			body, _ := io.ReadAll(resp.Body)
			if new := line == "GET /200" && want == path; new != (string(body) == "new") {
				t.Errorf("%s: %q", line, body)
			}
		}
	}
	if n := s.counters(t).Toxics[1].HTTP; n.Matched != 0 || n.Requests != 6 {
		t.Errorf("bodies that are short enough: %+v", n)
	}
	if n := s.counters(t).Toxics[0].HTTP; n.NotUnderstood != 0 || n.Matched != 3 || n.Touched != 3 || n.Requests != 6 {
		t.Errorf("%+v", n)
	}
}

// An answer that comes byte by byte is changed as one that comes at once.
func TestHTTPDribble(t *testing.T) {
	for _, framed := range []string{"Content-Length: 2\r\n\r\nok", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"} {
		s := ours(t, Options{})
		p := s.proxyTo(t, serve(t, func(c net.Conn) {
			for in := bufio.NewReader(c); ; {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				for _, b := range []byte("HTTP/1.1 200 OK\r\nX-Old: x\r\n" + framed) {
					_, _ = c.Write([]byte{b})
					time.Sleep(time.Millisecond)
				}
			}
		}).addr())
		for _, attrs := range []client.Attributes{
			{"headers": headers("x", "X-Old"), "stage": "response", "path": "/1"}, {"body": "new", "path": "/2"}, {"truncate": 1, "path": "/3"},
		} {
			if _, err := p.AddToxic(fmt.Sprint(attrs["path"])[1:], "http", "", 1, attrs); err != nil {
				t.Fatal(err)
			}
		}
		c := dial(t, p.Listen)
		in := bufio.NewReader(c)
		for i, want := range []string{"x ok <nil>", " new <nil>", " o unexpected EOF"} {
			if _, err := fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i+1); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(i, err)
			}
			body, err := io.ReadAll(resp.Body)
			if got := fmt.Sprint(resp.Header.Get("X-Client"), " ", string(body), " ", err); got != want || (resp.Header.Get("X-Old") == "") != (i == 0) {
				t.Errorf("answer %d: %q, want %q", i, got, want)
			}
		}
		for _, n := range s.counters(t).Toxics {
			if n.HTTP.Touched != 1 || n.HTTP.NotUnderstood != 0 {
				t.Errorf("%s: %+v", n.Name, n.HTTP)
			}
		}
	}
}

// An upstream that goes away while a toxic is about to answer takes nothing from that answer.
func TestHTTPUpstreamEnds(t *testing.T) {
	bye := make(chan struct{})
	s := ours(t, Options{})
	p := s.proxyTo(t, serve(t, func(c net.Conn) { <-bye }).addr())
	if _, err := p.AddToxic("x", "http", "", 1, client.Attributes{"status": 503}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, p.Listen)
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe"); err != nil {
		t.Fatal(err)
	}
	within(t, "request seen", func() bool { return s.counters(t).Toxics[0].HTTP.Touched == 1 })
	close(bye)
	time.Sleep(50 * time.Millisecond)
	if _, err := io.WriteString(c, "llo"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 503 ") {
		t.Errorf("%q %v", got, err)
	}
}

// A delay lasts no longer than its toxic.
func TestHTTPDelayIsInterrupted(t *testing.T) {
	for _, stage := range []string{stageRequest, stageResponse} {
		s := newShop(t)
		s.add(t, client.Attributes{"delay": never, "stage": stage})
		got := make(chan heard)
		go func() { got <- s.ask(t, "GET", "/a", nil) }()
		within(t, "request held", func() bool { return s.did(t).HTTP.Touched == 1 })
		time.Sleep(30 * time.Millisecond)
		s.remove(t)
		if a := <-got; a.err != nil || a.body != "GET /a " {
			t.Errorf("%+v", a)
		}
		if n := s.counters(t).Removed[0]; n.Chunks != 1 || n.AddedMax < 25*time.Millisecond || n.AddedMax > 2*patient {
			t.Errorf("%+v", n)
		}
	}
}

func TestHTTPAttributes(t *testing.T) {
	s := ours(t, Options{})
	s.proxyTo(t, "127.0.0.1:1")
	for attrs, want := range map[string]string{
		`{}`: "it does nothing: want one of status", `{"status":503,"delay":5}`: "one action and not status and delay", `{"satus":503}`: `did you mean \"status\"`,
		`{"status":99}`: "200 to 599", `{"status":101}`: "200 to 599", `{"status":"x"}`: "whole number", `{"status":204,"body":"x"}`: "has no body",
		`{"delay":-1}`: "ms", `{"delay":3600001}`: "ms", `{"status":503,"stage":"request"}`: "status has no stage", `{"abort":true,"stage":"x"}`: "want \\\"request\\\"",
		`{"truncate":-1}`: "want 0 to", `{"status":503,"ratio":1.1}`: "0 to 1", `{"status":503,"ratio":null}`: "is null", `{"status":503,"method":"post"}`: "capitals",
		`{"status":503,"path":"v1"}`: "a path such as", `{"status":503,"path":"/a?b"}`: "a path such as", `{"headers":{"Content-Length":"1"}}`: "frames the message",
		`{"headers":{"a b":"1"}}`: "no header name", `{"headers":{"a":"x\r\ny: z"}}`: "control characters", `{"headers":{"a":"1","A":"2"}}`: "twice", `{"headers":{}}`: "1 to 32", `{"abort":false}`: "it does nothing",
	} {
		code, _, body := s.call(t, "POST", "/proxies/p/toxics", `{"type":"http","attributes":`+attrs+`}`, "Content-Type", "application/json")
		if code != 400 || !strings.Contains(body, want) || !strings.Contains(body, "valid:") {
			t.Errorf("%s: %d %s, want %q", attrs, code, body, want)
		}
	}
	for _, attrs := range []string{
		`{"ratio":1,"status":503}`, `{"method":"POST","path":"/a*","ratio":0.5,"delay":20,"stage":"response"}`, `{"ratio":1,"truncate":0}`, `{"ratio":1,"body":""}`,
		`{"ratio":1,"headers":{"A":"b","C":null}}`, `{"ratio":1,"status":503,"body":"x","headers":{"A":"b"}}`, `{"ratio":0,"abort":true}`,
	} {
		code, _, body := s.call(t, "POST", "/proxies/p/toxics", `{"name":"y","type":"http","attributes":`+attrs+`}`, "Content-Type", "application/json")
		if code != 200 || !strings.Contains(body, `"attributes":`+attrs+",") {
			t.Errorf("%s: %d %s", attrs, code, body)
		}
		if code, _, body := s.call(t, "PATCH", "/proxies/p/toxics/y", `{"attributes":{"ratio":0.25}}`, "Content-Type", "application/json"); code != 200 || !strings.Contains(body, `"ratio":0.25`) {
			t.Errorf("%s: update: %d %s", attrs, code, body)
		}
		s.call(t, "DELETE", "/proxies/p/toxics/y", "")
	}
}

// Whatever both sides say while every kind of action is there, in whatever order: nothing panics, and no more
// requests are answered by toxics than were asked.
func FuzzHTTPActs(f *testing.F) {
	f.Add([]byte("POST /abcdef HTTP/1.1\r\nContent-Length: 1\r\n\r\naGET /bd HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 304 \r\n\r\n"), uint8(9))
	f.Add([]byte("GET /c HTTP/1.1\r\nExpect: x\r\n\r\nGET /a HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), uint8(80))
	text := "x"
	f.Fuzz(func(t *testing.T, asked, said []byte, size uint8) {
		p, c := &proxy{server: &Server{}}, &chain{}
		for i, h := range []httpSettings{
			{delay: 1}, {delay: 1, stage: stageResponse}, {status: 503, body: &text}, {abort: true}, {abort: true, stage: stageResponse},
			{truncate: 1}, {body: &text}, {headers: map[string]*string{"A": &text}}, {headers: map[string]*string{"A": nil}, stage: stageResponse},
		} {
			if h.truncate == 0 {
				h.truncate = noTruncate
			}
			h.ratio, h.path = 0.9, "*"+string(rune('a'+i))+"*"
			c.http = append(c.http, &toxic{kind: kindHTTP, ordinal: uint64(i + 1), toxicity: 1, n: &tally{}, set: settings{http: h}})
		}
		p.chain.Store(c)
		l := newLink(p, 1, "", nil)
		l.closed = true // there is nobody to kick
		talk(l, asked, said, int(size)+1)
		for _, x := range c.http {
			if n := x.n.http.read(); n.Touched > n.Matched || n.Matched > n.Requests || n.Requests > uint64(bytes.Count(asked, []byte("HTTP/1."))) {
				t.Errorf("%+v: %+v", x.set.http, n)
			}
		}
	})
}

// A client that asks on and on without answers is read along only so far, and passes.
func TestHTTPOpenIsBounded(t *testing.T) {
	x := &toxic{kind: kindHTTP, ordinal: 1, toxicity: 1, n: &tally{}, set: settings{http: httpSettings{method: "NEVER", status: 503}}}
	p := &proxy{server: &Server{}}
	p.chain.Store(&chain{http: []*toxic{x}})
	l := newLink(p, 1, "", nil)
	l.closed = true // there is nobody to kick
	asked := bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), maxOpen+50)
	talk(l, asked, nil, 1<<20)
	if n := x.n.http.read(); n.Requests != maxOpen || n.NotUnderstood != 1 || l.pumps[up].q.bytes != len(asked) {
		t.Errorf("%+v, %d of %d bytes", n, l.pumps[up].q.bytes, len(asked))
	}
}
