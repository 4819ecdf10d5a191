package cli

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"chaos/internal/catalog"
	"chaos/internal/check"
	"chaos/internal/check/slo"
	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/spec"
	"chaos/internal/verdict"
)

// recoveryMargin is what window recovery must have beyond the largest max of a recovery_time: five
// whole seconds of goodness have to fit behind it.
const recoveryMargin = 5 * time.Second

// size is what one check will have to judge on.
type size struct {
	Check     string `json:"check"`
	SLI       string `json:"sli"`
	Want      string `json:"want"`
	Window    string `json:"window"`
	Load      string `json:"load,omitempty"`
	Planned   int    `json:"planned"`             // requests due in the window: rate × length
	Need      int    `json:"need,omitempty"`      // planned requests without which it can't Pass
	Tolerates int    `json:"tolerates,omitempty"` // bad ones among Planned that still Pass
}

// checks compiles the SLOs and invariants and refuses those that could only end Inconclusive.
func (c *compiler) checks(spec.Variant) {
	compiled := c.objectives()
	if len(c.errs) > 0 {
		return
	}
	windows := plannedWindows(c.plan) // after RecoverMax is known
	for i, list := range compiled {
		for _, ch := range list {
			c.size(c.exp.SLOs[i], ch, windows)
		}
	}
	c.invariants()
	for i, ch := range c.kinds() {
		at := c.exp.Checks[i]
		c.demands(ch, at.Kind.Node, "check "+at.Called())
	}
}

// demands refuses a check that asks for what the target lacks.
func (c *compiler) demands(ch check.Check, at spec.Node, name string) {
	if d, ok := ch.(check.Demanding); ok {
		if err := d.Demands(c.plan.Info); err != nil {
			c.errs.Add(at, at.Errorf("%s: %w", name, err))
		}
	}
}

// kinds binds the checks that are written by kind, and returns them as they are without their names.
func (c *compiler) kinds() []check.Check {
	bound := make([]check.Check, len(c.exp.Checks))
	for i, k := range c.exp.Checks {
		ch, err := catalog.Checks().Bind(k.Kind.Name, k.Kind.Node, k.With)
		if err != nil {
			c.errs.Add(k.Node, err)
			continue
		}
		bound[i] = ch
		c.plan.Checks = append(c.plan.Checks, called{ch, k.Called()})
	}
	return bound
}

// called is a check under the name that the experiment gives it.
type called struct {
	check.Check
	name string
}

func (c called) Name() string { return c.name }

func (c called) Judge(h *journal.History) verdict.Finding {
	f := c.Check.Judge(h)
	f.Check = c.name
	return f
}

// objectives compiles the SLOs: one list of checks each.
func (c *compiler) objectives() [][]check.Check {
	var compiled [][]check.Check
	for _, s := range c.exp.SLOs {
		o := slo.Objective{Name: s.Name, SLI: s.SLI, Max: s.Max, During: s.Windows(), Baseline: !s.BaselineOff()}
		if len(s.During) == 0 {
			o.During = nil // the objective knows its default
		}
		if s.Target != nil {
			o.Target = float64(*s.Target)
		}
		list, err := o.Checks(c.plan.Info.Loads)
		if err != nil {
			c.errs.Add(s.Node, placed(s.Node.At("sli"), s.Name, err))
			continue
		}
		compiled = append(compiled, list)
		for _, ch := range list {
			if r, ok := ch.(slo.Recovering); ok {
				c.recovery(s, r)
			}
		}
		c.plan.Checks = append(c.plan.Checks, list...)
	}
	return compiled
}

// placed puts the error of an SLI's or guard's text at its character.
func placed(n spec.Node, name string, err error) error {
	var syntax *slo.SyntaxError
	if errors.As(err, &syntax) {
		return n.Within(syntax.Offset).Errorf("%s: %w", name, err)
	}
	return n.Errorf("%s: %w", name, err)
}

// recovery refuses a max that the phase can't see, and remembers the largest.
func (c *compiler) recovery(s spec.SLO, r slo.Recovering) {
	limit, ok := r.RecoveryMax()
	if !ok {
		return
	}
	c.plan.Info.RecoverMax = max(c.plan.Info.RecoverMax, limit)
	if room := c.exp.Phases.Recovery - recoveryMargin; limit > room {
		c.errs.Add(s.Node, s.Node.At("max").Errorf("SLO %s allows %v to recover, but phase recovery of %v can only tell up to %v: five good seconds must fit behind it",
			s.Name, limit, c.exp.Phases.Recovery, max(0, room)))
	}
}

// size refuses a check whose planned number of requests is under what it needs: told before the run,
// not after.
func (c *compiler) size(s spec.SLO, ch check.Check, windows map[string]journal.Window) {
	w := windows[ch.Window()]
	z := size{Check: s.Name, SLI: s.SLI, Want: wanted(s), Window: ch.Window()}
	if l, ok := ch.(interface{ Load() string }); ok {
		z.Load = l.Load()
		z.Planned = int(math.Floor(c.rate(z.Load)*w.Len().Seconds() + 1e-9)) // 1e-9: 0.1 × 30 is 3
	}
	if sized, ok := ch.(slo.Sized); ok {
		z.Need = sized.MinN()
		if z.Planned < z.Need {
			c.errs.Add(s.Node, s.Node.At("target").Errorf("SLO %s can't pass on window %s: %d requests are planned (%g/s × %v), %d are needed",
				s.Name, z.Window, z.Planned, c.rate(z.Load), w.Len(), z.Need))
		}
	}
	if s.Target != nil {
		z.Tolerates = int(math.Floor((1-float64(*s.Target))*float64(z.Planned) + 1e-9))
	}
	c.sizes = append(c.sizes, z)
}

func wanted(s spec.SLO) string {
	if s.Target != nil {
		return "≥ " + s.Target.String()
	}
	return "≤ " + s.Max
}

func (c *compiler) rate(load string) float64 {
	for _, l := range c.plan.Info.Loads {
		if l.Name == load {
			return l.Rate
		}
	}
	return 0
}

func (c *compiler) invariants() {
	table := catalog.Invariants()
	for _, r := range c.exp.Invariants {
		ch, err := table.New(r.Name)
		if err != nil {
			c.errs.Add(r.Node, r.Node.Unknown("invariant", r.Name, table.Names()))
			continue
		}
		c.plan.Checks = append(c.plan.Checks, ch)
		if c.plan.Topology != nil { // a stored run is judged by what its witnesses said
			c.demands(ch, r.Node, "invariant "+r.Name)
		}
	}
}

// guards compiles those that watch this variant.
func (c *compiler) guards(v spec.Variant) {
	for _, g := range c.exp.AbortWhen {
		compiled, err := slo.ParseGuard(g.When, c.plan.Info.Loads)
		if err != nil {
			c.errs.Add(g.Node, placed(g.Node.At("when"), "abort_when", err))
			continue
		}
		if g.For(v) {
			c.plan.Guards = append(c.plan.Guards, compiled)
		}
	}
}

// plannedWindows are the windows of a run that goes exactly on time.
func plannedWindows(p *engine.Plan) map[string]journal.Window {
	start := p.Phases.Warmup + p.Phases.Baseline
	heal := start + p.Phases.Fault
	events := []journal.Event{
		{Type: journal.EventPhase, Phase: journal.PhaseWarmup},
		{Type: journal.EventPhase, Phase: journal.PhaseBaseline, At: p.Phases.Warmup},
		{Type: journal.EventGap, At: start - engine.Gap},
		{Type: journal.EventPhase, Phase: journal.PhaseFault, At: start},
		{Type: journal.EventPhase, Phase: journal.PhaseRecovery, At: heal},
		{Type: journal.EventLoadStop, At: heal + p.Phases.Recovery},
	}
	spans, _ := p.Spans() // compile has refused those that can't be placed; here they are left out
	for _, f := range p.Faults {
		for k, span := range spans[f.ID] {
			for _, a := range f.Round(k) {
				events = append(events,
					journal.Event{Type: journal.EventIntent, Action: a.ID, At: start + span.From},
					journal.Event{Type: journal.EventActive, Action: a.ID, At: start + span.From},
					journal.Event{Type: journal.EventReverting, Action: a.ID, At: start + span.To},
					journal.Event{Type: journal.EventReverted, Action: a.ID, At: start + span.To})
			}
		}
	}
	slices.SortStableFunc(events, func(a, b journal.Event) int { return cmp.Compare(a.At, b.At) })
	return journal.Windows(&p.Info, events)
}
