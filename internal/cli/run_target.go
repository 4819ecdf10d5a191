package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/report"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// leave notes what a run leaves behind for the next one. A target that it could not heal goes with it (ready). What
// it did outside of the target and could not undo does not go, so no further run is made.
func (c *campaign) leave(run report.Run) {
	if run.Verdict.Status != verdict.RESIDUE {
		return
	}
	c.hurt = true
	left, err := engine.Outstanding(run.History.Events)
	for _, a := range left {
		kind, unknown := catalog.Faults().New(a.Kind)
		if _, outside := kind.(fault.Permitted); outside || unknown != nil {
			err = errors.Join(err, fmt.Errorf("%s on %s acts outside of the target and is not undone", a.Kind, a.Place))
		}
	}
	if err != nil && c.stop == nil {
		fmt.Fprintf(c.Stderr, "chaos: no further run is made: %v; to heal it: chaos heal\n", err)
		c.stop = err
	}
}

// ready makes the target fresh for a run: started when there is none, reset otherwise. A reset that
// fails replaces the whole target, and so does a run that left it hurt: a reset does not look for faults, and what is
// there before a run is not told from what it should be.
func (c *campaign) ready(ctx context.Context, path string, plan *engine.Plan, j *liveJournal) error {
	began := time.Now()
	if c.system != nil && c.path != path {
		if err := c.down(ctx, false); err != nil {
			return fmt.Errorf("removing the target before: %w", err)
		}
	}
	if c.system != nil && c.hurt {
		fmt.Fprintln(c.Stderr, "the run before could not heal the target: replacing it")
		if err := c.down(ctx, false); err != nil {
			return fmt.Errorf("removing the target that the run before could not heal: %w", err)
		}
	}
	how := "reset"
	if c.system != nil {
		if err := c.system.Reset(ctx, plan.Info.Variant, plan.Info.ID); err != nil {
			fmt.Fprintf(c.Stderr, "reset failed, replacing the target: %v\n", err)
			if err := c.down(ctx, false); err != nil {
				return fmt.Errorf("removing the target that could not be reset: %w", err)
			}
		}
	}
	if c.system == nil {
		how, c.hurt = "start", false
		if err := c.up(ctx, path, plan); err != nil {
			return fmt.Errorf("starting the target: %w", err)
		}
	}
	if err := c.noteReady(ctx, j, how, time.Since(began)); err != nil {
		// What no record says was ready, nobody has, --keep or not: healing would take it away behind the user's back.
		return errors.Join(err, c.down(ctx, false))
	}
	return nil
}

// noteReady writes down the target that another process may have to take hold of, and that it is ready.
func (c *campaign) noteReady(ctx context.Context, j *liveJournal, how string, took time.Duration) error {
	if err := c.describe(ctx, j); err != nil {
		return err
	}
	detail, err := json.Marshal(journal.Took{How: how, TookMS: millis(took)})
	if err != nil {
		return fmt.Errorf("encoding how long the target took: %w", err)
	}
	_, err = j.Append(journal.Event{Type: journal.EventSystemReady, Detail: detail})
	return err
}

func (c *campaign) up(ctx context.Context, path string, plan *engine.Plan) error {
	suite, err := runID(c.Random)
	if err != nil {
		return err
	}
	c.system, err = c.runtime.Start(ctx, plan.Topology, target.Options{
		Variant: plan.Info.Variant, Run: plan.Info.ID, Suite: suite, Keep: c.flags.keep,
		Progress: func(line string) { fmt.Fprintln(c.Stderr, " ", line) },
	})
	if err != nil {
		c.system = nil
		return err
	}
	c.path, c.suite = path, suite
	return nil
}

// describe writes into run.json what is known only now that the target is up, so that heal can take
// hold of it from another process.
func (c *campaign) describe(ctx context.Context, j *liveJournal) error {
	images, machine := c.system.Facts(ctx)
	return j.UpdateInfo(func(info *journal.RunInfo) {
		info.Handle, info.Images = c.system.Handle(), images
		info.Machine = maps.Clone(machine)
		addressed(info.Telemetry, c.system)
		if s, ok := c.system.(target.StandIns); ok {
			info.StandIns = s.StandIns()
		}
	})
}

// down removes the target, unless keep.
func (c *campaign) down(ctx context.Context, keep bool) error {
	if c.system == nil {
		return nil
	}
	if keep {
		fmt.Fprintln(c.Stderr, "the target is left running (--keep): chaos target status, chaos target down")
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	began := time.Now()
	err := c.system.Close(ctx)
	if err == nil {
		fmt.Fprintf(c.Stderr, "target down in %.1f s\n", time.Since(began).Seconds())
		c.system = nil
		if err := c.noteDown(time.Since(began)); err != nil {
			c.fail(err) // nothing is left of the target: only its report can't say how long that took
		}
	}
	return err
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// noteDown adds how long the target took to go to the last run on it, and to its report.
func (c *campaign) noteDown(took time.Duration) error {
	if c.last.dir == "" {
		return nil
	}
	detail, err := json.Marshal(journal.Took{How: "down", TookMS: millis(took)})
	if err != nil {
		return fmt.Errorf("encoding how long the target took: %w", err)
	}
	run := &c.last.runs[len(c.last.runs)-1]
	dir := filepath.Join(c.last.dir, run.History.Run.Variant)
	book, err := journal.Reopen(dir)
	if err != nil {
		return fmt.Errorf("noting that the target is down: %w", err)
	}
	event, err := book.Append(journal.Event{Type: journal.EventDown, Detail: detail})
	if err = errors.Join(err, book.Close()); err != nil {
		return fmt.Errorf("noting that the target is down: %w", err)
	}
	run.History.Events = append(run.History.Events, event)
	err = report.Write(c.last.dir, report.Build(c.last.runs), catalog.Formats())
	c.last = published{}
	return err
}
