package spec

import (
	"slices"
	"strings"
	"time"
)

// Lengths below which a phase can't do what it is for.
const (
	minBaseline = 2 * time.Second // its last second is the gap
	minPhase    = time.Second
)

// windowOfFault begins the name of the window of one fault.
const windowOfFault = "fault:"

// windows are the names that during may use, beside fault:<id>.
func windows() []string { return []string{"warmup", "baseline", "fault", "recovery", "settled", "run"} }

// check refuses what the language forbids, whatever the profile.
func (e *Experiment) check() error {
	var errs Errors
	if text := e.Node.Get("hypothesis"); !text.Absent() && strings.TrimSpace(e.Hypothesis) == "" {
		errs = append(errs, text.fail("say in one sentence what you believe will hold", "the hypothesis is empty"))
	}
	errs = append(errs, e.checkNames()...)
	errs = append(errs, e.checkVariants()...)
	errs = append(errs, e.checkSLOs()...)
	errs = append(errs, e.checkBlastRadius()...)
	for _, g := range e.AbortWhen {
		for _, r := range g.Variants {
			if names := e.variantNames(); !slices.Contains(names, r.Name) {
				errs = append(errs, r.Node.unknown("variant", r.Name, names))
			}
		}
	}
	for _, v := range e.Variants {
		if v.Expect == "aborted" && !slices.ContainsFunc(e.AbortWhen, func(g Guard) bool { return g.For(v) }) {
			errs = append(errs, v.Node.At("expect").fail("name it: abort_when: [{when: …, variants: ["+v.Name+"]}]", "variant %s is expected to be aborted, but no guard watches it", v.Name))
		}
	}
	return errs.Err()
}

func (e *Experiment) variantNames() (out []string) {
	for _, v := range e.Variants {
		out = append(out, v.Name)
	}
	return out
}

// checkNames refuses duplicate names. SLOs, invariants and checks share one space, because: refers
// to both.
func (e *Experiment) checkNames() (errs Errors) {
	seen := map[string]map[string]int{}
	once := func(space, what, name string, n Node) {
		if name == "" || n.Absent() {
			return // reported as missing already
		}
		if seen[space] == nil {
			seen[space] = map[string]int{}
		}
		if line, dup := seen[space][name]; dup {
			errs = append(errs, n.fail("", "duplicate %s %q: it is on line %d already", what, name, line))
			return
		}
		seen[space][name] = n.val.line
	}
	for _, v := range e.Variants {
		once("variant", "variant", v.Name, v.Node.At("name"))
	}
	for _, l := range e.Load {
		once("load", "load", l.Name, l.Node.At("name"))
	}
	for _, f := range e.Faults {
		once("fault", "fault id", f.ID, f.Node.At("id"))
	}
	for _, s := range e.SLOs {
		once("check", "SLO", s.Name, s.Node.At("name"))
	}
	for _, r := range e.Invariants {
		once("check", "invariant", r.Name, r.Node)
	}
	for _, c := range e.Checks {
		at := c.Kind.Node
		if c.Name != "" {
			at = c.Node.At("name")
		}
		once("check", "check", c.Called(), at)
	}
	return errs
}

func (e *Experiment) checkVariants() (errs Errors) {
	checks := append(e.sloNames(), names(e.Invariants)...)
	for _, c := range e.Checks {
		checks = append(checks, c.Called())
	}
	for _, v := range e.Variants {
		switch {
		case v.Expect == "fail" && len(v.Because) == 0:
			errs = append(errs, v.Node.At("expect").fail("add because: [<the SLOs and invariants that must fail>]", "expect: fail needs because"))
		case v.Expect != "" && v.Expect != "fail" && len(v.Because) > 0:
			errs = append(errs, v.Node.Key("because").fail("", "because is only for expect: fail, not for %s", v.Expect))
		}
		for _, r := range v.Because {
			if !slices.Contains(checks, r.Name) {
				errs = append(errs, r.Node.unknown("SLO, invariant or check", r.Name, checks))
			}
		}
	}
	return errs
}

func (e *Experiment) checkSLOs() (errs Errors) {
	known := windows()
	for _, f := range e.Faults {
		known = append(known, windowOfFault+f.ID)
	}
	for _, s := range e.SLOs {
		for _, w := range s.During {
			if !slices.Contains(known, w.Name) {
				errs = append(errs, w.Node.unknown("window", w.Name, known))
			}
		}
	}
	return errs
}

// checkTimes refuses, with the profile applied, phases that are too short and faults that reach past
// their phase.
func (e *Experiment) checkTimes() error {
	var errs Errors
	p := e.Phases
	for key, length := range map[string]time.Duration{"fault": p.Fault, "recovery": p.Recovery, "settle": p.Settle} {
		if length < minPhase {
			errs = append(errs, p.Node.At(key).fail("", "phase %s of %v is too short: %v at least", key, length, minPhase))
		}
	}
	if p.Baseline < minBaseline {
		errs = append(errs, p.Node.At("baseline").fail("", "phase baseline of %v is too short: %v at least, its last second is the gap", p.Baseline, minBaseline))
	}
	return append(errs, e.checkSchedule()...).Err()
}
