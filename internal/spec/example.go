package spec

import (
	"cmp"
	"encoding"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Example is a flow mapping of what values of the struct type t need at least, such as {node: redis}: the keys
// that can't be left out, those that have an example, and one of each group of which one must be given. The values are those of the tag
// example, else ones that fit type and tags.
func Example(t reflect.Type) string {
	all, _ := fields(t)
	var pairs []string
	for _, f := range all {
		sf := t.FieldByIndex(f.index)
		given := sf.Tag.Get("example")
		if f.choice != "" && f.key != chosen(t, all, f.choice) || f.choice == "" && f.optional && given == "" {
			continue
		}
		pairs = append(pairs, f.key+": "+exampleOf(sf.Type, f, given))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

// chosen is the key of a group that an example shows: one with an example, else the first.
func chosen(t reflect.Type, all []field, group string) string {
	all = slices.DeleteFunc(slices.Clone(all), func(f field) bool { return f.choice != group })
	for _, f := range all {
		if t.FieldByIndex(f.index).Tag.Get("example") != "" {
			return f.key
		}
	}
	return all[0].key
}

// plainText is what needs no quotes inside a flow mapping.
var plainText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/%-]*$|^[{[]`)

func exampleOf(t reflect.Type, f field, given string) string {
	if given == "" {
		given = fitting(t, f)
	}
	if plainText.MatchString(given) {
		return given
	}
	quoted, err := json.Marshal(given)
	if err != nil {
		return given
	}
	return strings.NewReplacer(`\u003e`, ">", `\u003c`, "<", `\u0026`, "&").Replace(string(quoted))
}

// fitting is a value for a type that has no example of its own.
func fitting(t reflect.Type, f field) string {
	low, high, _ := f.limits()
	if f.enum != nil {
		return f.enum[0]
	}
	if w := written(t, f); w.Example != "" || isScalar(t) && low+high != "" {
		for _, text := range []string{w.Example, low, high} {
			if v := reflect.New(t).Elem(); text != "" && setScalar(v, text, false) == nil {
				if in, err := f.within(v); err == nil && in {
					return text
				}
			}
		}
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "my-" + f.key
	}
	switch t.Kind() {
	case reflect.Pointer:
		return fitting(t.Elem(), f)
	case reflect.Struct:
		return Example(t)
	case reflect.Slice:
		return "[" + exampleOf(t.Elem(), f, "") + "]"
	case reflect.Map:
		return "{my-key: " + exampleOf(t.Elem(), field{}, "") + "}"
	case reflect.Bool:
		return "true"
	case reflect.String:
		return "my-" + cmp.Or(f.key, "value")
	}
	return "1"
}
