package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// upName begins the name of the folder that target up has while a target comes up.
const upName = "up"

// bring starts a target that is to be kept. Until it is ready nobody has it, so meanwhile there is what a run has: a
// watchdog and a journal, by which it, or chaos heal, removes the half of a target whose maker was killed.
//
//	watchdog ─▶ journal ─▶ start ─▶ ready: system.ready ─▶ the journal is removed
//	                         ╳ kill -9: the watchdog, or chaos heal, finds no system.ready and removes the target
func (a *app) bring(ctx context.Context, r place, t *target.Topology, o target.Options, reports string) (target.System, error) {
	custodian, ok := r.Runtime.(target.Custodian)
	if !ok {
		return r.Runtime.Start(ctx, t, o)
	}
	owner, err := custodian.Self(ctx)
	if err != nil {
		return nil, err
	}
	if o.Run, err = runID(a.Random); err != nil {
		return nil, err
	}
	dog, err := a.watched(a.path(reports), owner)
	if err != nil {
		return nil, err
	}
	info := journal.RunInfo{
		ID: o.Run, Experiment: upName, Variant: o.Variant, Version: a.Version, Revision: a.Revision,
		Command: fmt.Sprintf("chaos target up %s --variant %s --runtime %s", quoted(t.Path), quoted(o.Variant), r.Runtime.Name()),
		Target:  t.Name, TargetFile: t.Path, TargetSum: t.Sum, Runtime: r.Runtime.Name(), Owner: owner, Watchdog: dog.cmd.Process.Pid,
	}
	folder := filepath.Join(a.path(reports), fmt.Sprintf("%s-%s-%s", a.Now().UTC().Format("20060102T150405Z"), upName, o.Run[:6]))
	j, err := a.upJournal(filepath.Join(folder, upName), info)
	if err != nil {
		return nil, errors.Join(err, dog.release(false))
	}
	sys, failed := r.Runtime.Start(ctx, t, o)
	if failed == nil {
		_, failed = j.Append(journal.Event{Type: journal.EventSystemReady})
	}
	left := errors.Is(failed, target.ErrLeft)
	errs := []error{failed, j.Close()}
	if !left { // there is nothing to tell of it
		errs = append(errs, os.RemoveAll(folder))
	}
	return sys, errors.Join(append(errs, dog.release(left))...)
}

func (a *app) upJournal(dir string, info journal.RunInfo) (*journal.Journal, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("making the journal's folder: %w", err)
	}
	j, err := journal.Create(dir, info, journal.Options{})
	if err != nil {
		return nil, fmt.Errorf("writing the journal: %w", err)
	}
	return j, nil
}
