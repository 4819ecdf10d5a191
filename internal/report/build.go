package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// Build computes the Document of one experiment from its judged variants, in the order given. It is
// pure: the same runs give the same Document, and runs are not changed. Runs without a history, or
// none at all, give a Document that says so.
func Build(runs []Run) *Document {
	doc := &Document{Schema: Schema, Exit: verdict.ExitNoEvidence}
	r := newRedactor()
	codes := make([]int, 0, len(runs))
	var words []string
	for _, run := range runs {
		v := buildVariant(run, r)
		doc.Variants = append(doc.Variants, v)
		codes = append(codes, v.Exit)
		words = append(words, v.Name+" "+v.Verdict())
		if v.Met {
			doc.Met++
		}
		if run.Verdict.Expect.Status == verdict.FAIL && run.Verdict.Status == verdict.PASS {
			doc.Notes = append(doc.Notes, v.Name+" passed although it was expected to fail: this experiment has no power to find the defect it is about")
		}
		if c, ok := contrast(run, &doc.Variants[len(doc.Variants)-1]); ok {
			doc.Contrasts = append(doc.Contrasts, c)
		}
	}
	if len(runs) == 0 {
		doc.Notes = append(doc.Notes, "nothing was run, so there is no evidence")
	}
	doc.Exit = verdict.WorstExit(codes...)
	doc.Headline = strings.Join(words, " · ")
	describe(doc, runs)
	r.clean(doc)
	return doc
}

// describe fills what is common to all variants from the first run that knows it.
func describe(doc *Document, runs []Run) {
	var end time.Time
	for i, run := range runs {
		v := doc.Variants[i]
		doc.Experiment = first(doc.Experiment, run.Verdict.Experiment)
		if run.History == nil {
			continue
		}
		info := run.History.Run
		doc.Experiment = first(doc.Experiment, info.Experiment)
		doc.Hypothesis = first(doc.Hypothesis, info.Hypothesis)
		doc.Source = first(doc.Source, info.Source)
		doc.Profile = first(doc.Profile, info.Profile)
		doc.Target = first(doc.Target, info.Target)
		doc.Runtime = first(doc.Runtime, info.Runtime)
		doc.Version = first(doc.Version, info.Version)
		doc.Revision = first(doc.Revision, info.Revision)
		doc.Command = first(doc.Command, info.Command)
		if doc.Seed == 0 {
			doc.Seed = info.Seed
		}
		if !info.Started.IsZero() && (doc.Started.IsZero() || info.Started.Before(doc.Started)) {
			doc.Started = info.Started.UTC()
		}
		if stop := v.Started.Add(v.Duration); stop.After(end) {
			end = stop
		}
		if i > 0 { // the command of one variant repeats all of them when it does not name it
			doc.Command = strings.Replace(doc.Command, " --variant "+runs[0].Verdict.Variant+" ", " ", 1)
		}
	}
	if !doc.Started.IsZero() && end.After(doc.Started) {
		doc.Duration = end.Sub(doc.Started)
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// without are the notes that are not told as damage already.
func without(notes, damage []string) (rest []string) {
	for _, n := range notes {
		if !slices.Contains(damage, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// buildVariant computes one variant.
func buildVariant(run Run, r *redactor) Variant {
	h := run.History
	if h == nil {
		h = &journal.History{}
	}
	judged := run.Verdict
	v := Variant{
		Name: first(judged.Variant, h.Run.Variant), Run: first(judged.Run, h.Run.ID),
		Status: judged.Status, Met: judged.Met, MetWhy: judged.MetWhy,
		Expected: expected(judged.Expect), Because: slices.Clone(judged.Expect.Because),
		Why: slices.Clone(judged.Why), Exit: exitCode(judged, h),
		Started: h.Run.Started.UTC(), Command: h.Run.Command,
		Honesty: slices.Clone(judged.Honesty), Notes: without(judged.Notes, h.Damage), Damage: slices.Clone(h.Damage),
		FalseFails: judged.FalseFails,
	}
	v.Name = first(v.Name, "(unnamed)")
	for _, f := range judged.Findings {
		f.Evidence = slices.Clone(f.Evidence)
		f.Budget, f.Silent = copied(f.Budget), copied(f.Silent)
		v.Findings = append(v.Findings, f)
	}
	c := newClockwork(h)
	v.Duration = c.end
	v.Focus = focus(v.Findings, h.Run.Loads)
	v.Phases, v.Windows = c.phases(), c.windows()
	lost := lostKeys(h, v.Findings)
	v.Loads = loads(h, c, lost)
	v.Faults = faults(h, c, judged.Bites, r)
	v.Canary = canary(h)
	v.Impact = impact(h, c, &v)
	v.Moments = moments(h, c, &v)
	v.Environment = environment(h)
	v.Telemetry = telemetry(h, judged.Findings)
	return v
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	q := *p
	return &q
}

// exitCode is the run's own, or that of an interrupted run.
func exitCode(v verdict.Verdict, h *journal.History) int {
	code := v.ExitCode()
	if len(h.Find(journal.EventInterrupted)) > 0 {
		return verdict.WorstExit(code, verdict.ExitInterrupted)
	}
	return code
}

func expected(e verdict.Expectation) string {
	if e.Status == verdict.ERROR {
		return "nothing" // nobody can expect it: the experiment was never read
	}
	if len(e.Because) == 0 {
		return e.Status.String()
	}
	return e.Status.String() + " because " + strings.Join(e.Because, ", ")
}

// focus is the load that the first SLO's indicator names, else the first load.
func focus(findings []verdict.Finding, loads []journal.LoadInfo) string {
	for _, f := range findings {
		name := sliLoad(f.SLI)
		if slices.ContainsFunc(loads, func(l journal.LoadInfo) bool { return l.Name == name }) {
			return name
		}
	}
	if len(loads) > 0 {
		return loads[0].Name
	}
	return ""
}

// sliLoad is the first argument of an indicator: pay of "under(pay, 250ms)".
func sliLoad(sli string) string {
	_, args, ok := strings.Cut(sli, "(")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(args, ",)"); i >= 0 {
		args = args[:i]
	}
	return strings.TrimSpace(args)
}

// environment lists what the run ran on, in a fixed order.
func environment(h *journal.History) []Pair {
	info := h.Run
	var out []Pair
	add := func(name, value string) {
		if value != "" {
			out = append(out, Pair{Name: name, Value: value})
		}
	}
	add("run", info.ID)
	add("target", info.Target)
	add("runtime", info.Runtime)
	add("chaos", strings.TrimSpace(info.Version+" "+info.Revision))
	for _, k := range slices.Sorted(maps.Keys(info.Machine)) {
		add("machine "+k, info.Machine[k])
	}
	for _, k := range slices.Sorted(maps.Keys(info.Images)) {
		add("image "+k, info.Images[k])
	}
	for _, k := range slices.Sorted(maps.Keys(info.Phases)) {
		add("phase "+k, info.Phases[k])
	}
	out = append(out, overheads(h)...)
	for _, l := range info.Loads {
		add("load "+l.Name, fmt.Sprintf("%s on %s, %s/s %s, timeout %s", l.Op, l.Node, Number(l.Rate), l.Arrivals, Time(l.Timeout)))
	}
	return out
}

// canary adds up the canary's readings per window, in order of time.
func canary(h *journal.History) []Canary {
	var out []Canary
	for _, name := range []string{"baseline", "fault", "recovery"} {
		w, ok := h.Windows[name]
		if !ok {
			continue
		}
		c := Canary{Window: name}
		for _, r := range h.Readings {
			if r.Source != journal.SourceCanary || !w.Contains(r.At) {
				continue
			}
			switch r.Name {
			case journal.CanaryTicks:
				c.Ticks += int(r.Value)
			case journal.CanaryLate:
				c.Late += int(r.Value)
			}
		}
		if c.Ticks > 0 {
			out = append(out, c)
		}
	}
	return out
}

// detail decodes an event's Detail; a foreign or broken one leaves into as it is.
func detail(e journal.Event, into any) bool {
	return len(e.Detail) > 0 && json.Unmarshal(e.Detail, into) == nil
}
