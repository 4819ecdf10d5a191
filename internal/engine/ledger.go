package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// ActiveWithin is how long a fault may take to be seen after it was injected.
const ActiveWithin = 5 * time.Second

// MeasureWithin bounds the reading of what a fault did; it is read before the revert, so it delays it. A Docker
// engine that is asked for statistics twice within a second answers the second time a second later, and a container
// that looks at packet rules takes a second or two to start on a busy machine. Each call to an engine has a deadline
// of its own besides, so one that does not answer is not waited for that long.
const MeasureWithin = 5 * time.Second

// confirmEvery is the pause between two observations while waiting for a fault to appear or to go.
const confirmEvery = 20 * time.Millisecond

// errNotSeen marks a fault that was injected without an error and yet never seen to be there.
var errNotSeen = errors.New("the fault was not seen")

// state is where one action is; see the drawing in package fault.
type state uint8

const (
	planned state = iota
	intended
	active
	reverted
	stuck
)

// entry is one line of the undo ledger.
type entry struct {
	action fault.Action
	kind   fault.Fault
	state  state
	active time.Duration // when it became active
	silent error         // why the last revert had no answer
	asked  time.Time     // when that was
	turn   turn          // held while the action is injected or healed: nobody heals half an inject twice at once
}

func newEntry(a fault.Action, k fault.Fault) *entry {
	return &entry{action: a, kind: k, turn: make(turn, 1)}
}

// turn is a lock that may be held for seconds. It is waited for on a channel, so that virtual time passes meanwhile.
type turn chan struct{}

func (t turn) take() { t <- struct{}{} }
func (t turn) pass() { <-t }

// try takes it unless it is taken.
func (t turn) try() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

// ledger is the undo ledger of a run: each intent is on disk before its fault is made, and every
// entry is healed on every exit path.
type ledger struct {
	sys  target.System
	book book

	mu      sync.Mutex
	entries []*entry
	closed  bool // no new fault starts once healing of the whole run has begun
}

// book is the little of a Journal that the ledger writes to.
type book interface {
	Now() time.Duration
	Append(journal.Event) (journal.Event, error)
}

// errClosed says that the run is being healed, so no new fault starts.
var errClosed = errors.New("the run is ending: no new fault starts")

// inject takes one action from planned to active. When it fails, the entry is healed by healAll like
// any other, since nobody knows how far it came.
func (l *ledger) inject(ctx context.Context, f fault.Fault, a fault.Action) error {
	armed, err := f.Arm(ctx, l.sys, a)
	if err != nil {
		return fmt.Errorf("arming %s on %s: %w", a.ID, a.Place, err)
	}
	e := newEntry(armed, f)
	e.turn.take()
	defer e.turn.pass()
	if err := l.intend(e); err != nil {
		return err
	}
	if err := f.Inject(ctx, l.sys, armed); err != nil {
		return fmt.Errorf("injecting %s on %s: %w", a.ID, a.Place, err)
	}
	seen, cancel := context.WithTimeout(ctx, ActiveWithin)
	defer cancel()
	if err := l.confirm(seen, e, true); err != nil {
		return fmt.Errorf("%s on %s: %w: %w", a.ID, a.Place, errNotSeen, err)
	}
	ev, err := l.book.Append(journal.Event{Type: journal.EventActive, Action: a.ID})
	if err != nil {
		return fmt.Errorf("writing that %s is active: %w", a.ID, err)
	}
	e.state, e.active = active, ev.At
	return nil
}

// intend puts the action on disk, with all that undo needs, before anything is touched.
func (l *ledger) intend(e *entry) error {
	detail, err := json.Marshal(e.action)
	if err != nil {
		return fmt.Errorf("encoding the intent of %s: %w", e.action.ID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	if _, err := l.book.Append(journal.Event{Type: journal.EventIntent, Action: e.action.ID, Detail: detail}); err != nil {
		return fmt.Errorf("writing the intent of %s: %w", e.action.ID, err)
	}
	e.state = intended
	l.entries = append(l.entries, e)
	return nil
}

// confirm polls until the fault is seen to be there (or gone), or ctx is done.
func (l *ledger) confirm(ctx context.Context, e *entry, want bool) error {
	for {
		err := e.kind.Confirm(ctx, l.sys, e.action, want)
		if err == nil {
			return nil
		}
		if errors.Is(err, target.ErrUnresponsive) || !pause(ctx, confirmEvery) {
			return err
		}
	}
}

// heal measures and reverts the entries of one fault. Errors are of entries that stay stuck.
func (l *ledger) heal(ctx context.Context, faultID string) error {
	return l.healEntries(ctx, func(e *entry) bool { return e.action.Fault == faultID })
}

// healAll ends the ledger: no new fault starts, and everything that may be there is reverted.
func (l *ledger) healAll(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.healEntries(ctx, func(*entry) bool { return true })
}

// healEntries heals places in parallel and, inside one place, the youngest first. It can't be
// cancelled: each action has its own deadline.
func (l *ledger) healEntries(ctx context.Context, pick func(*entry) bool) error {
	l.mu.Lock()
	places := make(map[string][]*entry)
	for _, e := range slices.Backward(l.entries) {
		if pick(e) {
			places[e.action.Place] = append(places[e.action.Place], e)
		}
	}
	l.mu.Unlock()

	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, entries := range places {
		wg.Go(func() {
			for _, e := range entries {
				if err := safely(func() error { return l.healOne(context.WithoutCancel(ctx), e) }); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// healOne takes one entry to reverted, or to stuck when its deadline passes.
func (l *ledger) healOne(ctx context.Context, e *entry) error {
	e.turn.take()
	defer e.turn.pass()
	if e.state == reverted || e.state == planned {
		return nil
	}
	if e.silent != nil && time.Since(e.asked) < SilentFor {
		return e.silent // nobody answers that soon
	}
	within := e.action.Heal
	if e.state == active {
		began := time.Now()
		if err := l.measure(ctx, e); unanswered(err) { // then its time is the deadline's
			within = max(within-time.Since(began), within/2)
		}
	}
	_, noted := l.book.Append(journal.Event{Type: journal.EventReverting, Action: e.action.ID})

	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	failed, err := l.revert(ctx, e)
	if err != nil {
		e.state = stuck
		err = fmt.Errorf("%s on %s is still there: %w; to heal it: %s", e.action.ID, e.action.Place, err, e.action.Undo)
		e.silent = nil
		if unanswered(err) {
			e.silent, e.asked = err, time.Now()
		}
		_, stuckNoted := l.book.Append(journal.Event{Type: journal.EventStuck, Action: e.action.ID, Err: err.Error()})
		return errors.Join(err, noted, stuckNoted)
	}
	e.state = reverted
	ev := journal.Event{Type: journal.EventReverted, Action: e.action.ID}
	if failed != nil {
		ev.Detail = quote("at the first try: " + failed.Error())
	}
	_, err = l.book.Append(ev)
	return errors.Join(noted, err)
}

// revert tries until the fault is seen to be gone or the action's heal deadline passes. An engine that
// does not answer is not waited for. first is why the first try failed, if it did: it may say something of
// the target that later tries have mended.
func (l *ledger) revert(ctx context.Context, e *entry) (first, err error) {
	for {
		err := safely(func() error { return e.kind.Revert(ctx, l.sys, e.action) })
		if err == nil {
			err = safely(func() error { return e.kind.Confirm(ctx, l.sys, e.action, false) })
		}
		if err == nil {
			return first, nil
		}
		if first == nil {
			first = err
		}
		if errors.Is(err, target.ErrUnresponsive) || !pause(ctx, confirmEvery) {
			return first, err
		}
	}
}

// measure reads what the fault did and appends it. What can't be measured did not bite, as far as
// anybody can prove.
func (l *ledger) measure(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(ctx, MeasureWithin)
	defer cancel()
	var bite verdict.Bite
	err := safely(func() (err error) {
		bite, err = e.kind.Measure(ctx, l.sys, e.action)
		return err
	})
	if err != nil {
		bite.Bit, bite.Why = false, "could not be measured: "+err.Error()
	}
	l.noteBite(e.action, bite, l.book.Now()-e.active)
	e.state = intended // measured once; from here on it only has to be reverted
	return err
}

func (l *ledger) noteBite(a fault.Action, bite verdict.Bite, lasted time.Duration) {
	bite.Fault, bite.Action, bite.Kind, bite.Place, bite.Active = a.Fault, a.ID, a.Kind, a.Place, lasted
	detail, err := json.Marshal(bite)
	ev := journal.Event{Type: journal.EventMeasured, Action: a.ID, Detail: detail}
	if err != nil {
		ev.Err = err.Error()
	}
	// A journal that can't be written makes the run ERROR by itself; healing goes on without it.
	_, _ = l.book.Append(ev)
}

// under returns the nodes that a fault is on now, so that their death is nobody's surprise.
func (l *ledger) under() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	nodes := make(map[string]bool)
	for _, e := range l.entries {
		// e.state is guarded by e.turn, which may be held for seconds; a place that ever was under fault and
		// is not known to be healed counts.
		if e.turn.try() {
			if e.state != reverted {
				nodes[strings.TrimPrefix(e.action.Place, "node:")] = true
			}
			e.turn.pass()
		} else {
			nodes[strings.TrimPrefix(e.action.Place, "node:")] = true
		}
	}
	return nodes
}

// pause waits for d; false when ctx was done first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
