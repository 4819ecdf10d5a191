package trace

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestStory(t *testing.T) {
	origin := int64(1_000_000_000_000)
	at := func(s Span, start, took time.Duration) Span {
		s.Start, s.Duration = origin+int64(start), took
		return s
	}
	failed := at(span(2, 1, Client, "gateway", "POST", "server.address", "proxy", "server.port", "1", "attempt", "2", "note", "two words", "url.full", "http://x/"), 5*time.Millisecond, 40*time.Millisecond)
	failed.Status, failed.Message = Failed, "reset by\npeer \x1b[31m"
	failed.Events = []Event{{After: 39 * time.Millisecond, Name: "exception", Attrs: []Attr{{"exception.type", "reset"}}}}
	spans := []Span{at(span(1, 0, Server, "gateway", "POST /pay"), time.Millisecond, 50*time.Millisecond), failed, at(span(9, 8, Server, "audit", "lost"), 60*time.Millisecond, time.Millisecond)}
	lines := []Line{
		{At: origin + int64(46*time.Millisecond), Span: SpanID{2}, Node: "gateway", Level: "WARN", Text: "gave up", Loud: true},
		{Node: "payments", Level: "INFO", Text: "nobody knows when"},
	}
	d := &Declared{Edges: []DeclaredEdge{{Name: "gateway->payments", From: "gateway", Addrs: []string{"proxy:1"}}}}
	var out bytes.Buffer
	if err := Write(&out, Story(origin, NewIndex(spans).Of(one), lines, d)); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimLeft(`
    +1.0 ms     50.0 ms     gateway  POST /pay (server)
    +5.0 ms     40.0 ms !     gateway  POST (client → edge gateway->payments) ERROR reset by peer \u001b[31m attempt=2 note="two words"
   +44.0 ms                     gateway  exception exception.type=reset
   +46.0 ms             !       gateway.log  WARN gave up
   +60.0 ms      1.0 ms !   audit  lost (server) [its parent, span 0800000000000000, was sent by nobody]
   +61.0 ms                 payments.log  INFO nobody knows when
`, "\n")
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// TestClientSpan: it is what the load has sent as parent since there are traces; stored runs depend on it.
func TestClientSpan(t *testing.T) {
	id, ok := ParseID("e2acaa36b84e01020000000000000236")
	if !ok || ClientSpan(id).String() != "256272e20df802b5" {
		t.Errorf("%v: %s", ok, ClientSpan(id))
	}
	for _, text := range []string{"", "00000000000000000000000000000000", "e2acaa36b84e0102000000000000023", "g2acaa36b84e01020000000000000236"} {
		if _, ok := ParseID(text); ok {
			t.Errorf("%q was taken for an id", text)
		}
	}
}
