package spec

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"chaos/internal/target"
)

// LoadTarget reads and checks a target.yaml. The error is Errors with all that is wrong.
func LoadTarget(path string) (*target.Topology, error) {
	t, _, err := LoadTargetNode(path)
	return t, err
}

// LoadTargetNode is LoadTarget for a caller that has errors of its own to place.
func LoadTargetNode(path string) (*target.Topology, Node, error) {
	data, err := Read(path)
	if err != nil {
		return nil, Node{}, err
	}
	t, root, err := ParseTarget(path, data)
	if err != nil {
		return nil, Node{}, err
	}
	t.Sum = fmt.Sprintf("%x", sha256.Sum256(data))
	if t.Path, err = filepath.Abs(path); err != nil {
		return nil, Node{}, err
	}
	return t, root, nil
}

// ParseTarget is LoadTargetNode for a text that is in memory.
func ParseTarget(path string, data []byte) (*target.Topology, Node, error) {
	root, err := parse(path, data)
	if root.Absent() {
		return nil, Node{}, err
	}
	t := &target.Topology{}
	c := topology{t: t, root: root}
	c.errs.Add(root, err)
	c.errs.Add(root, root.Decode(t))
	for i := range t.Edges {
		t.Edges[i].From, t.Edges[i].To, _ = strings.Cut(t.Edges[i].Name, "->")
	}
	if root.val.shape == mapping {
		c.check()
	}
	if err := c.errs.Err(); err != nil {
		return nil, Node{}, err
	}
	return t, root, nil
}

// topology checks what refers to what in a target.yaml.
type topology struct {
	t     *target.Topology
	root  Node
	nodes []string
	errs  Errors
}

func (c *topology) bad(n Node, hint, format string, args ...any) {
	c.errs = append(c.errs, n.fail(hint, format, args...))
}

// known reports whether name is valid, and an error at n when it is not. An empty name was reported
// as missing already.
func (c *topology) known(n Node, what, name string, valid []string) bool {
	if name == "" || slices.Contains(valid, name) {
		return name != ""
	}
	c.errs = append(c.errs, n.unknown(what, name, valid))
	return false
}

func (c *topology) check() {
	for _, n := range c.t.Nodes {
		c.nodes = append(c.nodes, n.Name)
	}
	c.images()
	c.eachNode()
	c.edges()
	c.ops()
	c.steps("prepare", c.t.Prepare)
	c.steps("reset", c.t.ResetSteps)
	c.queries()
	for _, v := range c.root.Get("variants").Keys() {
		c.templates("", c.root.Get("variants").Get(v).Get("env"))
	}
}

func (c *topology) images() {
	images := c.root.Get("images")
	for _, name := range images.Keys() {
		n, image := images.Get(name), c.t.Image[name]
		if image.Pull == "" && image.Build == nil && image.Local == nil {
			c.bad(n, "add pull:, build: or local:", "image %s can neither be pulled nor built, nor found on a machine", name)
		}
		if image.Pull != "" && !strings.Contains(image.Pull, "@sha256:") {
			c.bad(n.At("pull"), "pin it: name@sha256:<digest>", "image %s is pulled without a digest", name)
		}
	}
}

func (c *topology) eachNode() {
	items := c.root.Get("nodes").Items()
	seen := map[string]bool{}
	for i, spec := range c.t.Nodes {
		n := items[i]
		if seen[spec.Name] && spec.Name != "" {
			c.bad(n.At("name"), "", "duplicate node %q", spec.Name)
		}
		seen[spec.Name] = true
		c.known(n.At("image"), "image", spec.Image, c.root.Get("images").Keys())
		for j, other := range spec.After {
			at := n.Get("after").Items()[j]
			if c.known(at, "node", other, c.nodes) && !slices.Contains(c.nodes[:i], other) {
				c.bad(at, "nodes are started in the order of the file", "node %s is started after %s, not before it", other, spec.Name)
			}
		}
		c.ready(n.Get("ready"), spec)
		for _, key := range []string{"env", "entrypoint", "command"} {
			c.templates(spec.Name, n.Get(key))
		}
		c.templates(spec.Name, n.Get("ready").Get("exec"))
	}
}

func (c *topology) ready(n Node, spec target.NodeSpec) {
	h := spec.Ready
	if h == nil || n.Absent() {
		return
	}
	if h.HTTP != "" && h.Port == "" {
		c.bad(n, "", "ready by http needs the name of a port")
	}
	c.known(n.At("port"), "port of "+spec.Name, h.Port, portNames(spec))
}

func portNames(spec target.NodeSpec) (names []string) {
	for name := range spec.Ports {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// port checks that a node has a port of that name.
func (c *topology) port(n Node, node, port string) {
	if spec, ok := c.t.Node(node); ok {
		c.known(n, "port of "+node, port, portNames(spec))
	}
}

func (c *topology) edges() {
	items := c.root.Get("edges").Items()
	seen := map[string]bool{}
	for i, e := range c.t.Edges {
		at := items[i].At("name")
		if e.Name == "" {
			continue
		}
		if seen[e.Name] {
			c.bad(at, "", "duplicate edge %q", e.Name)
		}
		seen[e.Name] = true
		if e.From == "" || e.To == "" || strings.Contains(e.To, "->") {
			c.bad(at, "such as payments->postgres", "an edge is written from->to, not %q", e.Name)
			continue
		}
		c.known(at, "node", e.From, c.nodes)
		if c.known(at, "node", e.To, c.nodes) {
			c.port(items[i].At("port"), e.To, e.Port)
		}
	}
}

func (c *topology) steps(key string, steps []target.Step) {
	items := c.root.Get(key).Items()
	for i, s := range steps {
		c.known(items[i].At("node"), "node", s.Node, c.nodes)
		c.templates(s.Node, items[i].Get("exec"))
	}
}

func (c *topology) queries() {
	for i, q := range c.t.Settled {
		n := c.root.Get("settled").Items()[i]
		c.query(n, q)
		if q.Field == "" || q.Equals == nil {
			c.bad(n, "", "a settled query needs field and equals")
		}
	}
	for i, m := range c.t.Metrics {
		c.query(c.root.Get("metrics").Items()[i], target.Query{Node: m.Node, Port: m.Port, Path: m.Path})
	}
	if c.t.Logs != nil {
		for i, node := range c.t.Logs.Nodes {
			c.known(c.root.Get("logs").Get("nodes").Items()[i], "node", node, c.nodes)
		}
	}
	for name, q := range c.t.Audit {
		c.query(c.root.Get("audit").Get(name), q)
	}
	for name, k := range c.t.Clocks {
		n := c.root.Get("clocks").Get(name)
		c.known(c.root.Get("clocks").Key(name), "node", name, c.nodes)
		c.query(n.Get("read"), k.Read)
		c.query(n.Get("write"), k.Write)
	}
	for name, b := range c.t.Behaviours {
		n := c.root.Get("behaviours").Get(name)
		c.query(n.Get("read"), b.Read)
		c.query(n.Get("write"), b.Write)
		c.query(n.Get("stats"), b.Stats)
		for field := range b.Bites {
			c.known(n.Get("bites").Key(field), "field", field, n.Get("fields").Keys())
		}
		for field := range b.Shares {
			if b.Bites[field] == "" {
				c.bad(n.Get("shares").Key(field), "add it to bites", "field %s is a share of calls, and bites names no counter of those that it hit", field)
			}
		}
		if len(b.Bites) > 0 && n.Get("stats").Absent() {
			c.bad(n.At("bites"), "add stats:", "bites needs stats to read its counters from")
		}
	}
}

func (c *topology) query(n Node, q target.Query) {
	if n.Absent() {
		return
	}
	if c.known(n.At("node"), "node", q.Node, c.nodes) {
		c.port(n.At("port"), q.Node, q.Port)
		spec, _ := c.t.Node(q.Node)
		if p, ok := spec.Ports[q.Port]; ok && !p.Publish {
			c.bad(n.At("port"), "add publish: true to the port", "port %s of %s is not published, so the harness can't ask it", q.Port, q.Node)
		}
	}
	if q.Path != "" && !strings.HasPrefix(q.Path, "/") {
		c.bad(n.At("path"), "", "a path begins with /, not %q", q.Path)
	}
	c.templates("", n.Get("headers"))
}

// Published are the names of a node's ports that the harness can reach.
func Published(spec target.NodeSpec) (names []string) {
	for name, p := range spec.Ports {
		if p.Publish {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// refs maps the parameter names that refer to the topology in every kind's `with:` to what they
// refer to, so that one check gives each of them a position and the nearest name.
func (c *topology) refs() map[string][]string {
	var edges []string
	for _, e := range c.t.Edges {
		edges = append(edges, e.Name)
	}
	ops := keys(c.t.Ops)
	return map[string][]string{
		"edge": edges, "edges": edges, "node": c.nodes, "nodes": c.nodes,
		"peer": append(slices.Clone(c.nodes), target.ProxyNode),
		"op":   ops, "call": keys(c.t.Behaviours),
	}
}

// CheckRefs refuses names in a kind's parameters that the target does not have. By convention the
// keys edge, edges, node, nodes, peer, op and call refer to the target in every kind.
func CheckRefs(with Node, t *target.Topology) error {
	c := topology{t: t}
	for _, n := range t.Nodes {
		c.nodes = append(c.nodes, n.Name)
	}
	for key, valid := range c.refs() {
		for _, item := range with.Get(key).Items() {
			if text := item.Text(); text != "" {
				c.known(item, strings.TrimSuffix(key, "s"), text, valid)
			}
		}
	}
	return c.errs.Err()
}

func keys[T any](m map[string]T) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
