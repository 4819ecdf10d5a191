package dns

import (
	"math/rand/v2"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// NoSuchHost lets a node hear that one name is no host's.
type NoSuchHost struct {
	onName
	Edge string `yaml:"edge" doc:"whose caller looks its name up" optional:"true" one:"place" example:"payments->redis"`
	Node string `yaml:"node" doc:"name of the node that looks name up" optional:"true" one:"place"`
	Name string `yaml:"name" doc:"with node: the name that it looks up" optional:"true" example:"redis"`
}

// Plan implements fault.Fault.
func (f *NoSuchHost) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	return plan(kindNoSuchHost, name{f.Edge, f.Node, f.Name}, t, c, func(n *target.NameFault) { n.NoSuchHost = true })
}
