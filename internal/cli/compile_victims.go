package cli

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/spec"
	"chaos/internal/target"
)

// bound binds a fault and plans it: once, or once for each victim that the seed picks. The verbs of a kind
// work from an action alone, so one bound value serves the actions of all.
func (c *compiler) bound(f spec.Fault) (one fault.Fault, actions []fault.Action, err error) {
	withs := []spec.Node{f.With}
	if f.Victims != nil {
		if withs, err = c.victims(f); err != nil {
			return nil, nil, err
		}
	}
	rng := engine.Stream(c.seed, "fault/"+f.ID)
	for _, with := range withs {
		bound, err := bindPlaced(c, catalog.Faults(), f.Kind, with)
		if err != nil {
			return nil, nil, err
		}
		planned, err := bound.Plan(c.Topology, c.caps, rng)
		if err == nil && len(planned) == 0 {
			err = fmt.Errorf("it would do nothing")
		}
		if err != nil {
			return nil, nil, with.Errorf("fault %s: %w", f.ID, err)
		}
		if one == nil {
			one = bound
		}
		actions = append(actions, planned...)
	}
	return one, actions, nil
}

// bindPlaced binds a kind whose parameters may name things of the target.
func bindPlaced[T any](c *compiler, table kind.Table[T], k spec.Ref, with spec.Node) (T, error) {
	var errs spec.Errors
	errs.Add(with, spec.CheckRefs(with, c.Topology))
	bound, err := table.Bind(k.Name, k.Node, with)
	errs.Add(with, err)
	return bound, errs.Err()
}

// victims are the parameters of a fault with each victim filled in.
func (c *compiler) victims(f spec.Fault) ([]spec.Node, error) {
	v := f.Victims
	for _, named := range []string{"node", "nodes", "edge", "edges"} {
		if !f.With.Get(named).Absent() {
			return nil, f.With.Key(named).Errorf("fault %s has both victims and %s: write one of them", f.ID, named)
		}
	}
	key := placeKey(parametersOf(f.Kind.Name))
	var names []string
	var err error
	switch key {
	case "node":
		names, err = nodeVictims(v, c.Topology)
	case "edge":
		names, err = edgeVictims(v, c.Topology)
	default:
		if _, err := catalog.Faults().New(f.Kind.Name); err != nil {
			return nil, catalog.Faults().Unknown(f.Kind.Name, f.Kind.Node)
		}
		return nil, v.Node.Errorf("fault %s: kind %s hurts neither a node nor an edge, so it has no victims to pick", f.ID, f.Kind.Name)
	}
	if err != nil {
		return nil, err
	}
	picked, err := pick(names, v.Pick.Of(len(names)), engine.Stream(c.seed, "victims/"+f.ID))
	if err != nil {
		return nil, v.Node.At("pick").Errorf("fault %s: pick %v: %w", f.ID, v.Pick, err)
	}
	withs := make([]spec.Node, len(picked))
	for i, name := range picked {
		withs[i] = f.With.Set(key, name, v.Node)
	}
	return withs, nil
}

// pick draws n of the names, and returns them in their order.
func pick(names []string, n int, rng *rand.Rand) ([]string, error) {
	if n > len(names) {
		return nil, fmt.Errorf("only %d match: %s", len(names), strings.Join(names, ", "))
	}
	chosen := rng.Perm(len(names))[:n]
	slices.Sort(chosen)
	picked := make([]string, n)
	for i, at := range chosen {
		picked[i] = names[at]
	}
	return picked, nil
}

func nodeVictims(v *spec.Victims, t *target.Topology) (names []string, err error) {
	for _, key := range []string{"from", "to"} {
		if !v.Node.Get(key).Absent() {
			return nil, v.Node.Key(key).Errorf("%s is for faults on edges; this one hurts nodes: write role or labels", key)
		}
	}
	for _, n := range t.Nodes {
		if matches(n, v.Role, v.Labels) {
			names = append(names, n.Name)
		}
	}
	return names, unmatched(v.Node, len(names), "node", v.Role, t)
}

func edgeVictims(v *spec.Victims, t *target.Topology) (names []string, err error) {
	for _, key := range []string{"role", "labels"} {
		if !v.Node.Get(key).Absent() {
			return nil, v.Node.Key(key).Errorf("%s is for faults on nodes; this one hurts edges: write from: {%s: …} or to: {%s: …}", key, key, key)
		}
	}
	for _, e := range t.Edges {
		if ends(e.From, v.From, t) && ends(e.To, v.To, t) {
			names = append(names, e.Name)
		}
	}
	if len(names) > 0 {
		return names, nil
	}
	for _, end := range []*spec.End{v.From, v.To} {
		if end != nil && !slices.ContainsFunc(t.Nodes, func(n target.NodeSpec) bool { return matches(n, end.Role, end.Labels) }) {
			return nil, unmatched(end.Node, 0, "node", end.Role, t)
		}
	}
	return nil, unmatched(v.Node, 0, "edge", "", t)
}

// ends tells whether a node may stand at that end of an edge.
func ends(name string, end *spec.End, t *target.Topology) bool {
	n, ok := t.Node(name)
	return end == nil || ok && matches(n, end.Role, end.Labels)
}

func matches(n target.NodeSpec, role string, labels map[string]string) bool {
	for name, want := range labels {
		if got, ok := n.Labels[name]; !ok || got != want {
			return false
		}
	}
	return role == "" || n.Role == role
}

// unmatched is the error of a choice that nothing matches, with the nearest role.
func unmatched(at spec.Node, found int, what, role string, t *target.Topology) error {
	if found > 0 {
		return nil
	}
	roles := map[string]bool{}
	for _, n := range t.Nodes {
		if n.Role != "" {
			roles[n.Role] = true
		}
	}
	if role != "" && !roles[role] {
		return at.At("role").Unknown("role of target "+t.Name, role, slices.Sorted(maps.Keys(roles)))
	}
	return at.Errorf("no %s of target %s matches", what, t.Name)
}

// places are the different places of one sort that the faults hurt, in the order of the plan.
func places(faults []engine.Fault, sort string) (names []string) {
	for _, f := range faults {
		for _, a := range f.Actions {
			if name, ok := strings.CutPrefix(a.Place, sort+":"); ok && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// blast refuses a plan that hurts more than the experiment allows itself.
func (c *compiler) blast() {
	b := c.exp.BlastRadius
	if b == nil {
		return
	}
	refuse := func(key, format string, args ...any) {
		c.errs.Add(b.Node, b.Node.At(key).Errorf("the faults hurt "+format, args...))
	}
	count := func(key, sort string, most *int) {
		if hurt := places(c.plan.Faults, sort); most != nil && len(hurt) > *most {
			refuse(key, "%d %s (%s), more than the %d of blast_radius", len(hurt), key, strings.Join(hurt, ", "), *most)
		}
	}
	count("nodes", "node", b.Nodes)
	count("edges", "edge", b.Edges)
	if b.Replicas != nil {
		c.replicas(*b.Replicas, refuse)
	}
	if long := hurtFor(c.plan); b.Duration != nil && long > *b.Duration {
		refuse("duration", "something for %v, longer than the %v of blast_radius", long, *b.Duration)
	}
}

// replicas refuses when too large a share of the nodes of one role is hurt.
func (c *compiler) replicas(most kind.Percent, refuse func(key, format string, args ...any)) {
	hurt := places(c.plan.Faults, "node")
	all, down := map[string]int{}, map[string]int{}
	for _, n := range c.Topology.Nodes {
		role := cmp.Or(n.Role, n.Name) // a node without a role is the only one of its kind
		all[role]++
		if slices.Contains(hurt, n.Name) {
			down[role]++
		}
	}
	for _, role := range slices.Sorted(maps.Keys(down)) {
		if float64(down[role]) > float64(most)*float64(all[role])+1e-9 {
			refuse("replicas", "%d of %d nodes of role %q, more than the %v of blast_radius", down[role], all[role], role, most)
		}
	}
}

// hurtFor is how long, as planned, at least one fault is there.
func hurtFor(p *engine.Plan) (long time.Duration) {
	spans, _ := p.Spans() // what can't be placed is refused elsewhere
	var all []engine.Span
	for _, list := range spans {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b engine.Span) int { return cmp.Compare(a.From, b.From) })
	var end time.Duration
	for _, s := range all {
		long += max(0, s.To-max(s.From, end))
		end = max(end, s.To)
	}
	return long
}
