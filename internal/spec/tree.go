package spec

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// shape is what a value of the tree is.
type shape uint8

const (
	null shape = iota
	scalar
	mapping
	sequence
	broken // it was refused already: nothing more is said about it
)

var shapeNames = [...]string{"nothing", "a single value", "a mapping", "a list", "broken"}

// value is one piece of a YAML file: our own small tree, so that the rest of the package knows
// nothing of the library's many node types.
type value struct {
	shape     shape
	line, col int
	text      string // of a scalar, as it reads
	quoted    bool   // a scalar that was written as a string
	pairs     []pair
	items     []*value
}

type pair struct {
	key       string
	line, col int
	val       *value
}

func (v *value) get(key string) (pair, bool) {
	for _, p := range v.pairs {
		if p.key == key {
			return p, true
		}
	}
	return pair{}, false
}

// builder makes the tree and refuses what would make a file mean something else than it says:
// anchors, aliases, merge keys, tags, duplicate keys, several documents.
type builder struct {
	src  *source
	errs Errors
}

func (b *builder) fail(tk *token.Token, format string, args ...any) {
	line, col := 1, 1
	if tk != nil && tk.Position != nil {
		line, col = tk.Position.Line, tk.Position.Column
	}
	b.failAt(line, col, format, args...)
}

func (b *builder) failAt(line, col int, format string, args ...any) {
	b.errs = append(b.errs, b.src.fail(line, col, format, args...))
}

func (b *builder) document(f *ast.File) *value {
	var body ast.Node
	for _, d := range f.Docs {
		if d == nil || d.Body == nil {
			continue
		}
		if _, directive := d.Body.(*ast.DirectiveNode); directive {
			b.fail(d.Body.GetToken(), "YAML directives are not used here")
			continue
		}
		if body != nil {
			second := (&builder{src: b.src}).build(d.Body)
			b.failAt(second.line, second.col, "holds a second YAML document: one file, one document")
			break
		}
		body = d.Body
	}
	if body == nil {
		if len(b.errs) == 0 {
			b.errs = append(b.errs, &Error{File: b.src.file, Msg: "is empty"})
		}
		return nil
	}
	return b.build(body)
}

func (b *builder) build(n ast.Node) *value {
	v := &value{line: 1, col: 1}
	if n == nil {
		return v
	}
	tk := n.GetToken()
	if tk != nil && tk.Position != nil {
		v.line, v.col = tk.Position.Line, tk.Position.Column
	}
	switch n := n.(type) {
	case *ast.NullNode, *ast.CommentGroupNode:
	case *ast.StringNode:
		v.shape, v.text = scalar, n.Value
		v.quoted = tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType
	case *ast.LiteralNode:
		v.shape, v.text, v.quoted = scalar, n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		v.shape, v.text = scalar, strings.TrimSpace(tk.Value)
	case *ast.MappingNode:
		v.shape = mapping
		if len(n.Values) > 0 && !n.IsFlowStyle && n.Values[0].Key.GetToken() != nil {
			at := n.Values[0].Key.GetToken().Position // the library points at the first colon
			v.line, v.col = at.Line, at.Column
		}
		for _, p := range n.Values {
			b.pair(v, p)
		}
	case *ast.MappingValueNode:
		v.shape = mapping
		if at := n.Key.GetToken(); at != nil {
			v.line, v.col = at.Position.Line, at.Position.Column
		}
		b.pair(v, n)
	case *ast.SequenceNode:
		v.shape = sequence
		for _, item := range n.Values {
			v.items = append(v.items, b.build(item))
		}
	case *ast.AnchorNode, *ast.AliasNode:
		v.shape = broken
		b.fail(tk, "anchors and aliases are not used here: a file reads as it stands, so write the value out")
	case *ast.TagNode:
		v.shape = broken
		b.fail(tk, "YAML tags are not used here")
	default:
		v.shape = broken
		b.fail(tk, "%s is not used here", n.Type())
	}
	return v
}

func (b *builder) pair(v *value, p *ast.MappingValueNode) {
	tk := p.Key.GetToken()
	var key string
	switch k := p.Key.(type) {
	case *ast.StringNode:
		key = k.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		key = strings.TrimSpace(tk.Value)
	case *ast.MergeKeyNode:
		b.fail(tk, "merge keys are not used here: a file reads as it stands, so write the keys out")
		return
	default:
		b.fail(tk, "a key must be a plain name")
		return
	}
	if old, ok := v.get(key); ok {
		b.fail(tk, "duplicate key %q: it is on line %d already", key, old.line)
		return
	}
	val := b.build(p.Value)
	if val.shape == null && tk != nil { // nothing was written: point at the key
		val.line, val.col = tk.Position.Line, tk.Position.Column
	}
	v.pairs = append(v.pairs, pair{key: key, line: tk.Position.Line, col: tk.Position.Column, val: val})
}
