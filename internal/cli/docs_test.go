package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"chaos/internal/spec"
	"chaos/internal/target"
)

// generated is a part of a document that is made from the code: from <!-- keys X --> to <!-- end -->.
var generated = regexp.MustCompile(`(?s)<!-- (keys|kinds|commands) ?([A-Za-z]*) -->\n.*?<!-- end -->`)

// keyed are the structs whose keys the documents list.
func keyed() map[string]reflect.Type {
	return map[string]reflect.Type{
		"experiment": reflect.TypeFor[spec.Experiment](), "variant": reflect.TypeFor[spec.Variant](),
		"phases": reflect.TypeFor[spec.Phases](), "load": reflect.TypeFor[spec.Load](), "fault": reflect.TypeFor[spec.Fault](), "victims": reflect.TypeFor[spec.Victims](), "end": reflect.TypeFor[spec.End](),
		"blast": reflect.TypeFor[spec.BlastRadius](),
		"check": reflect.TypeFor[spec.Check](),
		"slo":   reflect.TypeFor[spec.SLO](), "guard": reflect.TypeFor[spec.Guard](),
		"target": reflect.TypeFor[target.Topology](), "image": reflect.TypeFor[target.Image](), "build": reflect.TypeFor[target.Build](),
		"debian": reflect.TypeFor[target.DebianRecipe](), "node": reflect.TypeFor[target.NodeSpec](), "port": reflect.TypeFor[target.Port](),
		"health": reflect.TypeFor[target.Health](), "edge": reflect.TypeFor[target.EdgeSpec](), "op": reflect.TypeFor[target.Op](),
		"range": reflect.TypeFor[target.Range](), "need": reflect.TypeFor[target.Need](), "step": reflect.TypeFor[target.Step](),
		"query": reflect.TypeFor[target.Query](), "behaviour": reflect.TypeFor[target.Behaviour](), "clock": reflect.TypeFor[target.Clock](), "targetvariant": reflect.TypeFor[target.Variant](),
		"metrics": reflect.TypeFor[target.Metrics](), "logs": reflect.TypeFor[target.Logs](), "traces": reflect.TypeFor[target.Traces](),
	}
}

// TestDocs holds the generated parts of the documents against the code; UPDATE=1 writes them.
func TestDocs(t *testing.T) {
	for file, least := range map[string]int{"experiment.md": 8, "target.md": 10, "guide.md": 1} {
		path := filepath.Join("..", "..", "docs", file)
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		parts := 0
		now := generated.ReplaceAllFunc(old, func(part []byte) []byte {
			parts++
			m := generated.FindSubmatch(part)
			head, _, _ := bytes.Cut(part, []byte("\n"))
			return fmt.Appendf(nil, "%s\n\n%s\n<!-- end -->", head, generate(t, string(m[1]), string(m[2])))
		})
		if parts < least {
			t.Errorf("%s has %d generated parts, want %d: a marker was lost", file, parts, least)
		}
		if bytes.Equal(old, now) {
			continue
		}
		if os.Getenv("UPDATE") == "" {
			t.Errorf("%s is not what the code says: run UPDATE=1 go test ./internal/cli -run TestDocs", file)
			continue
		}
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func generate(t *testing.T, what, name string) string {
	t.Helper()
	var b strings.Builder
	switch what {
	case "keys":
		typ, ok := keyed()[name]
		if !ok {
			t.Fatalf("keys of %q: no such struct", name)
		}
		keyTable(&b, spec.Parameters(typ))
	case "kinds":
		for _, k := range (&app{}).allKinds() {
			if k.Table != name {
				continue
			}
			fmt.Fprintf(&b, "**%s**: %s\n\n", k.Name, cell(k.Doc))
			if len(k.Parameters) > 0 {
				keyTable(&b, k.Parameters)
				b.WriteString("\n")
			}
		}
	case "commands":
		b.WriteString("| command | what it does |\n|---|---|\n")
		for _, c := range documented().root().Commands() {
			if c.IsAvailableCommand() && c.Name() != "help" {
				fmt.Fprintf(&b, "| `chaos %s` | %s |\n", c.Use, cell(c.Short))
			}
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// documented is the command as the documents show it: with nothing set in its environment.
func documented() *app { return &app{Env: Env{Getenv: func(string) string { return "" }}} }

func keyTable(b *strings.Builder, list []spec.Parameter) {
	b.WriteString("| key | type | | meaning |\n|---|---|---|---|\n")
	for _, p := range list {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, cell(p.Takes()), p.Must(), cell(p.Doc))
	}
}

// cell is text that may stand in a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ", "{{", "`{{", "}}", "}}`").Replace(s)
}
