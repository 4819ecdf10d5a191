package spec

import (
	"errors"
	"fmt"
	"slices"

	"chaos/internal/kind"
)

// Node is a piece of a file that knows its place. It implements kind.Node. The zero Node is
// nowhere: what was left out.
type Node struct {
	src   *source
	val   *value
	label string // what messages call it: a kind's name or the path of keys
}

// Absent reports whether the file has nothing here.
func (n Node) Absent() bool { return n.val == nil }

// Decode fills the struct that into points to by its tags, and returns Errors: all of them.
func (n Node) Decode(into any) error {
	if n.val == nil {
		return fmt.Errorf("nothing to decode")
	}
	d := decoder{src: n.src}
	d.decode(into, n)
	return d.errs.Err()
}

// Errorf is an *Error at the node's place.
func (n Node) Errorf(format string, args ...any) error { return n.fail("", format, args...) }

func (n Node) fail(hint, format string, args ...any) *Error {
	if n.val == nil || n.src == nil {
		err := fmt.Errorf(format, args...)
		e := &Error{Msg: err.Error(), Hint: hint, Err: errors.Unwrap(err)}
		if n.src != nil {
			e.File = n.src.file
		}
		return e
	}
	e := n.src.fail(n.val.line, n.val.col, format, args...)
	e.Hint = hint
	return e
}

// unknown is an error about a name that is not among the valid ones.
func (n Node) unknown(what, name string, valid []string) *Error {
	return n.fail("", "unknown %s %q%s", what, name, kind.Suggest(name, valid))
}

// Unknown is an error at the node about a name that is not among the valid ones, with the nearest.
func (n Node) Unknown(what, name string, valid []string) error { return n.unknown(what, name, valid) }

// In is the node under another name for messages.
func (n Node) In(label string) kind.Node {
	n.label = label
	return n
}

// Get is the value of a key; Absent when the node is no mapping or has no such key.
func (n Node) Get(key string) Node {
	if n.val == nil {
		return Node{src: n.src}
	}
	p, ok := n.val.get(key)
	if !ok {
		return Node{src: n.src}
	}
	return Node{src: n.src, val: p.val, label: join(n.label, key)}
}

// At is the value of a key, or the node itself when it has no such key: the best place to point at.
func (n Node) At(key string) Node {
	if v := n.Get(key); !v.Absent() {
		return v
	}
	return n
}

// Key is the place of the key itself, or the node when it has no such key.
func (n Node) Key(key string) Node {
	if n.val != nil {
		if p, ok := n.val.get(key); ok {
			return Node{src: n.src, val: &value{line: p.line, col: p.col}, label: n.label}
		}
	}
	return n
}

// Keys are the keys of a mapping, in the order of the file.
func (n Node) Keys() []string {
	if n.val == nil {
		return nil
	}
	keys := make([]string, len(n.val.pairs))
	for i, p := range n.val.pairs {
		keys[i] = p.key
	}
	return keys
}

// Items are the elements of a list, or the node itself when it is a single value.
func (n Node) Items() []Node {
	if n.val == nil {
		return nil
	}
	if n.val.shape != sequence {
		return []Node{n}
	}
	items := make([]Node, len(n.val.items))
	for i, v := range n.val.items {
		items[i] = Node{src: n.src, val: v, label: fmt.Sprintf("%s[%d]", n.label, i)}
	}
	return items
}

// Text is a scalar as written; "" for anything else.
func (n Node) Text() string {
	if n.val == nil {
		return ""
	}
	return n.val.text
}

// with is the mapping with one key set to another value, which keeps its own place.
func (n Node) with(key string, v Node) Node {
	changed := *n.val
	changed.pairs = nil
	for _, p := range n.val.pairs {
		if p.key != key {
			changed.pairs = append(changed.pairs, p)
		}
	}
	changed.pairs = append(changed.pairs, pair{key: key, line: v.val.line, col: v.val.col, val: v.val})
	n.val = &changed
	return n
}

// renamed is the mapping with one key under another name, at the same place.
func (n Node) renamed(key, name string) Node {
	changed := *n.val
	changed.pairs = slices.Clone(n.val.pairs)
	for i := range changed.pairs {
		if changed.pairs[i].key == key {
			changed.pairs[i].key = name
		}
	}
	n.val = &changed
	return n
}

// empty is an empty mapping at the node's place: a `with:` that was left out.
func (n Node) empty() Node {
	v := value{shape: mapping, line: 1, col: 1}
	if n.val != nil {
		v.line, v.col = n.val.line, n.val.col
	}
	return Node{src: n.src, val: &v, label: n.label}
}

// JSON is the node as plain Go values for encoding/json: mappings, lists, strings, numbers, booleans.
func (n Node) JSON() any {
	if n.val == nil {
		return nil
	}
	return n.val.plain()
}

func join(label, key string) string {
	if label == "" {
		return key
	}
	return label + "." + key
}
