package node

import (
	"math/rand/v2"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// Kill ends a node with SIGKILL, as a crash or the kernel's memory killer would. It stays down until
// reverted.
type Kill struct {
	onNode
	Node string `yaml:"node" doc:"name of the node in target.yaml" example:"redis"`
}

// Validate implements kind.Validator.
func (f *Kill) Validate() error {
	return valid(kindKill, f.Node, 0)
}

// Plan implements fault.Fault.
func (f *Kill) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return plan(kindKill, undoDown, args{Node: f.Node}, t, c, target.VerbSignal)
}
