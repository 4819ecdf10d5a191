package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

var _ target.Served = (*Runtime)(nil)

// Self is the owner that this process writes on what it makes.
func (r *Runtime) Self(ctx context.Context) (owner journal.Owner, err error) {
	d, err := dial(ctx)
	if err != nil {
		return journal.Owner{}, err
	}
	defer func() { err = errors.Join(err, d.cli.Close()) }()
	return (&System{d: d}).self(ctx)
}

// Alive tells whether the process that owner names still runs on this machine.
func (r *Runtime) Alive(owner journal.Owner) bool { return target.Alive(owner) }

// List returns all that carries our labels on the engine.
func (r *Runtime) List(ctx context.Context) ([]target.Found, error) { return List(ctx) }

// Sweep removes what dead processes of this user and machine left on the engine.
func (r *Runtime) Sweep(ctx context.Context, alive func(journal.Owner) bool) ([]string, error) {
	owner, err := r.Self(ctx)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return Sweep(ctx, owner, alive)
}

// UnderWay implements target.Served: what a killed process had asked the engine for is there within this.
func (r *Runtime) UnderWay() time.Duration { return answerWithin }
