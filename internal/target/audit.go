package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"chaos/internal/edge"
	"chaos/internal/journal"
)

// Auditor is an optional capability: it tells the state of everything that a fault can change, so that
// what is there after the faults can be held against what was there before.
type Auditor interface {
	// Snapshot returns the state of each place in words that are equal as long as the state is: "edge:a->b",
	// "node:x", "node:x limits", "node:x clock", "behaviour:y". What changes by design is not in them: start times, ports, pids.
	// A place that can't be seen is missing, and the error says why; the others are told all the same.
	Snapshot(ctx context.Context) (map[string]string, error)
}

// Words of a node's state.
const (
	StateRunning = "running"
	StatePaused  = "paused"
	StateDown    = "not running"
	StateGone    = journal.StateAbsent
)

// Word is a node's state in one of these words.
func (s State) Word() string {
	switch {
	case !s.Exists:
		return StateGone
	case !s.Running:
		return StateDown
	case s.Paused:
		return StatePaused
	}
	return StateRunning
}

// Carrier names the node without which a place can't be seen: the proxy for an edge.
func Carrier(t *Topology, place string) string {
	kind, name, _ := strings.Cut(place, ":")
	switch kind {
	case "edge":
		return ProxyNode
	case "behaviour":
		return t.Behaviours[name].Read.Node
	}
	name, _, _ = strings.Cut(name, " ")
	return name
}

// states gathers places from several goroutines.
type states struct {
	mu  sync.Mutex
	all map[string]string
}

func (s *states) add(more map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.all, more)
}

// Snapshot gathers what a runtime tells of each node, by place, and what every runtime has: the links of
// the edges, as the proxy tells them, and the behaviours and clocks that the target declares.
func Snapshot(ctx context.Context, s System, nodes []NodeSpec, look func(NodeSpec) (map[string]string, error)) (map[string]string, error) {
	found := states{all: map[string]string{}}
	asks := []func() (map[string]string, error){func() (map[string]string, error) { return links(ctx, s) }}
	for _, n := range nodes {
		asks = append(asks, func() (map[string]string, error) { return look(n) })
	}
	for node, c := range s.Topology().Clocks {
		asks = append(asks, func() (map[string]string, error) { return clock(ctx, s, node, c) })
	}
	for name, b := range s.Topology().Behaviours {
		asks = append(asks, func() (map[string]string, error) { return behaviour(ctx, s, name, b) })
	}
	err := errors.Join(Each(asks, func(ask func() (map[string]string, error)) error {
		seen, err := ask()
		found.add(seen)
		return err
	})...)
	return found.all, err
}

// links are the links of the edges, and any other that the proxy has.
func links(ctx context.Context, s System) (map[string]string, error) {
	p, ok := s.(Proxied)
	edges := s.Topology().Edges
	if !ok || len(edges) == 0 {
		return nil, nil
	}
	client, _, err := p.Link(ctx, edges[0].Name)
	if err != nil {
		return nil, fmt.Errorf("look at the edges: %w", err)
	}
	all, err := client.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the edges: %w", err)
	}
	seen := map[string]string{}
	for _, e := range edges {
		seen["edge:"+e.Name] = "no link"
	}
	for _, l := range all {
		seen["edge:"+l.Name] = linkWords(l)
	}
	return seen, nil
}

// linkWords says the state of a link: whether it lets connections in, and its toxics.
func linkWords(l edge.Proxy) string {
	var toxics []string
	for _, x := range l.Toxics {
		toxics = append(toxics, fmt.Sprintf("%s (%s, %s)", x.Name, x.Type, x.Stream))
	}
	slices.Sort(toxics)
	words := map[bool]string{true: "enabled", false: "disabled"}[l.Enabled]
	if len(toxics) == 0 {
		return words + ", no toxic"
	}
	return words + ", toxics " + strings.Join(toxics, ", ")
}

// behaviour is the values of the fields of a behaviour that an experiment may set.
func behaviour(ctx context.Context, s System, name string, b Behaviour) (map[string]string, error) {
	body, err := s.Call(ctx, Call{Query: b.Read})
	if err != nil {
		return nil, fmt.Errorf("look at behaviour %s: %w", name, err)
	}
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("look at behaviour %s: %w", name, err)
	}
	var words []string
	for _, field := range slices.Sorted(maps.Keys(b.Fields)) {
		value, err := json.Marshal(doc[field]) // 1 and 1.0 are the same
		if err != nil {
			return nil, fmt.Errorf("look at behaviour %s: %w", name, err)
		}
		words = append(words, field+" "+string(value))
	}
	return map[string]string{"behaviour:" + name: strings.Join(words, ", ")}, nil
}
