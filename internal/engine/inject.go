package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// Notes is the journal of an injection: the event log, and whether it can still be written to.
type Notes interface {
	book
	Failed() <-chan struct{}
	Err() error
}

// Inject makes one fault by itself, without load and without phases, and heals it on every exit path:
//
//	run.start ─ arm ─ intent ─ inject ─ confirm ─ active ─ f.For ─ measure ─ revert ─ confirm ─ (f.Pause ─ arm …) ─ run.end
//	              └──────┴─────────┴───────┴────────┴───────┴──▶ on error, panic, Ctrl-C or an engine that goes silent: heal
//
// What bit, what was never seen and what is left is in the journal, as it is of a run. The error is the
// harness's failure, or ctx's.
func Inject(ctx context.Context, f Fault, sys target.System, n Notes) error {
	l := &ledger{sys: sys, book: n}
	if _, err := n.Append(journal.Event{Type: journal.EventRunStart}); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	hold, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-hold.Done():
		case <-n.Failed():
			cancel(fmt.Errorf("the journal failed: %w", n.Err()))
		}
	})
	if w, ok := sys.(target.Watcher); ok {
		watch.Go(func() {
			err := safely(func() error {
				l.listen(hold, func(ctx context.Context) error { _, err := w.Died(ctx); return err }, cancel)
				return nil
			})
			if err != nil {
				cancel(fmt.Errorf("the watch on the engine failed: %w", err))
			}
		})
	}
	endLease := keepLease(ctx, sys, sys.Topology(), cancel)
	why := safely(func() error { return l.hold(hold, f) })
	if cause := context.Cause(hold); why != nil && cause != nil {
		why = cause
	}
	if errors.Is(why, context.Canceled) {
		_, _ = n.Append(journal.Event{Type: journal.EventInterrupted}) // healing comes first
	}
	whole := context.WithoutCancel(ctx)
	healed := l.healAll(whole)
	if healed != nil && !unanswered(healed) {
		healed = l.healAll(whole) // a second chance; what stays is in the journal as stuck
	}
	endLease(healed == nil)
	cancel(nil)
	watch.Wait()
	if why != nil && !errors.Is(why, context.Canceled) {
		_, _ = n.Append(journal.Event{Type: journal.EventError, Err: why.Error()})
	}
	_, err := n.Append(journal.Event{Type: journal.EventRunEnd})
	if why == nil {
		why = n.Err()
	}
	return errors.Join(why, err)
}

// hold makes the fault, as often as it is to be made, and leaves the last time to be healed. One that stays stuck ends it.
func (l *ledger) hold(ctx context.Context, f Fault) error {
	next := l.book.Now()
	for k := range f.rounds() {
		if k > 0 && l.heal(ctx, f.ID) != nil {
			return nil // in the journal as stuck
		}
		if err := wait(ctx, next-l.book.Now()); err != nil {
			return err
		}
		next = max(next, l.book.Now()) + f.For + f.Pause
		once := f
		once.Actions = f.Round(k)
		if err := l.holdOnce(ctx, once); err != nil {
			return err
		}
	}
	return nil
}

// holdOnce makes the fault and waits for its time to pass. A fault that was injected and never seen is no
// error: it did not bite, and the journal says so.
func (l *ledger) holdOnce(ctx context.Context, f Fault) error {
	err := l.injectAll(ctx, f)
	switch {
	case err == nil:
		return wait(ctx, f.For)
	case errors.Is(err, errNotSeen) && ctx.Err() == nil:
		l.unseen(f, err)
		return nil
	}
	return err
}

// injectAll takes every action of a fault to active: all at once, unless the fault takes its places in turn.
func (l *ledger) injectAll(ctx context.Context, f Fault) error {
	if r, ok := f.Fault.(fault.Rolling); ok && r.InTurn() {
		return l.roll(ctx, r, f)
	}
	return errors.Join(target.Each(f.Actions, func(a fault.Action) error {
		return safely(func() error { return l.inject(ctx, f.Fault, a) })
	})...)
}

// unseen notes that a fault that was injected was never seen to be there: it did not bite.
func (l *ledger) unseen(f Fault, why error) {
	for _, a := range f.Actions {
		l.noteBite(a, verdict.Bite{Why: why.Error()}, 0)
	}
}
