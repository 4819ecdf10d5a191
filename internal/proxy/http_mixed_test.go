package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// What an http toxic answers is delayed, metered and sliced like what the upstream does.
func TestHTTPAnswerIsMetered(t *testing.T) {
	s := newShop(t)
	body := strings.Repeat("0123456789", 2000)
	s.add(t, client.Attributes{"status": 503, "body": body})
	toxicOf(t, s.p, "latency", "downstream", client.Attributes{"latency": 100})
	toxicOf(t, s.p, "bandwidth", "downstream", client.Attributes{"rate": 100}) // 200 ms
	toxicOf(t, s.p, "slicer", "downstream", client.Attributes{"average_size": 300, "size_variation": 50, "delay": 10})
	a := s.ask(t, "POST", "/a", []byte("hello"))
	if a.err != nil || a.status != 503 || a.body != body || a.took < 300*time.Millisecond || s.asked.Load() != 0 {
		t.Errorf("%d, %d bytes, after %v: %v", a.status, len(a.body), a.took, a.err)
	}
	for _, n := range s.counters(t).Toxics {
		if n.Connections != 1 || (n.Type == "slicer" && n.Slices < 50) || (n.Type == "latency" && (n.Chunks != 1 || n.AddedMax < 100*time.Millisecond)) {
			t.Errorf("%+v", n)
		}
	}
}

// The FIN of a cut body is the end of a stream for slow_close, and waits no longer than that is there.
func TestHTTPCutIsClosedSlowly(t *testing.T) {
	s := newShop(t)
	s.add(t, client.Attributes{"truncate": 3})
	toxicOf(t, s.p, "slow_close", "downstream", client.Attributes{"delay": 200})
	cut := func(a heard) bool { return a.status == 200 && a.body == "POS" && errors.Is(a.err, io.ErrUnexpectedEOF) }
	if a := s.ask(t, "POST", "/a", nil); !cut(a) || a.took < 200*time.Millisecond {
		t.Errorf("%+v", a)
	}
	within(t, "upstream closed", func() bool { return s.counters(t).Upstreams == 0 })
	if _, err := s.p.UpdateToxic("slow_close_downstream", 1, client.Attributes{"delay": never}); err != nil {
		t.Fatal(err)
	}
	got := make(chan heard)
	go func() { got <- s.ask(t, "POST", "/a", nil) }()
	within(t, "held", func() bool { return s.counters(t).Toxics[1].Connections == 2 })
	if err := s.p.RemoveToxic("slow_close_downstream"); err != nil {
		t.Fatal(err)
	}
	if a := <-got; !cut(a) {
		t.Errorf("%+v", a)
	}
	if n := s.counters(t); n.Toxics[0].Closed != 2 || n.Removed[0].Closed != 2 {
		t.Errorf("%+v", n)
	}
}

// A RST in the place of an answer has no bits to flip, and a standstill of bytes does not hold it.
func TestHTTPAbortBesideOthers(t *testing.T) {
	s := newShop(t)
	s.add(t, client.Attributes{"abort": true})
	toxicOf(t, s.p, "corrupt", "downstream", client.Attributes{"chunks": 1})
	toxicOf(t, s.p, "bandwidth", "downstream", client.Attributes{"rate": 0})
	if a := s.ask(t, "POST", "/a", nil); !errors.Is(a.err, syscall.ECONNRESET) {
		t.Errorf("%+v", a)
	}
	becomes(t, func() string {
		for _, n := range s.counters(t).Toxics {
			if n.Offered != 0 || n.Chunks != 0 || (n.Type == "http" && n.Resets != 1) {
				return fmt.Sprintf("%+v", n)
			}
		}
		return ""
	})
}

// A connection that had its quota ends, whatever an http toxic still holds or owes: a part of a request that it
// swallows, an answer that waits for the rest of one, a part of a head.
func TestHTTPBeforeALimit(t *testing.T) {
	for name, c := range map[string]struct {
		attrs        client.Attributes
		stream, says string
	}{
		"answer due":    {client.Attributes{"status": 503, "path": "/b"}, "upstream", "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"},
		"body missing":  {client.Attributes{"status": 503, "path": "/b"}, "upstream", "GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"},
		"head missing":  {client.Attributes{"headers": headers("x")}, "upstream", "GET /a HTTP/1.1\r\n\r\nGET /b HT"},
		"answer behind": {client.Attributes{"status": 503, "path": "/b"}, "downstream", "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := ours(t, Options{})
			p := s.proxyTo(t, serve(t, func(c net.Conn) {
				b := make([]byte, 10)
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				_, _ = io.Copy(io.Discard, c)
			}).addr())
			toxicOf(t, p, "http", "", c.attrs)
			toxicOf(t, p, "limit_data", c.stream, client.Attributes{"bytes": 15})
			conn := dial(t, p.Listen)
			if _, err := io.WriteString(conn, c.says); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if errors.Is(err, syscall.ECONNRESET) { // bytes of the client that nobody read any more
				err = nil
			}
			if err != nil || (c.stream == "downstream" && string(got) != "HTTP/1.1 200 OK") {
				t.Errorf("%q: %v", got, err)
			}
			within(t, "connection gone", func() bool { n := s.counters(t); return n.Open == 0 && n.Upstreams == 0 })
		})
	}
}
