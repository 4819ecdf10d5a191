// Package engine runs a plan: phases, schedule, undo ledger, guards. It knows protocols only; which
// kinds exist is internal/catalog's business, what the numbers mean is judge's.
package engine

import (
	"fmt"
	"time"

	"chaos/internal/check"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/load"
	"chaos/internal/probe"
	"chaos/internal/target"
)

// Gap is the last second of phase baseline. It belongs to no window, so that a request due before the
// fault can't be hit by it and count as baseline.
const Gap = time.Second

// Phases are the lengths of a run's phases. Settle is a deadline, not a length.
type Phases struct {
	Warmup, Baseline, Fault, Recovery, Settle time.Duration
}

// Load is a load with its name in the experiment.
type Load struct {
	Name   string
	Driver load.Driver
}

// Fault is one fault of the timeline.
type Fault struct {
	ID      string
	Kind    string
	Fault   fault.Fault
	After   Moment         // what At counts from
	At, For time.Duration  // when it starts, and how long each activation lasts
	Times   int            // activations; 0 is 1
	Pause   time.Duration  // from the planned end of one activation to the start of the next
	Actions []fault.Action // of the first activation
}

// Probe is what is asked each second, with the name of its source in readings.
type Probe struct {
	Source string
	Probe  probe.Probe
}

// Plan is one run of one variant, resolved: all that Run needs.
type Plan struct {
	Info     journal.RunInfo // complete but for Handle, Images and Machine, which are known once the target is up
	Topology *target.Topology
	Phases   Phases
	Loads    []Load
	Faults   []Fault
	Checks   []check.Check // all of them; those on window "baseline" are also the gate
	Guards   []check.Guard
	Probes   []Probe
}

// Validate refuses what must not be started: a fault that reaches past its phase, an empty load.
func (p *Plan) Validate() error {
	if len(p.Loads) == 0 {
		return fmt.Errorf("no load: an experiment without load proves nothing")
	}
	all, err := p.Spans()
	if err != nil {
		return err
	}
	for _, f := range p.Faults {
		if end := all[f.ID][f.rounds()-1].To; end > p.Phases.Fault {
			return fmt.Errorf("fault %s: it ends at %v, past the end of phase fault (%v)", f.ID, end, p.Phases.Fault)
		}
	}
	return nil
}
