package node

import (
	"math/rand/v2"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// Stop ends a node as an operator would: SIGTERM, a grace, SIGKILL. It stays down until reverted.
type Stop struct {
	onNode
	Node  string        `yaml:"node" doc:"name of the node in target.yaml" example:"redis"`
	Grace time.Duration `yaml:"grace" doc:"how long it may take to end by itself before SIGKILL" default:"2s" range:"0s..1m"`
}

// Validate implements kind.Validator.
func (f *Stop) Validate() error {
	return valid(kindStop, f.Node, f.Grace)
}

// Plan implements fault.Fault.
func (f *Stop) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return plan(kindStop, undoDown, args{Node: f.Node, Grace: f.Grace}, t, c, target.VerbSignal)
}
