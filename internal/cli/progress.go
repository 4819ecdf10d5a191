package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// refreshEvery is the period of the live line on a terminal.
const refreshEvery = 250 * time.Millisecond

// linesRoom is how many lines may wait for a terminal that does not read; endWithin is how long it is
// waited for at the end.
const (
	linesRoom = 256
	endWithin = time.Second
)

// liveWidth is the longest live line: one that wraps can't be wiped.
const liveWidth = 79

// liveJournal is the journal of a run that is also shown while it grows: one live line on a terminal,
// plain lines otherwise.
type liveJournal struct {
	*journal.Journal
	out      io.Writer
	terminal bool
	plan     *engine.Plan
	title    string

	lines chan string // to the one goroutine that writes

	mu     sync.Mutex
	phase  string
	until  time.Duration // when the phase ends, as planned; 0 = unknown
	active map[string]string
	open   map[string]bool // intended, and not seen gone
	done   chan struct{}
	ended  chan struct{}
}

func (c *campaign) watch(j *journal.Journal, plan *engine.Plan) *liveJournal {
	l := &liveJournal{Journal: j, out: c.Stderr, terminal: c.Terminal, plan: plan,
		title: plan.Info.Experiment + " / " + plan.Info.Variant, active: map[string]string{}, open: map[string]bool{},
		lines: make(chan string, linesRoom), done: make(chan struct{}), ended: make(chan struct{})}
	go l.write()
	return l
}

// end writes what is left and stops; a terminal that does not read is not waited for.
func (l *liveJournal) end() {
	close(l.done)
	select {
	case <-l.ended:
	case <-time.After(endWithin):
	}
}

// History reads the journal back from disk, but for logs and spans.
func (l *liveJournal) History() (*journal.History, error) { return journal.ReadRequests(l.Dir()) }

// Append writes an event and shows it.
func (l *liveJournal) Append(e journal.Event) (journal.Event, error) {
	e, err := l.Journal.Append(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	if line := l.observe(e); line != "" {
		l.say(fmt.Sprintf("%s  %6.1fs  %s", l.title, e.At.Seconds(), line))
	}
	return e, err
}

// observe keeps the state of the live line and returns what a person should read of the event.
func (l *liveJournal) observe(e journal.Event) string {
	switch e.Type {
	case journal.EventPhase:
		l.phase, l.until = e.Phase, e.At+l.length(e.Phase)
		return "phase " + e.Phase
	case journal.EventSystemReady:
		var r journal.Took
		_ = json.Unmarshal(e.Detail, &r) // what can't be read is shown as zero
		return fmt.Sprintf("target ready (%s, %.1f s)", r.How, r.TookMS/1e3)
	case journal.EventBaseline:
		if e.Err != "" {
			return "baseline does not hold, so no fault is made: " + e.Err
		}
		return "baseline holds"
	case journal.EventIntent:
		l.open[e.Action] = true
	case journal.EventActive:
		l.active[e.Action] = e.Action
		return "fault " + e.Action + " active"
	case journal.EventMeasured:
		var b verdict.Bite
		_ = json.Unmarshal(e.Detail, &b) // as above
		return fmt.Sprintf("fault %s: asked %s; delivered %s", e.Action, b.Asked, cmp.Or(b.Delivered, b.Why))
	case journal.EventHeld:
		return "fault " + e.Action + " held back: " + e.Err
	case journal.EventReverted:
		delete(l.active, e.Action)
		delete(l.open, e.Action)
		return "fault " + e.Action + " reverted"
	case journal.EventInterrupted:
		return "interrupted: healing"
	case journal.EventStuck, journal.EventGuard, journal.EventNodeDied, journal.EventError:
		if e.Err != "" {
			return strings.ToUpper(e.Type) + " " + e.Err
		}
	case journal.EventSettled:
		return cmp.Or(e.Err, "settled")
	}
	return ""
}

func (l *liveJournal) length(phase string) time.Duration {
	p := l.plan.Phases
	switch phase {
	case journal.PhaseWarmup:
		return p.Warmup
	case journal.PhaseBaseline:
		return p.Baseline
	case journal.PhaseFault:
		return p.Fault
	case journal.PhaseRecovery:
		return p.Recovery
	case journal.PhaseSettle:
		return p.Settle
	}
	return 0
}

// say hands a whole line to the writer. A terminal that does not read must not hold up the ledger, so a
// line for which there is no room is dropped: healing is worth more than a line.
func (l *liveJournal) say(line string) {
	select {
	case l.lines <- line:
	default:
	}
}

// write is the only one that writes: lines as they come and, on a terminal, the live line between them.
func (l *liveJournal) write() {
	defer close(l.ended)
	t := time.NewTicker(refreshEvery)
	defer t.Stop()
	wipe := ""
	if l.terminal {
		wipe = "\r\x1b[K"
	}
	for {
		select {
		case line := <-l.lines:
			fmt.Fprintln(l.out, wipe+line)
		case <-t.C:
			if l.terminal {
				l.mu.Lock()
				line := l.line()
				l.mu.Unlock()
				fmt.Fprint(l.out, wipe+line)
			}
		case <-l.done:
			for len(l.lines) > 0 {
				fmt.Fprintln(l.out, wipe+<-l.lines)
			}
			fmt.Fprint(l.out, wipe)
			return
		}
	}
}

// line is the live line: phase, countdown, rate, good and bad of the last second, active faults.
func (l *liveJournal) line() string {
	var c journal.Counts
	for i := range l.plan.Loads {
		n := l.Since(time.Second, journal.OpID(i))
		c.Good, c.Bad, c.Excluded, c.Overdue = c.Good+n.Good, c.Bad+n.Bad, c.Excluded+n.Excluded, c.Overdue+n.Overdue
	}
	left := max(0, l.until-l.Now()).Seconds()
	s := fmt.Sprintf("%s  %-8s %4.0fs  %3d/s  good %d  bad %d", l.title, l.phase, left, c.Good+c.Bad+c.Excluded, c.Good, c.Bad+c.Overdue)
	for _, id := range slices.Sorted(maps.Keys(l.active)) {
		s += "  ⚡" + id
	}
	if line := []rune(s); len(line) > liveWidth {
		return string(line[:liveWidth-1]) + "…"
	}
	return s
}
