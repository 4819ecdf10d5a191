package dns

import (
	"fmt"
	"math/rand/v2"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// maxLatency bounds how late an answer may be: no client waits for longer.
const maxLatency = 10 * time.Minute

// Slow lets a node hear the right answer late.
type Slow struct {
	onName
	Edge    string        `yaml:"edge" doc:"whose caller looks its name up" optional:"true" one:"place" example:"payments->redis"`
	Node    string        `yaml:"node" doc:"name of the node that looks name up" optional:"true" one:"place"`
	Name    string        `yaml:"name" doc:"with node: the name that it looks up" optional:"true" example:"redis"`
	Latency time.Duration `yaml:"latency" doc:"how long each lookup is held before it is passed on" range:"1ms..10m" example:"2s"`
}

// Validate implements kind.Validator.
func (f *Slow) Validate() error {
	if f.Latency < time.Millisecond || f.Latency > maxLatency {
		return fmt.Errorf("%s: latency %v is not from 1ms to %v", kindSlow, f.Latency, maxLatency)
	}
	return nil
}

// Plan implements fault.Fault.
func (f *Slow) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return plan(kindSlow, name{f.Edge, f.Node, f.Name}, t, c, func(n *target.NameFault) { n.Late = f.Latency })
}
