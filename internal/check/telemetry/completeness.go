package telemetry

import (
	"fmt"
	"math"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/trace"
	"chaos/internal/verdict"
)

const (
	ofBad = "bad"
	ofAll = "all"
)

// Completeness is the check trace_completeness.
type Completeness struct {
	Target kind.Percent `yaml:"target" doc:"the share that must have a connected trace" default:"99%"`
	Of     string       `yaml:"of" doc:"which operations: the bad ones, or all" default:"bad" enum:"bad|all"`
}

var _ check.Demanding = (*Completeness)(nil)

// Name is the kind's name.
func (c *Completeness) Name() string { return "trace_completeness" }

// Window is run.
func (c *Completeness) Window() string { return window }

// Demands refuses targets that send no spans.
func (c *Completeness) Demands(info journal.RunInfo) error { return demandTraces(info) }

// Judge counts; nothing is sampled. An operation of which no byte was sent could leave no trace, and is left
// out. It is Inconclusive without any such operation, without any span, and when what is missing may have been
// lost after the target sent it.
func (c *Completeness) Judge(h *journal.History) verdict.Finding {
	f := finding(c.Name(), fmt.Sprintf("≥ %v of %s operations have a connected trace", c.Target, c.Of))
	switch {
	case h == nil:
		f.Why = "there is no history"
		return f
	case len(h.Spans) == 0:
		f.Why = "no span was received"
		return f
	}
	w, ok := h.Windows[window]
	if !ok || w.Empty() {
		f.Why = "there is no window " + window
		return f
	}
	x := trace.NewIndex(h.Spans)
	for _, s := range h.Between(w) {
		if c.counts(&s) {
			c.one(h, x, &s, &f)
		}
	}
	if f.N == 0 {
		f.Why = "no operation went wrong after it was sent"
		if c.Of == ofAll {
			f.Why = "no operation was sent"
		}
		return f
	}
	f.Bad = f.Count
	f.Got = fmt.Sprintf("%s (%d of %d)", kind.Percent(math.Floor(1e5*float64(f.N-f.Count)/float64(f.N))/1e5), f.N-f.Count, f.N)
	enough := float64(f.Count) <= (1-float64(c.Target))*float64(f.N)+1e-9
	switch why := lost(h); {
	case enough:
		f.Outcome = verdict.Pass
		f.Why = fmt.Sprintf("%d of %d %s operations can be followed from end to end", f.N-f.Count, f.N, c.Of)
	case why != "":
		f.Why = fmt.Sprintf("%d of %d %s operations can't be followed, but %s", f.Count, f.N, c.Of, why)
	default:
		f.Outcome = verdict.Fail
		f.Why = fmt.Sprintf("%d of %d %s operations can't be followed", f.Count, f.N, c.Of)
	}
	return f
}

// counts tells whether a request is one of those that must have a trace.
func (c *Completeness) counts(s *journal.Sample) bool {
	if !s.Windowed() || s.Sent <= 0 || s.Trace.Zero() || s.Err == journal.ErrRefused || s.Err == journal.ErrNotSent {
		return false
	}
	return c.Of == ofAll && s.Class != journal.Excluded || s.Class == journal.Bad
}

func (c *Completeness) one(h *journal.History, x *trace.Index, s *journal.Sample, f *verdict.Finding) {
	f.N++
	ok, why := trace.Connected(x.Of(trace.ID(s.Trace)))
	if ok {
		return
	}
	f.Count++
	if len(f.Evidence) >= evidenceMax {
		return
	}
	load := ""
	if int(s.Op) < len(h.Run.Loads) {
		load = h.Run.Loads[s.Op].Name + ", "
	}
	f.Evidence = append(f.Evidence, verdict.Evidence{Key: s.Key.String(), Trace: s.Trace.String(), Amount: s.Amount, Note: load + why})
}
