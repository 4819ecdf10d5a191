package spec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chaos/internal/kind"
)

// The profiles: quick for a laptop and each commit, standard for the claims in the file, gameday for
// long windows that can certify.
const (
	Quick    = "quick"
	Standard = "standard"
	Gameday  = "gameday"
)

// ProfileNames are all profiles.
func ProfileNames() []string { return []string{Quick, Standard, Gameday} }

// otherProfiles are those that a file writes under profiles.
func otherProfiles() []string { return []string{Quick, Gameday} }

// ErrNoProfile says that an experiment is fine but does not have the profile asked for.
var ErrNoProfile = errors.New("has no such profile")

// Profile is what a profile may change, and nothing else: lengths, rates, times, targets.
type Profile struct {
	Phases PhasePatch           `yaml:"phases" doc:"other lengths of phases" optional:"true"`
	Load   map[string]LoadPatch `yaml:"load" doc:"other rates, by the load's name" optional:"true"`
	Faults map[string]TimePatch `yaml:"faults" doc:"other times, by the fault's id" optional:"true"`
	SLOs   map[string]SLOPatch  `yaml:"slos" doc:"other demands, by the SLO's name" optional:"true"`
	Node   Node                 `yaml:",self"`
}

// PhasePatch changes the lengths it names.
type PhasePatch struct {
	Warmup   *time.Duration `yaml:"warmup" doc:"length of phase warmup" optional:"true"`
	Baseline *time.Duration `yaml:"baseline" doc:"length of phase baseline" optional:"true"`
	Fault    *time.Duration `yaml:"fault" doc:"length of phase fault" optional:"true"`
	Recovery *time.Duration `yaml:"recovery" doc:"length of phase recovery" optional:"true"`
	Settle   *time.Duration `yaml:"settle" doc:"length of phase settle" optional:"true"`
	Node     Node           `yaml:",self"`
}

// LoadPatch changes a load's rate; the load's kind reads it.
type LoadPatch struct {
	Rate Node `yaml:"rate" doc:"the load's rate" optional:"true" names:"load"`
	Node Node `yaml:",self"`
}

// TimePatch changes a fault's times; every belongs to the fault's kind.
type TimePatch struct {
	At    *time.Duration `yaml:"at" doc:"when the fault starts, from the start of phase fault, or from the moment that after names" optional:"true"`
	For   *time.Duration `yaml:"for" doc:"how long the fault lasts, each time" optional:"true"`
	Until *time.Duration `yaml:"until" doc:"when the fault ends" optional:"true"`
	Times *int           `yaml:"times" doc:"how often the fault is made" optional:"true" range:"1..1000"`
	Pause *time.Duration `yaml:"pause" doc:"from the end of one time to the start of the next" optional:"true"`
	Every Node           `yaml:"every" doc:"the fault's period" optional:"true" names:"fault"`
	Node  Node           `yaml:",self"`
}

// SLOPatch changes what an SLO demands.
type SLOPatch struct {
	Target *kind.Percent `yaml:"target" doc:"the share that must be good" optional:"true"`
	Max    *string       `yaml:"max" doc:"the largest that is allowed" optional:"true" syntax:"limit"`
	Node   Node          `yaml:",self"`
}

// checkProfiles refuses a profile that names what is not there, whichever profile is asked for.
func (e *Experiment) checkProfiles() error {
	var errs Errors
	profiles := e.Node.Get("profiles")
	for name, p := range e.Profiles {
		switch {
		case name == Standard:
			errs = append(errs, profiles.Key(name).fail("put its values there", "profile standard is the top level of the file"))
			continue
		case !slices.Contains(otherProfiles(), name):
			errs = append(errs, profiles.Key(name).unknown("profile", name, otherProfiles()))
			continue
		case len(e.Only) > 0 && !slices.Contains(names(e.Only), name):
			errs = append(errs, profiles.Key(name).fail("", "profile %s is not among only: %s", name, strings.Join(names(e.Only), ", ")))
		}
		errs = append(errs, e.checkPatches(p)...)
	}
	return errs.Err()
}

func (e *Experiment) checkPatches(p Profile) (errs Errors) {
	unknown := func(section, what string, valid []string) {
		n := p.Node.Get(section)
		for _, key := range n.Keys() {
			if !slices.Contains(valid, key) {
				errs = append(errs, n.Key(key).unknown(what, key, valid))
			}
		}
	}
	unknown("load", "load", e.loadNames())
	unknown("faults", "fault", e.faultIDs())
	unknown("slos", "SLO", e.sloNames())
	for name, patch := range p.Faults {
		f := e.fault(name)
		if f != nil && !patch.Every.Absent() && f.With.Get("every").Absent() {
			errs = append(errs, patch.Node.Key("every").fail("", "fault %s has no every to change", name))
		}
	}
	for name, patch := range p.SLOs {
		s := e.slo(name)
		switch {
		case s == nil:
		case patch.Target != nil && s.Target == nil:
			errs = append(errs, patch.Node.Key("target").fail("", "SLO %s has no target to change, but a max", name))
		case patch.Max != nil && s.Max == "":
			errs = append(errs, patch.Node.Key("max").fail("", "SLO %s has no max to change, but a target", name))
		}
	}
	return errs
}

// Has reports whether the experiment has the profile.
func (e *Experiment) Has(profile string) bool {
	if len(e.Only) > 0 && !slices.Contains(names(e.Only), profile) {
		return false
	}
	_, there := e.Profiles[profile]
	return there || profile == Standard
}

// apply changes the experiment to what the profile says.
func (e *Experiment) apply(profile string) error {
	if profile == "" {
		profile = Standard
	}
	if !slices.Contains(ProfileNames(), profile) {
		return fmt.Errorf("unknown profile %q%s", profile, kind.Suggest(profile, ProfileNames()))
	}
	if !e.Has(profile) {
		var has []string
		for _, name := range ProfileNames() {
			if e.Has(name) {
				has = append(has, name)
			}
		}
		return Errors{e.Node.Get("name").fail("it has "+strings.Join(has, ", "), "%s: %s %w", profile, e.Name, ErrNoProfile)}
	}
	e.Profile = profile
	p := e.Profiles[profile]
	for from, to := range map[*time.Duration]*time.Duration{
		p.Phases.Warmup: &e.Phases.Warmup, p.Phases.Baseline: &e.Phases.Baseline, p.Phases.Fault: &e.Phases.Fault,
		p.Phases.Recovery: &e.Phases.Recovery, p.Phases.Settle: &e.Phases.Settle,
	} {
		set(to, from)
	}
	e.Phases.Node = overlay(e.Phases.Node, p.Phases.Node, "warmup", "baseline", "fault", "recovery", "settle")
	for name, patch := range p.Load {
		if l := e.load(name); l != nil && !patch.Rate.Absent() {
			l.With = l.With.with("rate", patch.Rate)
		}
	}
	for id, patch := range p.Faults {
		f := e.fault(id)
		set(&f.At, patch.At)
		set(&f.For, patch.For)
		set(&f.Until, patch.Until)
		set(&f.Times, patch.Times)
		set(&f.Pause, patch.Pause)
		f.Node = overlay(f.Node, patch.Node, "at", "for", "until", "times", "pause")
		if !patch.Every.Absent() {
			f.With = f.With.with("every", patch.Every)
		}
	}
	for name, patch := range p.SLOs {
		s := e.slo(name)
		if patch.Target != nil {
			s.Target = patch.Target
		}
		set(&s.Max, patch.Max)
		s.Node = overlay(s.Node, patch.Node, "target", "max")
	}
	return nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// overlay points the keys that a profile changed at the profile, so that an error about them is
// where they were written.
func overlay(n, patch Node, keys ...string) Node {
	for _, key := range keys {
		if v := patch.Get(key); !v.Absent() {
			n = n.with(key, v)
		}
	}
	return n
}

func (e *Experiment) load(name string) *Load {
	if i := slices.IndexFunc(e.Load, func(l Load) bool { return l.Name == name }); i >= 0 {
		return &e.Load[i]
	}
	return nil
}

func (e *Experiment) fault(id string) *Fault {
	if i := slices.IndexFunc(e.Faults, func(f Fault) bool { return f.ID == id }); i >= 0 {
		return &e.Faults[i]
	}
	return nil
}

func (e *Experiment) slo(name string) *SLO {
	if i := slices.IndexFunc(e.SLOs, func(s SLO) bool { return s.Name == name }); i >= 0 {
		return &e.SLOs[i]
	}
	return nil
}

func (e *Experiment) loadNames() (out []string) {
	for _, l := range e.Load {
		out = append(out, l.Name)
	}
	return out
}

func (e *Experiment) faultIDs() (out []string) {
	for _, f := range e.Faults {
		out = append(out, f.ID)
	}
	return out
}

func (e *Experiment) sloNames() (out []string) {
	for _, s := range e.SLOs {
		out = append(out, s.Name)
	}
	return out
}

// ProfilesOf are the profiles an experiment has, in the usual order.
func (e *Experiment) ProfilesOf() []string {
	has := map[string]bool{Standard: e.Has(Standard)}
	for name := range maps.Keys(e.Profiles) {
		has[name] = e.Has(name)
	}
	return slices.DeleteFunc(ProfileNames(), func(name string) bool { return !has[name] })
}
