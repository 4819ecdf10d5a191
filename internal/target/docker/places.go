package docker

import (
	"net"
	"strconv"

	"chaos/internal/collect"
	"chaos/internal/target"
)

// Ports inside the target's network.
const (
	proxyPort = 8474  // control API of the proxy, as stock Toxiproxy's
	linkPort  = 20000 // first listen port of the links; one more for each edge, in the order of target.yaml
	maxEdges  = 1000
)

// places says where things are on the target's network: nodes are known by their names, listen on the
// numbers that target.yaml gives, and have their folders where it says.
type places struct{ t *target.Topology }

func (p places) Address(node, port string) string {
	if port == "" {
		return node
	}
	return net.JoinHostPort(node, strconv.Itoa(p.Port(node, port)))
}

func (p places) Link(i int) string {
	return net.JoinHostPort(p.t.Edges[i].Host(), strconv.Itoa(linkPort+i))
}

func (p places) Collector() string {
	return net.JoinHostPort(target.CollectorNode, strconv.Itoa(collect.DefaultPort))
}

func (p places) Listen() string { return "0.0.0.0" }

func (p places) Port(node, port string) int {
	n, _ := p.t.Node(node)
	return n.Ports[port].Port
}

func (p places) Dir(_, path string) string { return path }

// expander fills in the functions of target.yaml for this target.
func (s *System) expander() target.Expander {
	return target.Expander{Topology: s.topology, Places: places{s.topology}, Secrets: s.secrets}
}
