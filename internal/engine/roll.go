package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
)

// errOver is why the rest of a fault that takes its places in turn is held back when its time is over.
var errOver = errors.New("the fault's time was over before its turn came")

// roll takes the actions of a fault to active one after the other, each when the one before has passed:
//
//	inject #1 ─▶ passed? ─▶ inject #2 ─▶ passed? ─▶ …        not passed, or the fault's time is over ─▶ the rest: held
//
// What is held back is no failure: a deployment that does not become ready is not rolled out any further. The journal says so, and the
// fault lasts on where it is. It is undone everywhere at once.
func (l *ledger) roll(ctx context.Context, r fault.Rolling, f Fault) error {
	until := l.book.Now() + f.For
	for i, a := range f.Actions {
		if err := safely(func() error { return l.inject(ctx, r, a) }); err != nil {
			return err
		}
		rest := f.Actions[i+1:]
		if len(rest) == 0 {
			break
		}
		why := l.passed(ctx, r, a, until)
		switch {
		case why == nil:
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(why, target.ErrUnresponsive):
			return why
		}
		return l.holdBack(rest, why)
	}
	return nil
}

// passed waits for a's place to let the next one have its turn, at most until the fault's time is over.
func (l *ledger) passed(ctx context.Context, r fault.Rolling, a fault.Action, until time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, max(0, until-l.book.Now()), errOver)
	defer cancel()
	err := safely(func() error { return r.Passed(ctx, l.sys, a) })
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// holdBack notes the actions that are not made, and why: in one line each, without the log that an error may end with.
func (l *ledger) holdBack(rest []fault.Action, why error) error {
	text, _, _ := strings.Cut(why.Error(), "\n")
	for _, a := range rest {
		if _, err := l.book.Append(journal.Event{Type: journal.EventHeld, Action: a.ID, Err: strings.TrimSuffix(text, target.LastLines)}); err != nil {
			return fmt.Errorf("writing that %s is held back: %w", a.ID, err)
		}
	}
	return nil
}
