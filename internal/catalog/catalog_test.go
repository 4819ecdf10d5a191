package catalog

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"chaos/internal/kind"
	"chaos/internal/spec"
	"chaos/internal/target"
)

// TestTables: each kind of each table has a name of its own, a sentence, and parameters that say what
// they are and can be decoded.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	examine(t, seen, Faults())
	examine(t, seen, Loads())
	examine(t, seen, Invariants())
	examine(t, seen, Checks())
	examine(t, seen, Runtimes(Setting{}))
	for _, name := range []string{"toxic.latency", "toxic.bandwidth", "toxic.slow_close", "toxic.slicer", "toxic.limit_data", "toxic.timeout", "toxic.reset_peer", "toxic.corrupt", "toxic.reset", "toxic.down", "http.status", "http.delay", "http.abort", "http.body", "http.header", "node.stop", "node.kill", "node.pause", "node.restart", "node.disconnect", "node.limit", "node.replace", "node.crash_loop", "packet.loss", "packet.delay", "dependency", "disk.fill", "disk.read_only", "disk.slow", "dns.wrong", "dns.slow", "dns.no_such_host", "clock.offset", "vegeta", "no_lost_payment", "trace_completeness", "log_schema", "no_drift", "docker", "process"} {
		if !seen[name] {
			t.Errorf("%s is in no table", name)
		}
	}
}

func examine[T any](t *testing.T, seen map[string]bool, table kind.Table[T]) {
	t.Helper()
	for _, e := range table {
		if e.Name == "" || seen[e.Name] || e.Doc == "" {
			t.Errorf("kind %q: without a name of its own or a sentence (%q)", e.Name, e.Doc)
		}
		seen[e.Name] = true
		a, b := any(e.New()), any(e.New())
		v := reflect.TypeOf(a)
		if v.Kind() != reflect.Pointer {
			t.Errorf("%s: New returns a %v, not a pointer", e.Name, v)
			continue
		}
		if v.Elem().Size() > 0 && a == b {
			t.Errorf("%s: New returns the same value twice", e.Name)
		}
		for _, p := range spec.Parameters(v.Elem()) {
			if p.Doc == "" || p.Type == "" {
				t.Errorf("%s: parameter %s does not say what it is", e.Name, p.Name)
			}
		}
	}
}

func TestFormatsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Formats() {
		if seen[f.Name] || seen[f.File] || f.Write == nil {
			t.Errorf("format %s writes %s, as another does", f.Name, f.File)
		}
		seen[f.Name], seen[f.File] = true, true
	}
	for _, f := range Indexes() {
		if f.Write == nil || f.File == "" {
			t.Errorf("index %s writes nothing", f.Name)
		}
	}
}

// TestDeclared holds what is declared without an engine against what the runtime says with one.
func TestDeclared(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	all := Declared()
	for i, entry := range Runtimes(Setting{}) {
		if i >= len(all) || all[i].Runtime != entry.Name {
			t.Fatalf("declared %+v: runtime %s is missing or in another place", all, entry.Name)
		}
		t.Run(entry.Name, func(t *testing.T) {
			caps, err := entry.New().Capabilities(ctx)
			if errors.Is(err, target.ErrUnresponsive) {
				t.Skipf("not run: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if caps.Runtime != all[i].Runtime || !slices.Equal(caps.Verbs, all[i].Verbs) {
				t.Errorf("declared %+v, the runtime says %+v", all[i], caps)
			}
		})
	}
}

// TestEveryFaultSaysWhenItBites: what must be seen for it to count is a part of the kind, and chaos kinds shows it.
func TestEveryFaultSaysWhenItBites(t *testing.T) {
	for _, e := range Faults() {
		if e.Bites == "" {
			t.Errorf("fault kind %s does not say when it bites: set Bites in its line of the table", e.Name)
		}
	}
}
