package guard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
)

func resolve(t *testing.T, preset string, single map[string]string) switches.Set {
	t.Helper()
	s, err := switches.Resolve(preset, single)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// With everything failing, the budget keeps the load at 1.1 times.
func TestRetryBudget(t *testing.T) {
	r := NewRetry(resolve(t, "resilient", nil), 1)
	calls := 0
	for range 1000 {
		r.First()
		for attempt := 1; ; attempt++ {
			calls++
			if !r.Again(attempt) {
				break
			}
		}
	}
	if calls < 1050 || calls > 1110 {
		t.Errorf("%d calls for 1000 operations, want about 1100", calls)
	}
	n := NewRetry(resolve(t, "naive", nil), 1)
	if !n.Again(1) || !n.Again(2) || n.Again(3) {
		t.Error("naive must make exactly 3 tries with no budget")
	}
	if n.Delay(1) != 0 {
		t.Error("naive must not wait")
	}
}

func TestJitter(t *testing.T) {
	full := NewRetry(resolve(t, "resilient", nil), 1)
	seed := NewRetry(resolve(t, "resilient", map[string]string{"RETRY_JITTER": "seed"}), 1)
	none := NewRetry(resolve(t, "resilient", map[string]string{"RETRY_JITTER": "none"}), 1)
	low := false
	for range 200 {
		f, s := full.Delay(2), seed.Delay(2)
		low = low || f < 100*time.Millisecond
		if f < 0 || f > 200*time.Millisecond || s < 200*time.Millisecond || s > 300*time.Millisecond {
			t.Fatalf("full %v seed %v", f, s)
		}
	}
	if !low {
		t.Error("full jitter must use the whole interval")
	}
	if none.Delay(3) != 400*time.Millisecond || none.Delay(60) != backoffCap {
		t.Errorf("none: %v %v", none.Delay(3), none.Delay(60))
	}
}

func TestBreaker(t *testing.T) { synctest.Test(t, testBreaker) }

func testBreaker(t *testing.T) {
	m := telemetry.NewMetrics()
	opened := 0
	b := NewBreaker("dep", Trip{Window: time.Second, MinCalls: 20, Ratio: 0.5, Open: 50 * time.Millisecond}, m.Breaker, func() { opened++ })
	call := func(err error) error {
		done, open := b.Allow()
		if open != nil {
			return open
		}
		done(err)
		return nil
	}
	broken := errors.New("broken")
	for i := range 20 {
		if err := call(broken); err != nil {
			t.Fatalf("call %d refused before 20 calls: %v", i, err)
		}
	}
	if err := call(nil); !errors.Is(err, ErrOpen) || opened != 1 {
		t.Fatalf("not open after 20 failures: %v, opened %d", err, opened)
	}
	time.Sleep(60 * time.Millisecond)
	probe, err := b.Allow()
	if err != nil {
		t.Fatal("no probe after the open time:", err)
	}
	if _, err := b.Allow(); !errors.Is(err, ErrOpen) {
		t.Error("a second call beside the probe must be refused")
	}
	probe(nil)
	if err := call(nil); err != nil {
		t.Error("not closed after a good probe:", err)
	}
	var off *Breaker
	if done, err := off.Allow(); err != nil {
		t.Error("switched off:", err)
	} else {
		done(broken)
	}
}

func TestPoolBounds(t *testing.T) { synctest.Test(t, testPoolBounds) }

func testPoolBounds(t *testing.T) {
	m := telemetry.NewMetrics()
	p := NewPool("p", 1, 1, 30*time.Millisecond, m)
	ctx := context.Background()
	leave, err := p.Enter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { _, err := p.Enter(ctx); waited <- err }()
	synctest.Wait() // it waits
	if _, err := p.Enter(ctx); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the queue: %v", err)
	}
	if err := <-waited; !errors.Is(err, ErrFull) {
		t.Errorf("beyond the patience: %v", err)
	}
	leave()
	if p.Busy() != 0 {
		t.Errorf("%d places taken", p.Busy())
	}
}

// The naive pool: unbounded, in the order of arrival.
func TestUnboundedPoolIsFIFO(t *testing.T) { synctest.Test(t, testUnboundedPoolIsFIFO) }

func testUnboundedPoolIsFIFO(t *testing.T) {
	p := NewPool("p", 1, Unbounded, 0, telemetry.NewMetrics())
	leave, err := p.Enter(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	order := make(chan int, 50)
	for i := range 50 {
		go func() {
			l, err := p.Enter(context.Background())
			if err == nil {
				order <- i
				l()
			}
		}()
		synctest.Wait() // it stands in the queue
	}
	leave()
	for i := range 50 {
		if got := <-order; got != i {
			t.Fatalf("place %d went to caller %d", i, got)
		}
	}
}
