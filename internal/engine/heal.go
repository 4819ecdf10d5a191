package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
)

// Outstanding returns the actions that a dead run intended and never saw reverted, oldest first: what
// its journal says may still be there. One that was reverted is there again when its place was afterwards
// not as it was before the faults, and nobody's death explains that.
func Outstanding(events []journal.Event) ([]fault.Action, error) {
	var order []string
	open := make(map[string]fault.Action)
	known := make(map[string]fault.Action)
	var errs []error
	for _, ev := range events {
		switch ev.Type {
		case journal.EventIntent:
			var a fault.Action
			if err := json.Unmarshal(ev.Detail, &a); err != nil {
				errs = append(errs, fmt.Errorf("intent %s (event %d) can't be read: %w", ev.Action, ev.Seq, err))
				continue
			}
			if _, seen := known[a.ID]; !seen {
				order = append(order, a.ID)
			}
			open[a.ID], known[a.ID] = a, a
		case journal.EventReverted, journal.EventHealed:
			delete(open, ev.Action)
		case journal.EventStateAfter:
			var c journal.Comparison
			if err := json.Unmarshal(ev.Detail, &c); err != nil {
				errs = append(errs, fmt.Errorf("what was left (event %d) can't be read: %w", ev.Seq, err))
			}
			for _, change := range c.Unexplained(events) {
				for id, a := range known {
					if change.On(a.Place) {
						open[id] = a
					}
				}
			}
		}
	}
	var actions []fault.Action
	for _, id := range order {
		if a, ok := open[id]; ok {
			actions = append(actions, a)
		}
	}
	return actions, errors.Join(errs...)
}

// HealBook is the journal of a dead run, opened to write down what healed it.
type HealBook interface {
	Append(journal.Event) (journal.Event, error)
}

// healBook gives a dead run's journal the clock that the ledger asks for.
type healBook struct {
	HealBook
	start time.Time
}

func (b healBook) Now() time.Duration { return time.Since(b.start) }

// Heal reverts what a dead run left, in this process, from its journal alone: places in parallel, the
// youngest first inside one place. kinds finds the fault kind that knows the undo. A nil sys means that
// the target is gone, and every fault on it; what a kind did outside of it is reverted all the same. It returns the ids that are healed now.
func Heal(ctx context.Context, actions []fault.Action, kinds func(string) (fault.Fault, error), sys target.System, b HealBook) ([]string, error) {
	l := &ledger{sys: sys, book: healBook{b, time.Now()}}
	var gone []fault.Action
	var errs []error
	for _, a := range actions {
		k, err := kinds(a.Kind)
		_, outside := k.(fault.Permitted)
		switch {
		case sys == nil && !outside && !errors.Is(err, fault.ErrNotPermitted):
			gone = append(gone, a)
		case err != nil:
			errs = append(errs, fmt.Errorf("%s on %s: %w; to heal it: %s", a.ID, a.Place, err, a.Undo))
		default:
			e := newEntry(a, k)
			e.state = intended
			l.entries = append(l.entries, e)
		}
	}
	healed, err := healGone(gone, b)
	errs = append(errs, err, l.healAll(ctx))
	for _, e := range l.entries {
		if e.state == reverted {
			healed = append(healed, e.action.ID)
		}
	}
	return healed, errors.Join(errs...)
}

func healGone(actions []fault.Action, b HealBook) ([]string, error) {
	var healed []string
	for _, a := range actions {
		ev := journal.Event{Type: journal.EventHealed, Action: a.ID, Detail: quote("the target is gone, and the fault with it")}
		if _, err := b.Append(ev); err != nil {
			return healed, fmt.Errorf("writing that %s is healed: %w", a.ID, err)
		}
		healed = append(healed, a.ID)
	}
	return healed, nil
}
