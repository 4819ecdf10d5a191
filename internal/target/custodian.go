package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"chaos/internal/journal"
)

// Custodian is a runtime's capability to tell whose things are whose, and to remove what dead
// processes left.
type Custodian interface {
	// Self is the owner that this process writes on what it makes.
	Self(ctx context.Context) (journal.Owner, error)
	// Alive tells whether the process that owner names still runs here; a recycled pid is not it. One that
	// nobody here can see, in another pid namespace, counts as alive.
	Alive(owner journal.Owner) bool
	// List returns all of ours that is there, whosever it is.
	List(ctx context.Context) ([]Found, error)
	// Sweep removes what processes of this user and machine left that are dead, as alive tells, and says in
	// words what it removed. Things kept on purpose and other people's are spared.
	Sweep(ctx context.Context, alive func(journal.Owner) bool) (removed []string, err error)
}

// Served is implemented by a custodian whose engine is a process of its own, which goes on with what a
// process had asked for that is dead now.
type Served interface {
	Custodian
	// UnderWay is for how long that may take.
	UnderWay() time.Duration
}

// Found is one thing of ours that a runtime sees: a container, a network, a process.
type Found struct {
	Kind   string // "container", "network", "process", "folder"
	ID     string
	Name   string
	Target string
	Suite  string
	Run    string
	Node   string // of a container or process
	State  string // of a container or process: running, paused, exited …
	Owner  journal.Owner
	Keep   bool            // outlives its owner on purpose
	Handle json.RawMessage // on one thing of each target: what Attach takes
}

// String names it for people.
func (f Found) String() string {
	return fmt.Sprintf("%s %s (suite %s, made by process %d)", f.Kind, f.Name, f.Suite, f.Owner.PID)
}

// ErrNotKept says that no kept target of that name is up.
var ErrNotKept = errors.New("is not up")

// AttachKept takes hold of the target that `target up` or `run --keep` left running. Of several it
// takes the one that the runtime lists first.
//
// It takes only what this user started on this machine, and nothing that a living process still uses.
func AttachKept(ctx context.Context, r Runtime, t *Topology) (System, error) {
	custodian, ok := r.(Custodian)
	if !ok {
		return nil, fmt.Errorf("target %s %w", t.Name, ErrNotKept)
	}
	self, err := custodian.Self(ctx)
	if err != nil {
		return nil, err
	}
	found, err := custodian.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		if len(f.Handle) == 0 || !f.Keep || f.Target != t.Name || f.Owner.UID != self.UID || f.Owner.Machine != self.Machine {
			continue
		}
		if custodian.Alive(f.Owner) {
			return nil, fmt.Errorf("target %s is in use by process %d", t.Name, f.Owner.PID)
		}
		return r.Attach(ctx, t, f.Handle)
	}
	return nil, fmt.Errorf("target %s %w", t.Name, ErrNotKept)
}
