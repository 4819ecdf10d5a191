package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// moments tells the run as a list of facts in order of time: what the harness did, what the system
// did, and what broke. It is the timeline of a postmortem, so it states and does not judge.
func moments(h *journal.History, c *clockwork, v *Variant) []Moment {
	var out []Moment
	add := func(at time.Duration, wall time.Time, kind, text string) {
		if wall.IsZero() {
			wall = c.wall(at)
		}
		out = append(out, Moment{At: c.rel(at), Wall: wall.UTC(), Kind: kind, Text: text})
	}
	place := map[string]string{}
	for _, f := range v.Faults {
		place[f.Action] = strings.TrimSpace(f.Kind + " on " + first(f.Place, "?"))
	}
	for _, e := range h.Events {
		if kind, text := eventWords(e, place[e.Action]); text != "" {
			add(e.At, e.Wall, kind, text)
		}
	}
	if v.Impact.Bad > 0 {
		add(v.Impact.FirstBad+c.origin, time.Time{}, MomentEffect, "first bad request was due")
		add(v.Impact.LastBad+c.origin, time.Time{}, MomentEffect, fmt.Sprintf("last bad request was due; %s bad in %s", Count(v.Impact.Bad), Plural(v.Impact.BadSeconds, "second")))
	}
	if at, name, ok := recovered(v, c); ok {
		add(at, time.Time{}, MomentEffect, "recovered, as "+name+" defines it")
	}
	for _, b := range v.Impact.Breaches {
		add(c.end, time.Time{}, MomentTrouble, fmt.Sprintf("invariant %s found broken: %s of %s", b.Check, Count(b.Count), Count(b.N)))
	}
	slices.SortStableFunc(out, func(a, b Moment) int { return int(min(max(a.At-b.At, -1), 1)) })
	return out
}

// eventWords says an event in words; the text is empty for those a reader need not see.
func eventWords(e journal.Event, fault string) (kind, text string) {
	switch e.Type {
	case journal.EventRunStart:
		return MomentHarness, "run started"
	case journal.EventSystemReady:
		var r journal.Took
		if !detail(e, &r) {
			return MomentHarness, "target ready"
		}
		return MomentHarness, fmt.Sprintf("target ready (%s, %s)", r.How, Time(time.Duration(r.TookMS*float64(time.Millisecond))))
	case journal.EventDown:
		return MomentHarness, "target removed"
	case journal.EventPhase:
		return MomentPhase, "phase " + e.Phase + " began"
	case journal.EventLoadStart:
		return MomentHarness, "load started"
	case journal.EventLoadStop:
		return MomentHarness, "load stopped"
	case journal.EventBaseline:
		return troubled(e, "baseline held", "baseline did not hold")
	case journal.EventIntent:
		return MomentFault, "undo of " + e.Action + " written down (" + fault + ")"
	case journal.EventActive:
		return MomentFault, e.Action + " seen active (" + fault + ")"
	case journal.EventReverting:
		return MomentFault, "removal of " + e.Action + " began"
	case journal.EventReverted:
		var failed string
		if detail(e, &failed) && failed != "" {
			return MomentTrouble, joined(e.Action+" seen gone, not at once", failed)
		}
		return MomentFault, e.Action + " seen gone"
	case journal.EventStuck:
		return MomentTrouble, joined(e.Action+" could not be reverted", e.Err)
	case journal.EventHealed:
		return MomentFault, joined("healed by another process", e.Action)
	case journal.EventGuard:
		return troubled(e, "", "guard breached, run aborted")
	case journal.EventNodeDied:
		return MomentTrouble, joined("node "+first(e.Subject, "?")+" died and no fault was on it", first(e.Err, string(e.Detail)))
	case journal.EventInterrupted:
		return MomentTrouble, joined("interrupted", e.Err)
	case journal.EventResolved:
		var r journal.Resolution
		detail(e, &r)
		return MomentHarness, fmt.Sprintf("%s of %s unknown outcomes resolved by replaying the same key", Count(r.Resolved), Count(r.Unknown))
	case journal.EventSettled:
		return troubled(e, "accepted work settled", "accepted work had not settled at the deadline")
	case journal.EventAudit:
		return troubled(e, "witness "+first(e.Subject, "?")+" read", "witness "+first(e.Subject, "?")+" could not be read")
	case journal.EventStateBefore:
		return troubled(e, "", "not all could be seen before the faults")
	case journal.EventStateAfter:
		return comparison(e)
	case journal.EventError:
		return MomentTrouble, joined("the harness failed", e.Err)
	case journal.EventRunEnd:
		return MomentHarness, "run ended"
	}
	return "", ""
}

// comparison says whether everything was as before the faults.
func comparison(e journal.Event) (kind, text string) {
	var c journal.Comparison
	if !detail(e, &c) || len(c.Changed) == 0 {
		return troubled(e, "everything is as before the faults ("+Plural(c.Places, "place")+")", "not all could be seen after the faults")
	}
	var changed []string
	for _, x := range c.Changed {
		changed = append(changed, fmt.Sprintf("%s was %q and is %q", x.Place, x.Before, x.After))
	}
	return MomentTrouble, joined("not everything is as before the faults: "+strings.Join(changed, "; "), e.Err)
}

func troubled(e journal.Event, well, ill string) (kind, text string) {
	if e.Err != "" {
		return MomentTrouble, joined(ill, e.Err)
	}
	return MomentHarness, well
}

func joined(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// recovered is when the first recovery SLO that has a time says the system was well again: the last
// heal plus what it observed.
func recovered(v *Variant, c *clockwork) (at time.Duration, name string, ok bool) {
	var healed time.Duration
	for _, f := range v.Faults {
		healed = max(healed, f.Healed)
	}
	for _, f := range v.SLOs() {
		if !strings.HasPrefix(f.SLI, "recovery_time(") || f.Outcome == verdict.Inconclusive || healed == 0 {
			continue
		}
		got := strings.NewReplacer(" ", "", "\u202f", "", "\u00a0", "").Replace(f.Got)
		if d, err := time.ParseDuration(got); err == nil && d >= 0 {
			return c.origin + healed + d, f.Check, true
		}
	}
	return 0, "", false
}
