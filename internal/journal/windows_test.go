package journal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWindows runs the corpus in testdata/windows: a sentence, the events of a run, and the windows
// that they make.
func TestWindows(t *testing.T) {
	files, err := filepath.Glob("testdata/windows/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			head, rest, _ := strings.Cut(string(text), "--- events\n")
			events, want, ok := strings.Cut(rest, "--- windows\n")
			if !ok {
				t.Fatal("no windows in it")
			}
			info := runOf(t, head)
			var got []string
			for _, w := range Windows(&info, eventsOf(t, events)) {
				got = append(got, fmt.Sprintf("%s %v..%v", w.Name, short(w.From), short(w.To)))
			}
			wanted := strings.FieldsFunc(want, func(r rune) bool { return r == '\n' })
			slices.Sort(got)
			slices.Sort(wanted)
			if !slices.Equal(got, wanted) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wanted, "\n"))
			}
		})
	}
}

func short(d time.Duration) string { return fmt.Sprintf("%gs", d.Seconds()) }

func moment(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func runOf(t *testing.T, head string) RunInfo {
	var info RunInfo
	for line := range strings.Lines(head) {
		switch f := strings.Fields(line); {
		case f[0] == "recover":
			info.RecoverMax = moment(t, f[1])
		case f[0] == "faults":
			var n int
			if _, err := fmt.Sscan(f[1], &n); err != nil {
				t.Fatal(err)
			}
			info.Faults = make([]FaultInfo, n)
		}
	}
	return info
}

func eventsOf(t *testing.T, text string) []Event {
	var events []Event
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		e := Event{Seq: uint64(len(events) + 1), At: moment(t, f[0]), Type: f[1]}
		switch {
		case e.Type == EventPhase:
			e.Phase = f[2]
		case len(f) > 2:
			e.Action = f[2]
		}
		events = append(events, e)
	}
	return events
}

func TestBetweenIsHalfOpen(t *testing.T) {
	h := &History{Samples: []Sample{{Due: 1}, {Due: 2}, {Due: 3}}}
	var got []time.Duration
	for _, s := range h.Between(Window{From: 1, To: 3}) {
		got = append(got, s.Due)
	}
	if !slices.Equal(got, []time.Duration{1, 2}) {
		t.Errorf("got %v", got)
	}
}

func TestFaultOf(t *testing.T) {
	got := map[string]string{}
	for _, action := range []string{"a#1", "a#b#2", "a"} {
		got[action] = FaultOf(action)
	}
	if want := map[string]string{"a#1": "a", "a#b#2": "a#b", "a": "a"}; !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
