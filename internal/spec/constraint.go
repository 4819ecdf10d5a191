package spec

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"chaos/internal/kind"
)

// constraint is what a field's tags say of its value beyond the type. The parser holds files against it,
// and the schema and the documents are made from it, so that none can say what another does not.
// A constraint on a list is one on each of its items.
//
//	enum:"a|b"          nothing else            one:"group"     exactly one field of the group
//	range:"1ms..1h"     numbers and times;      syntax:"name"   a language of its own: see syntaxes
//	                    ">0..1", "1.."          keys:"name"     the same for the keys of a mapping
//	names:"fault"       names that tables hold, known to the schema; the parser knows them better
type constraint struct {
	enum          []string
	bounds        string
	syntax, keys  string
	names, choice string
}

func constraintOf(tag reflect.StructTag) constraint {
	c := constraint{
		bounds: tag.Get("range"), syntax: tag.Get("syntax"), keys: tag.Get("keys"), names: tag.Get("names"), choice: tag.Get("one"),
	}
	if enum, ok := tag.Lookup("enum"); ok {
		c.enum = strings.Split(enum, "|")
	}
	return c
}

// nameRule is what a name may look like: it becomes part of file names, window names and SLIs.
var nameRule = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,63}$`)

// sizeRule is what a size looks like.
var sizeRule = regexp.MustCompile(kind.Size(0).Syntax().Pattern)

// syntaxes are the languages of texts that this package reads itself.
func syntaxes() map[string]kind.Syntax {
	return map[string]kind.Syntax{
		"name": {Pattern: nameRule.String(), Doc: "letters, digits, - and _, beginning with a letter"},
		"size": kind.Size(0).Syntax(),
	}
}

// rules are their patterns, compiled.
var rules = map[string]*regexp.Regexp{"name": nameRule, "size": sizeRule}

// hold checks the value that was read from n.
func (d *decoder) hold(f field, rv reflect.Value, n Node) {
	for _, key := range n.Keys() {
		if rule := rules[f.keys]; rule != nil && !rule.MatchString(key) {
			d.add(n.Key(key).fail(syntaxes()[f.keys].Doc, "%q is not a %s", key, f.keys))
		}
	}
	if f.filled(rv.Type()) && rv.Len() == 0 {
		d.add(n.fail(f.doc, "%s is empty", named(n)))
	}
	for i, item := range n.Items() {
		if item.val.shape != scalar {
			continue
		}
		v, text := rv, item.val.text
		if rv.Kind() == reflect.Slice {
			v = rv.Index(i)
		}
		if rule := rules[f.syntax]; rule != nil && !rule.MatchString(text) {
			d.add(item.fail(syntaxes()[f.syntax].Doc, "%q is not a %s", text, f.syntax))
		}
		if f.enum != nil && !slices.Contains(f.enum, text) {
			d.add(item.unknown(f.key, text, f.enum))
		}
		within, err := f.within(reflect.Indirect(v))
		switch {
		case err != nil:
			d.add(item.fail("", "range of %s: %w", f.key, err))
		case !within:
			d.add(item.fail("", "%s must be %s, not %s", named(item), f.rangeWords(), text))
		}
	}
}

// filled reports whether a value of type t must hold something: a list or mapping that can't be left out.
func (f field) filled(t reflect.Type) bool {
	return (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) && (!f.optional || f.choice != "")
}

// limits are the texts of the range; open says that low itself is out of it.
func (c constraint) limits() (low, high string, open bool) {
	low, high, _ = strings.Cut(c.bounds, "..")
	low, open = strings.CutPrefix(low, ">")
	return low, high, open
}

// rangeWords is the range for people: 1ms to 1h.
func (c constraint) rangeWords() string {
	low, high, open := c.limits()
	switch {
	case c.bounds == "":
		return ""
	case high == "":
		return map[bool]string{true: "over ", false: "at least "}[open] + low
	case open:
		return fmt.Sprintf("over %s up to %s", low, high)
	}
	return fmt.Sprintf("%s to %s", low, high)
}

func (c constraint) within(v reflect.Value) (bool, error) {
	if c.bounds == "" {
		return true, nil
	}
	low, high, open := c.limits()
	for i, text := range []string{low, high} {
		if text == "" {
			continue
		}
		bound := reflect.New(v.Type()).Elem()
		if err := setScalar(bound, text, false); err != nil {
			return false, err
		}
		x, limit := number(v), number(bound)
		if i == 0 && (x < limit || open && x == limit) || i == 1 && x > limit {
			return false, nil
		}
	}
	return true, nil
}

func number(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

// choices are the groups of which a file gives exactly one, each with its fields.
func choices(all []field) [][]field {
	var groups [][]field
	for _, f := range all {
		i := slices.IndexFunc(groups, func(g []field) bool { return g[0].choice == f.choice })
		switch {
		case f.choice == "":
		case i < 0:
			groups = append(groups, []field{f})
		default:
			groups[i] = append(groups[i], f)
		}
	}
	return groups
}

// choose checks that exactly one field of each group is there.
func (d *decoder) choose(all []field, n Node) {
	for _, group := range choices(all) {
		var names, means, given []string
		for _, f := range group {
			names = append(names, f.key)
			means = append(means, f.key+": "+f.doc)
			if !n.Get(f.key).Absent() {
				given = append(given, f.key)
			}
		}
		switch {
		case len(given) == 0:
			d.add(n.fail(strings.Join(means, "; "), "%s needs one of %s", where(n), strings.Join(names, " and ")))
		case len(given) > 1:
			d.add(n.Key(given[len(given)-1]).fail("", "%s takes one of %s, not both", where(n), strings.Join(names, " and ")))
		}
	}
}
