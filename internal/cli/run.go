package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/report"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// closeWithin bounds the removal of a target.
const closeWithin = 30 * time.Second

// runFlags are the flags of chaos run.
type runFlags struct {
	planFlags
	reports string
	keep    bool
	noWait  bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run <experiment>...",
		Short: "Run experiments: drive the target, hurt it, heal it, judge it",
		Long: `run starts the target, takes each variant of each experiment through warm-up, baseline, fault and recovery,
audits the books, and writes a report per experiment into reports/. The target stays up between runs and
is reset for each. Ctrl-C heals and exits 130; after kill -9, chaos heal does.
An experiment is a file, a folder, or a name of experiments/.`,
		Args:              wantArgs("an experiment: a file, a folder or a name"),
		ValidArgsFunction: a.completeExperiments,
		RunE: func(c *cobra.Command, args []string) error {
			return a.run(c.Context(), args, f)
		},
	}
	a.planFlags(&f.planFlags, c)
	c.Flags().StringVar(&f.reports, "reports", reportsFolder, "folder that reports are written to")
	c.Flags().BoolVar(&f.keep, "keep", false, "leave the target running at the end; chaos target down removes it")
	a.permitFlag(c)
	c.Flags().BoolVar(&f.noWait, "no-wait", false, "exit 64 instead of waiting while another run uses the engine")
	return a.jsonFlag(c)
}

// campaign is one invocation of chaos run:
//
//	compile everything ─▶ lock ─▶ per experiment { per variant { up or reset ─▶ run ─▶ judge } ─▶ report } ─▶ index ─▶ down
type campaign struct {
	*app
	flags   runFlags
	seed    uint64
	reports string // absolute
	runtime target.Runtime
	owner   journal.Owner

	watchdog int // its pid
	last     published
	live     atomic.Pointer[liveJournal] // of the run that is under way

	system target.System
	hurt   bool   // it is as a run left it that ended as RESIDUE
	path   string // target.yaml of the running system
	suite  string // id of the running system's life

	codes []int
	stop  error // why no further run is started
}

// trial is one experiment with its compiled plans, one a variant.
type trial struct {
	subject
	plans []*engine.Plan
}

func (a *app) run(ctx context.Context, args []string, f runFlags) error {
	seed, err := a.seedOf(f.seed)
	if err != nil {
		return err
	}
	subjects, err := a.experiments(args, f.profile)
	if err != nil {
		return err
	}
	c := &campaign{app: a, flags: f, seed: seed, reports: a.path(f.reports)}
	if _, err := c.compileAll(subjects, declared(f.runtime)); err != nil {
		return err // a typo is a typo, also where no engine answers
	}
	runtime, err := a.runtime(ctx, f.runtime)
	if err != nil {
		return err
	}
	c.runtime = runtime.Runtime
	trials, err := c.compileAll(subjects, runtime.caps) // what this runtime lacks is refused before anything starts
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.reports, 0o700); err != nil {
		return harness(fmt.Errorf("the reports folder can't be made: %w", err))
	}
	if err := c.own(ctx); err != nil {
		return harness(err)
	}
	unlock, err := a.lock(ctx, c.owner, f.noWait)
	if err != nil {
		return err
	}
	defer unlock()
	fmt.Fprintf(a.Stderr, "runtime %s (%s) · seed %d · reports in %s\n", runtime.Runtime.Name(), runtime.why, seed, a.short(c.reports))
	dog, err := a.watched(c.reports, c.owner)
	if err != nil {
		return harness(err)
	}
	c.watchdog = dog.cmd.Process.Pid
	done := make(chan struct{})
	defer close(done)
	go a.impatient(done, &c.live, "the target is being removed")
	err = c.all(ctx, trials)
	return errors.Join(err, dog.release(slices.Contains(c.codes, verdict.ExitResidue)))
}

// own finds out whose name goes on what is started.
func (c *campaign) own(ctx context.Context) (err error) {
	if custodian, ok := c.runtime.(target.Custodian); ok {
		c.owner, err = custodian.Self(ctx)
	}
	return err
}

func (c *campaign) compileAll(subjects []subject, caps target.Capabilities) ([]trial, error) {
	var trials []trial
	for _, s := range subjects {
		names, err := variants(s, c.flags.variant)
		if err != nil {
			return nil, err
		}
		t := trial{subject: s}
		for _, v := range names {
			plan, err := c.compile(s, v, caps, c.seed)
			if err != nil {
				return nil, err
			}
			if err := c.permitAll(s, plan); err != nil {
				return nil, err
			}
			t.plans = append(t.plans, plan)
		}
		trials = append(trials, t)
	}
	return trials, nil
}

// all runs every trial, writes the index and takes the target down, in that order on every path.
func (c *campaign) all(ctx context.Context, trials []trial) error {
	for _, t := range trials {
		if err := c.trial(ctx, t); err != nil {
			c.fail(err)
		}
		if c.stop != nil {
			break
		}
	}
	if err := report.WriteIndex(c.reports, catalog.Indexes()); err != nil {
		c.fail(fmt.Errorf("writing the index: %w", err))
	}
	if err := c.down(ctx, c.flags.keep); err != nil {
		fmt.Fprintln(c.Stderr, "chaos: left behind:", err, "\nto remove it: chaos heal")
		c.codes = append(c.codes, verdict.ExitResidue)
	}
	switch left := slices.Contains(c.codes, verdict.ExitResidue); {
	case ctx.Err() == nil:
	case left: // 130 means interrupted and healed
		fmt.Fprintln(c.Stderr, "interrupted, and NOT everything is healed: what is left is named above; to heal it: chaos heal")
	default:
		fmt.Fprintln(c.Stderr, "interrupted: healed")
		c.codes = append(c.codes, verdict.ExitInterrupted)
	}
	fmt.Fprintf(c.Stderr, "seed %d · %s\n", c.seed, c.short(filepath.Join(c.reports, "index.html")))
	return exit(verdict.WorstExit(c.codes...), nil)
}

// fail is an error of the harness: it is said, counted, and no further run is started.
func (c *campaign) fail(err error) {
	if !errors.Is(err, context.Canceled) {
		fmt.Fprintln(c.Stderr, "chaos:", err)
		c.codes = append(c.codes, verdict.ExitHarness)
	}
	c.stop = err
}

// trial runs the variants of one experiment side by side in one report.
func (c *campaign) trial(ctx context.Context, t trial) error {
	began := c.Now().UTC()
	name := fmt.Sprintf("%s-%s-%s", began.Format("20060102T150405Z"), t.Experiment.Name.Name, t.plans[0].Info.ID[:6])
	dir := filepath.Join(c.reports, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the run's folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, experimentFile), t.Experiment.Text, 0o600); err != nil {
		return fmt.Errorf("keeping the experiment: %w", err)
	}
	var runs []report.Run
	var seconds []float64
	for _, plan := range t.plans {
		start := c.Now()
		run, err := c.variant(ctx, t.Experiment.TargetPath, plan, filepath.Join(dir, plan.Info.Variant))
		if err != nil {
			c.fail(err)
		}
		if run.History != nil {
			runs, seconds = append(runs, run), append(seconds, c.Now().Sub(start).Seconds())
			c.codes = append(c.codes, run.Verdict.ExitCode())
			c.leave(run)
		}
		if c.stop == nil {
			c.stop = ctx.Err()
		}
		if c.stop != nil {
			break
		}
	}
	return c.publish(dir, runs, seconds)
}

// variant takes one plan through its run and judges it. The error is the harness's; the run is judged
// all the same when there is a journal of it.
func (c *campaign) variant(ctx context.Context, path string, plan *engine.Plan, dir string) (report.Run, error) {
	plan.Info.Started = time.Time{} // the journal's clock starts when it is made
	plan.Info.Owner, plan.Info.Watchdog = c.owner, c.watchdog
	j, err := journal.Create(dir, plan.Info, journal.Options{})
	if err != nil {
		return report.Run{}, fmt.Errorf("writing the journal: %w", err)
	}
	live := c.watch(j, plan)
	c.live.Store(live)
	failed := c.drive(ctx, path, plan, live)
	c.live.Store(nil)
	live.end()
	if err := j.Close(); err != nil && !errors.Is(failed, err) {
		failed = errors.Join(failed, fmt.Errorf("closing the journal: %w", err))
	}
	h, err := journal.Read(dir)
	if err != nil {
		return report.Run{}, errors.Join(failed, fmt.Errorf("reading the run back: %w", err))
	}
	return c.judged(plan, h), failed
}

// drive brings the target to a fresh state and runs the plan on it. A target that can't be brought up
// ends the campaign: the next run would fail the same way.
func (c *campaign) drive(ctx context.Context, path string, plan *engine.Plan, j *liveJournal) error {
	err := c.ready(ctx, path, plan, j)
	if errors.Is(err, target.ErrLeft) {
		fmt.Fprintln(c.Stderr, "chaos:", err, "\nto remove it: chaos heal")
		c.codes = append(c.codes, verdict.ExitResidue)
	}
	if err == nil {
		err = engine.Run(ctx, plan, c.system, j, engine.Options{Gate: gate(plan)})
	} else if ctx.Err() == nil {
		_, noted := j.Append(journal.Event{Type: journal.EventError, Err: err.Error()})
		err = errors.Join(err, noted)
	} else {
		_, noted := j.Append(journal.Event{Type: journal.EventInterrupted})
		err = errors.Join(ctx.Err(), noted)
	}
	return err
}
