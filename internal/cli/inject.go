package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// Bounds of --for.
const (
	injectDefault = "30s"
	injectLeast   = time.Second
	injectMost    = time.Hour
)

// injectName is the experiment's name in the journal of an injection, and the fault's id.
const injectName = "inject"

// injectFlags are the flags of chaos inject.
type injectFlags struct {
	target, runtime, reports, seed, length, victims string
	noWait                                          bool
}

func (a *app) injectCommand() *cobra.Command {
	var f injectFlags
	c := &cobra.Command{
		Use:   "inject <kind> <place> [key=value]...",
		Short: "Make one fault on a target that was left running, and heal it",
		Long: `inject takes one fault through its whole life on a target that chaos target up left running: it is armed, its undo is
on disk before it is made, it is confirmed, held for --for, measured, reverted and confirmed gone. There is no load
and no verdict: what was asked and what was delivered is printed.

  chaos target up payments --variant resilient
  chaos inject toxic.latency "gateway->redis" latency=300ms --for 30s
  chaos inject node.stop redis --for 10s
  chaos inject dependency psp slow_fraction=1 slow_ms=4000 --for 20s

The place is the kind's edge, node or behaviour; key=value are its other parameters (chaos kinds <kind>). Where a kind
must have a mapping, as dependency its set, other keys go into it. Ctrl-C heals and exits 130; after kill -9 its watchdog does, or chaos heal.
Exit 0 healed and it bit · 2 healed, but it did not bite · 3 something is left, or was before (chaos heal)
· 64 bad usage · 70 harness error · 130 interrupted, and healed.`,
		Args:              wantArgs("a fault kind (chaos kinds) and its place"),
		ValidArgsFunction: a.completeInject,
		RunE: func(c *cobra.Command, args []string) error {
			return a.inject(c.Context(), args, f)
		},
	}
	a.runtimeFlags(c, &f.runtime)
	c.Flags().StringVar(&f.target, "target", "", "the target: a name of targets/ or a path; needed when there are several")
	c.Flags().StringVar(&f.victims, "victims", "", "pick the places with the seed in place of naming one, such as '{role: cache, pick: all}'")
	c.Flags().StringVar(&f.length, "for", injectDefault, fmt.Sprintf("how long it lasts, %v to %v", injectLeast, injectMost))
	c.Flags().StringVar(&f.seed, "seed", "", "seed of what is random in it; default a new one")
	c.Flags().StringVar(&f.reports, "reports", reportsFolder, "folder that its journal is written to, where chaos heal looks")
	a.permitFlag(c)
	c.Flags().BoolVar(&f.noWait, "no-wait", false, "exit 64 instead of waiting while another run uses the engine")
	_ = c.RegisterFlagCompletionFunc("target", a.completeTargets)
	return a.jsonFlag(c)
}

// injecting is one invocation of chaos inject:
//
//	bind ─▶ plan ─▶ lock ─▶ attach to what is kept ─▶ nothing left there? ─▶ journal ─▶ engine.Inject ─▶ outcome
type injecting struct {
	*app
	flags    injectFlags
	topology *target.Topology
	order    order
	seed     uint64
	runtime  place
	owner    journal.Owner
	watchdog int  // its pid
	made     bool // the fault was tried: what is left is this process's
	live     atomic.Pointer[liveJournal]
}

func (a *app) inject(ctx context.Context, args []string, f injectFlags) error {
	i := &injecting{app: a, flags: f}
	var err error
	if i.seed, err = a.seedOf(f.seed); err != nil {
		return err
	}
	var which []string
	if f.target != "" {
		which = []string{f.target}
	}
	if i.topology, err = a.topology(which); err != nil {
		return err
	}
	if i.order, err = a.orderOf(args, f); err != nil {
		return err
	}
	typed, err := i.order.plan(i.topology, declared(f.runtime), i.seed)
	if err == nil {
		err = a.permit(typed.Fault)
	}
	if err != nil {
		return err // a typo is a typo, also where no engine answers
	}
	if i.runtime, err = a.runtime(ctx, f.runtime); err != nil {
		return err
	}
	fault, err := i.order.plan(i.topology, i.runtime.caps, i.seed)
	if err == nil {
		err = a.permit(fault.Fault)
	}
	if err != nil {
		return err
	}
	if custodian, ok := i.runtime.Runtime.(target.Custodian); ok {
		if i.owner, err = custodian.Self(ctx); err != nil {
			return harness(err)
		}
	}
	unlock, err := a.lock(ctx, i.owner, f.noWait)
	if err != nil {
		return err
	}
	defer unlock()
	dog, err := a.watched(a.path(f.reports), i.owner)
	if err != nil {
		return harness(err)
	}
	i.watchdog = dog.cmd.Process.Pid
	done := make(chan struct{})
	defer close(done)
	go a.impatient(done, &i.live, "the command is ending")
	err = i.on(ctx, fault)
	var exit *exitError
	return errors.Join(err, dog.release(errors.As(err, &exit) && exit.code == verdict.ExitResidue && i.made))
}

// on makes the fault on the kept target, unless a dead process left it hurt: what the fault does could
// not be told from what is there already, and its undo could undo the wrong thing.
func (i *injecting) on(ctx context.Context, f engine.Fault) error {
	sys, err := target.AttachKept(ctx, i.runtime.Runtime, i.topology)
	if errors.Is(err, target.ErrNotKept) {
		return usage("%w on runtime %s: chaos target up %s --runtime %s", err, i.runtime.Runtime.Name(), i.topology.Name, i.runtime.Runtime.Name())
	}
	if err != nil {
		return i.interrupted(ctx, err)
	}
	wounds := i.wounds(i.flags.reports, i.runtime.Runtime.Name(), sys.Handle())
	if len(wounds) > 0 {
		for _, w := range wounds {
			i.say(w.String())
		}
		return exit(verdict.ExitResidue, fmt.Errorf("target %s is not whole, so no fault is made on it; to heal it: chaos heal", i.topology.Name))
	}
	return i.make(ctx, sys, f)
}

// make takes the fault through its life, written down like a run.
func (i *injecting) make(ctx context.Context, sys target.System, f engine.Fault) error {
	info, err := i.info(ctx, sys, f)
	if err != nil {
		return err
	}
	folder := fmt.Sprintf("%s-%s-%s", i.Now().UTC().Format("20060102T150405Z"), injectName, info.ID[:6])
	dir := filepath.Join(i.path(i.flags.reports), folder, info.Variant)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return harness(fmt.Errorf("making the journal's folder: %w", err))
	}
	j, err := journal.Create(dir, info, journal.Options{})
	if err != nil {
		return harness(fmt.Errorf("writing the journal: %w", err))
	}
	i.say(fmt.Sprintf("runtime %s (%s) · seed %d · %s for %v · journal in %s", i.runtime.Runtime.Name(), i.runtime.why, i.seed, f.Kind, i.order.length, i.short(dir)))
	plain := *i.app
	plain.Terminal = false // there is no load to show, so no live line
	live := (&campaign{app: &plain}).watch(j, &engine.Plan{Info: info})
	i.made = true
	i.live.Store(live)
	failed := engine.Inject(ctx, f, sys, live)
	live.end()
	if err := j.Close(); err != nil && !errors.Is(failed, err) {
		failed = errors.Join(failed, fmt.Errorf("closing the journal: %w", err))
	}
	events, _, err := journal.ReadEvents(dir)
	if err != nil {
		return harness(errors.Join(failed, fmt.Errorf("reading the journal back: %w", err)))
	}
	return i.report(injected(info, f, i.order.length, events, failed), dir, failed)
}

// info is what run.json says: enough for chaos heal to find the target and whose it is.
func (i *injecting) info(ctx context.Context, sys target.System, f engine.Fault) (journal.RunInfo, error) {
	id, err := runID(i.Random)
	if err != nil {
		return journal.RunInfo{}, harness(err)
	}
	images, machine := sys.Facts(ctx)
	info := journal.RunInfo{
		ID: id, Experiment: injectName, Variant: f.Kind, Seed: i.seed, Command: withFlag(i.order.command(i.flags, i.runtime.Runtime.Name(), i.seed), f.Fault),
		Version: i.Version, Revision: i.Revision, Target: i.topology.Name, TargetFile: i.topology.Path, TargetSum: i.topology.Sum,
		Runtime: i.runtime.Runtime.Name(), Handle: sys.Handle(), Owner: i.owner, Watchdog: i.watchdog, Images: images, Machine: machine,
		Faults: []journal.FaultInfo{i.order.info(f)},
	}
	if s, ok := sys.(target.StandIns); ok {
		info.StandIns = s.StandIns()
	}
	return info, nil
}
