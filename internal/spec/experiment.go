// Package spec reads experiments and targets: strict YAML to typed values, where every error has its
// file, line, column, a snippet and the nearest valid name. What a word means to a kind is the
// kind's business (internal/catalog binds them); what the words of the language mean is here.
package spec

import (
	"errors"
	"path/filepath"
	"time"

	"chaos/internal/kind"
)

// APIVersion is the only version of the experiment language.
const APIVersion = "chaos/v1"

// Experiment is one experiment file with one profile applied to it.
type Experiment struct {
	APIVersion string             `yaml:"apiVersion" doc:"version of the language" enum:"chaos/v1"`
	Name       Ref                `yaml:"name" doc:"the experiment's name" syntax:"name"`
	Hypothesis string             `yaml:"hypothesis" doc:"what is believed to hold while the fault is there, in one sentence"`
	Source     string             `yaml:"source" doc:"where the hypothesis comes from" optional:"true"`
	Target     Ref                `yaml:"target" doc:"name of a folder under targets/, or a path relative to this file"`
	Variants   []Variant          `yaml:"variants" doc:"what to run it on, and what is expected of each"`
	Phases     Phases             `yaml:"phases" doc:"lengths of the phases"`
	Only       []Ref              `yaml:"only" doc:"the profiles it has, when it does not have all: [standard]" optional:"true" enum:"quick|standard|gameday"`
	Profiles   map[string]Profile `yaml:"profiles" doc:"other lengths, rates, times and targets: quick, gameday; the top level is standard" optional:"true" keys:"profile"`
	Load       []Load             `yaml:"load" doc:"what drives the target"`
	Faults     []Fault            `yaml:"faults" doc:"what is done to the target" optional:"true"`
	SLOs       []SLO              `yaml:"slos" doc:"what must hold"`
	Invariants []Ref              `yaml:"invariants" doc:"what must hold of the money, whatever happens" optional:"true" names:"invariant"`
	Checks     []Check            `yaml:"checks" doc:"what else must hold, by kind" optional:"true"`
	AbortWhen  []Guard            `yaml:"abort_when" doc:"when to stop at once and heal" optional:"true"`

	BlastRadius *BlastRadius `yaml:"blast_radius" doc:"what its faults may hurt together; more is refused before anything is started" optional:"true"`

	Node       Node   `yaml:",self"`
	Path       string `yaml:"-"` // of the file, as given
	Text       []byte `yaml:"-"` // of the file
	TargetPath string `yaml:"-"` // of target.yaml
	Profile    string `yaml:"-"` // the one that was applied
}

// Variant is one way to run the target, and what is expected of it.
type Variant struct {
	Name    string `yaml:"name" doc:"a variant of target.yaml" syntax:"name"`
	Expect  string `yaml:"expect" doc:"the verdict that proves the hypothesis" enum:"pass|fail|invalid|aborted"`
	Because []Ref  `yaml:"because" doc:"for fail: the SLOs and invariants that must all fail" optional:"true"`
	Node    Node   `yaml:",self"`
}

// Phases are the lengths of a run's phases.
type Phases struct {
	Warmup   time.Duration `yaml:"warmup" doc:"load runs, nothing is judged"`
	Baseline time.Duration `yaml:"baseline" doc:"the steady state must hold; its last second is the gap"`
	Fault    time.Duration `yaml:"fault" doc:"the faults of the timeline; the last revert starts at its end"`
	Recovery time.Duration `yaml:"recovery" doc:"after the last revert, load still running"`
	Settle   time.Duration `yaml:"settle" doc:"deadline for accepted work to settle, after the load"`
	Node     Node          `yaml:",self"`
}

// Total is how long a run's load lasts.
func (p Phases) Total() time.Duration { return p.Warmup + p.Baseline + p.Fault + p.Recovery }

// Load is one load: its parameters belong to its kind.
type Load struct {
	Name string `yaml:"name" doc:"the load's name, which SLIs refer to" syntax:"name"`
	Kind Ref    `yaml:"kind" doc:"load kind, such as vegeta" names:"load"`
	With Node   `yaml:"with" doc:"the kind's parameters" optional:"true" names:"load"`
	Node Node   `yaml:",self"`
}

// Fault is one fault of the timeline.
type Fault struct {
	ID   string `yaml:"id" doc:"the fault's id, which windows refer to as fault:<id>" syntax:"name"`
	Kind Ref    `yaml:"kind" doc:"fault kind, such as toxic.latency" names:"fault"`
	With Node   `yaml:"with" doc:"the kind's parameters" optional:"true" names:"fault"`

	Victims *Victims `yaml:"victims" doc:"which nodes or edges it hurts, in place of node or edge in with" optional:"true"`

	At  time.Duration `yaml:"at" doc:"when it starts, from the start of phase fault, or from the moment that after names" default:"0s"`
	For time.Duration `yaml:"for" doc:"how long it lasts, each time" optional:"true"`

	Until time.Duration `yaml:"until" doc:"when it ends, from the start of phase fault, in place of for" optional:"true"`
	After string        `yaml:"after" doc:"the moment of another fault that at counts from: <id> active, or <id> reverted" optional:"true"`
	Times int           `yaml:"times" doc:"how often it is made" default:"1" range:"1..1000"`
	Pause time.Duration `yaml:"pause" doc:"from the end of one time to the start of the next; required when times is over 1" optional:"true"`

	// Every is another place for the kind's own parameter of that name, beside the other times.
	Every Node `yaml:"every" doc:"period, for kinds that act again and again" optional:"true" names:"fault"`
	Node  Node `yaml:",self"`

	Start, End time.Duration `yaml:"-"` // as planned, from the start of phase fault to the end of the last time
}

// SLO is one objective on one indicator.
type SLO struct {
	Name     string        `yaml:"name" doc:"the objective's name, which because: refers to" syntax:"name"`
	SLI      string        `yaml:"sli" doc:"the indicator, such as availability(pay) or under(read, 250ms)" syntax:"sli"`
	Target   *kind.Percent `yaml:"target" doc:"for ratios: the share that must be good, such as 99.9%" optional:"true" one:"limit"`
	Max      string        `yaml:"max" doc:"for quantile, rate and recovery_time: the largest that is allowed, such as 15s" optional:"true" one:"limit" syntax:"limit"`
	During   []Ref         `yaml:"during" doc:"the windows it is judged on; default [fault]" optional:"true" names:"window"`
	Baseline string        `yaml:"baseline" doc:"off: don't judge it on the baseline too" optional:"true" enum:"off"`
	Node     Node          `yaml:",self"`
}

// BaselineOff reports whether the SLO is not judged on the baseline.
func (s SLO) BaselineOff() bool { return s.Baseline == off }

// off is the only value of an SLO's baseline key.
const off = "off"

// Windows are the names of the windows the SLO is judged on, "fault" when it names none.
func (s SLO) Windows() []string {
	if len(s.During) == 0 {
		return []string{"fault"}
	}
	names := make([]string, len(s.During))
	for i, r := range s.During {
		names[i] = r.Name
	}
	return names
}

// Check is one check of a kind with parameters.
type Check struct {
	Name string `yaml:"name" doc:"the check's name, which because: refers to; default its kind" optional:"true" syntax:"name"`
	Kind Ref    `yaml:"kind" doc:"check kind, such as trace_completeness" names:"check"`
	With Node   `yaml:"with" doc:"the kind's parameters" optional:"true" names:"check"`
	Node Node   `yaml:",self"`
}

// Called is the check's name.
func (c Check) Called() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Kind.Name
}

// Guard is one condition that stops a run.
type Guard struct {
	When     string `yaml:"when" doc:"condition over a sliding window, such as availability(pay) < 10% for 5s" syntax:"guard"`
	Variants []Ref  `yaml:"variants" doc:"variants it guards; default those that are expected to pass" optional:"true"`
	Node     Node   `yaml:",self"`
}

// For reports whether the guard watches runs of v.
func (g Guard) For(v Variant) bool {
	if len(g.Variants) == 0 {
		return v.Expect == "pass"
	}
	for _, r := range g.Variants {
		if r.Name == v.Name {
			return true
		}
	}
	return false
}

// Variant returns the variant called name.
func (e *Experiment) Variant(name string) (Variant, error) {
	names := make([]string, len(e.Variants))
	for i, v := range e.Variants {
		if v.Name == name {
			return v, nil
		}
		names[i] = v.Name
	}
	return Variant{}, e.Node.At("variants").Unknown("variant", name, names)
}

// Ref is a name that keeps its place.
type Ref struct {
	Name string
	Node Node
}

func (r *Ref) take(n Node) *Error {
	if n.val.shape != scalar || n.val.text == "" {
		return n.fail("", "%s must be a name, not %s", named(n), shapeNames[n.val.shape])
	}
	r.Name, r.Node = n.val.text, n
	return nil
}

// String is the name.
func (r Ref) String() string { return r.Name }

// take keeps a piece of the file for later, when its kind is known.
func (n *Node) take(from Node) *Error {
	*n = from
	return nil
}

// names are the names of refs.
func names(refs []Ref) []string {
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = r.Name
	}
	return out
}

// LoadExperiment reads and checks an experiment and applies a profile ("" = standard). The error is
// Errors with all that is wrong; errors.Is(err, ErrNoProfile) when the file is fine but has no such
// profile. With an error comes what could be read, to look for more errors in; nil when nothing could.
func LoadExperiment(path, profile string) (*Experiment, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	e, err := ParseExperiment(path, data, profile)
	if e == nil {
		return nil, err
	}
	return e, e.FindTarget(filepath.Dir(path), err)
}

// FindTarget sets TargetPath to the target.yaml that the experiment means, as seen from folder. It adds what is wrong
// with that to err, which is what is wrong with the file.
func (e *Experiment) FindTarget(folder string, err error) error {
	var errs Errors
	if err != nil && (!errors.As(err, &errs) || errors.Is(err, ErrNoProfile)) {
		return err
	}
	if e.Target.Name != "" { // else that is told
		path, err := resolveTarget(folder, e.Target)
		e.TargetPath = path
		errs.Add(e.Node, err)
	}
	return errs.Err()
}

// ParseExperiment is LoadExperiment for a text that is in memory; it does not look for the target.
func ParseExperiment(path string, data []byte, profile string) (*Experiment, error) {
	root, err := parse(path, data)
	if root.Absent() {
		return nil, err
	}
	e := &Experiment{Path: path, Text: data}
	var errs Errors
	errs.Add(root, err)
	errs.Add(root, root.Decode(e))
	if root.val.shape != mapping {
		return nil, errs.Err()
	}
	for i := range e.Load {
		withDefault(&e.Load[i].With, e.Load[i].Node)
	}
	for i := range e.Faults {
		withDefault(&e.Faults[i].With, e.Faults[i].Node)
		errs.Add(root, e.Faults[i].foldEvery())
	}
	for i := range e.Checks {
		withDefault(&e.Checks[i].With, e.Checks[i].Node)
	}
	errs.Add(root, e.check())
	profiles := e.checkProfiles()
	errs.Add(root, profiles)
	err = nil
	if len(errs) == 0 || profiles == nil && e.timed() {
		if err = e.apply(profile); err == nil {
			err = e.checkTimes()
		}
	}
	if len(errs) == 0 {
		return e, err
	}
	if !errors.Is(err, ErrNoProfile) && errors.As(err, &Errors{}) {
		errs.Add(root, err)
	}
	return e, errs.Err()
}

// timed reports whether nothing is wrong with how the times of a file with errors are written, so that more can be
// said of them.
func (e *Experiment) timed() bool {
	written := !e.Phases.Node.Absent() && e.Phases.Node.Decode(&Phases{}) == nil
	for _, f := range e.Faults {
		written = written && !f.Node.Absent() && f.Node.Decode(&Fault{}) == nil
	}
	for _, p := range e.Profiles {
		written = written && !p.Node.Absent() && p.Node.Decode(&Profile{}) == nil
	}
	return written
}

func withDefault(with *Node, item Node) {
	if with.Absent() && !item.Absent() {
		*with = item.empty()
	}
}

// foldEvery hands every to the kind, which says so when it has no such parameter.
func (f *Fault) foldEvery() error {
	switch {
	case f.Every.Absent() || f.With.Absent():
		return nil
	case !f.With.Get("every").Absent():
		return f.Every.fail("", "every is given twice: here and in with")
	}
	f.With = f.With.with("every", f.Every)
	return nil
}
