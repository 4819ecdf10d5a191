package spec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"chaos/internal/kind"
)

// decoder fills Go values from the tree and collects everything that is wrong.
type decoder struct {
	src  *source
	errs Errors
}

// placed is a type that takes its piece of the file as it is.
type placed interface{ take(n Node) *Error }

func (d *decoder) add(e *Error) { d.errs = append(d.errs, e) }

func (d *decoder) decode(into any, n Node) {
	rv := reflect.ValueOf(into)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		d.add(n.fail("", "can't decode into %T", into))
		return
	}
	d.value(rv.Elem(), n)
}

// value fills one Go value from one node.
func (d *decoder) value(rv reflect.Value, n Node) {
	if n.val.shape == broken {
		return
	}
	if rv.CanAddr() {
		if p, ok := rv.Addr().Interface().(placed); ok {
			if e := p.take(n); e != nil {
				d.add(e)
			}
			return
		}
	}
	if raw, ok := rv.Addr().Interface().(*json.RawMessage); ok {
		text, err := json.Marshal(n.JSON())
		if err != nil {
			d.add(n.fail("", "%w", err))
			return
		}
		*raw = text
		return
	}
	if _, isText := rv.Addr().Interface().(encoding.TextUnmarshaler); isText || isScalar(rv.Type()) {
		d.scalar(rv, n)
		return
	}
	switch rv.Kind() {
	case reflect.Pointer:
		rv.Set(reflect.New(rv.Type().Elem()))
		d.value(rv.Elem(), n)
	case reflect.Struct:
		d.structure(rv, n)
	case reflect.Slice:
		d.list(rv, n)
	case reflect.Map:
		d.table(rv, n)
	case reflect.Interface:
		if n.val.shape != null && rv.NumMethod() == 0 {
			rv.Set(reflect.ValueOf(n.JSON()))
		}
	default:
		d.add(n.fail("", "%s can't be read from a file (%s)", named(n), rv.Type()))
	}
}

func (d *decoder) want(n Node, s shape) bool {
	if n.val.shape == s {
		return true
	}
	d.add(n.fail("", "%s must be %s, not %s", named(n), shapeNames[s], shapeNames[n.val.shape]))
	return false
}

func (d *decoder) scalar(rv reflect.Value, n Node) {
	if !d.want(n, scalar) {
		return
	}
	if err := setScalar(rv, n.val.text, n.val.quoted); err != nil {
		d.add(n.fail("", "%s: %w", named(n), err))
	}
}

func (d *decoder) list(rv reflect.Value, n Node) {
	if !d.want(n, sequence) {
		return
	}
	items := n.Items()
	out := reflect.MakeSlice(rv.Type(), len(items), len(items))
	for i, item := range items {
		d.value(out.Index(i), item)
	}
	rv.Set(out)
}

func (d *decoder) table(rv reflect.Value, n Node) {
	if !d.want(n, mapping) {
		return
	}
	if rv.Type().Key().Kind() != reflect.String {
		d.add(n.fail("", "%s can't be read from a file (%s)", named(n), rv.Type()))
		return
	}
	out := reflect.MakeMapWithSize(rv.Type(), len(n.val.pairs))
	for _, key := range n.Keys() {
		elem := reflect.New(rv.Type().Elem()).Elem()
		d.value(elem, n.Get(key))
		out.SetMapIndex(reflect.ValueOf(key).Convert(rv.Type().Key()), elem)
	}
	rv.Set(out)
}

// field is one key that a struct takes.
type field struct {
	key      string
	index    []int
	doc      string
	optional bool
	fallback string
	hasFall  bool
	constraint
}

// fields lists a struct's keys by its tags, embedded structs flattened. self is the index of the
// Node field that wants the struct's own place (tag `yaml:",self"`).
func fields(t reflect.Type) (all []field, self []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case option == "self":
			self = f.Index
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			inner, _ := fields(f.Type)
			for _, in := range inner {
				in.index = append(append([]int{}, f.Index...), in.index...)
				all = append(all, in)
			}
		case name == "" || name == "-" || !f.IsExported():
		default:
			fallback, has := f.Tag.Lookup("default")
			all = append(all, field{
				key: name, index: f.Index, doc: f.Tag.Get("doc"), optional: f.Tag.Get("optional") == "true" || has,
				fallback: fallback, hasFall: has, constraint: constraintOf(f.Tag),
			})
		}
	}
	return all, self
}

func (d *decoder) structure(rv reflect.Value, n Node) {
	all, self := fields(rv.Type())
	known := make([]string, len(all))
	for i, f := range all {
		known[i] = f.key
	}
	isMapping := d.want(n, mapping)
	if isMapping {
		n = d.meant(n, known)
	}
	if self != nil {
		rv.FieldByIndex(self).Set(reflect.ValueOf(n))
	}
	if !isMapping {
		return
	}
	for _, f := range all {
		d.fill(rv.FieldByIndex(f.index), f, n)
	}
	d.choose(all, n)
}

// meant refuses unknown keys, and returns the mapping with the misspelt ones spelt right: what is wrong behind
// them is told too, and nothing is said to be missing that is there.
func (d *decoder) meant(n Node, known []string) Node {
	spelt := n
	for _, key := range n.Keys() {
		if slices.Contains(known, key) {
			continue
		}
		d.add(unknownKey(n, key, known))
		if near := kind.Nearest(key, known); near != "" && spelt.Get(near).Absent() {
			spelt = spelt.renamed(key, near)
		}
	}
	return spelt
}

// fill sets one field: from the file, else from its default, else it must be optional.
func (d *decoder) fill(rv reflect.Value, f field, n Node) {
	if v := n.Get(f.key); !v.Absent() {
		if v.val.shape == null && f.optional {
			d.add(v.fail("leave the key out, or give it a value", "%s has no value", named(v)))
			return
		}
		before := len(d.errs)
		d.value(rv, v)
		if len(d.errs) == before {
			d.hold(f, rv, v)
		}
		return
	}
	switch {
	case f.hasFall:
		if rv.IsZero() { // a kind's New may have set its own
			if err := setScalar(rv, f.fallback, false); err != nil {
				d.add(n.fail("", "default of %s: %w", f.key, err))
			}
		}
	case !f.optional:
		d.add(n.fail("", "missing key %q in %s", f.key, where(n)))
	}
}

func unknownKey(n Node, key string, known []string) *Error {
	e := n.Key(key).fail("", "unknown key %q in %s", key, where(n))
	if near := kind.Nearest(key, known); near != "" {
		e.Hint = fmt.Sprintf("did you mean %q?", near)
	} else {
		e.Hint = "valid keys: " + strings.Join(known, ", ")
	}
	return e
}

func where(n Node) string {
	if n.label == "" {
		return "the file"
	}
	return n.label
}

func named(n Node) string {
	if n.label == "" {
		return "the file"
	}
	return n.label
}
