package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"chaos/internal/kind"
)

// timelineWidth is the number of columns of the drawn timeline.
const timelineWidth = 72

// print writes the outline for people.
func (o outline) print(w io.Writer) {
	fmt.Fprintf(w, "%s · %s · profile %s\n", o.Experiment, o.Variant, o.Profile)
	fmt.Fprintf(w, "  %s\n", o.Hypothesis)
	expect := strings.ToLower(o.Expect.Status.String())
	if len(o.Expect.Because) > 0 {
		expect += " because of " + strings.Join(o.Expect.Because, ", ")
	}
	fmt.Fprintf(w, "  expected: %s · target %s on %s · seed %d\n", expect, o.Target, o.Runtime, o.Seed)

	fmt.Fprintf(w, "\nTimeline (%v, then up to %v to settle)\n", o.total(), o.Settle)
	o.draw(w)
	o.steps(w)
	o.printLoads(w)
	o.printChecks(w)
	o.printWorst(w)
	for _, warning := range o.Warnings {
		fmt.Fprintf(w, "\nWARNING: %s\n", warning)
	}
	fmt.Fprintf(w, "\nRepeat it with: %s\n", o.Command)
}

func (o outline) total() time.Duration { return o.Phases[len(o.Phases)-1].To }

// column is where a moment lies on the drawn timeline.
func (o outline) column(at time.Duration) int { return int(at * timelineWidth / o.total()) }

// draw draws the phases by their letters and each fault as a bar below.
func (o outline) draw(w io.Writer) {
	letters := []byte(strings.Repeat(" ", timelineWidth))
	for _, p := range o.Phases {
		for i := o.column(p.From); i < max(o.column(p.To), min(o.column(p.From)+1, timelineWidth)); i++ {
			letters[i] = p.Name[0]
		}
	}
	fmt.Fprintf(w, "  %-16s %s\n", "phase", letters)
	for _, f := range o.Faults {
		bar := []byte(strings.Repeat(" ", timelineWidth))
		for _, s := range f.Times {
			from := min(o.column(s.From), timelineWidth-1)
			for i := from; i < max(o.column(s.To), from+1); i++ {
				bar[i] = '#'
			}
		}
		fmt.Fprintf(w, "  %-16s %s\n", f.ID, bytes.TrimRight(bar, " "))
	}
	fmt.Fprintln(w, "  w warm-up, b baseline (must hold), g gap, f fault, r recovery")
}

// step is one line of the timeline in words.
type step struct {
	at   time.Duration
	text string
}

// steps tells what happens when, and how each step is undone.
func (o outline) steps(w io.Writer) {
	var list []step
	add := func(at time.Duration, format string, args ...any) {
		list = append(list, step{at, fmt.Sprintf(format, args...)})
	}
	add(0, "all loads start; warm-up, judged by nothing")
	add(o.Phases[1].From, "baseline: every SLO must hold here, else the run is INVALID and no fault is made")
	for _, f := range o.Faults {
		f.steps(add)
	}
	add(o.Phases[4].From, "recovery: nothing is hurt any more")
	add(o.total(), "loads stop; accepted work has up to %v to settle; audit, verdict, report", o.Settle)
	slices.SortStableFunc(list, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	fmt.Fprintln(w)
	for _, s := range list {
		fmt.Fprintf(w, "  %-6v %s\n", s.at, s.text)
	}
	if len(o.Faults) == 0 {
		fmt.Fprintln(w, "  no fault: this run only shows that a healthy system passes")
	}
}

// shownTimes are how many times of a fault are told in words, beside the last.
const shownTimes = 3

// steps tells when a fault is made and undone, each time.
func (f plannedFault) steps(add func(at time.Duration, format string, args ...any)) {
	each := len(f.Actions) / len(f.Times)
	for k, s := range f.Times {
		switch last := k == len(f.Times)-1; {
		case k == shownTimes && !last:
			add(s.From, "%s: and so on, %d more times", f.ID, len(f.Times)-1-k)
			continue
		case k > shownTimes && !last:
			continue
		}
		what := f.ID
		if len(f.Times) > 1 {
			what += fmt.Sprintf(" (%d of %d)", k+1, len(f.Times))
		}
		if f.After != "" && k == 0 {
			what += fmt.Sprintf(", which follows %s and comes later by what that took", f.After)
		}
		on := ""
		if len(f.Victims) > 0 {
			on = " on " + strings.Join(f.Victims, ", ") + " (picked by the seed)"
		}
		add(s.From, "%s: %s %s%s", what, f.Kind, f.With, on)
		for _, a := range f.Actions[k*each : (k+1)*each] {
			add(s.To, "%s on %s is undone, within %v: %s", a.ID, a.Place, a.Heal, a.Undo)
		}
	}
}

func (o outline) printLoads(w io.Writer) {
	fmt.Fprintln(w, "\nLoad")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range o.Loads {
		fmt.Fprintf(t, "  %s\t%s on %s\t%g/s %s\tclient timeout %v\n", l.Name, l.Op, l.Node, l.Rate, l.Arrivals, l.Timeout)
	}
	t.Flush()
}

func (o outline) printChecks(w io.Writer) {
	fmt.Fprintln(w, "\nWhat is judged")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  SLO\tSLI\twant\twindow\tplanned n\tneeded n\tmay be bad")
	for _, c := range o.Checks {
		need, bad := "-", "-"
		if c.Need > 0 {
			need = fmt.Sprint(c.Need)
		}
		if c.Need > 0 && strings.HasPrefix(c.Want, "≥") {
			bad = fmt.Sprint(c.Tolerates)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%d\t%s\t%s\n", c.Check, c.SLI, c.Want, c.Window, c.Planned, need, bad)
	}
	t.Flush()
	if words := telemetryWords(o.Telemetry); words != "" {
		fmt.Fprintf(w, "  read beside: %s\n", words)
	}
	if len(o.ByKind) > 0 {
		fmt.Fprintf(w, "  checks: %s\n", strings.Join(o.ByKind, ", "))
	}
	if len(o.Invariants) > 0 {
		fmt.Fprintf(w, "  invariants: %s\n", strings.Join(o.Invariants, ", "))
	}
	for _, g := range o.Guards {
		fmt.Fprintf(w, "  aborts when %s\n", g)
	}
	fmt.Fprintln(w, "\nWindows")
	for _, win := range o.Windows {
		fmt.Fprintf(w, "  %-20s %v to %v (%v)\n", win.Name, win.From, win.To, win.To-win.From)
	}
}

func (o outline) printWorst(w io.Writer) {
	if len(o.Faults) == 0 || len(o.Burn) == 0 {
		return
	}
	fmt.Fprintln(w, "\nWorst case: every request of the fault is bad")
	for _, b := range o.Burn {
		fmt.Fprintf(w, "  %s: burn rate %.4g, %s of a 30-day error budget\n", b.SLO, b.Rate, kind.Percent(b.Share))
	}
}
