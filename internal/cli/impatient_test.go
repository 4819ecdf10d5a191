package cli

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"chaos/internal/journal"
)

// TestAnotherCtrlCSaysWhatIsLeft: a second signal is answered, by what is there to be healed.
func TestAnotherCtrlCSaysWhatIsLeft(t *testing.T) {
	l, _ := liveFor(t, false)
	defer l.end()
	if _, err := l.Append(journal.Event{Type: journal.EventIntent, Action: "redis-down#1"}); err != nil {
		t.Fatal(err)
	}
	again := make(chan os.Signal)
	var out strings.Builder
	a := &app{Env: Env{Stderr: &out, Again: again}}
	var live atomic.Pointer[liveJournal]
	ended := make(chan struct{})
	go func() { a.impatient(nil, &live, "the target is being removed"); close(ended) }()
	press := func() { // one that is taken means that the one before is answered
		again <- os.Interrupt
		again <- os.Interrupt
	}
	press()
	live.Store(l)
	press()
	if _, err := l.Append(journal.Event{Type: journal.EventReverted, Action: "redis-down#1"}); err != nil {
		t.Fatal(err)
	}
	press()
	close(again)
	<-ended
	for _, want := range []string{"the target is being removed", "still healing redis-down#1", "every fault is healed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
}
