package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

func liveFor(t *testing.T, terminal bool) (*liveJournal, *bytes.Buffer) {
	t.Helper()
	info := journal.RunInfo{ID: "0123456789ab", Experiment: "redis-outage", Variant: "resilient", Loads: []journal.LoadInfo{{Name: "pay"}}}
	j, err := journal.Create(t.TempDir()+"/run", info, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	var out bytes.Buffer
	c := &campaign{app: &app{Env: Env{Stderr: &out, Terminal: terminal}}}
	l := c.watch(j, &engine.Plan{Info: info, Phases: engine.Phases{Fault: 10 * time.Second}, Loads: []engine.Load{{Name: "pay"}}})
	return l, &out
}

func TestPlainLinesSayWhatHappens(t *testing.T) {
	l, out := liveFor(t, false)
	bite, err := json.Marshal(verdict.Bite{Asked: "down", Delivered: "down 9.9 s", Bit: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []journal.Event{
		{Type: journal.EventPhase, Phase: journal.PhaseFault},
		{Type: journal.EventIntent, Action: "f#1"},
		{Type: journal.EventActive, Action: "f#1"},
		{Type: journal.EventMeasured, Action: "f#1", Detail: bite},
		{Type: journal.EventStuck, Action: "f#1", Err: "it is still there"},
	} {
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	for _, want := range []string{"phase fault", "fault f#1 active", "asked down; delivered down 9.9 s", "STUCK it is still there"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if strings.ContainsAny(out.String(), "\r\x1b") {
		t.Errorf("control characters without a terminal: %q", out)
	}
}

func TestTheLiveLineFitsAndShowsTheState(t *testing.T) {
	l, _ := liveFor(t, true)
	for _, e := range []journal.Event{{Type: journal.EventPhase, Phase: journal.PhaseFault}, {Type: journal.EventActive, Action: "redis-down#1"}} {
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	if line := l.line(); !strings.Contains(line, "fault") || !strings.Contains(line, "⚡redis-down") || !strings.Contains(line, "bad 0") {
		t.Errorf("line %q", line)
	}
	l.title = strings.Repeat("x", 200)
	if n := len([]rune(l.line())); n > liveWidth {
		t.Errorf("%d characters wide: it would wrap", n)
	}
}

// stuck is a terminal that does not read.
type stuck struct{ release chan struct{} }

func (s stuck) Write(b []byte) (int, error) { <-s.release; return len(b), nil }

// TestATerminalThatDoesNotReadHoldsNothingUp writes more lines than there is room for to a terminal after
// Ctrl-S: the ledger's events are on disk all the same.
func TestATerminalThatDoesNotReadHoldsNothingUp(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		l, _ := liveFor(t, terminal)
		l.end()
		blocked := stuck{make(chan struct{})}
		defer close(blocked.release)
		c := &campaign{app: &app{Env: Env{Stderr: blocked, Terminal: terminal}}}
		l = c.watch(l.Journal, l.plan)
		done := make(chan error, 1)
		go func() {
			var err error
			for range 2 * linesRoom {
				_, e := l.Append(journal.Event{Type: journal.EventActive, Action: "f#1"})
				err = errors.Join(err, e)
			}
			l.end()
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a terminal that does not read holds up the ledger")
		}
	}
}
