package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// Self is the owner that this process writes on what it makes.
func (r *Runtime) Self(context.Context) (journal.Owner, error) { return self() }

// Alive tells whether the process that owner names still runs on this machine.
func (r *Runtime) Alive(owner journal.Owner) bool { return target.Alive(owner) }

// List returns the folder of every target of this user on this machine, and its processes that run.
func (r *Runtime) List(context.Context) ([]target.Found, error) {
	dirs, err := r.suites()
	var found []target.Found
	for _, dir := range dirs {
		rec, err := readRecord(dir)
		if err != nil {
			continue // going, or of another version: Sweep names those
		}
		one := target.Found{Target: rec.Target, Suite: rec.Suite, Run: rec.Run, Owner: rec.Owner, Keep: rec.Keep}
		folder := one
		folder.Kind, folder.Name, folder.ID = "folder", dir, rec.Suite
		folder.Handle = (&System{suite: rec.Suite}).Handle()
		found = append(found, folder)
		for node, p := range rec.Nodes {
			if st := stateOf(p); st.Running {
				of := one
				of.Kind, of.Node, of.Name, of.ID = "process", node, fmt.Sprintf("%s, pid %d", node, p.PID), fmt.Sprint(p.PID)
				of.State = map[bool]string{true: "paused", false: "running"}[st.Paused]
				found = append(found, of)
			}
		}
	}
	return found, err
}

// Sweep ends what dead processes of this user left, by their records, and removes their folders. It
// says in words what it removed. Kept targets and those of living processes are spared.
func (r *Runtime) Sweep(ctx context.Context, alive func(journal.Owner) bool) (removed []string, err error) {
	self, err := self()
	if err != nil {
		return nil, err
	}
	dirs, err := r.suites()
	errs := []error{err}
	for _, dir := range dirs {
		rec, err := readRecord(dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
			line, err := r.orphan(ctx, dir)
			removed = append(removed, line...)
			errs = append(errs, err)
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w: end its processes by hand, then remove the folder", dir, err))
			continue
		case rec.Keep || rec.Owner.UID != self.UID || rec.Owner.Machine != self.Machine || alive(rec.Owner):
			continue
		}
		lines, err := remove(ctx, dir, rec)
		removed = append(removed, lines...)
		errs = append(errs, err)
	}
	half, err := filepath.Glob(filepath.Join(r.scratch(), gonePrefix+"*"))
	errs = append(errs, err)
	for _, dir := range half {
		errs = append(errs, os.RemoveAll(dir))
	}
	return removed, errors.Join(errs...)
}

// orphan removes a folder without a record: what somebody who died right then had made, or what went on
// writing after everything was removed. Who makes a folder holds the lock until its record is there.
func (r *Runtime) orphan(ctx context.Context, dir string) (removed []string, err error) {
	unlock, err := lock(r.scratch())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := readRecord(dir); !errors.Is(err, os.ErrNotExist) || !exists(dir) {
		return nil, nil // it has one now, or went meanwhile
	}
	if err := errors.Join(endStrays(ctx, dir), discard(dir)); err != nil {
		return nil, fmt.Errorf("remove %s, which has no record: %w", dir, err)
	}
	return []string{fmt.Sprintf("folder %s, which has no record", filepath.Base(dir))}, nil
}

// remove ends what a record tells of and removes the target's folder.
func remove(ctx context.Context, dir string, rec record) (removed []string, err error) {
	var errs []error
	for node, p := range rec.Nodes {
		if !p.alive() {
			continue
		}
		// Whatever it is, SIGQUIT first: PostgreSQL then leaves no shared memory behind, others just end.
		if err := end(ctx, p, syscall.SIGQUIT); err != nil {
			errs = append(errs, fmt.Errorf("node %s of suite %s: %w", node, rec.Suite, err))
			continue
		}
		removed = append(removed, fmt.Sprintf("process %d, node %s (suite %s)", p.PID, node, rec.Suite))
	}
	errs = append(errs, endStrays(ctx, dir))
	if err := errors.Join(errs...); err != nil {
		return removed, err
	}
	if err := discard(dir); err != nil {
		return removed, fmt.Errorf("remove the folder of suite %s: %w", rec.Suite, err)
	}
	return append(removed, fmt.Sprintf("folder %s (suite %s, made by process %d)", filepath.Base(dir), rec.Suite, rec.Owner.PID)), nil
}
