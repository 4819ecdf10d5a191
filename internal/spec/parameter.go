package spec

import (
	"encoding"
	"reflect"
	"strings"

	"chaos/internal/kind"
)

// Parameter is one key that a struct takes from a file, for people and for documentation.
type Parameter struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Doc      string   `json:"doc,omitempty"`
	Written  string   `json:"written,omitempty"` // how a value is written: a time with its unit, …
	Values   []string `json:"values,omitempty"`  // nothing else
	Range    string   `json:"range,omitempty"`   // such as 1ms to 1h
	Default  string   `json:"default,omitempty"`
	Optional bool     `json:"optional,omitempty"`
	OneOf    []string `json:"one_of,omitempty"` // exactly one of these keys must be given
	Example  string   `json:"example,omitempty"`
}

// Parameters are the keys that values of the struct type t take, in the order of the struct.
func Parameters(t reflect.Type) []Parameter {
	var all []Parameter
	list, _ := fields(t)
	groups := map[string][]string{}
	for _, group := range choices(list) {
		for _, f := range group {
			groups[f.choice] = append(groups[f.choice], f.key)
		}
	}
	for _, f := range list {
		sf := t.FieldByIndex(f.index)
		all = append(all, Parameter{
			Name: f.key, Type: typeWord(sf.Type), Doc: f.doc, Written: written(sf.Type, f).Doc, Values: f.enum, Range: f.rangeWords(),
			Default: f.fallback, Optional: f.optional, OneOf: groups[f.choice], Example: sf.Tag.Get("example"),
		})
	}
	return all
}

// Takes says what a value may be: one of its values, or its type and range.
func (p Parameter) Takes() string {
	switch {
	case len(p.Values) > 0 && strings.HasPrefix(p.Type, "list"):
		return "list of " + strings.Join(p.Values, ", ")
	case len(p.Values) > 0:
		return strings.Join(p.Values, ", ")
	case p.Range != "":
		return p.Type + ", " + p.Range
	}
	return p.Type
}

// Must says whether it has to be given, and what holds when it is not.
func (p Parameter) Must() string {
	switch {
	case len(p.OneOf) > 0:
		return "one of " + strings.Join(p.OneOf, ", ")
	case p.Default != "":
		return "default " + p.Default
	case p.Optional:
		return "optional"
	}
	return "required"
}

// written is how a value of type t is written, when it has a syntax that this package knows.
func written(t reflect.Type, f field) kind.Syntax {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if w, ok := reflect.Zero(t).Interface().(kind.Written); ok {
		return w.Syntax()
	}
	if t == durationType {
		return kind.DurationSyntax()
	}
	return syntaxes()[f.syntax]
}

// typeWord says how a value of a type is written.
func typeWord(t reflect.Type) string {
	switch {
	case t == durationType:
		return "duration"
	case t == reflect.TypeFor[Node]():
		return "any"
	case t == reflect.TypeFor[Ref]():
		return "name"
	case t.Kind() == reflect.Pointer:
		return typeWord(t.Elem())
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return strings.ToLower(t.Name())
	}
	switch t.Kind() {
	case reflect.Slice:
		return "list of " + typeWord(t.Elem())
	case reflect.Map:
		return "mapping of " + typeWord(t.Elem())
	case reflect.Struct, reflect.Interface:
		return "any"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	return "whole number"
}
