package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// unready removes the target of a dead run that was to be kept (--keep) and that the run never saw ready:
// nobody ever had it, and sweeping spares what is kept.
func (a *app) unready(ctx context.Context, info journal.RunInfo, events []journal.Event, alive alive) (removed []string, err error) {
	if slices.ContainsFunc(events, func(e journal.Event) bool { return e.Type == journal.EventSystemReady }) {
		return nil, nil
	}
	runtime, err := a.runtimes().New(info.Runtime)
	if err != nil {
		return nil, fmt.Errorf("runtime of the run: %w", err)
	}
	custodian, ok := runtime.(target.Custodian)
	if !ok || alive(custodian, info.Owner) {
		return nil, nil
	}
	found, err := custodian.List(ctx)
	if errors.Is(err, target.ErrUnresponsive) {
		return nil, nil // the sweep says so
	}
	errs := []error{err}
	for _, f := range found {
		if len(f.Handle) == 0 || !f.Keep || f.Owner != info.Owner || f.Run != info.ID {
			continue
		}
		info.Handle = f.Handle
		system, err := a.attach(ctx, runtime, info)
		if err == nil {
			err = system.Close(ctx)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s was to be kept and never was ready: %w; to remove it: chaos target down", f, err))
			continue
		}
		removed = append(removed, f.String()+", which was to be kept and never was ready")
	}
	return removed, errors.Join(errs...)
}
