package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/judge"
	"chaos/internal/report"
	"chaos/internal/report/text"
	"chaos/internal/spec"
	"chaos/internal/verdict"
)

func (a *app) judgeCommand() *cobra.Command {
	var experiment string
	c := &cobra.Command{
		Use:   "judge <run folder>...",
		Short: "Judge stored runs again, offline",
		Long: `judge reads the journal of a run and judges it as chaos run did: the verdict is a pure function of the journal and
of the experiment beside it. --experiment judges it by the SLOs of another file. It writes nothing.`,
		Args: wantArgs("a run's folder, such as reports/20261122T101500Z-redis-outage-1a2b3c"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.judge(args, experiment)
		},
	}
	c.Flags().StringVar(&experiment, "experiment", "", "judge by the SLOs and invariants of this file instead")
	return a.jsonFlag(c)
}

func (a *app) judge(args []string, experiment string) error {
	dirs, err := a.runDirs(args, "")
	if err != nil {
		return err
	}
	var runs []report.Run
	var codes []int
	for _, dir := range dirs {
		run, err := a.rejudge(dir, experiment)
		if err != nil {
			return err
		}
		runs, codes = append(runs, run), append(codes, run.Verdict.ExitCode())
		if experiment == "" {
			a.compare(dir, run.Verdict)
		}
	}
	if a.json {
		verdicts := make([]verdict.Verdict, len(runs))
		for i, r := range runs {
			verdicts[i] = r.Verdict
		}
		if err := a.printJSON(verdicts); err != nil {
			return err
		}
	} else if err := text.Write(a.Stdout, report.Build(runs)); err != nil {
		return harness(fmt.Errorf("writing the result: %w", err))
	}
	return exit(verdict.WorstExit(codes...), nil)
}

// rejudge judges one variant's folder by the experiment stored above it, or by another one.
func (a *app) rejudge(dir, experiment string) (report.Run, error) {
	h, err := journal.Read(dir)
	if err != nil {
		return report.Run{}, usage("%s can't be read: %w", a.short(dir), err)
	}
	if len(h.Run.Loads) == 0 { // no plan of a run is without
		return report.Run{}, usage("%s is of chaos inject: without load there is nothing to judge", a.short(dir))
	}
	path := filepath.Join(filepath.Dir(dir), experimentFile)
	if experiment != "" {
		path = a.path(experiment)
	}
	source, err := a.readFile(path)
	if err != nil {
		return report.Run{}, err
	}
	e, err := spec.ParseExperiment(a.short(path), source, h.Run.Profile)
	if err != nil {
		return report.Run{}, err
	}
	c := &compiler{subject: subject{Experiment: e, Path: a.short(path)}, exp: e, plan: &engine.Plan{Info: h.Run}}
	c.plan.Info.RecoverMax = 0 // where window settled begins is for these objectives to say
	c.objectives()
	c.invariants()
	c.kinds()
	if err := c.errs.Err(); err != nil {
		return report.Run{}, err
	}
	h.Run.RecoverMax = c.plan.Info.RecoverMax
	h.Windows = journal.Windows(&h.Run, h.Events)
	return report.Run{History: h, Verdict: judge.Judge(c.plan.Checks, h)}, nil
}

// compare says on stderr whether the stored verdict is the same.
func (a *app) compare(dir string, now verdict.Verdict) {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(dir), verdictFile))
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(a.Stderr, "%s: judged for the first time: %v\n", a.short(dir), now.Status)
		return
	}
	var stored []verdict.Verdict
	if err == nil {
		err = json.Unmarshal(raw, &stored)
	}
	if err != nil {
		fmt.Fprintf(a.Stderr, "%s: the stored verdict can't be read: %v\n", a.short(dir), err)
		return
	}
	for _, s := range stored {
		if s.Run != now.Run {
			continue
		}
		before, err1 := json.Marshal(s)
		after, err2 := json.Marshal(now)
		if err1 == nil && err2 == nil && string(before) == string(after) {
			fmt.Fprintf(a.Stderr, "%s: same verdict as stored: %v\n", a.short(dir), now.Status)
			return
		}
		if now.Status == s.Status {
			fmt.Fprintf(a.Stderr, "%s: %v as stored, but not in every detail (healed since, or judged by another version)\n", a.short(dir), now.Status)
			return
		}
		fmt.Fprintf(a.Stderr, "%s: DIFFERS from the stored verdict: %v was %v\n", a.short(dir), now.Status, s.Status)
		return
	}
	fmt.Fprintf(a.Stderr, "%s: no stored verdict for run %s\n", a.short(dir), now.Run)
}
