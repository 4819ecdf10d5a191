package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/spec"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// healResult is what chaos heal did.
type healResult struct {
	Reverted []string `json:"reverted"` // "<run folder> <action> on <place>"
	Removed  []string `json:"removed"`  // containers and networks of dead processes
	Spared   []string `json:"spared"`   // runs that are not ours or still alive
	Left     []string `json:"left"`     // what could not be healed, and how to heal it by hand

	runtimes []string // that the runs looked at were on
	silent   bool     // an engine did not answer: another try may do
}

const (
	// healPatience is for how long heal tries an engine that does not answer: nobody's abort waits for it.
	healPatience = 10 * time.Second
	// healTries is the pause between two tries.
	healTries = time.Second
	// fresh is how old the last event of a dead run may be that could have asked an engine for something just before.
	fresh = time.Minute
)

func (a *app) healCommand() *cobra.Command {
	var reports string
	var force bool
	c := &cobra.Command{
		Use:   "heal [run folder]...",
		Short: "Undo what a killed run left behind",
		Long: `heal reads the journals of runs whose process is dead, reverts in a new process every fault that was intended
and never seen reverted, and removes the containers and networks of dead processes. It touches only what
carries the label of a run of this user on this machine and engine. Without folders it looks at all of reports/.
A run whose process is in another pid namespace (a harness in a container) can't be told from a living one and is
spared; --force takes such processes for dead. A fault that was made by commands on this machine (kind exec) is undone by the
command in the journal, which is run only with --allow-exec and is named otherwise: look at it first.
Exit 0 when nothing is left, 3 when something is, and then it is named.`,
		RunE: func(c *cobra.Command, args []string) error {
			return a.heal(c.Context(), args, reports, lives(force))
		},
	}
	c.Flags().StringVar(&reports, "reports", reportsFolder, "folder with the runs")
	a.permitFlag(c)
	c.Flags().BoolVar(&force, "force", false, "take processes of other pid namespaces for dead")
	return a.jsonFlag(c)
}

// alive tells whether the process that owns something still runs.
type alive func(target.Custodian, journal.Owner) bool

// lives is what the custodian says; forced, an owner that it can't see is looked for here, where its pid
// with its start time is not found.
func lives(force bool) alive {
	return func(c target.Custodian, o journal.Owner) bool {
		if force {
			o.PIDSpace = ""
		}
		return c.Alive(o)
	}
}

func (a *app) heal(ctx context.Context, args []string, reports string, alive alive) error {
	dirs, err := a.runDirs(args, reports)
	if err != nil {
		return err
	}
	result := healResult{Reverted: []string{}, Removed: []string{}}
	for limit := time.Now().Add(healPatience); ; {
		a.healAll(ctx, dirs, alive, &result)
		if !result.silent || time.Now().After(limit) {
			break
		}
		fmt.Fprintln(a.Stderr, "chaos: an engine does not answer, trying again")
		if err := target.Pause(ctx, healTries); err != nil {
			break
		}
	}
	a.healLate(ctx, dirs, alive, &result)
	return a.printHealed(result)
}

// healAll heals each of the runs and sweeps. It adds to what an earlier try did, and says anew what is left.
func (a *app) healAll(ctx context.Context, dirs []string, alive alive, result *healResult) {
	result.Spared, result.Left, result.silent = []string{}, []string{}, false
	for _, dir := range dirs {
		a.healRun(ctx, dir, alive, result)
	}
	a.sweep(ctx, alive, result)
}

// healLate heals once more where one of the runs was killed a moment ago: what its process had asked an engine
// for may have come only after the first look.
func (a *app) healLate(ctx context.Context, dirs []string, alive alive, result *healResult) {
	wait := time.Duration(0)
	for _, dir := range dirs {
		wait = max(wait, a.underWay(dir))
	}
	if wait > 0 && target.Pause(ctx, wait) == nil {
		a.healAll(ctx, dirs, alive, result)
	}
}

// underWay is for how long an engine may still be at what the process of a run asked of it; 0 when the run
// came to its end, or long ago.
func (a *app) underWay(dir string) time.Duration {
	info, err := journal.ReadInfo(dir)
	if err != nil {
		return 0
	}
	events, _, err := journal.ReadEvents(dir)
	last := info.Started
	for _, e := range events {
		if e.Type == journal.EventRunEnd {
			return 0
		}
		if e.Type != journal.EventHealed {
			last = e.Wall
		}
	}
	if err != nil || a.Now().Sub(last) > fresh {
		return 0
	}
	runtime, err := a.runtimes().New(info.Runtime)
	if err != nil {
		return 0
	}
	if served, ok := runtime.(target.Served); ok {
		return served.UnderWay()
	}
	return 0
}

// runDirs are the variant folders that hold a journal: of the arguments, or all of reports.
func (a *app) runDirs(args []string, reports string) ([]string, error) {
	patterns := []string{filepath.Join(a.path(reports), "*", "*", journal.FileRun)}
	if len(args) > 0 {
		patterns = nil
		for _, arg := range args {
			patterns = append(patterns, filepath.Join(a.path(arg), journal.FileRun), filepath.Join(a.path(arg), "*", journal.FileRun))
		}
	}
	var dirs []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			return nil, usage("%s: %w", p, err)
		}
		for _, f := range found {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	if len(args) > 0 && len(dirs) == 0 {
		return nil, usage("%v: no run in there (a run's folder holds %s)", args, journal.FileRun)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), nil
}

// healRun heals one dead run. What can't be healed is named in the result; one bad run never keeps the
// others from being healed.
func (a *app) healRun(ctx context.Context, dir string, alive alive, result *healResult) {
	name := a.short(dir)
	info, err := journal.ReadInfo(dir)
	if err != nil {
		result.Left = append(result.Left, fmt.Sprintf("%s: can't be read: %v", name, err))
		return
	}
	result.runtimes = append(result.runtimes, info.Runtime)
	events, _, err := journal.ReadEvents(dir)
	if err != nil {
		result.Left = append(result.Left, fmt.Sprintf("%s: %v", name, err))
		return
	}
	actions, err := engine.Outstanding(events)
	if err != nil {
		result.Left = append(result.Left, fmt.Sprintf("%s: %v", name, err))
	}
	removed, err := a.unready(ctx, info, events, alive)
	result.Removed = append(result.Removed, removed...)
	result.heard(err)
	if err != nil {
		result.Left = append(result.Left, fmt.Sprintf("%s: %v", name, err))
	}
	if len(actions) == 0 {
		return
	}
	healed, err := a.revert(ctx, dir, info, actions, alive)
	result.heard(err)
	for _, id := range healed {
		result.Reverted = append(result.Reverted, name+" "+id)
	}
	switch {
	case errors.Is(err, errNotOurs):
		result.Spared = append(result.Spared, fmt.Sprintf("%s: %v", name, err))
	case err != nil:
		result.Left = append(result.Left, fmt.Sprintf("%s: %v", name, err))
	}
}

// heard takes note of an engine that did not answer.
func (r *healResult) heard(err error) {
	r.silent = r.silent || errors.Is(err, target.ErrUnresponsive)
}

// errNotOurs is a run that heal must not touch.
var errNotOurs = errors.New("not touched")

// revert undoes the actions of one dead run.
func (a *app) revert(ctx context.Context, dir string, info journal.RunInfo, actions []fault.Action, alive alive) ([]string, error) {
	runtime, err := a.runtimes().New(info.Runtime)
	if err != nil {
		return nil, fmt.Errorf("runtime of the run: %w", err)
	}
	if custodian, ok := runtime.(target.Custodian); ok {
		self, err := custodian.Self(ctx)
		switch {
		case err != nil:
			return nil, err
		case self.UID != info.Owner.UID || self.Machine != info.Owner.Machine || self.Engine != info.Owner.Engine:
			return nil, fmt.Errorf("%w: it ran as another user, on another machine or on another engine", errNotOurs)
		case alive(custodian, info.Owner) && info.Owner.PIDSpace != "" && info.Owner.PIDSpace != self.PIDSpace:
			return nil, fmt.Errorf("%w: process %d that ran it is in another pid namespace, so nobody here can tell whether it lives; when it does not: chaos heal --force",
				errNotOurs, info.Owner.PID)
		case alive(custodian, info.Owner):
			return nil, fmt.Errorf("%w: process %d still runs it", errNotOurs, info.Owner.PID)
		}
	}
	system, err := a.attach(ctx, runtime, info)
	if err != nil && !errors.Is(err, target.ErrGone) {
		return nil, fmt.Errorf("attaching to its target: %w; undo by hand: %s", err, undoWords(actions))
	}
	book, unwritable := journal.Reopen(dir)
	if unwritable != nil { // what is broken is healed all the same
		healed, err := engine.Heal(ctx, actions, a.healer, system, noBook{})
		return healed, errors.Join(err, fmt.Errorf("healed, but its journal can't say so: %w", unwritable))
	}
	healed, err := engine.Heal(ctx, actions, a.healer, system, book)
	return healed, errors.Join(err, book.Close())
}

// noBook is the journal of a run that can't be written to.
type noBook struct{}

func (noBook) Append(e journal.Event) (journal.Event, error) { return e, nil }

// attach takes hold of a run's target; nil and ErrGone when it was removed or never came up.
// The target.yaml is found from any folder, and what is wrong with it is said with what to do.
func (a *app) attach(ctx context.Context, runtime target.Runtime, info journal.RunInfo) (target.System, error) {
	if len(info.Handle) == 0 {
		return nil, target.ErrGone
	}
	file := info.TargetFile
	if file == "" { // a run of an earlier version: its path is relative to where it ran
		file = a.display(info.Target)
	}
	then := "as it was at " + info.Started.UTC().Format(time.RFC3339)
	t, err := spec.LoadTarget(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("its target.yaml is gone: put %s back %s, then chaos heal again", file, then)
	}
	if err != nil {
		return nil, fmt.Errorf("its target.yaml can't be used: %w; put it back %s, then chaos heal again", err, then)
	}
	if info.TargetSum != "" && info.TargetSum != t.Sum {
		// Refusing would leave the fault there: most changes don't matter to undoing.
		fmt.Fprintf(a.Stderr, "chaos: %s was changed since run %s; healing by it as it is now. If that fails, put it back %s, then chaos heal again\n",
			file, info.ID, then)
	}
	return runtime.Attach(ctx, t, info.Handle)
}

func undoWords(actions []fault.Action) string {
	words := ""
	for _, act := range slices.Backward(actions) {
		words += "\n    " + act.Undo
	}
	return words
}

// sweep removes what dead processes left on every runtime that answers.
func (a *app) sweep(ctx context.Context, alive alive, result *healResult) {
	for _, entry := range a.runtimes() {
		custodian, ok := entry.New().(target.Custodian)
		if !ok {
			continue
		}
		removed, err := custodian.Sweep(ctx, func(o journal.Owner) bool { return alive(custodian, o) })
		result.Removed = append(result.Removed, removed...)
		switch {
		case err == nil:
		case errors.Is(err, target.ErrUnresponsive) && !slices.Contains(result.runtimes, entry.Name):
			result.Spared = append(result.Spared, fmt.Sprintf("runtime %s, which no run here was on: %v", entry.Name, err))
		default:
			result.heard(err)
			result.Left = append(result.Left, fmt.Sprintf("runtime %s: %v", entry.Name, err))
		}
	}
}

func (a *app) printHealed(r healResult) error {
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		say := func(what string, lines []string) {
			for _, l := range lines {
				fmt.Fprintf(a.Stdout, "%s %s\n", what, l)
			}
		}
		say("reverted", r.Reverted)
		say("removed", r.Removed)
		say("spared", r.Spared)
		say("LEFT", r.Left)
		if len(r.Reverted)+len(r.Removed)+len(r.Left) == 0 {
			fmt.Fprintln(a.Stdout, "nothing to heal")
		}
	}
	if len(r.Left) > 0 {
		return exit(verdict.ExitResidue, errors.New("something is left; it is named above"))
	}
	return nil
}

// readFile reads a file of a run's folder.
func (a *app) readFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("%s: %w", a.short(path), err)
	}
	return b, nil
}
