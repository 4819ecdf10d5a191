package docker

import (
	"errors"
	"fmt"
	"time"

	"chaos/internal/collect"
	"chaos/internal/target"
)

// proxyImage is the key of the image that holds the chaos binary. A target may name its own recipe for
// it; mostly none does.
const proxyImage = "chaos"

// proxyReady is how long the proxy may take to answer.
const proxyReady = 10 * time.Second

// proxySpec is the built-in node that carries every edge. It may connect to the nodes behind the edges
// and to nothing else, and it looks their names up at each dial.
func proxySpec(t *target.Topology) (target.NodeSpec, error) {
	command := []string{"proxy", "--host", "0.0.0.0", "--port", fmt.Sprint(proxyPort)}
	for _, e := range t.Edges {
		to, err := target.Upstream(t, places{t}, e)
		if err != nil {
			return target.NodeSpec{}, err
		}
		command = append(command, "--allow-upstream", to)
	}
	return target.NodeSpec{
		Name: target.ProxyNode, Image: proxyImage, Command: command, Stateful: true, Memory: "256MiB",
		Ports: map[string]target.Port{"api": {Port: proxyPort, Publish: true}},
		Ready: &target.Health{HTTP: "/version", Port: "api", Within: proxyReady},
	}, nil
}

// builtins are the nodes that are not in target.yaml: the proxy and, where it is wanted, the collector.
func builtins(t *target.Topology) ([]target.NodeSpec, error) {
	proxy, err := proxySpec(t)
	if err != nil {
		return nil, err
	}
	all := []target.NodeSpec{proxy}
	if collector, ok := t.Collector(proxyImage, places{t}.Listen(), collect.DefaultPort); ok {
		all = append(all, collector)
	}
	return all, nil
}

// check refuses what this runtime can't start, before anything is touched.
func check(t *target.Topology) error {
	errs := []error{target.Check(t)}
	if len(t.Edges) > maxEdges {
		errs = append(errs, fmt.Errorf("%d edges: at most %d", len(t.Edges), maxEdges))
	}
	for _, n := range t.Nodes {
		errs = append(errs, checkNode(t, n))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("target %s on docker: %w", t.Name, err)
	}
	return nil
}

func checkNode(t *target.Topology, n target.NodeSpec) error {
	var errs []error
	switch image, ok := t.Image[n.Image]; {
	case !ok && n.Image != proxyImage:
		errs = append(errs, fmt.Errorf("there is no image %q", n.Image))
	case ok && image.Pull == "" && image.Build == nil:
		errs = append(errs, fmt.Errorf("image %s can only be had on runtime process: it has neither pull nor build", n.Image))
	}
	if _, err := userOf(n); err != nil {
		errs = append(errs, err)
	}
	if _, err := parseBytes(n.Memory); err != nil {
		errs = append(errs, fmt.Errorf("memory: %w", err))
	}
	switch _, err := parseBytes(n.VolumeSize); {
	case n.VolumeSize == "":
	case err != nil:
		errs = append(errs, fmt.Errorf("volume_size: %w", err))
	case !n.Stateful || len(n.Volumes) == 0:
		errs = append(errs, errors.New("volume_size is for the volumes of a stateful node"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return nil
}

// spec returns a node of the topology, or the proxy.
func (s *System) spec(node string) (target.NodeSpec, bool) {
	for _, n := range s.builtins {
		if n.Name == node {
			return n, true
		}
	}
	return s.topology.Node(node)
}
