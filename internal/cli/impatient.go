package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// impatient answers each further Ctrl-C with what is still being healed. Dying would leave it broken.
// Without a live journal it says idle.
func (a *app) impatient(done <-chan struct{}, live *atomic.Pointer[liveJournal], idle string) {
	for {
		select {
		case <-done:
			return
		case _, ok := <-a.Again:
			if !ok {
				return
			}
		}
		what := idle
		if l := live.Load(); l != nil {
			what = l.unhealed()
		}
		fmt.Fprintf(a.Stderr, "interrupted already: %s (after kill -9 the watchdog does it)\n", what)
	}
}

// unhealed says in words which faults are not seen gone yet, half-made ones too.
func (l *liveJournal) unhealed() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) == 0 {
		return "every fault is healed; the run is being wound up"
	}
	return "still healing " + strings.Join(slices.Sorted(maps.Keys(l.open)), ", ")
}
