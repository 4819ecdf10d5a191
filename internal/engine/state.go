package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// The state of every place that a fault can change is seen twice, and what differs was left behind by a
// fault whose own kind saw it gone:
//
//	gate ─▶ state.before ─▶ faults ─▶ … ─▶ last heal ─▶ state.after: as before? ── no ─▶ a node's own death? ── no ─▶ RESIDUE
const (
	stateWithin = 5 * time.Second        // for one look at all places; a container may have to be started for it
	sameWithin  = 2 * time.Second        // for a place to be as before, after the last heal
	sameEvery   = 100 * time.Millisecond // between two looks
)

// snapshot looks at all places once.
func snapshot(ctx context.Context, a target.Auditor) (journal.States, error) {
	ctx, cancel := context.WithTimeout(ctx, stateWithin)
	defer cancel()
	return a.Snapshot(ctx)
}

// stateBefore writes down how everything is before the first fault. What can't be seen is said, and not
// compared later.
func (r *run) stateBefore(ctx context.Context) error {
	a, ok := r.sys.(target.Auditor)
	if !ok || len(r.plan.Faults) == 0 {
		return nil
	}
	r.before, r.unseen = snapshot(ctx, a)
	detail, err := json.Marshal(r.before)
	if err != nil {
		return fmt.Errorf("encoding the state before the faults: %w", err)
	}
	ev := journal.Event{Type: journal.EventStateBefore, Detail: detail}
	if r.unseen != nil {
		ev.Err = r.unseen.Error()
	}
	if _, err := r.j.Append(ev); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// stateAfter compares what is there now with what was there before the faults. What differs gets a moment;
// an engine that does not answer gets none.
func (r *run) stateAfter(ctx context.Context) error {
	a, ok := r.sys.(target.Auditor)
	if !ok || len(r.before) == 0 {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, sameWithin)
	defer cancel()
	var changed []journal.StateChange
	var unseen error
	for {
		var after journal.States
		after, unseen = snapshot(ctx, a)
		changed = r.changes(after, unseen)
		if len(changed) == 0 || errors.Is(unseen, target.ErrUnresponsive) || !pause(within, sameEvery) {
			break
		}
	}
	// A node may have died by itself since the watch on nodes ended.
	if w, ok := r.sys.(target.Watcher); ok && slices.ContainsFunc(changed, func(c journal.StateChange) bool { return c.Down != "" }) {
		_ = r.noteDeaths(ctx, w) // what can't be seen now is named as left
	}
	detail, err := json.Marshal(journal.Comparison{Places: len(r.before), Changed: changed})
	if err != nil {
		return fmt.Errorf("encoding what was left: %w", err)
	}
	ev := journal.Event{Type: journal.EventStateAfter, Detail: detail}
	if unseen != nil {
		ev.Err = unseen.Error()
	}
	if _, err := r.j.Append(ev); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// changes are the places that are not as before, by name. A place that was seen before and can't be seen
// now is one of them: what can't be seen is not healed.
func (r *run) changes(after journal.States, unseen error) (changed []journal.StateChange) {
	t := r.plan.Topology
	add := func(place, before, now string) {
		c := journal.StateChange{Place: place, Before: before, After: now}
		node := target.Carrier(t, place)
		if state := after["node:"+node]; state == target.StateDown || state == target.StateGone {
			c.Down = node
		}
		changed = append(changed, c)
	}
	for _, place := range slices.Sorted(maps.Keys(r.before)) {
		now, seen := after[place]
		switch {
		case !seen && unseen != nil:
			add(place, r.before[place], journal.StateUnseen)
		case !seen:
			add(place, r.before[place], journal.StateAbsent)
		case now != r.before[place]:
			add(place, r.before[place], now)
		}
	}
	for _, place := range slices.Sorted(maps.Keys(after)) {
		if _, seen := r.before[place]; !seen && r.unseen == nil {
			add(place, journal.StateAbsent, after[place])
		}
	}
	return changed
}
