package trace

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var one = ID{1, 2, 3}

// span makes a span of trace one; parent "" is the load's own span.
func span(id, parent byte, kind Kind, service, name string, attrs ...string) Span {
	s := Span{Trace: one, ID: SpanID{id}, Start: int64(id) * 1000, Duration: time.Duration(id) * time.Millisecond, Kind: kind, Service: service, Name: name}
	if s.Parent = ClientSpan(one); parent != 0 {
		s.Parent = SpanID{parent}
	}
	for i := 0; i+1 < len(attrs); i += 2 {
		s.Attrs = append(s.Attrs, Attr{attrs[i], attrs[i+1]})
	}
	return s
}

func TestCodec(t *testing.T) {
	full := span(7, 3, Consumer, "orders", "consume", "a", "1", "b", "", "a", "ü")
	full.Links = []Link{{Trace: ID{9}, Span: SpanID{8}}}
	full.Events = []Event{{After: -5, Name: "exception", Attrs: []Attr{{"m", "v"}}}, {Name: "x"}}
	full.Status, full.Message, full.Instance, full.Dropped = Failed, "broken", "orders-1", 3
	want := []Span{full, {}, span(1, 0, Server, "gateway", "GET /")}
	var e Encoder
	for round := range 2 { // the second batch must not know of the first
		for i := range want {
			e.Add(&want[i])
		}
		if e.Len() != len(want) || e.Size() == 0 {
			t.Errorf("round %d: %d spans, %d B wait", round, e.Len(), e.Size())
		}
		batch := e.Take()
		var d Decoder
		got, err := d.Decode(nil, batch)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d: %v\n got %+v\nwant %+v", round, err, got, want)
		}
		for n := range batch { // a cut batch is an error and leaves what was there
			if got, err := d.Decode(want[:1:1], batch[:n]); err == nil || len(got) != 1 {
				t.Fatalf("cut to %d B: %v, %d spans", n, err, len(got))
			}
		}
		if _, err := d.Decode(nil, append(batch, 0)); err == nil {
			t.Error("a batch with something behind it was taken")
		}
	}
}

func FuzzDecode(f *testing.F) {
	var e Encoder
	s := span(7, 3, Consumer, "orders", "consume", "a", "1")
	s.Links, s.Events = []Link{{}}, []Event{{Name: "x"}}
	e.Add(&s)
	f.Add(e.Take())
	f.Add([]byte{batchVersion, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, batch []byte) {
		var d Decoder
		spans, err := d.Decode(nil, batch)
		if err != nil {
			return
		}
		x := NewIndex(spans)
		for i := range spans {
			Connected(x.Of(spans[i].Trace))
		}
		Observe(x, Declared{})
		var again Encoder
		for i := range spans {
			again.Add(&spans[i])
		}
		back, err := d.Decode(nil, again.Take())
		if err != nil || len(back) != len(spans) {
			t.Errorf("written again: %v, %d of %d spans", err, len(back), len(spans))
		}
	})
}

func TestBound(t *testing.T) {
	s := Span{Name: strings.Repeat("n", 9999), Duration: -5, Attrs: make([]Attr, 100), Links: make([]Link, 20), Events: make([]Event, 10)}
	s.Attrs[0].Value = strings.Repeat("v", 1<<20)
	s.Events[0].Attrs = make([]Attr, 65)
	s.Bound()
	if len(s.Name) != maxName || len(s.Attrs) != maxAttrs || len(s.Attrs[0].Value) != maxValue || s.Duration != 0 {
		t.Errorf("name %d, attrs %d, value %d, duration %v", len(s.Name), len(s.Attrs), len(s.Attrs[0].Value), s.Duration)
	}
	if s.Dropped != 36+4+2+1 {
		t.Errorf("dropped %d", s.Dropped)
	}
}

func TestConnected(t *testing.T) {
	for name, c := range map[string]struct {
		spans []Span
		why   string
	}{
		"nothing":     {nil, "no span"},
		"whole":       {[]Span{span(1, 0, Server, "a", "x"), span(2, 1, Client, "a", "y"), span(3, 2, Server, "b", "z")}, ""},
		"no parent":   {[]Span{{Trace: one, ID: SpanID{1}}}, ""},
		"two roots":   {[]Span{span(1, 0, Server, "a", "x"), span(2, 0, Server, "a", "x")}, ""}, // a replay of the same key
		"orphan":      {[]Span{span(1, 0, Server, "a", "x"), span(3, 2, Server, "b", "z")}, "1 of 2 spans have a parent that nobody sent"},
		"no root":     {[]Span{span(3, 2, Server, "b", "z"), span(4, 3, Client, "b", "z")}, "no root span among 2"},
		"cycle":       {[]Span{span(1, 0, Server, "a", "x"), span(3, 4, Server, "b", "z"), span(4, 3, Client, "b", "z")}, "1 of 3 spans have a parent that nobody sent"},
		"own parent":  {[]Span{span(3, 3, Server, "b", "z")}, "no root span among 1"},
		"twice":       {[]Span{span(1, 0, Server, "a", "x"), span(1, 0, Server, "a", "x")}, ""},
		"child first": {[]Span{span(3, 2, Server, "b", "z"), span(2, 1, Client, "a", "y"), span(1, 0, Server, "a", "x")}, ""},
	} {
		other := Span{Trace: ID{7}, ID: SpanID{2}} // of the missing id, but in another trace
		ok, why := Connected(NewIndex(append(c.spans, other)).Of(one))
		if ok != (c.why == "") || why != c.why {
			t.Errorf("%s: %v, %q, want %q", name, ok, why, c.why)
		}
	}
}

func TestIndex(t *testing.T) {
	late, linked := span(9, 1, Internal, "a", "late"), Span{Trace: ID{5}, ID: SpanID{1}, Links: []Link{{Trace: one}, {Trace: one}, {Trace: ID{5}}}}
	x := NewIndex([]Span{late, linked, span(1, 0, Server, "a", "early"), late}) // sent twice
	if got := x.Of(one); len(got) != 2 || got[0].Name != "early" || got[1].Name != "late" {
		t.Errorf("spans of the trace: %+v", got)
	}
	if got := x.Follows(one); !slices.Equal(got, []ID{{5}}) {
		t.Errorf("followed by %v", got)
	}
	if got := x.Find("0102", 5); !slices.Equal(got, []ID{one}) {
		t.Errorf("found %v", got)
	}
	if got := x.Find("", 1); len(got) != 1 {
		t.Errorf("found %v", got)
	}
	if x.Of(ID{3}) != nil || x.Find(strings.Repeat("0", 40), 1) != nil {
		t.Error("found what is not there")
	}
}

func TestObserve(t *testing.T) {
	declared := Declared{
		Nodes: map[string]string{"gw": "gateway", "pay": "payments", "pg": "postgres", "nats": "nats"},
		Edges: []DeclaredEdge{
			{Name: "gw->pay", From: "gateway", To: "payments", Addrs: []string{"proxy:1", "pay:80"}},
			{Name: "pay->pg", From: "payments", To: "postgres", Addrs: []string{"proxy:2"}},
			{Name: "pay->nats", From: "payments", To: "nats", Addrs: []string{"proxy:3"}},
			{Name: "gw->pg", From: "gateway", To: "postgres", Addrs: []string{"proxy:4"}},
			{Name: "mute->pg", From: "mute", To: "postgres", Addrs: []string{"proxy:5"}},
			{Name: "notify->nats", From: "notify", To: "nats", Addrs: []string{"proxy:6"}},
		},
	}
	failed := span(4, 3, Client, "payments", "SELECT", "server.address", "proxy", "server.port", "2")
	failed.Status = Failed
	m := Observe(NewIndex([]Span{
		span(1, 0, Server, "gateway", "POST"),
		span(2, 1, Client, "gateway", "POST", "url.full", "http://proxy:1/x"),
		span(3, 2, Server, "payments", "POST"),
		failed,
		span(5, 3, Client, "payments", "SELECT", "db.system", "postgresql"),
		span(6, 3, Producer, "payments", "publish", "messaging.system", "nats"),
		span(7, 6, Consumer, "notify", "consume", "network.peer.address", "proxy:6"),
		span(8, 3, Client, "payments", "GET", "net.peer.name", "api.example.com", "net.peer.port", "443"),
		span(9, 3, Client, "payments", "?"),
		span(10, 3, Internal, "payments", "think"),
		span(11, 10, Server, "audit", "POST"), // whoever called it has no client span
	}), declared)
	var got []string
	for _, c := range m.Calls {
		got = append(got, fmt.Sprintf("%s→%s %v %d/%d", c.From, c.To, c.Edges, c.Errors, c.Calls))
	}
	want := []string{
		"gateway→payments [gw->pay] 0/1", "load→gateway [] 0/1", "notify→nats [notify->nats] 0/1",
		"payments→api.example.com:443 [] 0/1", "payments→audit [] 0/1",
		"payments→nats [pay->nats] 0/1", "payments→postgres [pay->pg] 1/2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if !slices.Equal(m.Unused, []string{"gw->pg"}) || !slices.Equal(m.Unseen, []string{"mute->pg"}) || m.Unplaced != 1 {
		t.Errorf("unused %v, unseen %v, unplaced %d", m.Unused, m.Unseen, m.Unplaced)
	}
	if undeclared := m.Undeclared(); len(undeclared) != 2 || !m.Drift() {
		t.Errorf("undeclared %+v, drift %v", undeclared, m.Drift())
	}
	if p := m.Calls[6]; p.P50 != 4*time.Millisecond || p.P99 != 5*time.Millisecond {
		t.Errorf("p50 %v, p99 %v", p.P50, p.P99)
	}
	if (&Map{Calls: m.Calls[:3]}).Drift() {
		t.Error("the load's own call is no drift")
	}
}

func BenchmarkCodec(b *testing.B) {
	spans := make([]Span, 500)
	for i := range spans {
		spans[i] = span(byte(i), 3, Client, "payments", "SELECT", "server.address", "proxy", "server.port", "2", "db.system", "postgresql", "row", fmt.Sprint(i))
	}
	var e Encoder
	var d Decoder
	var back []Span
	for b.Loop() {
		for i := range spans {
			e.Add(&spans[i])
		}
		batch := e.Take()
		back, _ = d.Decode(back[:0], bytes.Clone(batch))
	}
	b.ReportMetric(float64(b.N)*float64(len(spans))/b.Elapsed().Seconds(), "spans/s")
}
