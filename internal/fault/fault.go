// Package fault is the protocol of fault kinds. A fault is data (Action) plus five verbs on it, so
// that another process can undo what a dead one did.
//
//	        Plan            Arm + fsync          Inject, Confirm(true)
//	(spec) ──────▶ planned ─────────────▶ intended ─────────────────▶ active
//	                                         │                          │ Measure
//	                                         │ Revert, Confirm(false)   │ Revert, Confirm(false)
//	                                         ▼                          ▼
//	                                      reverted ◀───────────────── reverted
//	                                         ▲
//	                         heal succeeds   │   (a revert that fails: stuck → RESIDUE, named)
//	                                       stuck
package fault

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"chaos/internal/target"
	"chaos/internal/verdict"
)

// Action is one fault on one place: all that undo needs, as data.
type Action struct {
	ID     string          `json:"id"`               // <fault id>#<n>
	Fault  string          `json:"fault"`            // the fault's id in the experiment
	Kind   string          `json:"kind"`             // the fault kind, which knows how to revert it
	Place  string          `json:"place"`            // the node or edge; places heal in parallel, LIFO inside one
	Args   json.RawMessage `json:"args,omitempty"`   // what was asked
	Before json.RawMessage `json:"before,omitempty"` // what was there before, filled by Arm
	Undo   string          `json:"undo"`             // the undo in words, for plan and for RESIDUE
	Heal   time.Duration   `json:"heal_ns"`          // deadline for Revert and Confirm(false)
}

// Fault is one kind of fault with its parameters. All but Plan work from the Action alone: a zero
// value of the kind can revert what another process injected.
type Fault interface {
	// Plan picks the victims and returns one action each. It is pure and needs nothing running; ID and
	// Fault are filled in by the caller.
	Plan(t *target.Topology, c target.Capabilities, rng *rand.Rand) ([]Action, error)
	// Arm only observes. It returns the action with Before filled in, after which the intent is fsynced.
	Arm(ctx context.Context, s target.System, a Action) (Action, error)
	// Inject makes the fault.
	Inject(ctx context.Context, s target.System, a Action) error
	// Confirm only observes: nil when the fault is seen to be there (active) or gone (!active).
	Confirm(ctx context.Context, s target.System, a Action, active bool) error
	// Measure reads what the fault did since Inject, before it is reverted. Bit is false when it touched nothing.
	Measure(ctx context.Context, s target.System, a Action) (verdict.Bite, error)
	// Revert is idempotent, right after a half-done Inject, and works in a new process.
	Revert(ctx context.Context, s target.System, a Action) error
}

// ErrNotPermitted is why a Permitted kind did nothing: the user did not say its flag.
var ErrNotPermitted = errors.New("not allowed")

// Permitted is implemented by kinds that act outside of the target, such as by running commands of the
// experiment on this machine. None of their verbs but Plan does anything until Allow was called, so that
// whoever heals from a journal has to ask first. When the target is gone, what they did is not gone with it:
// they are reverted with a nil System.
type Permitted interface {
	Fault
	Allow()
	// Flag is what the user has to say for it, such as --allow-exec.
	Flag() string
}

// Rolling is implemented by kinds that can take their places one after the other, as a rolling deployment does.
type Rolling interface {
	Fault
	// InTurn tells whether this one does.
	InTurn() bool
	// Passed waits until the place of a, where the fault is there, lets the next one have its turn. An error says why it does not: the
	// rest is held back, and that is no failure of the fault.
	Passed(ctx context.Context, s target.System, a Action) error
}

// Cyclic is implemented by kinds that come and go for as long as they last: the engine makes them again and again, each time
// with an intent, a measurement and an undo of its own.
type Cyclic interface {
	Fault
	// Cycle is how long it is there each time, and how long it is away in between.
	Cycle() (there, away time.Duration)
}
