package cli

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/spec"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// outline is a plan as it is shown: resolved, sized, with every undo.
type outline struct {
	Experiment string                 `json:"experiment"`
	File       string                 `json:"file"`
	Hypothesis string                 `json:"hypothesis"`
	Source     string                 `json:"source,omitempty"`
	Target     string                 `json:"target"`
	Runtime    string                 `json:"runtime"`
	Profile    string                 `json:"profile"`
	Variant    string                 `json:"variant"`
	Expect     verdict.Expectation    `json:"expect"`
	Seed       uint64                 `json:"seed"`
	Command    string                 `json:"command"`
	Phases     []phase                `json:"phases"`
	Settle     time.Duration          `json:"settle_ns"`
	Windows    []window               `json:"windows"`
	Loads      []journal.LoadInfo     `json:"loads"`
	Faults     []plannedFault         `json:"faults"`
	Checks     []size                 `json:"checks"`
	Invariants []string               `json:"invariants,omitempty"`
	ByKind     []string               `json:"checks_by_kind,omitempty"`
	Telemetry  *journal.TelemetryInfo `json:"telemetry,omitempty"`
	Guards     []string               `json:"guards,omitempty"`
	Burn       []burn                 `json:"worst_case"`
	Warnings   []string               `json:"warnings,omitempty"`
}

// phase is a length of the timeline.
type phase struct {
	Name string        `json:"name"`
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

type window struct {
	Name string        `json:"name"`
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

type plannedFault struct {
	ID      string          `json:"id"`
	Kind    string          `json:"kind"`
	With    json.RawMessage `json:"with"`
	From    time.Duration   `json:"from_ns"` // from the start of the run, to the end of the last time
	To      time.Duration   `json:"to_ns"`
	Victims []string        `json:"victims,omitempty"` // that the seed picked
	After   string          `json:"after,omitempty"`   // the moment that it follows: from and to are as planned
	Times   []span          `json:"times"`
	Actions []plannedAction `json:"actions"`
}

// span is one time that a fault is made.
type span struct {
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

type plannedAction struct {
	ID    string        `json:"id"`
	Place string        `json:"place"`
	Undo  string        `json:"undo"`
	Heal  time.Duration `json:"heal_ns"`
}

// burn is what an SLO would cost if every request of the fault were bad.
type burn struct {
	SLO   string  `json:"slo"`
	Rate  float64 `json:"burn_rate"`
	Share float64 `json:"share_30d"` // of a 30-day budget
}

// planFlags are the flags that decide what a plan is.
type planFlags struct {
	profile, variant, runtime, seed string
}

func (a *app) planFlags(f *planFlags, c *cobra.Command) {
	a.runtimeFlags(c, &f.runtime)
	c.Flags().StringVar(&f.profile, "profile", spec.Standard, "quick, standard or gameday")
	c.Flags().StringVar(&f.variant, "variant", "", "only this variant")
	c.Flags().StringVar(&f.seed, "seed", "", "seed of everything random; default a new one, which is printed")
	_ = c.RegisterFlagCompletionFunc("profile", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return spec.ProfileNames(), cobra.ShellCompDirectiveNoFileComp
	})
}

// seedOf reads --seed, or draws one.
func (a *app) seedOf(text string) (uint64, error) {
	if text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, usage("--seed %s is not a whole number from 0", text)
		}
		return seed, nil
	}
	var b [8]byte
	if _, err := io.ReadFull(a.Random, b[:]); err != nil {
		return 0, harness(fmt.Errorf("drawing a seed: %w", err))
	}
	return binary.LittleEndian.Uint64(b[:]) >> 16, nil // 48 bits: short enough to type
}

// variants are the variants of an experiment that --variant asks for; "" is all.
func variants(s subject, only string) ([]string, error) {
	if only != "" {
		v, err := s.Experiment.Variant(only)
		return []string{v.Name}, err
	}
	var names []string
	for _, v := range s.Experiment.Variants {
		names = append(names, v.Name)
	}
	return names, nil
}

func (a *app) planCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan <experiment>...",
		Short: "Say exactly what a run would do, touching nothing",
		Long: `plan resolves the victims with the seed and shows the timeline, the windows, how many requests each SLO
will have and needs, the undo of each step, and what the worst case would cost. Nothing is started.
An experiment is a file, a folder, or a name of experiments/.`,
		Args:              wantArgs("an experiment: a file, a folder or a name"),
		ValidArgsFunction: a.completeExperiments,
		RunE: func(c *cobra.Command, args []string) error {
			return a.planAll(c.Context(), args, f)
		},
	}
	a.planFlags(&f, c)
	return a.jsonFlag(c)
}

func (a *app) planAll(ctx context.Context, args []string, f planFlags) error {
	seed, err := a.seedOf(f.seed)
	if err != nil {
		return err
	}
	subjects, err := a.experiments(args, f.profile)
	if err != nil {
		return err
	}
	caps, note, err := a.capabilities(ctx, f.runtime)
	if err != nil {
		return err
	}
	var outlines []outline
	for _, s := range subjects {
		names, err := variants(s, f.variant)
		if err != nil {
			return err
		}
		for _, v := range names {
			o, err := a.outline(s, v, caps, seed)
			if err != nil {
				return err
			}
			if note != "" {
				o.Warnings = append(o.Warnings, note)
			}
			if caps.Runtime == catalog.Process {
				for _, missing := range catalog.MissingPrograms(a.setting(), s.Topology) {
					o.Warnings = append(o.Warnings, "this machine can't start the target: "+missing)
				}
			}
			outlines = append(outlines, o)
		}
	}
	if a.json {
		return a.printJSON(outlines)
	}
	for i, o := range outlines {
		if i > 0 {
			fmt.Fprintln(a.Stdout)
		}
		o.print(a.Stdout)
	}
	return nil
}

// outline compiles one run and describes it.
func (a *app) outline(s subject, variant string, caps target.Capabilities, seed uint64) (outline, error) {
	plan, sizes, err := a.compileSized(s, variant, caps, seed)
	if err != nil {
		return outline{}, err
	}
	info := plan.Info
	o := outline{
		Experiment: info.Experiment, File: s.Path, Hypothesis: info.Hypothesis, Source: info.Source,
		Target: info.Target, Runtime: info.Runtime, Profile: info.Profile, Variant: info.Variant,
		Seed: seed, Command: info.Command, Settle: info.Settle, Loads: info.Loads, Checks: sizes,
	}
	v, err := s.Experiment.Variant(variant)
	if err != nil {
		return outline{}, err
	}
	o.Expect = expectation(v)
	o.Phases = phasesOf(plan.Phases)
	windows := plannedWindows(plan)
	for _, name := range windowOrder(plan) {
		if w, ok := windows[name]; ok {
			o.Windows = append(o.Windows, window{name, w.From, w.To})
		}
	}
	if o.Faults, err = plannedFaults(plan); err != nil {
		return outline{}, err
	}
	o.Telemetry = info.Telemetry
	for _, k := range s.Experiment.Checks {
		o.ByKind = append(o.ByKind, k.Called())
	}
	for _, r := range s.Experiment.Invariants {
		o.Invariants = append(o.Invariants, r.Name)
	}
	for _, g := range plan.Guards {
		o.Guards = append(o.Guards, g.Text())
	}
	o.Burn = worstCase(s.Experiment, windows[journal.WindowFault])
	o.Warnings = warnings(plan)
	return o, nil
}

// plannedFaults are the faults with every time that they are made, on the clock of the run.
func plannedFaults(plan *engine.Plan) (list []plannedFault, err error) {
	spans, err := plan.Spans()
	if err != nil {
		return nil, err
	}
	start := plan.Phases.Warmup + plan.Phases.Baseline
	for i, f := range plan.Faults {
		p := plannedFault{ID: f.ID, Kind: f.Kind, With: plan.Info.Faults[i].With, After: plan.Info.Faults[i].After,
			Victims: plan.Info.Faults[i].Victims}
		for k, s := range spans[f.ID] {
			p.Times = append(p.Times, span{start + s.From, start + s.To})
			for _, act := range f.Round(k) {
				p.Actions = append(p.Actions, plannedAction{act.ID, act.Place, act.Undo, act.Heal})
			}
		}
		p.From, p.To = p.Times[0].From, p.Times[len(p.Times)-1].To
		list = append(list, p)
	}
	return list, nil
}

func phasesOf(p engine.Phases) []phase {
	var list []phase
	var at time.Duration
	add := func(name string, length time.Duration) {
		list = append(list, phase{name, at, at + length})
		at += length
	}
	add(journal.PhaseWarmup, p.Warmup)
	add(journal.PhaseBaseline, p.Baseline-engine.Gap)
	add("gap", engine.Gap)
	add(journal.PhaseFault, p.Fault)
	add(journal.PhaseRecovery, p.Recovery)
	return list
}

func windowOrder(p *engine.Plan) []string {
	order := []string{journal.WindowWarmup, journal.WindowBaseline, journal.WindowFault}
	for _, f := range p.Faults {
		order = append(order, journal.WindowFault+":"+f.ID)
	}
	return append(order, journal.WindowRecovery, journal.WindowSettled, journal.WindowRun)
}

// overlaps are faults that are on one node at the same time: the second one finds it hurt, and refuses.
func overlaps(p *engine.Plan) (list []string) {
	spans, _ := p.Spans() // what can't be placed was refused before
	for i, a := range p.Faults {
		for _, b := range p.Faults[i+1:] {
			if node := sharedNode(a, b); node != "" && cross(spans[a.ID], spans[b.ID]) {
				list = append(list, fmt.Sprintf("faults %s and %s are on %s at the same time: most kinds refuse a node that is hurt already", a.ID, b.ID, node))
			}
		}
	}
	return list
}

// sharedNode is a node that both faults hurt.
func sharedNode(a, b engine.Fault) string {
	for _, x := range a.Actions {
		for _, y := range b.Actions {
			if x.Place == y.Place && strings.HasPrefix(x.Place, "node:") {
				return x.Place
			}
		}
	}
	return ""
}

// cross tells whether some span of one list has a moment in common with one of the other.
func cross(a, b []engine.Span) bool {
	return slices.ContainsFunc(a, func(x engine.Span) bool {
		return slices.ContainsFunc(b, func(y engine.Span) bool { return x.From < y.To && y.From < x.To })
	})
}

// worstCase is what each objective with a target would cost if every request of the fault were bad:
// burn rate 1/(1−T), and the fault's length over (1−T)·30 days of the budget.
func worstCase(e *spec.Experiment, fault journal.Window) []burn {
	const month = 30 * 24 * time.Hour
	list := []burn{}
	for _, s := range e.SLOs {
		if s.Target == nil || *s.Target >= 1 {
			continue
		}
		budget := 1 - float64(*s.Target)
		list = append(list, burn{SLO: s.Name, Rate: 1 / budget, Share: fault.Len().Seconds() / (budget * month.Seconds())})
	}
	return list
}

// warnings are what is allowed but likely not meant.
func warnings(p *engine.Plan) (list []string) {
	for _, f := range p.Faults {
		if acts, ok := f.Fault.(fault.Permitted); ok {
			list = append(list, fmt.Sprintf("fault %s acts on this machine and not only on the target: chaos run needs %s", f.ID, acts.Flag()))
		}
	}
	list = append(list, overlaps(p)...)
	for _, l := range p.Info.Loads {
		for _, f := range p.Faults {
			if l.Timeout > f.For/2 {
				list = append(list, fmt.Sprintf("load %s: the client's timeout of %v is over half of fault %s (%v): a request may outlive the fault",
					l.Name, l.Timeout, f.ID, f.For))
			}
		}
	}
	return list
}
