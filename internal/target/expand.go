package target

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ProxyNode is the built-in node that carries the edges.
const ProxyNode = "proxy"

// CollectorNode is the built-in node that receives spans, in targets that use {{collector}}; CollectorPort is
// its one port, and CollectorSecret the token of who may read them.
const (
	CollectorNode   = "collector"
	CollectorPort   = "otlp"
	CollectorSecret = "collector of spans" // no name that a target can give to a secret of its own
)

// Places says where a runtime puts things; Expand asks it.
type Places interface {
	// Address is host:port of a node's port, as other nodes and the proxy see it; with port "" the host alone.
	Address(node, port string) string
	// Link is host:port on which the link of the i-th edge listens, as nodes see it.
	Link(i int) string
	// Collector is host:port on which the collector of spans listens, as nodes see it.
	Collector() string
	// Listen is the host on which a node has to listen.
	Listen() string
	// Port is the number on which a node's port has to listen.
	Port(node, port string) int
	// Dir is where a writable folder of a node lies.
	Dir(node, path string) string
}

// placeholder is one of the functions that target.yaml may use in values.
var placeholder = regexp.MustCompile(`\{\{\s*(edge|node|secret|port|dir|host|collector)(?:\s+"([^"]*)")?(?:\s+"([^"]*)")?\s*\}\}`)

// Expander fills in the functions of target.yaml for one target.
type Expander struct {
	Topology *Topology
	Places   Places
	Secrets  map[string]string
}

// Expand fills in the functions: {{edge "a->b"}} is the address of the edge's link, {{node "x"}} the
// node's host name, {{node "x" "port"}} its host:port, {{secret "x"}} a token of this target, {{collector}} the
// host:port of who receives spans. Of the
// node whose value it is: {{host}} is where it listens, {{port "x"}} the number of its port, {{dir "/x"}} where
// its writable folder lies. Anything else between double braces is an error, so that a typo never reaches
// a node as text. node is "" for values that are no node's own.
func (e Expander) Expand(node, value string) (string, error) {
	if !strings.Contains(value, "{{") {
		return value, nil
	}
	var failed error
	out := placeholder.ReplaceAllStringFunc(value, func(m string) string {
		p := placeholder.FindStringSubmatch(m)
		got, err := e.resolve(node, p[1], p[2], p[3])
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", m, err)
		}
		return got
	})
	if failed != nil {
		return "", failed
	}
	if rest := placeholder.ReplaceAllString(value, ""); strings.Contains(rest, "{{") {
		return "", fmt.Errorf(`%q: only {{edge "a->b"}}, {{node "x"}}, {{node "x" "port"}}, {{secret "x"}}, {{collector}}, {{host}}, {{port "x"}} and {{dir "/x"}} may stand between double braces`, value)
	}
	return out, nil
}

// ExpandAll is Expand for each of a list; of none it makes none, as an image's own command is then meant.
func (e Expander) ExpandAll(node string, values []string) ([]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	out := make([]string, len(values))
	for i, v := range values {
		full, err := e.Expand(node, v)
		if err != nil {
			return nil, err
		}
		out[i] = full
	}
	return out, nil
}

func (e Expander) resolve(node, function, name, second string) (string, error) {
	switch {
	case function == "node":
		if second != "" {
			return e.port(name, second, e.Places.Address)
		}
		if _, ok := e.Topology.Node(name); !ok {
			return "", fmt.Errorf("there is no node %q", name)
		}
		return e.Places.Address(name, ""), nil
	case second != "" || (name == "") != nameless(function):
		return "", fmt.Errorf("%s takes %s", function, map[bool]string{true: "no name", false: "one name"}[nameless(function)])
	case function == "collector" && !e.Topology.Collects():
		return "", errors.New("this target has no collector: nothing in its target.yaml is given {{collector}}")
	case function == "collector":
		return e.Places.Collector(), nil
	case function == "edge":
		i := slices.IndexFunc(e.Topology.Edges, func(x EdgeSpec) bool { return x.Name == name })
		if i < 0 {
			return "", fmt.Errorf("there is no edge %q", name)
		}
		return e.Places.Link(i), nil
	case function == "secret":
		token, ok := e.Secrets[name]
		if !ok {
			return "", fmt.Errorf("there is no secret %q", name)
		}
		return token, nil
	case node == "":
		return "", fmt.Errorf("%s is of a node's own, and this is no node's value", function)
	case function == "port":
		return e.port(node, name, func(node, port string) string { return fmt.Sprint(e.Places.Port(node, port)) })
	case function == "dir":
		return e.Places.Dir(node, name), nil
	}
	return e.Places.Listen(), nil
}

// nameless are the functions that take no name.
func nameless(function string) bool { return function == "host" || function == "collector" }

func (e Expander) port(node, port string, say func(node, port string) string) (string, error) {
	n, ok := e.Topology.Node(node)
	if !ok {
		return "", fmt.Errorf("there is no node %q", node)
	}
	if _, ok := n.Ports[port]; !ok {
		return "", fmt.Errorf("node %s has no port %q", node, port)
	}
	return say(node, port), nil
}

// Env fills in a node's environment, with the variant's overlay on stateless nodes.
func (e Expander) Env(n NodeSpec, variant string) (map[string]string, error) {
	env := make(map[string]string, len(n.Env))
	overlay := e.Topology.Variants[variant].Env
	if n.Stateful {
		overlay = nil
	}
	for _, layer := range []map[string]string{n.Env, overlay} {
		for key, value := range layer {
			full, err := e.Expand(n.Name, value)
			if err != nil {
				return nil, fmt.Errorf("node %s: env %s: %w", n.Name, key, err)
			}
			env[key] = full
		}
	}
	return env, nil
}

// Headers fills in the headers of a query.
func (e Expander) Headers(q Query) (map[string]string, error) {
	out := make(map[string]string, len(q.Headers))
	for key, value := range q.Headers {
		full, err := e.Expand("", value)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", key, err)
		}
		out[key] = full
	}
	return out, nil
}

// Ends returns the nodes of an edge; From and To are filled in by the parser, or read from the name.
func (e EdgeSpec) Ends() (from, to string) {
	if e.From != "" && e.To != "" {
		return e.From, e.To
	}
	from, to, _ = strings.Cut(e.Name, "->")
	return strings.TrimSpace(from), strings.TrimSpace(to)
}

// Host is the name by which the caller of an edge finds its link, on a runtime where nodes find each other by
// name: one for each node that is called, so that one can be wrong while the others are right.
func (e EdgeSpec) Host() string {
	_, to := e.Ends()
	return to + "." + ProxyNode
}

// Upstream is host:port of the node behind an edge.
func Upstream(t *Topology, at Places, e EdgeSpec) (string, error) {
	_, to := e.Ends()
	n, ok := t.Node(to)
	if !ok {
		return "", fmt.Errorf("edge %s: there is no node %q", e.Name, to)
	}
	if _, ok := n.Ports[e.Port]; !ok {
		return "", fmt.Errorf("edge %s: node %s has no port %q", e.Name, to, e.Port)
	}
	return at.Address(to, e.Port), nil
}
