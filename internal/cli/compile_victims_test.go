package cli

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/spec"
	"chaos/internal/target"
)

// fleet is a target with replicas.
func fleet() *target.Topology {
	zone := func(z string) map[string]string { return map[string]string{"zone": z} }
	edge := func(from, to string) target.EdgeSpec {
		return target.EdgeSpec{Name: from + "->" + to, From: from, To: to}
	}
	return &target.Topology{
		Name: "fleet",
		Nodes: []target.NodeSpec{
			{Name: "web-1", Role: "service", Labels: zone("a")}, {Name: "web-2", Role: "service", Labels: zone("a")},
			{Name: "web-3", Role: "service", Labels: zone("b")}, {Name: "web-4", Role: "service", Labels: zone("b")},
			{Name: "redis", Role: "cache"}, {Name: "lone"},
		},
		Edges: []target.EdgeSpec{edge("web-1", "redis"), edge("web-2", "redis"), edge("web-3", "redis"), edge("web-1", "lone")},
	}
}

// able can do what the kinds of these tests need.
func able() target.Capabilities {
	return target.Capabilities{Runtime: "memory", Verbs: []target.Verb{target.VerbSignal, target.VerbEdge, target.VerbCall}}
}

// picked are the places that a fault with victims hurts.
func picked(t *testing.T, kindName, victims, with string, seed uint64) ([]string, error) {
	t.Helper()
	n, err := spec.Document("victims", []byte(victims))
	if err != nil {
		t.Fatal(err)
	}
	v := &spec.Victims{}
	if err := n.Decode(v); err != nil {
		return nil, err
	}
	params, err := spec.Document("with", []byte(with))
	if err != nil {
		t.Fatal(err)
	}
	c := &compiler{subject: subject{Topology: fleet()}, caps: able(), seed: seed}
	_, actions, err := c.bound(spec.Fault{ID: "f", Kind: spec.Ref{Name: kindName, Node: n}, With: params, Victims: v})
	var places []string
	for _, a := range actions {
		_, name, _ := strings.Cut(a.Place, ":")
		places = append(places, name)
	}
	return places, err
}

func TestVictims(t *testing.T) {
	const slow = "latency: 3ms"
	for _, c := range []struct {
		kind, victims, with string
		of                  []string // all that may be picked
		n                   int
		err                 string
	}{
		{"node.stop", "{role: service}", "{}", []string{"web-1", "web-2", "web-3", "web-4"}, 1, ""},
		{"node.stop", "{role: service, pick: all}", "grace: 1s", []string{"web-1", "web-2", "web-3", "web-4"}, 4, ""},
		{"node.kill", "{role: service, pick: 50%}", "{}", []string{"web-1", "web-2", "web-3", "web-4"}, 2, ""},
		{"node.kill", "{role: service, pick: 74%}", "{}", []string{"web-1", "web-2", "web-3", "web-4"}, 2, ""},
		{"node.kill", "{role: service, pick: 1%}", "{}", []string{"web-1", "web-2", "web-3", "web-4"}, 1, ""},
		{"node.kill", "{labels: {zone: b}, pick: 2}", "{}", []string{"web-3", "web-4"}, 2, ""},
		{"node.kill", "{pick: 6}", "{}", []string{"web-1", "web-2", "web-3", "web-4", "redis", "lone"}, 6, ""},
		{"toxic.latency", "{to: {role: cache}, pick: all}", slow, []string{"web-1->redis", "web-2->redis", "web-3->redis"}, 3, ""},
		{"toxic.latency", "{from: {labels: {zone: a}}, to: {role: cache}, pick: 2}", slow, []string{"web-1->redis", "web-2->redis"}, 2, ""},
		{"toxic.latency", "{pick: any}", slow, []string{"web-1->redis", "web-2->redis", "web-3->redis", "web-1->lone"}, 1, ""},
		{"node.kill", "{role: servce}", "{}", nil, 0, `victims:1:8: unknown role of target fleet "servce" — did you mean "service"`},
		{"node.kill", "{role: service, labels: {zone: c}}", "{}", nil, 0, "no node of target fleet matches"},
		{"node.kill", "{role: cache, pick: 2}", "{}", nil, 0, "victims:1:21: fault f: pick 2: only 1 match: redis"},
		{"toxic.latency", "{to: {role: cach}}", slow, nil, 0, `did you mean "cache"`},
		{"toxic.latency", "{from: {role: cache}}", slow, nil, 0, "no edge of target fleet matches"},
		{"toxic.latency", "{role: cache}", slow, nil, 0, "role is for faults on nodes; this one hurts edges: write from: {role: …} or to: {role: …}"},
		{"node.kill", "{to: {role: cache}}", "{}", nil, 0, "to is for faults on edges"},
		{"node.kill", "{role: cache}", "node: redis", nil, 0, "with:1:1: fault f has both victims and node"},
		{"dependency", "{role: cache}", "{}", nil, 0, "hurts neither a node nor an edge"},
		{"node.kil", "{role: cache}", "{}", nil, 0, `unknown kind "node.kil" — did you mean "node.kill"`},
		{"node.kill", "{role: cache, pick: 0}", "{}", nil, 0, `"0" is not any, all, a number from 1 or a share such as 50%`},
		{"node.kill", "{role: cache, pick: 0%}", "{}", nil, 0, `"0%" picks nothing`},
		{"node.kill", "{role: cache, pick: some}", "{}", nil, 0, `"some" is not any`},
		{"node.kill", "{rol: cache}", "{}", nil, 0, `did you mean "role"`},
		{"node.stop", "{role: cache}", "grce: 1s", nil, 0, `did you mean "grace"`},
	} {
		got, err := picked(t, c.kind, c.victims, c.with, 7)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s %s: %v, want %q", c.kind, c.victims, err, c.err)
			continue
		}
		if err == nil && (len(got) != c.n || slices.ContainsFunc(got, func(s string) bool { return !slices.Contains(c.of, s) })) {
			t.Errorf("%s %s: %v, want %d of %v", c.kind, c.victims, got, c.n, c.of)
		}
	}
}

// The seed decides, the same each time, and every candidate has its chance.
func TestVictimsAreDrawnWithTheSeed(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(400) {
		one, err := picked(t, "node.kill", "{role: service, pick: 2}", "{}", seed)
		again, _ := picked(t, "node.kill", "{role: service, pick: 2}", "{}", seed)
		if err != nil || !slices.Equal(one, again) || !slices.IsSorted(one) || one[0] == one[1] {
			t.Fatalf("seed %d: %v, then %v (%v)", seed, one, again, err)
		}
		seen[strings.Join(one, " ")]++
	}
	for pair, n := range seen {
		if n < 30 || len(seen) != 6 { // of 400/6 = 67
			t.Errorf("%s was drawn %d times of 400; %d pairs", pair, n, len(seen))
		}
	}
	if got, err := pick(nil, 1, rand.New(rand.NewPCG(1, 1))); err == nil {
		t.Errorf("picked %v of nothing", got)
	}
}

func TestBlastRadius(t *testing.T) {
	on := func(id string, at, length time.Duration, places ...string) engine.Fault {
		f := engine.Fault{ID: id, At: at * time.Second, For: length * time.Second}
		for _, p := range places {
			f.Actions = append(f.Actions, fault.Action{Place: p})
		}
		return f
	}
	faults := []engine.Fault{
		on("a", 0, 10, "node:web-1", "node:web-2"), on("b", 5, 10, "node:web-1", "edge:web-1->redis"), on("c", 20, 5, "machine:here"),
	}
	two, one, zero := 2, 1, 0
	half, third := kind.Percent(0.5), kind.Percent(0.33)
	long, short := 20*time.Second, 19*time.Second
	for _, c := range []struct {
		radius spec.BlastRadius
		want   string
	}{
		{spec.BlastRadius{Nodes: &two, Edges: &one, Replicas: &half, Duration: &long}, ""},
		{spec.BlastRadius{Nodes: &one}, "the faults hurt 2 nodes (web-1, web-2), more than the 1 of blast_radius"},
		{spec.BlastRadius{Edges: &zero}, "the faults hurt 1 edges (web-1->redis), more than the 0 of blast_radius"},
		{spec.BlastRadius{Replicas: &third}, `the faults hurt 2 of 4 nodes of role "service", more than the 33% of blast_radius`},
		{spec.BlastRadius{Duration: &short}, "the faults hurt something for 20s, longer than the 19s of blast_radius"},
	} {
		cc := &compiler{subject: subject{Topology: fleet()}, exp: &spec.Experiment{BlastRadius: &c.radius}, plan: &engine.Plan{Faults: faults}}
		cc.blast()
		got := ""
		if err := cc.errs.Err(); err != nil {
			got = strings.TrimPrefix(err.Error(), ": ")
		}
		if got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
