package spec

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"chaos/internal/target"
)

// The two kinds of holes in a target.yaml: {{edge "a->b"}} and its like (see target.Expander) are filled when a node is started or asked,
// {name} for each request of a load.
var (
	hole        = regexp.MustCompile(`\{\{(.*?)\}\}`)
	holeCall    = regexp.MustCompile(`^\s*([a-zA-Z]+)(?:\s+"([^"]*)")?(?:\s+"([^"]*)")?\s*$`)
	placeholder = regexp.MustCompile(`\{([a-zA-Z][a-zA-Z0-9_]*)\}`)
)

// holeWords are the functions that {{…}} may call, placeholders the names that {…} may have beside
// needed ids.
func holeWords() []string {
	return []string{"collector", "dir", "edge", "host", "node", "port", "secret"}
}
func placeholders() []string { return []string{"amount", "key", "tenant", "traceparent"} }

// templates checks the {{…}} in every scalar below n. node is whose environment it is; "" when it
// is nobody's or an overlay over several.
func (c *topology) templates(node string, n Node) {
	if n.Absent() {
		return
	}
	switch n.val.shape {
	case mapping:
		for _, key := range n.Keys() {
			c.templates(node, n.Get(key))
		}
	case sequence:
		for _, item := range n.Items() {
			c.templates(node, item)
		}
	case scalar:
		for _, m := range hole.FindAllStringSubmatch(n.val.text, -1) {
			c.hole(node, n, m[1])
		}
		if rest := hole.ReplaceAllString(n.val.text, ""); strings.Contains(rest, "{{") {
			c.bad(n, `write {{node "x"}}`, "a {{ is never closed")
		}
	}
}

func (c *topology) hole(node string, n Node, call string) {
	m := holeCall.FindStringSubmatch(call)
	if m == nil {
		c.bad(n, `write {{edge "a->b"}}, {{node "a"}}, {{node "a" "port"}}, {{secret "a"}}, {{collector}}, {{host}}, {{port "x"}} or {{dir "/x"}}`, "{{%s}} is not a call of one of them", call)
		return
	}
	function, name, port := m[1], m[2], m[3]
	nameless := function == "host" || function == "collector"
	if slices.Contains(holeWords(), function) && (name == "") != nameless {
		c.bad(n, "", "%s takes %s", function, map[bool]string{true: "no name", false: "a name"}[nameless])
		return
	}
	if port != "" && function != "node" {
		c.bad(n, "", "%s takes one name, not two", function)
		return
	}
	switch function {
	case "edge":
		edges := c.refs()["edge"]
		if c.known(n, "edge", name, edges) && node != "" {
			if from, _, _ := strings.Cut(name, "->"); from != node {
				c.bad(n, "", "node %s uses the edge %q of %s", node, name, from)
			}
		}
	case "node":
		if c.known(n, "node", name, c.nodes) && port != "" {
			c.port(n, name, port)
		}
	case "secret":
		c.known(n, "secret", name, c.t.Secrets)
	case "collector": // there is one as soon as somebody asks for it
	case "host", "port", "dir":
		c.own(node, n, function, name)
	default:
		c.errs = append(c.errs, n.unknown("function", function, holeWords()))
	}
}

// own checks a function that is about the node whose value it stands in.
func (c *topology) own(node string, n Node, function, name string) {
	switch spec, _ := c.t.Node(node); {
	case node == "":
		c.bad(n, `of another node: {{node "x" "port"}}`, "{{%s}} is of a node's own: it stands in what the node is given or runs", function)
	case function == "port":
		c.port(n, node, name)
	case function == "dir" && !strings.HasPrefix(name, "/"):
		c.bad(n, "", "a folder begins with /, not %q", name)
	case function == "dir" && !writable(spec, name):
		c.bad(n, "add it to tmpfs: or volumes:", "node %s has no writable folder %q", node, name)
	}
}

func writable(spec target.NodeSpec, path string) bool {
	_, ok := spec.Tmpfs[path]
	return ok || slices.Contains(spec.Volumes, path)
}

func (c *topology) ops() {
	ops := c.root.Get("ops")
	all := ops.Keys()
	for _, name := range all {
		n, op := ops.Get(name), c.t.Ops[name]
		if op.Path != "" && !strings.HasPrefix(op.Path, "/") {
			c.bad(n.At("path"), "", "a path begins with /, not %q", op.Path)
		}
		c.statuses(n, op)
		if a := op.Amount; a != nil && (a.Max < a.Min || a.Max == math.MaxInt64) {
			c.bad(n.At("amount"), "", "amount must have 0 ≤ min ≤ max, not %d to %d", a.Min, a.Max)
		}
		for id, need := range op.Needs {
			c.need(n.Get("needs").Get(id), name, need, all)
		}
		c.opHoles(n, op)
	}
}

func (c *topology) statuses(n Node, op target.Op) {
	for i, status := range op.Excluded {
		if slices.Contains(op.Good, status) {
			c.bad(n.Get("excluded").Items()[i], "", "status %d is both good and excluded", status)
		}
	}
}

func (c *topology) need(n Node, op string, need target.Need, all []string) {
	if !c.known(n.At("from"), "op", need.From, all) {
		return
	}
	if need.From == op {
		c.bad(n.At("from"), "", "op %s needs ids of itself", op)
	}
	if need.Prepare > need.Keep {
		c.bad(n, "", "prepare must be at most keep, not keep %d and prepare %d", need.Keep, need.Prepare)
	}
}

// opHoles checks the {…} of an op's path, headers and body.
func (c *topology) opHoles(n Node, op target.Op) {
	valid := append(placeholders(), keys(op.Needs)...)
	texts := map[string]Node{"path": n.Get("path"), "body": n.Get("body")}
	for _, key := range n.Get("headers").Keys() {
		texts["header "+key] = n.Get("headers").Get(key)
	}
	for _, text := range texts {
		for _, m := range placeholder.FindAllStringSubmatch(text.Text(), -1) {
			switch word := m[1]; {
			case !slices.Contains(valid, word):
				c.errs = append(c.errs, text.unknown("placeholder", word, valid))
			case word == "tenant" && len(op.Tenants) == 0:
				c.bad(text, "add tenants:", "{tenant} is used but the op lists no tenants")
			case word == "amount" && op.Amount == nil:
				c.bad(text, "add amount: {min: 1, max: 100}", "{amount} is used but the op has no amount")
			}
		}
	}
	c.templates("", n.Get("headers"))
}
