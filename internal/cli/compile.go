package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/spec"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// compiler turns an experiment into the plan of one run:
//
//	subject ─variant─▶ loads ─▶ faults (victims by the seed) ─▶ checks, invariants ─▶ guards ─▶ engine.Plan
//
// Every refusal has the place in the file that caused it, and all are reported together: what can't be judged for want
// of another part is not.
type compiler struct {
	subject
	caps  target.Capabilities
	seed  uint64
	plan  *engine.Plan
	exp   *spec.Experiment
	errs  spec.Errors
	sizes []size
	draft bool // of a file with errors: only what does not depend on them is looked at
}

// compile plans one run of one variant. It is pure but for the run's id, which comes from a.Random.
func (a *app) compile(s subject, variant string, caps target.Capabilities, seed uint64) (*engine.Plan, error) {
	plan, _, err := a.compileSized(s, variant, caps, seed)
	return plan, err
}

// compileSized is compile that also returns what each check was sized with, for chaos plan.
func (a *app) compileSized(s subject, variant string, caps target.Capabilities, seed uint64) (*engine.Plan, []size, error) {
	v, err := s.Experiment.Variant(variant)
	if err != nil {
		return nil, nil, err
	}
	c := &compiler{subject: s, caps: caps, seed: seed, exp: s.Experiment}
	p := c.exp.Phases
	c.plan = &engine.Plan{
		Topology: s.Topology,
		Phases:   engine.Phases{Warmup: p.Warmup, Baseline: p.Baseline, Fault: p.Fault, Recovery: p.Recovery, Settle: p.Settle},
	}
	if err := c.info(a, v); err != nil {
		return nil, nil, err
	}
	c.variant(v)
	c.telemetry()
	c.parts(v)
	if err := c.errs.Err(); err != nil {
		return nil, nil, err
	}
	if err := c.plan.Validate(); err != nil {
		return nil, nil, c.exp.Node.Errorf("%w", err)
	}
	return c.plan, c.sizes, nil
}

// parts compiles what the experiment consists of.
func (c *compiler) parts(v spec.Variant) {
	loads := c.fine(c.loads) && len(c.plan.Info.Loads) == max(1, len(c.exp.Load)) // else SLOs speak of what is missing
	faults := c.fine(c.faults)
	if faults && !c.draft {
		c.blast()
	}
	c.checks(loads, faults)
	if loads {
		c.guards(v)
	}
}

// fine runs one step and tells whether it found nothing wrong.
func (c *compiler) fine(step func()) bool {
	before := len(c.errs)
	step()
	return len(c.errs) == before
}

// runID is 12 hex digits that no other run has.
func runID(random io.Reader) (string, error) {
	id := make([]byte, 6)
	if _, err := io.ReadFull(random, id); err != nil {
		return "", fmt.Errorf("making a run id: %w", err)
	}
	return hex.EncodeToString(id), nil
}

func (c *compiler) info(a *app, v spec.Variant) error {
	id, err := runID(a.Random)
	if err != nil {
		return harness(err)
	}
	expect, err := json.Marshal(expectation(v))
	if err != nil {
		return harness(err)
	}
	p := c.exp.Phases
	c.plan.Info = journal.RunInfo{
		Schema: journal.Schema, ID: id, Experiment: c.exp.Name.Name, Hypothesis: c.exp.Hypothesis, Source: c.exp.Source,
		Variant: v.Name, Profile: c.exp.Profile, Seed: c.seed, Expect: expect,
		Command: repeat(c.Path, c.exp, v.Name, c.caps.Runtime, c.seed),
		Started: a.Now().UTC(), Version: a.Version, Revision: a.Revision,
		Target: c.exp.TargetPath, TargetFile: c.TargetFile(), TargetSum: c.Topology.Sum, Runtime: c.caps.Runtime, Settle: p.Settle,
		Phases: map[string]string{
			journal.PhaseWarmup: p.Warmup.String(), journal.PhaseBaseline: p.Baseline.String(), journal.PhaseFault: p.Fault.String(),
			journal.PhaseRecovery: p.Recovery.String(), journal.PhaseSettle: p.Settle.String(),
		},
	}
	return nil
}

// repeat is the command that repeats a run.
func repeat(path string, e *spec.Experiment, variant, runtime string, seed uint64) string {
	if strings.HasSuffix(path, "(built in)") {
		path = e.Name.Name
	}
	return fmt.Sprintf("chaos run %s --profile %s --variant %s --seed %d --runtime %s", path, e.Profile, variant, seed, runtime)
}

// expectation is what the experiment says the variant will do.
func expectation(v spec.Variant) verdict.Expectation {
	status := map[string]verdict.Status{"pass": verdict.PASS, "fail": verdict.FAIL, "invalid": verdict.INVALID, "aborted": verdict.ABORTED}
	x := verdict.Expectation{Status: status[v.Expect]}
	for _, r := range v.Because {
		x.Because = append(x.Because, r.Name)
	}
	return x
}

// variant makes sure that the target has it.
func (c *compiler) variant(v spec.Variant) {
	names := make([]string, 0, len(c.Topology.Variants))
	for name := range c.Topology.Variants {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Contains(names, v.Name) {
		c.errs.Add(v.Node, v.Node.At("name").Unknown("variant of target "+c.Topology.Name, v.Name, names))
	}
}

func (c *compiler) loads() {
	for _, l := range c.exp.Load {
		if c.draft && !bindable(c, catalog.Loads(), l.Kind, l.With) {
			continue
		}
		driver, err := bindPlaced(c, catalog.Loads(), l.Kind, l.With)
		if err != nil {
			c.errs.Add(l.Node, err)
			continue
		}
		info, err := driver.Info(c.Topology)
		if err != nil {
			c.errs.Add(l.Node, l.With.Errorf("load %s: %w", l.Name, err))
			continue
		}
		info.Name = l.Name
		if !(info.Rate > 0) {
			c.errs.Add(l.Node, l.With.At("rate").Errorf("load %s has rate 0: an empty load proves nothing", l.Name))
			continue
		}
		c.reachable(l, info)
		c.plan.Info.Loads = append(c.plan.Info.Loads, info)
		c.plan.Loads = append(c.plan.Loads, engine.Load{Name: l.Name, Driver: driver})
	}
}

// reachable makes sure that the load's node publishes the port that its op asks.
func (c *compiler) reachable(l spec.Load, info journal.LoadInfo) {
	node, hasNode := c.Topology.Node(info.Node)
	op, hasOp := c.Topology.Ops[info.Op]
	if !hasNode || !hasOp {
		return // the driver's Info says so, or it is a kind without
	}
	if published := spec.Published(node); !slices.Contains(published, op.Port) {
		c.errs.Add(l.Node, l.With.At("node").Errorf("node %s does not publish the port %q that op %s asks%s",
			info.Node, op.Port, info.Op, kind.Suggest(op.Port, published)))
	}
}

func (c *compiler) faults() {
	for _, f := range c.exp.Faults {
		if c.draft && !bindable(c, catalog.Faults(), f.Kind, f.With) {
			continue
		}
		fault, actions, err := c.bound(f)
		if err != nil {
			c.errs.Add(f.Node, err)
			continue
		}
		if c.draft { // its times may be wrong
			continue
		}
		with, err := plainJSON(f.With.JSON())
		if err != nil {
			c.errs.Add(f.Node, f.With.Errorf("fault %s: %w", f.ID, err))
			continue
		}
		planned := engine.Fault{
			ID: f.ID, Kind: f.Kind.Name, Fault: fault, At: f.At, For: f.For, Times: f.Times, Pause: f.Pause,
			After: engine.Moment(f.Follows()), Actions: named(f.ID, f.Kind.Name, actions),
		}
		if planned, err = cycled(planned); err != nil {
			c.errs.Add(f.Node, f.Node.At("for").Errorf("%w", err))
			continue
		}
		info := faultInfo(planned, with, f.Victims != nil)
		info.At, info.After = f.Start, f.After
		c.plan.Info.Faults = append(c.plan.Info.Faults, info)
		c.plan.Faults = append(c.plan.Faults, planned)
	}
}

// mostCycles is how often a fault that comes and goes by itself may come.
const mostCycles = 1000

// cycled makes of a fault that comes and goes by itself as many activations as its time holds.
func cycled(f engine.Fault) (engine.Fault, error) {
	c, ok := f.Fault.(fault.Cyclic)
	if !ok {
		return f, nil
	}
	there, away := c.Cycle()
	n := int((f.For + away) / (there + away))
	switch {
	case f.Times > 1:
		return f, fmt.Errorf("fault %s: %s comes and goes by itself: leave out times and pause", f.ID, f.Kind)
	case n < 2:
		return f, fmt.Errorf("fault %s: it lasts %v, in which %s happens fewer than 2 times (%v each, %v between them): write for: %v or more", f.ID, f.For, f.Kind, there, away, 2*there+away)
	case n > mostCycles:
		return f, fmt.Errorf("fault %s: in %v it would happen %d times, more than %d", f.ID, f.For, n, mostCycles)
	}
	f.Times, f.For, f.Pause = n, there, away
	return f, nil
}

// faultInfo is a planned fault for run.json; picked says that the seed chose its victims.
func faultInfo(f engine.Fault, with json.RawMessage, picked bool) journal.FaultInfo {
	var undo []string
	for _, a := range f.Actions {
		undo = append(undo, a.Undo)
	}
	info := journal.FaultInfo{
		ID: f.ID, Kind: f.Kind, At: f.At, For: f.For, With: with, Undo: strings.Join(undo, "; "),
		Actions: max(1, f.Times) * len(f.Actions),
	}
	if picked {
		info.Victims = append(places([]engine.Fault{f}, "node"), places([]engine.Fault{f}, "edge")...)
	}
	if f.Times > 1 {
		info.Times, info.Pause = f.Times, f.Pause
	}
	return info
}
