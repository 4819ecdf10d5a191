package trace

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// LoadService stands for the load generator, which sends no spans, as the caller of a request's first span.
const LoadService = "load"

// Declared is the dependency map of target.yaml, in services: what spans say of themselves.
type Declared struct {
	Nodes map[string]string `json:"nodes,omitempty"` // node → the service that its spans name
	Edges []DeclaredEdge    `json:"edges,omitempty"`
}

// DeclaredEdge is one arrow of it.
type DeclaredEdge struct {
	Name  string   `json:"name"`
	From  string   `json:"from"`            // services
	To    string   `json:"to"`              //
	Addrs []string `json:"addrs,omitempty"` // host:port of its link, and of what is behind it
}

// place is the name of the edge that an address belongs to, or the address.
func (d *Declared) place(from, addr string) string {
	if d == nil || addr == "" {
		return addr
	}
	for _, e := range d.Edges {
		if e.From == from && slices.Contains(e.Addrs, addr) {
			return "edge " + e.Name
		}
	}
	return addr
}

// Call is what was seen of one service calling another.
type Call struct {
	From   string        `json:"from"`
	To     string        `json:"to"`
	Edges  []string      `json:"edges,omitempty"` // declared edges that it is; none: undeclared
	Calls  int           `json:"calls"`
	Errors int           `json:"errors"` // of them, spans with status error
	P50    time.Duration `json:"p50_ns"`
	P99    time.Duration `json:"p99_ns"` // the largest of fewer than 100
}

// Undeclared reports whether target.yaml has no edge for the call.
func (c Call) Undeclared() bool { return len(c.Edges) == 0 && c.From != LoadService }

// Map is the dependency map that spans draw, held against the declared one.
type Map struct {
	Calls    []Call   `json:"calls,omitempty"`
	Unused   []string `json:"unused,omitempty"`   // declared edges that no span went over
	Unseen   []string `json:"unseen,omitempty"`   // declared edges whose caller sends no spans: nothing can be said
	Unplaced int      `json:"unplaced,omitempty"` // client, producer and consumer spans that say nobody they called
}

// Undeclared are the calls that target.yaml has no edge for.
func (m *Map) Undeclared() (found []Call) {
	for _, c := range m.Calls {
		if c.Undeclared() {
			found = append(found, c)
		}
	}
	return found
}

// Drift reports whether what was seen is not what is declared.
func (m *Map) Drift() bool { return len(m.Unused) > 0 || len(m.Undeclared()) > 0 }

// Observe draws the map. A client's span is the call; where it has a server's span of another service below
// it, that is whom it called, else whom its address or peer attributes name. Of a server's span whose caller
// has no client span, it is the call itself. A consumer calls the broker, not whoever published.
func Observe(x *Index, d Declared) *Map {
	o := observer{declared: d, calls: make(map[route]*tally), services: make(map[string]bool)}
	for i := 0; i < len(x.order); {
		id := x.spans[x.order[i]].Trace
		spans := x.Of(id)
		o.trace(spans)
		for i < len(x.order) && x.spans[x.order[i]].Trace == id {
			i++
		}
	}
	return o.drawn()
}

type route struct{ from, to string }

type tally struct {
	errors int
	took   []time.Duration
	edges  map[string]bool
}

type observer struct {
	declared Declared
	calls    map[route]*tally
	services map[string]bool // that sent spans
	unplaced int
}

func (o *observer) trace(spans []*Span) {
	byID := make(map[SpanID]*Span, len(spans))
	served := make(map[SpanID]string) // client span → service of the server's span below it
	for _, s := range spans {
		byID[s.ID] = s
		o.services[s.Service] = true
	}
	for _, s := range spans {
		if s.Kind == Server {
			served[s.Parent] = s.Service
		}
	}
	for _, s := range spans {
		switch s.Kind {
		case Client, Producer, Consumer:
			o.outgoing(s, served[s.ID])
		case Server:
			switch parent := byID[s.Parent]; {
			case s.Parent == ClientSpan(s.Trace):
				o.add(s, LoadService, s.Service, nil)
			case parent != nil && parent.Kind != Client && parent.Service != s.Service:
				o.add(s, parent.Service, s.Service, nil)
			}
		}
	}
}

// outgoing places a call by the span of who makes it.
func (o *observer) outgoing(s *Span, served string) {
	addr := Address(s)
	if served != "" && served != s.Service {
		o.add(s, s.Service, served, o.at(s.Service, addr))
		return
	}
	if edges := o.at(s.Service, addr); len(edges) > 0 {
		o.add(s, s.Service, edges[0].To, edges)
		return
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if to := cmp.Or(o.declared.Nodes[host], s.Attr("peer.service"), o.system(s)); to != "" {
		o.add(s, s.Service, to, nil)
	} else if addr != "" {
		o.add(s, s.Service, addr, nil)
	} else {
		o.unplaced++
	}
}

// system is the declared service that a database's or broker's span means by naming its kind alone:
// postgresql is the service postgres, if the caller has an edge to one; else the kind's own name.
func (o *observer) system(s *Span) string {
	name := strings.ToLower(s.Attr("db.system.name", "db.system", "messaging.system"))
	if name == "" {
		return ""
	}
	for _, e := range o.declared.Edges {
		to := strings.ToLower(e.To)
		if e.From == s.Service && (strings.HasPrefix(name, to) || strings.HasPrefix(to, name)) {
			return e.To
		}
	}
	return name
}

// at are the edges of a service that an address belongs to.
func (o *observer) at(from, addr string) (edges []DeclaredEdge) {
	if addr == "" {
		return nil
	}
	for _, e := range o.declared.Edges {
		if e.From == from && slices.Contains(e.Addrs, addr) {
			edges = append(edges, e)
		}
	}
	return edges
}

// add counts a call. Without edges of its own it is every declared one between the two services: which of
// several replicas was called can't be told.
func (o *observer) add(s *Span, from, to string, edges []DeclaredEdge) {
	if from == to {
		return
	}
	t := o.calls[route{from, to}]
	if t == nil {
		t = &tally{edges: make(map[string]bool)}
		o.calls[route{from, to}] = t
	}
	t.took = append(t.took, s.Duration)
	if s.Status == Failed {
		t.errors++
	}
	if len(edges) == 0 {
		for _, e := range o.declared.Edges {
			if e.From == from && e.To == to {
				t.edges[e.Name] = true
			}
		}
	}
	for _, e := range edges {
		t.edges[e.Name] = true
	}
}

func (o *observer) drawn() *Map {
	m := &Map{Unplaced: o.unplaced}
	used := make(map[string]bool)
	for r, t := range o.calls {
		slices.Sort(t.took)
		c := Call{From: r.from, To: r.to, Calls: len(t.took), Errors: t.errors, P50: t.took[(len(t.took)-1)/2]}
		c.P99 = t.took[min(len(t.took)-1, len(t.took)*99/100)]
		for name := range t.edges {
			c.Edges, used[name] = append(c.Edges, name), true
		}
		slices.Sort(c.Edges)
		m.Calls = append(m.Calls, c)
	}
	slices.SortFunc(m.Calls, func(a, b Call) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	for _, e := range o.declared.Edges {
		switch {
		case used[e.Name]:
		case o.services[e.From]:
			m.Unused = append(m.Unused, e.Name)
		default:
			m.Unseen = append(m.Unseen, e.Name)
		}
	}
	return m
}

// Address is the host:port that a span says it talked to, by the names of today's and of earlier semantic
// conventions; empty when it says none.
func Address(s *Span) string {
	for _, keys := range [...][2]string{
		{"server.address", "server.port"}, {"network.peer.address", "network.peer.port"},
		{"net.peer.name", "net.peer.port"}, {"net.sock.peer.addr", "net.sock.peer.port"},
	} {
		if host := s.Attr(keys[0]); host != "" {
			if _, _, err := net.SplitHostPort(host); err == nil {
				return host
			}
			if port := s.Attr(keys[1]); port != "" {
				return net.JoinHostPort(host, port)
			}
			return host
		}
	}
	if u, err := url.Parse(s.Attr("url.full", "http.url")); err == nil {
		return u.Host
	}
	return ""
}
