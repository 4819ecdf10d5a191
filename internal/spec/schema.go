package spec

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"chaos/internal/kind"
	"chaos/internal/target"
)

// Kind is one kind of a table, as the schema needs it.
type Kind struct {
	Name, Doc string
	Type      reflect.Type // of its parameters, a struct
}

// Vocabulary is what a schema says beyond this package: the tables of kinds and the languages that others read.
type Vocabulary struct {
	Kinds  map[string][]Kind      // by what the tag names calls them: load, fault, invariant
	Syntax map[string]kind.Syntax // by what the tag syntax calls them: sli, limit, guard
}

// Schema is a JSON Schema (draft 2020-12), or a part of one.
type Schema = map[string]any

// ExperimentSchema describes experiment files. It is made from the structs, tags and tables that the parser
// itself works with. It takes whatever the parser takes, but for a name that other readers of YAML take for a
// number or a truth, such as true; what depends on other parts of a file (names of nodes, lengths of phases) only
// the parser can refuse.
func ExperimentSchema(v Vocabulary) Schema {
	return document("experiment", "an experiment of chaos: hypothesis, target, load, faults, and what must hold", v.object(reflect.TypeFor[Experiment]()))
}

// TargetSchema describes target.yaml files, as ExperimentSchema does experiments.
func TargetSchema() Schema {
	return document("target", "a system under test: its nodes, edges, ops, and how it is reset and asked", Vocabulary{}.object(reflect.TypeFor[target.Topology]()))
}

func document(title, doc string, s Schema) Schema {
	s["$schema"], s["title"], s["description"] = "https://json-schema.org/draft/2020-12/schema", "chaos "+title, doc
	return s
}

// object is the schema of a mapping that fills a struct.
func (v Vocabulary) object(t reflect.Type) Schema {
	all, _ := fields(t)
	properties, required := Schema{}, []string{}
	for _, f := range all {
		properties[f.key] = v.property(f, t.FieldByIndex(f.index))
		if !f.optional {
			required = append(required, f.key)
		}
	}
	s := Schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	var rules []Schema
	for _, group := range choices(all) {
		var either []Schema
		for _, f := range group {
			either = append(either, Schema{"required": []string{f.key}})
		}
		rules = append(rules, Schema{"oneOf": either})
	}
	if rules = append(rules, v.branches(all)...); len(rules) > 0 {
		s["allOf"] = rules
	}
	return s
}

// property is the schema of one key: its type, and what the tags say.
func (v Vocabulary) property(f field, sf reflect.StructField) Schema {
	s := v.of(sf.Type, f)
	doc := []string{f.doc}
	if w := v.syntaxOf(sf.Type, f); w.Doc != "" {
		doc = append(doc, w.Doc)
	}
	if f.bounds != "" {
		doc = append(doc, f.rangeWords())
	}
	if doc = slices.DeleteFunc(doc, func(s string) bool { return s == "" }); len(doc) > 0 {
		s["description"] = strings.Join(doc, "; ")
	}
	if f.hasFall {
		s["default"] = plainDefault(sf.Type, f.fallback)
	}
	if example, ok := sf.Tag.Lookup("example"); ok && sf.Type.Kind() == reflect.String {
		s["examples"] = []string{example}
	}
	return s
}

// branches say, for a struct with a kind, what each kind's parameters are.
func (v Vocabulary) branches(all []field) (branches []Schema) {
	i := slices.IndexFunc(all, func(f field) bool { return f.key == "kind" && f.names != "" })
	if i < 0 {
		return nil
	}
	for _, k := range v.Kinds[all[i].names] {
		with, then := v.object(k.Type), Schema{}
		parameters := with["properties"].(Schema)
		for _, f := range all {
			switch p, has := parameters[f.key]; {
			case f.names == "" || f.key == "kind":
			case f.key == "with":
				then[f.key] = with
			case has:
				then[f.key] = p // beside with is another place for it
			default:
				then[f.key] = false
			}
		}
		body := Schema{"properties": then}
		if with["required"] != nil || with["allOf"] != nil {
			body["required"] = []string{"with"}
		}
		when := Schema{"properties": Schema{"kind": Schema{"const": k.Name}}, "required": []string{"kind"}}
		if slices.ContainsFunc(all, func(f field) bool { return f.key == "victims" }) {
			when["not"] = Schema{"required": []string{"victims"}} // they stand for a part of with
		}
		branches = append(branches, Schema{"if": when, "then": body})
	}
	return branches
}

// of is the schema of a value that fills a Go value of type t, decided in the order of decoder.value.
func (v Vocabulary) of(t reflect.Type, f field) Schema {
	switch {
	case t == reflect.TypeFor[Node]():
		return v.later(f)
	case t == reflect.TypeFor[Ref]() && v.listed(f.names) != nil:
		return v.listed(f.names)
	case t == reflect.TypeFor[json.RawMessage]():
		return Schema{}
	case t == durationType || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || t == reflect.TypeFor[Ref]():
		return v.text(t, f)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return v.of(t.Elem(), f)
	case reflect.Struct:
		return v.object(t)
	case reflect.Slice:
		s := Schema{"type": "array", "items": v.of(t.Elem(), f)}
		if f.filled(t) {
			s["minItems"] = 1
		}
		return s
	case reflect.Map:
		s := Schema{"type": "object", "additionalProperties": v.of(t.Elem(), field{})}
		if keys := v.listed(f.keys); keys != nil {
			s["propertyNames"] = keys
		} else if rule := syntaxes()[f.keys]; rule.Pattern != "" {
			s["propertyNames"] = Schema{"pattern": rule.Pattern}
		}
		if f.filled(t) {
			s["minProperties"] = 1
		}
		return s
	case reflect.Interface:
		return Schema{}
	case reflect.String:
		return v.text(t, f)
	case reflect.Bool:
		return Schema{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return f.numeric(Schema{"type": "number"})
	}
	return f.numeric(Schema{"type": "integer"})
}

// text is the schema of a value that is read from a text. The parser takes a number for a text, such as in an
// environment variable, unless the text has a syntax that no number has.
func (v Vocabulary) text(t reflect.Type, f field) Schema {
	w := v.syntaxOf(t, f)
	switch {
	case f.enum != nil:
		return Schema{"enum": f.enum}
	case w.Pattern != "" && w.Number:
		return Schema{"type": []string{"string", "number"}, "pattern": w.Pattern, "patternErrorMessage": "write " + w.Doc}
	case w.Pattern != "":
		return Schema{"type": "string", "pattern": w.Pattern, "patternErrorMessage": "write " + w.Doc}
	case t == reflect.TypeFor[Ref]():
		return Schema{"type": "string", "minLength": 1}
	}
	return Schema{"type": []string{"string", "number", "boolean"}}
}

func (v Vocabulary) syntaxOf(t reflect.Type, f field) kind.Syntax {
	if w := written(t, f); w.Pattern != "" {
		return w
	}
	return v.Syntax[f.syntax]
}

// later is what a kind reads: its parameters as a whole, or the one of that name of any kind.
func (v Vocabulary) later(f field) Schema {
	if f.key == "with" {
		return Schema{"type": "object"}
	}
	var either []Schema
	for _, k := range v.Kinds[f.names] {
		all, _ := fields(k.Type)
		for _, p := range all {
			if s := v.of(k.Type.FieldByIndex(p.index).Type, p); p.key == f.key && !slices.ContainsFunc(either, func(o Schema) bool { return reflect.DeepEqual(o, s) }) {
				either = append(either, s)
			}
		}
	}
	switch len(either) {
	case 0:
		return Schema{"not": Schema{}} // no kind has it
	case 1:
		return either[0]
	}
	return Schema{"anyOf": either}
}

// listed is the schema of the names of a table; nil when there is no such table.
func (v Vocabulary) listed(table string) Schema {
	switch table {
	case "profile":
		return Schema{"enum": otherProfiles()}
	case "window":
		return Schema{"anyOf": []Schema{{"enum": windows()}, {"type": "string", "pattern": "^" + windowOfFault}}}
	}
	var names []Schema
	for _, k := range v.Kinds[table] {
		names = append(names, Schema{"const": k.Name, "description": k.Doc})
	}
	if names == nil {
		return nil
	}
	return Schema{"oneOf": names}
}

func (f field) numeric(s Schema) Schema {
	low, high, open := f.limits()
	if open {
		s["exclusiveMinimum"] = json.Number(low)
	} else if low != "" {
		s["minimum"] = json.Number(low)
	}
	if high != "" {
		s["maximum"] = json.Number(high)
	}
	return s
}

// plainDefault is a default as it reads in JSON.
func plainDefault(t reflect.Type, text string) any {
	if t == durationType || t.Kind() == reflect.String {
		return text
	}
	if b, err := strconv.ParseBool(text); err == nil && t.Kind() == reflect.Bool {
		return b
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil && isScalar(t) {
		return json.Number(text)
	}
	return text
}
