package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"chaos/internal/catalog"
	"chaos/internal/check/slo"
	"chaos/internal/journal"
	"chaos/internal/spec"
)

// printed is what chaos schema prints.
func printed(t testing.TB, args ...string) []byte {
	t.Helper()
	var out, complaints bytes.Buffer
	if code := Main(t.Context(), Env{Args: append([]string{"schema"}, args...), Stdout: &out, Stderr: &complaints, Getenv: func(string) string { return "" }}); code != 0 || complaints.Len() > 0 {
		t.Fatalf("schema %q: exit %d: %s", args, code, complaints.String())
	}
	return out.Bytes()
}

// compiled is a schema as editors use it.
func compiled(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(printed(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4) // so that $schema must say which it is
	if err := c.AddResource(name, text); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	if s.DraftVersion != 2020 {
		t.Fatalf("%s is of draft %d", name, s.DraftVersion)
	}
	return s
}

// held is a YAML text held against a schema, read as an editor reads it and not by our parser.
func held(t testing.TB, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var plain any
	if err := yaml.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

// readExperiment is all of the strict reading that needs no target: parser, binder, SLIs, guards, with each profile.
func readExperiment(text []byte) error {
	var errs spec.Errors
	for _, profile := range spec.ProfileNames() {
		e, err := spec.ParseExperiment("x.yaml", text, profile)
		if err == nil {
			err = bind(e)
		}
		if !errors.Is(err, spec.ErrNoProfile) {
			errs.Add(spec.Node{}, err)
		}
	}
	return errs.Err()
}

func bind(e *spec.Experiment) error {
	var errs spec.Errors
	var loads []journal.LoadInfo
	for _, l := range e.Load {
		_, err := catalog.Loads().Bind(l.Kind.Name, l.Kind.Node, l.With)
		errs.Add(l.Node, err)
		loads = append(loads, journal.LoadInfo{Name: l.Name, Rate: 100, Timeout: 5 * time.Second})
	}
	for _, f := range e.Faults {
		with := f.With
		if f.Victims != nil { // one of them, as the compiler fills it in
			with = with.Set(placeKey(parametersOf(f.Kind.Name)), "one", f.Victims.Node)
		}
		_, err := catalog.Faults().Bind(f.Kind.Name, f.Kind.Node, with)
		errs.Add(f.Node, err)
	}
	for _, s := range e.SLOs {
		o := slo.Objective{Name: s.Name, SLI: s.SLI, Max: s.Max}
		if s.Target != nil {
			o.Target = float64(*s.Target)
		}
		_, err := o.Checks(loads)
		errs.Add(s.Node, err)
	}
	for _, r := range e.Invariants {
		_, err := catalog.Invariants().New(r.Name)
		errs.Add(r.Node, err)
	}
	for _, g := range e.AbortWhen {
		_, err := slo.ParseGuard(g.When, loads)
		errs.Add(g.Node, err)
	}
	return errs.Err()
}

func readTarget(text []byte) error {
	_, _, err := spec.ParseTarget("t.yaml", text)
	return err
}

// committed are the schemas that the repository holds for its own files.
func committed() map[string]string {
	return map[string]string{schemaExperiment: "../../experiments/experiment.schema.json", schemaTarget: "../../targets/target.schema.json"}
}

// TestSchemaCommitted holds the files beside experiments and targets against the command; UPDATE=1 writes them.
func TestSchemaCommitted(t *testing.T) {
	for name, path := range committed() {
		now := printed(t, name)
		if again := printed(t, name); !bytes.Equal(now, again) {
			t.Errorf("schema %s differs from call to call", name)
		}
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(path, now, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if old, err := os.ReadFile(path); err != nil || !bytes.Equal(old, now) {
			t.Errorf("%s is not what chaos schema %s prints (%v): run UPDATE=1 go test ./internal/cli -run TestSchemaCommitted", path, name, err)
		}
	}
	if !bytes.Equal(printed(t), printed(t, schemaExperiment)) {
		t.Error("chaos schema is not the one of experiments")
	}
}

// TestSchemaTakes: whatever file of the repository the parser takes, the schema takes.
func TestSchemaTakes(t *testing.T) {
	experiment, target := compiled(t, schemaExperiment), compiled(t, schemaTarget)
	var experiments, targets int
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch {
		case readExperiment(text) == nil:
			experiments++
			err = held(t, experiment, text)
		case readTarget(text) == nil:
			targets++
			err = held(t, target, text)
		default:
			return nil
		}
		if err != nil {
			t.Errorf("%s: the parser takes it, the schema does not: %v", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if experiments < 10 || targets < 3 {
		t.Errorf("only %d experiments and %d targets were held against the schemas", experiments, targets)
	}
}

// TestModelines: each experiment and target of the repository names its schema on its first line, so that
// editors complete and check, and the path leads there.
func TestModelines(t *testing.T) {
	for name, pattern := range map[string]string{schemaExperiment: "../../experiments/*.yaml", schemaTarget: "../../targets/*/*target.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			schema, ok := strings.CutPrefix(first, "# yaml-language-server: $schema=")
			if !ok {
				t.Errorf("%s begins with %q", path, first)
				continue
			}
			if got := filepath.Join(filepath.Dir(path), schema); got != filepath.Clean(committed()[name]) {
				t.Errorf("%s names the schema %s", path, got)
			}
		}
	}
}

// refusal is a change to a file that makes it wrong.
type refusal struct{ old, new string }

// refused changes a file in each way and holds it against the schema and the parser: both must refuse it.
func refused(t *testing.T, file string, s *jsonschema.Schema, read func([]byte) error, all []refusal) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := read(text); err != nil {
		t.Fatalf("the parser refuses the file as it is: %v", err)
	}
	if err := held(t, s, text); err != nil {
		t.Fatalf("the schema refuses the file as it is: %v", err)
	}
	for _, r := range all {
		t.Run(fmt.Sprintf("%s → %s", r.old, r.new), func(t *testing.T) {
			if n := strings.Count(string(text), r.old); n != 1 {
				t.Fatalf("%q is %d times in %s, want once", r.old, n, file)
			}
			wrong := []byte(strings.Replace(string(text), r.old, r.new, 1))
			if err := read(wrong); err == nil {
				t.Error("the parser takes it")
			}
			if err := held(t, s, wrong); err == nil {
				t.Error("the schema takes it")
			}
		})
	}
}

func TestSchemaRefusesExperiments(t *testing.T) {
	refused(t, "testdata/experiment.yaml", compiled(t, schemaExperiment), readExperiment, []refusal{
		// unknown keys, at each level
		{"hypothesis:", "hypotesis:"}, {"expect: pass", "expcet: pass"}, {"warmup: 10s", "warmupp: 10s"}, {"  quick:", "  quik:"},
		{"{pay: {rate: 50/s}}", "{pay: {rte: 50/s}}"}, {"phases: {baseline: 8s}", "phases: {baselin: 8s}"}, {"{slow: {for: 10s}}", "{slow: {fr: 10s}}"},
		{"{fast: {target: 99%}}", "{fast: {taget: 99%}}"}, {"kind: vegeta, with: {node: gateway", "knd: vegeta, with: {node: gateway"}, {"arrivals:", "arivals:"},
		{"jitter:", "jiter:"}, {"at: 1s", "att: 1s"}, {"sli: availability", "slj: availability"}, {"{when:", "{wen:"},
		// wrong units and languages
		{"recovery: 75s", "recovery: 75"}, {"settle: 60s", "settle: 60sec"}, {"rate: 60/s", "rate: 60"}, {"rate: 60/s", "rate: 0/s"}, {"rate: 50/s", "rate: 50/h"},
		{"jitter: 100ms", "jitter: 100"}, {"target: 99.9%", "target: 0.999"}, {"target: 99.9%", "target: 101%"}, {"max: 15s", "max: soon"},
		{"availability(pay), target", "availabilty(pay), target"}, {"under(pay, 250ms)", "under(pay)"}, {"< 10% for 5s", "< 10 for 5s"}, {"at: 1s", "at: -1s"},
		{"every: 2s, at", "every: 2, at"},
		// unknown kinds, and parameters of another kind
		{"kind: vegeta, with: {node: gateway", "kind: vegta, with: {node: gateway"}, {"kind: node.stop", "kind: node.stp"}, {"{node: redis}", "{edge: redis}"},
		{"{node: redis}", "{node: redis, latency: 1s}"}, {"{node: redis}, at: 0s", "{node: redis}, every: 1s, at: 0s"}, {"no_lost_payment", "no_lost_paymnt"},
		// missing
		{"target: payments\n", ""}, {"apiVersion: chaos/v1\n", ""}, {", settle: 60s", ""}, {"name: pay, kind", "kind"}, {"{node: redis}", "{}"}, {", with: {node: redis}", ""},
		{", op: pay", ""}, {", target: 99.9%", ""}, {`edge: "payments->redis", latency`, "latency"}, {"latency: 500ms, ", ""}, {"{name: resilient, expect: pass}", "{name: resilient}"},
		// values that are none, and more than one of what excludes each other
		{"expect: pass", "expect: passes"}, {"arrivals: poisson", "arrivals: poison"}, {"stream: upstream", "stream: upwards"}, {"baseline: off", "baseline: on"},
		{"during: [fault", "during: [falt"}, {"chaos/v1", "chaos/v2"}, {"only: [quick,", "only: [quik,"}, {"target: 99.9%", "target: 99.9%, max: 1s"},
		{`edge: "payments->redis", latency`, `edge: "payments->redis", edges: [a->b], latency`}, {"toxicity: 0.5", "toxicity: 0"}, {"toxicity: 0.5", "toxicity: 1.5"},
		{"pick: 50%", "pick: -1%"}, {"pick: 50%", "pick: half"}, {"pick: 50%", "pik: 50%"}, {"{role: service,", "{role: [service],"}, {"nodes: 2", "nodes: -1"},
		{"nodes: 2", "nods: 2"}, {"replicas: 50%", "replicas: 0.5"}, {"times: 2", "times: 0"},
		// wrong shapes
		{"load:\n", "load: []\nlode:\n"}, {"toxicity: 0.5", "toxicity: '0.5'"}, {"{node: redis}", "[redis]"}, {"invariants: [no_lost_payment]", "invariants: no_lost_payment"},
		{"name: redis-outage", "name: redis outage"}, {"id: slow,", "id: 1slow,"}, {"hypothesis: It holds.", "hypothesis: [It holds.]"}, {"source: here", "source:"},
		{"refuse: true", "refuse: 1"}, {"refuse: true", "refuse: 'true'"}, {"set: {slow_fraction: 1}", "set: {}"}, {"set: {slow_fraction: 1}", "set: 1"},
	})
}

func TestSchemaRefusesTargets(t *testing.T) {
	refused(t, "../spec/testdata/target.yaml", compiled(t, schemaTarget), readTarget, []refusal{
		{"images:", "image:"}, {"stateful: true", "statefull: true"}, {"{redis: {port: 6379}}", "{redis: {prt: 6379}}"}, {"{exec: [redis-cli, ping]}", "{exc: [redis-cli, ping]}"},
		{"packages:", "pakages:"}, {"amount: {min:", "amount: {mn:"}, {"write: {node: psp, port", "write: {node: psp, prt"}, {"naive: {doc:", "naive: {dok:"},
		{"effect: payment", "efect: payment"}, {`"gateway->redis", port`, `"gateway->redis", prt`},
		{"port: 6379", "port: 70000"}, {"port: 6379", `port: "6379"`}, {"port: 6379", "port: 63.5"}, {"stateful: true", "stateful: yes"}, {"stateful: true", "memory: 512M"},
		{"stateful: true", "heal_within: 10"}, {"method: PUT", "method: PUTT"}, {"effect: payment", "effect: payments"}, {"good: [201, 202]", "good: [2010]"},
		{"good: [201, 202]", "good: []"}, {"stateful: true", "end_signal: STOP"}, {"{debian: {suite: bookworm, packages: [redis-server]}}", "{debian: {suite: bookworm, packages: []}}"}, {"good: [201, 202]", "good: 201"}, {"min: 1, max: 9", "min: -1, max: 9"}, {"{id: {from: pay}}}\n  refund", "{id: {from: pay, keep: 0}}}\n  refund"},
		{", good: [201, 202]", ""}, {"  - name: psp\n    image: paysys\n", "  - name: psp\n"}, {"name: payments\n", ""}, {"{from: pay}}}\n  refund", "{keep: 5}}}\n  refund"},
		{"{build: {go: ./targets/payments/cmd/paysys}}", "{build: {}}"}, {"{http: /readyz, port: http}", "{http: /readyz, exec: [a], port: http}"}, {"{http: /readyz, port: http}", "{port: http}"},
		{"name: payments\n", "name: pay ments\n"}, {"  pay: {method", "  p.ay: {method"}, {"secrets: [admin]", "secrets: admin"}, {"N: 5", "N: [5]"}, {"N: 5", "N:"},
	})
}
