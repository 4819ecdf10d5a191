package cli

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"chaos/internal/catalog"
	"chaos/internal/kind"
	"chaos/internal/spec"
	"chaos/internal/target"
)

// parsed is the schema as plain values.
func parsed(t *testing.T, name string) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(printed(t, name), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// keysOf are a struct's keys by its tags, read here anew so that a mistake of the generator's can't hide;
// true for those that must be given.
func keysOf(typ reflect.Type) (keys map[string]bool, types map[string]reflect.Type) {
	keys, types = map[string]bool{}, map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(typ) {
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" || option == "self" || !f.IsExported() {
			continue
		}
		_, fallback := f.Tag.Lookup("default")
		keys[name], types[name] = f.Tag.Get("optional") != "true" && !fallback, f.Type
	}
	return keys, types
}

// same walks a struct and its schema together: the same keys, each with a description, the same of them
// required, nothing else allowed. It returns how many keys it has seen.
func same(t *testing.T, path string, typ reflect.Type, schema any) (seen int) {
	t.Helper()
	s, _ := schema.(map[string]any)
	switch typ.Kind() {
	case reflect.Pointer:
		return same(t, path, typ.Elem(), schema)
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			return 0
		}
		return same(t, path+"[]", typ.Elem(), s["items"])
	case reflect.Map:
		return same(t, path+".*", typ.Elem(), s["additionalProperties"])
	case reflect.Struct:
	default:
		return 0
	}
	keys, types := keysOf(typ)
	if typ == reflect.TypeFor[spec.Node]() || typ == reflect.TypeFor[spec.Ref]() || reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return 0 // read from a text
	}
	properties, _ := s["properties"].(map[string]any)
	if got, want := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(keys)); !slices.Equal(got, want) {
		t.Errorf("%s: the schema has the keys %q, the parser %q", path, got, want)
	}
	var required []string
	for key, must := range keys {
		if must {
			required = append(required, key)
		}
		p, _ := properties[key].(map[string]any)
		if doc, _ := p["description"].(string); doc == "" {
			t.Errorf("%s.%s has no description", path, key)
		}
		seen += 1 + same(t, path+"."+key, types[key], properties[key])
	}
	slices.Sort(required)
	var got []string
	list, _ := s["required"].([]any)
	for _, key := range list {
		got = append(got, key.(string))
	}
	slices.Sort(got)
	if !slices.Equal(got, required) {
		t.Errorf("%s: the schema requires %q, the parser %q", path, got, required)
	}
	if s["additionalProperties"] != false || s["type"] != "object" {
		t.Errorf("%s: other keys than the parser's are not refused", path)
	}
	return seen
}

// TestSchemaKeys: the keys of the schemas are the parser's, at every level and for every kind.
func TestSchemaKeys(t *testing.T) {
	experiment := parsed(t, schemaExperiment)
	if n := same(t, "experiment", reflect.TypeFor[spec.Experiment](), experiment); n < 50 {
		t.Errorf("only %d keys of experiments were seen", n)
	}
	if n := same(t, "target", reflect.TypeFor[target.Topology](), parsed(t, schemaTarget)); n < 100 {
		t.Errorf("only %d keys of targets were seen", n)
	}
	properties := experiment["properties"].(map[string]any)
	sameKinds(t, catalog.Faults(), properties["faults"])
	sameKinds(t, catalog.Loads(), properties["load"])
	var names []string
	for _, c := range properties["invariants"].(map[string]any)["items"].(map[string]any)["oneOf"].([]any) {
		names = append(names, c.(map[string]any)["const"].(string))
	}
	if !slices.Equal(names, catalog.Invariants().Names()) {
		t.Errorf("the schema has the invariants %q", names)
	}
}

func sameKinds[T any](t *testing.T, table kind.Table[T], list any) {
	t.Helper()
	item := list.(map[string]any)["items"].(map[string]any)
	branches := map[string]map[string]any{}
	for _, b := range item["allOf"].([]any) {
		branch := b.(map[string]any)
		name := branch["if"].(map[string]any)["properties"].(map[string]any)["kind"].(map[string]any)["const"].(string)
		branches[name] = branch["then"].(map[string]any)["properties"].(map[string]any)
	}
	if got, want := slices.Sorted(maps.Keys(branches)), slices.Sorted(slices.Values(table.Names())); !slices.Equal(got, want) {
		t.Errorf("the schema has the kinds %q, the table %q", got, want)
	}
	for _, e := range table {
		typ := reflect.TypeOf(any(e.New())).Elem()
		same(t, e.Name, typ, branches[e.Name]["with"])
		keys, _ := keysOf(typ)
		_, has := keys["every"]
		if every, there := branches[e.Name]["every"]; there && (every != false) != has {
			t.Errorf("%s: the schema says of every beside with: %v", e.Name, every)
		}
	}
}
