package judge

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// judgedWindows are the windows in which some load was judged, each once, in the order of the findings.
func judgedWindows(findings []verdict.Finding) []string {
	var list []string
	for _, f := range findings {
		if f.Load != "" && !slices.Contains(list, f.Window) {
			list = append(list, f.Window)
		}
	}
	for _, w := range []string{verdict.WindowBaseline, verdict.WindowFault} { // whatever is judged, the load must have been there
		if !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list
}

// honesty counts, per window and load, what was planned, sent, and late. The reasons say where the
// generator did not do what was asked of it, so that nothing judged there means anything.
func honesty(h *journal.History, windows []string) ([]verdict.Honesty, []reason) {
	var all []verdict.Honesty
	var reasons []reason
	for _, name := range windows {
		w, ok := h.Windows[name]
		if !ok || w.Empty() {
			continue // the checks on it are Inconclusive
		}
		for i, o := range observe(h, w) {
			o.Window = name
			all = append(all, o)
			if text := dishonest(o, planned(h.Run.Loads[i].Rate, w)); text != "" {
				reasons = append(reasons, reason{verdict.INVALID, text})
			}
		}
	}
	return all, reasons
}

// observe counts one window, in one pass.
func observe(h *journal.History, w journal.Window) []verdict.Honesty {
	per := make([]verdict.Honesty, len(h.Run.Loads))
	for i, l := range h.Run.Loads {
		per[i].Load = l.Name
	}
	samples := h.Between(w)
	for i := range samples {
		s := &samples[i]
		if int(s.Op) >= len(per) || !s.Windowed() {
			continue
		}
		o := &per[s.Op]
		o.Planned++
		if s.Sent == 0 {
			continue
		}
		o.Sent++
		if late := s.Sent - s.Due; late > lateAfter {
			o.Late++
			o.WorstLate = max(o.WorstLate, late)
		}
	}
	return per
}

// planned is rate × length, what the schedule had in a window on average.
func planned(rate float64, w journal.Window) float64 {
	if p := rate * w.Len().Seconds(); p > 0 && !math.IsInf(p, 0) {
		return p
	}
	return 0
}

// dishonest says what is wrong with the generator in a window, or "". A record of a Poisson schedule
// scatters around the plan; one more than five standard deviations short was not the schedule's luck.
func dishonest(o verdict.Honesty, expected float64) string {
	at := fmt.Sprintf("generator of %s in window %s: ", o.Load, o.Window)
	switch {
	case float64(o.Planned) < expected-5*math.Sqrt(expected):
		return at + fmt.Sprintf("only %d of about %.0f planned requests are on record", o.Planned, expected)
	case float64(o.Sent) < sentShare*float64(o.Planned):
		return at + fmt.Sprintf("only %d of %d planned requests were sent", o.Sent, o.Planned)
	case float64(o.Late) > lateShare*float64(o.Planned):
		return at + fmt.Sprintf("%d of %d requests were sent more than %v late, the worst %v", o.Late, o.Planned, lateAfter, o.WorstLate.Round(time.Millisecond))
	}
	return ""
}

// stall is how busy the machine was in a window: why is "" when time could be measured.
type stall struct {
	why    string
	atMost time.Duration // all stalls together were no longer
}

// stallPerTick is the longest stall that one late tick stands for: a tick comes each 10 ms and is late
// when it comes more than 50 ms after its time, so a stall of d makes at least (d − 50 ms) ÷ 10 ms of them.
const stallPerTick = lateAfter + 10*time.Millisecond

// canary says whether the machine was too busy to measure time in a window. A reading covers the second
// that begins at its time.
func canary(h *journal.History, w journal.Window) stall {
	var ticks, late float64
	for _, r := range h.Readings {
		if r.Source != journal.SourceCanary || r.At >= w.To || r.At+time.Second <= w.From {
			continue
		}
		switch r.Name {
		case journal.CanaryTicks:
			ticks += r.Value
		case journal.CanaryLate:
			late += r.Value
		}
	}
	if late > canaryShare*ticks {
		return stall{
			why:    fmt.Sprintf("%.0f of the canary's %.0f ticks were more than %v late", late, ticks, lateAfter),
			atMost: time.Duration(min(late, 1e6)) * stallPerTick,
		}
	}
	return stall{}
}

// notes are facts that a reader of the verdict should know and that decide nothing by themselves.
func notes(h *journal.History) []string {
	var list []string
	for _, e := range h.Find(journal.EventSettled) {
		if e.Err != "" {
			list = append(list, strings.TrimSpace(e.Err))
		}
	}
	for _, e := range h.Find(journal.EventStateBefore) {
		if e.Err != "" {
			list = append(list, "not all was seen before the faults, so what was not is not compared with after them: "+strings.TrimSpace(e.Err))
		}
	}
	for _, s := range h.Run.StandIns {
		list = append(list, s+": what was tested is not the real program")
	}
	return append(list, h.Damage...)
}
