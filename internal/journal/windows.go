package journal

import (
	"strings"
	"time"
)

// Names of the windows of the experiment language.
const (
	WindowWarmup   = "warmup"
	WindowBaseline = "baseline"
	WindowFault    = "fault" // "fault:<id>" is the window of one fault
	WindowRecovery = "recovery"
	WindowSettled  = "settled"
	WindowRun      = "run"
)

// The phases, as EventPhase names them.
const (
	PhaseWarmup   = "warmup"
	PhaseBaseline = "baseline"
	PhaseFault    = "fault"
	PhaseRecovery = "recovery"
	PhaseSettle   = "settle"
)

// SettleAfter is how long after the heal window settled begins when no SLO says how long recovery may take.
const SettleAfter = 3 * time.Second

// edges are the moments that windows begin and end at; absent = it never happened.
type edges struct {
	phase               map[string]time.Duration // first event of each phase
	gap, loadStop       time.Duration
	hasGap, hasStop     bool
	firstIntent         time.Duration
	lastReverted        time.Duration
	hasIntent, hasHeal  bool
	active, reverting   map[string]time.Duration // by fault id: the first active, the first reverting after the last active
	intended, undone    map[string]bool          // by action
	plannedFaults, open bool
}

// FaultOf is the fault id of an action id "<fault id>#<n>".
func FaultOf(action string) string {
	if i := strings.LastIndexByte(action, '#'); i >= 0 {
		return action[:i]
	}
	return action
}

// first keeps the earliest of several moments of one name.
func first(m map[string]time.Duration, name string, at time.Duration) {
	if old, ok := m[name]; !ok || at < old {
		m[name] = at
	}
}

// Own returns the events that the run wrote itself, up to its end. What follows is `chaos heal`'s, in
// another process: it says nothing about the run. A run without an end was killed; there all counts.
func Own(events []Event) []Event {
	for i, e := range events {
		if e.Type == EventRunEnd {
			return events[:i+1]
		}
	}
	return events
}

func edgesOf(run *RunInfo, events []Event) edges {
	e := edges{
		phase: map[string]time.Duration{}, active: map[string]time.Duration{}, reverting: map[string]time.Duration{},
		intended: map[string]bool{}, undone: map[string]bool{}, plannedFaults: len(run.Faults) > 0,
	}
	for _, ev := range Own(events) {
		switch ev.Type {
		case EventPhase:
			first(e.phase, ev.Phase, ev.At)
		case EventGap:
			if !e.hasGap {
				e.gap, e.hasGap = ev.At, true
			}
		case EventLoadStop:
			if !e.hasStop {
				e.loadStop, e.hasStop = ev.At, true
			}
		case EventIntent:
			if !e.hasIntent {
				e.firstIntent, e.hasIntent = ev.At, true
			}
			e.intended[ev.Action], e.undone[ev.Action] = true, false
		case EventActive:
			first(e.active, FaultOf(ev.Action), ev.At)
			delete(e.reverting, FaultOf(ev.Action)) // of an activation before
		case EventReverting:
			first(e.reverting, FaultOf(ev.Action), ev.At)
		case EventReverted:
			e.undone[ev.Action] = true
			e.lastReverted, e.hasHeal = max(e.lastReverted, ev.At), true
		}
	}
	for action := range e.intended {
		e.open = e.open || !e.undone[action]
	}
	e.hasHeal = e.hasHeal && e.hasIntent && !e.open
	return e
}

// Windows computes the windows of a run from its events, or of a plan from the events that it would
// have if all went on time. What happened after the run's end moves no window. A window of which an edge never happened does not exist, so what is
// judged on it is Inconclusive:
//
//	warmup      [phase warmup, phase baseline)
//	baseline    [phase baseline, gap)
//	fault       [first intent, last reverted)            every intent needs its reverted
//	fault:<id>  [its first active, the start of its last activation's revert)
//	recovery    [last reverted, load stop)
//	settled     [last reverted + RecoverMax, or + 3 s, load stop)
//	run         [phase baseline, load stop)
//
// In a run that plans no fault, fault is phase fault itself, and its end stands for the heal.
func Windows(run *RunInfo, events []Event) map[string]Window {
	e := edgesOf(run, events)
	ws := make(map[string]Window)
	add := func(name string, from time.Duration, hasFrom bool, to time.Duration, hasTo bool) {
		if hasFrom && hasTo && from < to {
			ws[name] = Window{Name: name, From: from, To: to}
		}
	}
	warmup, hasWarmup := e.phase[PhaseWarmup]
	baseline, hasBaseline := e.phase[PhaseBaseline]
	add(WindowWarmup, warmup, hasWarmup, baseline, hasBaseline)
	add(WindowBaseline, baseline, hasBaseline, e.gap, e.hasGap)
	add(WindowRun, baseline, hasBaseline, e.loadStop, e.hasStop)

	start, hasStart, heal, hasHeal := e.firstIntent, e.hasIntent, e.lastReverted, e.hasHeal
	if !e.plannedFaults && !e.hasIntent {
		start, hasStart = e.phase[PhaseFault], has(e.phase, PhaseFault)
		heal, hasHeal = e.phase[PhaseRecovery], has(e.phase, PhaseRecovery)
	}
	add(WindowFault, start, hasStart, heal, hasHeal)
	for id, from := range e.active {
		to, ok := e.reverting[id]
		add(WindowFault+":"+id, from, true, to, ok)
	}
	calm := run.RecoverMax
	if calm <= 0 {
		calm = SettleAfter
	}
	add(WindowRecovery, heal, hasHeal, e.loadStop, e.hasStop)
	add(WindowSettled, heal+calm, hasHeal, e.loadStop, e.hasStop)
	return ws
}

func has(m map[string]time.Duration, name string) bool {
	_, ok := m[name]
	return ok
}
