package node

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// CrashLoop kills a node again and again, as a program does that crashes whenever its supervisor starts it. Each crash is a fault
// of its own to the ledger, healed before the next one.
//
//	├─ down ─┤── up ──┤─ down ─┤── up ──┤─ down ─┤
//	kill     start    kill     start    kill     start
type CrashLoop struct {
	onNode
	Node string        `yaml:"node" doc:"name of the node in target.yaml" example:"payments"`
	Up   time.Duration `yaml:"up" doc:"from its start until it crashes again" default:"5s" range:"100ms..10m"`
	Down time.Duration `yaml:"down" doc:"from a crash until it is started again: the supervisor's backoff" default:"2s" range:"100ms..10m"`
}

const (
	defaultUp   = 5 * time.Second
	defaultDown = 2 * time.Second
	leastPart   = 100 * time.Millisecond
	mostPart    = 10 * time.Minute
)

var _ fault.Cyclic = (*CrashLoop)(nil)

// Validate implements kind.Validator.
func (f *CrashLoop) Validate() error {
	if err := valid(kindCrashLoop, f.Node, 0); err != nil {
		return err
	}
	if min(f.Up, f.Down) < leastPart || max(f.Up, f.Down) > mostPart {
		return fmt.Errorf("%s: up %v and down %v must be from %v to %v", kindCrashLoop, f.Up, f.Down, leastPart, mostPart)
	}
	return nil
}

// Cycle implements fault.Cyclic.
func (f *CrashLoop) Cycle() (there, away time.Duration) { return f.Down, f.Up }

// Plan implements fault.Fault: one crash, which the engine repeats.
func (f *CrashLoop) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return plan(kindCrashLoop, undoDown, args{Node: f.Node}, t, c, target.VerbSignal)
}

// names are the keys of a mapping in one line.
func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }
