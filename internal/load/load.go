// Package load is the protocol of load drivers: open-model generators that record each request
// with the time it was due.
package load

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// Session is what a driver is given for one run.
type Session struct {
	System   target.System
	Rand     *rand.Rand // the load's own stream, derived from the seed and the load's name
	Recorder journal.Recorder
	Run      string             // the run's id: 12 hex digits; every key begins with these 6 bytes
	Index    journal.OpID       // the load's index in RunInfo.Loads
	Acks     *Acks              // acknowledged ids, shared by all loads of the run
	Loads    []journal.LoadInfo // all loads of the run, by index: what one load prepares for itself is recorded as the load that drives that op
}

// Driver is a load kind with its parameters.
type Driver interface {
	// Info describes the load for plans and run.json. It needs nothing running.
	Info(t *target.Topology) (journal.LoadInfo, error)
	// Run drives the load until ctx is done, then finishes what is in flight (bounded by the client's
	// timeout) and returns. Requests planned but never sent are recorded as such. An error means that
	// the harness failed, never that the target did.
	Run(ctx context.Context, s Session) error
}

// Resolver replays requests whose outcome is unknown, with the same key, until it is known or ctx is done.
type Resolver interface {
	Resolve(ctx context.Context, s Session, unknown []journal.Sample) error
}

// Acks remembers ids of acknowledged requests per op, for loads that need them. The zero value is
// not usable; make one with NewAcks.
type Acks struct {
	mu    sync.Mutex
	rings map[string]*ring
	taken map[string]bool
}

type ring struct {
	ids  []string
	next int
	keep int
}

// NewAcks returns an empty memory.
func NewAcks() *Acks { return &Acks{rings: make(map[string]*ring), taken: make(map[string]bool)} }

// Want makes room for the newest keep ids under name. Add under a name nobody wants is a no-op.
func (a *Acks) Want(name string, keep int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.rings[name]; r == nil {
		a.rings[name] = &ring{keep: keep}
	} else {
		r.keep = max(r.keep, keep)
	}
}

// Claim is true for the first caller of a name only: the load that prepares its ids for all that need them.
func (a *Acks) Claim(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken[name] {
		return false
	}
	a.taken[name] = true
	return true
}

// Add remembers an id, forgetting the oldest when there is no room.
func (a *Acks) Add(name, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rings[name]
	switch {
	case r == nil:
	case len(r.ids) < r.keep:
		r.ids = append(r.ids, id)
	default:
		r.ids[r.next%len(r.ids)] = id
		r.next++
	}
}

// Len is how many ids are remembered under name.
func (a *Acks) Len(name string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.rings[name]; r != nil {
		return len(r.ids)
	}
	return 0
}

// Pick returns one of the remembered ids; ok is false when there is none.
func (a *Acks) Pick(name string, rng *rand.Rand) (id string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rings[name]
	if r == nil || len(r.ids) == 0 {
		return "", false
	}
	return r.ids[rng.IntN(len(r.ids))], true
}

// All returns a copy of what is remembered under name, oldest first as far as known.
func (a *Acks) All(name string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.rings[name]; r != nil {
		return slices.Clone(r.ids)
	}
	return nil
}
