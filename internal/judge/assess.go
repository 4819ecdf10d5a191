package judge

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// Bounds of what a late generator and a busy machine may still prove.
const (
	lateAfter   = 50 * time.Millisecond // sent so much after due is late
	sentShare   = 0.99                  // of the planned requests of a window must have been sent
	lateShare   = 0.05                  // of them may have been late
	canaryShare = 0.01                  // of the canary's ticks may be late before latencies mean nothing
)

// resent is a check that can say what it would find if a late generator were not held against the target.
type resent interface {
	JudgeBySent(*journal.History) verdict.Finding
}

// slackened is a check on time that can say what it would find with more time than its limit allows.
type slackened interface {
	JudgeWithSlack(*journal.History, time.Duration) verdict.Finding
}

// assessment is what checks found and how far it can be believed.
type assessment struct {
	findings []verdict.Finding
	honesty  []verdict.Honesty
	reasons  []reason
	notes    []string
}

// Gate judges the baseline on the history so far: the same checks on the same window as Judge. An
// error says why no fault may be made: a check Failed, had too few samples, or the generator was not
// honest. "Missed within noise" holds the gate, but such a run can't PASS any more.
func Gate(checks []check.Check, h *journal.History) ([]verdict.Finding, error) {
	if h == nil {
		return nil, errors.New("there is no history")
	}
	var gate []check.Check
	for _, c := range checks {
		if c != nil && c.Window() == verdict.WindowBaseline {
			gate = append(gate, c)
		}
	}
	a := assess(gate, h)
	if len(gate) == 0 { // every objective has its baseline off: the generator must still be honest
		_, a.reasons = honesty(h, []string{verdict.WindowBaseline})
	}
	var why []string
	for _, r := range a.reasons {
		why = append(why, r.text)
	}
	if len(why) > 0 {
		return a.findings, errors.New(strings.Join(why, "; "))
	}
	return a.findings, nil
}

// assess evaluates the checks and takes back what a late generator or a busy machine can't prove.
func assess(checks []check.Check, h *journal.History) assessment {
	var a assessment
	var judges []check.Check
	for _, c := range checks {
		if c == nil {
			continue
		}
		f := c.Judge(h)
		if f.Check == "" {
			f.Check = c.Name()
		}
		if f.Window == "" {
			f.Window = c.Window()
		}
		a.findings, judges = append(a.findings, f), append(judges, c)
	}
	a.honesty, a.reasons = honesty(h, judgedWindows(a.findings))
	busy := make(map[string]stall)
	for i := range a.findings {
		f := &a.findings[i]
		a.forgiveLateness(f, judges[i], h)
		if f.Outcome != verdict.Fail || !f.Latency {
			continue
		}
		if _, asked := busy[f.Window]; !asked {
			busy[f.Window] = canary(h, h.Windows[f.Window])
		}
		a.forgiveStall(f, judges[i], h, busy[f.Window])
	}
	for _, f := range a.findings {
		switch {
		case f.Window != verdict.WindowBaseline:
		case f.Outcome == verdict.Fail:
			a.reasons = append(a.reasons, reason{verdict.INVALID, say(f, "does not hold")})
		case f.Short:
			a.reasons = append(a.reasons, reason{verdict.INVALID, say(f, "has too few samples")})
		}
	}
	return a
}

// forgiveLateness turns a Fail that is only the generator's lateness into an INVALID run. It never
// makes a Pass of anything.
func (a *assessment) forgiveLateness(f *verdict.Finding, c check.Check, h *journal.History) {
	r, ok := c.(resent)
	if !ok || f.Outcome != verdict.Fail {
		return
	}
	for _, o := range a.honesty {
		if o.Window != f.Window || o.Load != f.Load || o.Late == 0 && o.Sent >= o.Planned {
			continue
		}
		if again := r.JudgeBySent(h); again.Outcome != verdict.Fail {
			f.Outcome, f.Why = verdict.Inconclusive, fmt.Sprintf("fails only because the generator was late (%d late, %d not sent)", o.Late, o.Planned-o.Sent)
			a.reasons = append(a.reasons, reason{verdict.INVALID, say(*f, "can't be held against the target")})
			return
		}
	}
}

// forgiveStall takes back a Fail on time that the machine's own stalls can explain. One that stands
// although every request is given the whole of the stalls as extra time is the target's.
func (a *assessment) forgiveStall(f *verdict.Finding, c check.Check, h *journal.History, s stall) {
	if s.why == "" {
		return
	}
	a.note(fmt.Sprintf("machine too busy in window %s: %s", f.Window, s.why))
	if r, ok := c.(slackened); ok && r.JudgeWithSlack(h, s.atMost).Outcome == verdict.Fail {
		f.Why += fmt.Sprintf("; the machine was busy (%s), but even %v more for each request leave it a Fail", s.why, s.atMost)
		return
	}
	f.Outcome, f.Why = verdict.Inconclusive, "machine too busy: "+s.why+"; else it would be a Fail: "+f.Why
}

func (a *assessment) note(text string) {
	for _, n := range a.notes {
		if n == text {
			return
		}
	}
	a.notes = append(a.notes, text)
}

// invalidBaseline reports whether the findings already say what is wrong with the run's validity.
func invalidBaseline(reasons []reason) bool {
	for _, r := range reasons {
		if r.status == verdict.INVALID {
			return true
		}
	}
	return false
}
