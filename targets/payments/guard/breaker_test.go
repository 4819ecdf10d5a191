package guard

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A call that was allowed and never made must not close a half-open breaker, and must give its place back.
func TestACallThatWasNotMadeSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "breaker_state"}, []string{"dep"})
		b := NewBreaker("psp", Trip{Window: 4 * time.Second, MinCalls: 100, Ratio: 1, Consecutive: 2, Open: time.Second, Probes: 1}, gauge, nil)
		report(t, b, errors.New("down"))
		report(t, b, errors.New("down"))
		if _, err := b.Allow(); !errors.Is(err, ErrOpen) {
			t.Fatalf("not open: %v", err)
		}
		time.Sleep(1100 * time.Millisecond)
		report(t, b, ErrNotAsked) // half-open, and nothing was learnt
		report(t, b, errors.New("still down"))
		if _, err := b.Allow(); !errors.Is(err, ErrOpen) {
			t.Errorf("one failed probe must open it again, so it was closed: %v", err)
		}
	})
}

func report(t *testing.T, b *Breaker, outcome error) {
	t.Helper()
	done, err := b.Allow()
	if err != nil {
		t.Fatal(err)
	}
	done(outcome)
}
