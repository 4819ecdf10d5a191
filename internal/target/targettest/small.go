package targettest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"chaos/internal/target"
)

// Load reads a target.yaml as it is; the strict reader lives above this package.
func Load(t *testing.T, path string) *target.Topology {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var top target.Topology
	if err := yaml.UnmarshalWithOptions(raw, &top, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if top.Path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	return &top
}

// Small is the suite's own target: one stateful node, one stateless node, one edge. The caller adds Left.
func Small(t *testing.T) Subject {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	authorized := map[string]string{"Authorization": `Bearer {{secret "token"}}`}
	return Subject{
		Topology: Load(t, filepath.Join(filepath.Dir(here), "testdata", "target.yaml")),
		Victim:   "app", Port: "http",
		Secret:   target.Call{Query: target.Query{Node: "app", Port: "http", Path: "/env?name=APP_GREETING", Headers: authorized}},
		Through:  target.Call{Query: target.Query{Node: "app", Port: "http", Method: "POST", Path: "/count"}},
		Edge:     "app->redis",
		Write:    target.Call{Query: target.Query{Node: "app", Port: "http", Method: "POST", Path: "/write"}},
		Folder:   "/tmp",
		Greeting: "APP_GREETING", OtherImage: "chaos",
		Variants: map[string]string{"polite": "greeting: hello", "rude": "greeting: what"},
		Broken:   "broken", Stuck: "stuck", BadNode: "app", Complaint: "refusing to start",
	}
}

// Stubborn is a target of n equal nodes that ignore SIGTERM, and nothing else.
func Stubborn(t *testing.T, n int) *target.Topology {
	t.Helper()
	top := Small(t).Topology
	app, ok := top.Node("app")
	if !ok {
		t.Fatal("the small target has no app")
	}
	delete(top.Image, "redis")
	top.Name, top.Nodes, top.Edges, top.ResetSteps = "stubborn", nil, nil, nil
	app.After, app.HealWithin = nil, 30*time.Second // many at once, on a machine that is busy with them
	app.Env = maps.Clone(app.Env)
	app.Env["APP_STUBBORN"] = "1"
	delete(app.Env, "APP_REDIS")
	delete(app.Env, "APP_DIRECT")
	for i := range n {
		app.Name = fmt.Sprintf("app-%d", i+1)
		top.Nodes = append(top.Nodes, app)
	}
	return top
}
