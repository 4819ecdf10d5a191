package target

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"chaos/internal/collect"
	"chaos/internal/trace"
)

// Collecting is an optional capability: the target's spans can be read back.
type Collecting interface {
	// Spans makes the collector forget what it holds and returns a reader of what comes from now on; nil when
	// the target has no collector.
	Spans(ctx context.Context) (SpanReader, error)
	// Addresses are, by edge, where its link listens and what is behind it, each as host:port and as nodes see
	// it: what a span names is told by them.
	Addresses() (map[string][]string, error)
}

// SpanReader reads a target's spans back. It is for one goroutine at a time.
type SpanReader interface {
	// Read gives use the spans that came since the last Read; it may keep them no longer than the call. more
	// says that there are more already. After an error the same spans are given again.
	Read(ctx context.Context, use func([]trace.Span) error) (more bool, err error)
	// Counts are what the collector counted from the beginning to the last Read.
	Counts() collect.Counts
	// Restarts are how often the collector was another one than before.
	Restarts() int
}

// Collects reports whether something that a node is given uses {{collector}}: then there is one.
func (t *Topology) Collects() bool {
	uses := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(s string) bool {
			for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
				if m[1] == "collector" {
					return true
				}
			}
			return false
		})
	}
	env := func(env map[string]string) bool {
		for _, v := range env {
			if uses(v) {
				return true
			}
		}
		return false
	}
	for _, n := range t.Nodes {
		if env(n.Env) || uses(n.Entrypoint...) || uses(n.Command...) {
			return true
		}
	}
	for _, v := range t.Variants {
		if env(v.Env) {
			return true
		}
	}
	return false
}

// collectorReady is how long the collector may take to answer.
const collectorReady = 10 * time.Second

// Collector is the built-in node that receives spans; the runtime adds what it runs. ok is false when the
// target wants none.
func (t *Topology) Collector(image, host string, port int) (n NodeSpec, ok bool) {
	return NodeSpec{
		Name: CollectorNode, Image: image, Stateful: true, Memory: "256MiB", EndSignal: "KILL",
		Command: []string{"collect", "--host", host, "--port", fmt.Sprint(port)},
		Env:     map[string]string{collect.TokenVariable: `{{secret "` + CollectorSecret + `"}}`, "GOMEMLIMIT": "200MiB"},
		Ports:   map[string]Port{CollectorPort: {Port: port, Publish: true}},
		Ready:   &Health{HTTP: "/version", Port: CollectorPort, Within: collectorReady},
	}, t.Collects()
}

// BeginSpans is what every runtime's Collecting.Spans does.
func BeginSpans(ctx context.Context, s System, secrets map[string]string) (SpanReader, error) {
	if !s.Topology().Collects() {
		return nil, nil
	}
	find := func(ctx context.Context) (string, error) { return s.Endpoint(ctx, CollectorNode, CollectorPort) }
	c, err := collect.Begin(ctx, find, secrets[CollectorSecret])
	if err != nil {
		return nil, err
	}
	return c, nil
}

// EdgeAddresses is what every runtime's Collecting.Addresses does.
func EdgeAddresses(t *Topology, at Places) (map[string][]string, error) {
	all := make(map[string][]string, len(t.Edges))
	for i, e := range t.Edges {
		behind, err := Upstream(t, at, e)
		if err != nil {
			return nil, err
		}
		all[e.Name] = []string{at.Link(i), behind}
	}
	return all, nil
}

// Map is the target's dependency map in services, without addresses.
func (t *Topology) Map() trace.Declared {
	d := trace.Declared{Nodes: make(map[string]string, len(t.Nodes))}
	for _, n := range t.Nodes {
		d.Nodes[n.Name] = n.ServiceName()
	}
	for _, e := range t.Edges {
		from, to := e.Ends()
		d.Edges = append(d.Edges, trace.DeclaredEdge{Name: e.Name, From: d.Nodes[from], To: d.Nodes[to]})
	}
	return d
}

// ServiceName is what the node's spans name as their service.
func (n NodeSpec) ServiceName() string {
	if s := strings.TrimSpace(n.Service); s != "" {
		return s
	}
	return n.Name
}
