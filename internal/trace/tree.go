package trace

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Index finds the spans of a trace. It shares memory with the spans that it was made of.
type Index struct {
	spans  []Span
	order  []int32 // by trace, then start
	linked map[ID][]ID
}

// NewIndex sorts an index of the spans; the spans themselves are not moved.
func NewIndex(spans []Span) *Index {
	x := &Index{spans: spans, order: make([]int32, len(spans)), linked: make(map[ID][]ID)}
	for i := range x.order {
		x.order[i] = int32(i)
	}
	slices.SortFunc(x.order, func(a, b int32) int {
		p, q := &spans[a], &spans[b]
		return cmp.Or(bytes.Compare(p.Trace[:], q.Trace[:]), cmp.Compare(p.Start, q.Start), cmp.Compare(a, b))
	})
	for i := range spans {
		for _, l := range spans[i].Links {
			if l.Trace != spans[i].Trace && !slices.Contains(x.linked[l.Trace], spans[i].Trace) {
				x.linked[l.Trace] = append(x.linked[l.Trace], spans[i].Trace)
			}
		}
	}
	return x
}

// Of are the spans of one trace by their start, each id once.
func (x *Index) Of(id ID) []*Span {
	at, found := slices.BinarySearchFunc(x.order, id, func(i int32, id ID) int {
		return bytes.Compare(x.spans[i].Trace[:], id[:])
	})
	if !found {
		return nil
	}
	var all []*Span
	seen := make(map[SpanID]bool)
	for ; at < len(x.order) && x.spans[x.order[at]].Trace == id; at++ {
		s := &x.spans[x.order[at]]
		if !seen[s.ID] { // an exporter that tried again sent it twice
			seen[s.ID] = true
			all = append(all, s)
		}
	}
	return all
}

// Follows are the other traces that have a span with a link into this one.
func (x *Index) Follows(id ID) []ID { return x.linked[id] }

// Find are the ids of the traces that begin with these hex digits, at most limit.
func (x *Index) Find(prefix string, limit int) (found []ID) {
	for i := 0; i < len(x.order) && len(found) < limit; {
		id := x.spans[x.order[i]].Trace
		if len(prefix) <= 32 && id.String()[:len(prefix)] == prefix {
			found = append(found, id)
		}
		for i < len(x.order) && x.spans[x.order[i]].Trace == id {
			i++
		}
	}
	return found
}

// Node is a span in its tree.
type Node struct {
	*Span
	Children []*Node
	Orphan   bool // it names a parent that nobody sent
}

// Tree lays spans of one trace out: roots have no parent or the load's own span as theirs; orphans come after
// them, as what they hang on is missing. A cycle, which no honest tracer makes, becomes orphans.
func Tree(spans []*Span) (roots []*Node, orphans int) {
	nodes := make(map[SpanID]*Node, len(spans))
	for _, s := range spans {
		nodes[s.ID] = &Node{Span: s}
	}
	var lost []*Node
	reached := make(map[SpanID]bool, len(spans))
	for _, s := range spans {
		n := nodes[s.ID]
		switch parent := nodes[s.Parent]; {
		case s.Parent == SpanID{} || s.Parent == ClientSpan(s.Trace):
			roots = append(roots, n)
		case parent == nil:
			n.Orphan = true
			lost = append(lost, n)
		default:
			parent.Children = append(parent.Children, n)
		}
	}
	var mark func(n *Node)
	mark = func(n *Node) {
		reached[n.ID] = true
		n.Children = slices.DeleteFunc(n.Children, func(c *Node) bool { return reached[c.ID] })
		for _, c := range n.Children {
			mark(c)
		}
	}
	for _, n := range slices.Concat(roots, lost) {
		mark(n)
	}
	for _, s := range spans {
		if n := nodes[s.ID]; !reached[s.ID] {
			n.Orphan = true
			lost = append(lost, n)
			mark(n)
		}
	}
	return append(roots, lost...), len(lost)
}

// Connected reports whether the spans of one trace tell its whole story: a root, and no span whose parent
// nobody sent. why says what is missing.
func Connected(spans []*Span) (ok bool, why string) {
	if len(spans) == 0 {
		return false, "no span"
	}
	roots, orphans := Tree(spans)
	switch {
	case orphans == len(roots):
		return false, fmt.Sprintf("no root span among %d", len(spans))
	case orphans > 0:
		return false, fmt.Sprintf("%d of %d spans have a parent that nobody sent", orphans, len(spans))
	}
	return true, ""
}
