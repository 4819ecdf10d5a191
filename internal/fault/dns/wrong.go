package dns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// Itself is the node's own address, where mostly nobody listens on the port: connections are refused, and nothing
// leaves the node.
const Itself = "127.0.0.1"

// Wrong lets a node hear a wrong address.
type Wrong struct {
	onName
	Edge   string `yaml:"edge" doc:"whose caller looks its name up" optional:"true" one:"place" example:"payments->redis"`
	Node   string `yaml:"node" doc:"name of the node that looks name up" optional:"true" one:"place"`
	Name   string `yaml:"name" doc:"with node: the name that it looks up" optional:"true" example:"redis"`
	Answer string `yaml:"answer" doc:"what it hears: another node of the target, a loopback address, or one of 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24, which should be nobody's" default:"127.0.0.1"`
}

// Plan implements fault.Fault. An answer that is somebody else's is refused: what a target sends stays in it.
func (f *Wrong) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if _, node := t.Node(f.Answer); !node && !harmless(f.Answer) {
		return nil, fmt.Errorf("%s: the answer %q is neither a node of target %s nor an address that is nobody's: what a node sends there must reach nobody else. "+
			"Write a node's name, 127.0.0.1 (refused), or an address for documents such as 203.0.113.1 (lost)", kindWrong, f.Answer, t.Name)
	}
	return plan(kindWrong, name{f.Edge, f.Node, f.Name}, t, c, func(n *target.NameFault) { n.Answer = f.Answer })
}

// harmless tells whether an IPv4 address is loopback, or for documents.
func harmless(text string) bool {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return false
	}
	for _, net := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"} {
		if netip.MustParsePrefix(net).Contains(a) {
			return true
		}
	}
	return a.IsLoopback()
}
