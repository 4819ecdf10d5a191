package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"chaos/targets/payments/guard"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
)

func open(t *testing.T, addr, preset string) *Redis {
	t.Helper()
	s, err := switches.Resolve(preset, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := Open(addr, s, telemetry.NewMetrics())
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// agrees plays a measurement of time until it has nothing against: other work on the machine makes any single one late.
func agrees(t *testing.T, measure func() (against string)) {
	t.Helper()
	var against string
	for range 20 {
		if against = measure(); against == "" {
			return
		}
		t.Log("once more:", against)
	}
	t.Error(against)
}

func TestTakeSharesOneBucket(t *testing.T) {
	m := miniredis.RunT(t)
	m.SetTime(time.Unix(1000, 0))
	r := open(t, m.Addr(), "naive")
	ctx := context.Background()
	admitted := 0
	for range 60 {
		ok, wait, err := r.Take(ctx, "a", 50)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			admitted++
		} else if wait < time.Millisecond || wait > 20*time.Millisecond {
			t.Fatalf("wait %v for a rate of 50/s", wait)
		}
	}
	if admitted != 50 {
		t.Errorf("%d admitted at once, want the burst of 50", admitted)
	}
	if ok, _, err := r.Take(ctx, "b", 50); err != nil || !ok {
		t.Error("another tenant must have its own bucket:", ok, err)
	}
	m.SetTime(time.Unix(1000, 200e6))
	admitted = 0
	for range 20 {
		if ok, _, _ := r.Take(ctx, "a", 50); ok {
			admitted++
		}
	}
	if admitted != 10 {
		t.Errorf("%d admitted after 200 ms, want 10", admitted)
	}
}

func TestPutKeepsTheNewestVersion(t *testing.T) {
	m := miniredis.RunT(t)
	r := open(t, m.Addr(), "naive")
	ctx := context.Background()
	if _, ok, err := r.Get(ctx, "p"); ok || err != nil {
		t.Fatal("empty:", ok, err)
	}
	if err := errors.Join(r.Put(ctx, "p", 3, []byte("new"), time.Minute), r.Put(ctx, "p", 2, []byte("old"), time.Minute)); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := r.Get(ctx, "p"); err != nil || !ok || string(v) != "new" {
		t.Errorf("got %q %v %v", v, ok, err)
	}
	m.FastForward(2 * time.Minute)
	if _, ok, _ := r.Get(ctx, "p"); ok {
		t.Error("kept for ever")
	}
}

// A Redis that accepts and says nothing costs the bound a few times, then nothing.
func TestSilentRedis(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	agrees(t, func() string {
		r := open(t, l.Addr().String(), "resilient")
		var slowest time.Duration
		for range 10 {
			start := time.Now()
			if _, _, err := r.Take(context.Background(), "a", 50); err == nil {
				t.Fatal("a silent Redis must be an error")
			}
			slowest = max(slowest, time.Since(start))
		}
		if slowest > 100*time.Millisecond {
			return fmt.Sprintf("slowest call took %v", slowest)
		}
		start := time.Now()
		_, _, err = r.Take(context.Background(), "a", 50)
		if !errors.Is(err, guard.ErrOpen) || time.Since(start) > 5*time.Millisecond {
			return fmt.Sprintf("the breaker must be open: %v after %v", err, time.Since(start))
		}
		return ""
	})
}

// A Redis that was away and returns is used again within two seconds.
func TestReturn(t *testing.T) {
	m := miniredis.RunT(t)
	r := open(t, m.Addr(), "resilient")
	ctx := context.Background()
	eventually := func(want bool) time.Duration {
		start := time.Now()
		for time.Since(start) < time.Minute {
			if _, _, err := r.Take(ctx, "a", 50); (err == nil) == want {
				return time.Since(start)
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("Redis reachable must become %v", want)
		return 0
	}
	agrees(t, func() string {
		eventually(true)
		m.Close()
		eventually(false)
		time.Sleep(300 * time.Millisecond)
		if err := m.Restart(); err != nil {
			t.Fatal(err)
		}
		if back := eventually(true); back > 2*time.Second {
			return fmt.Sprintf("back after %v", back)
		}
		return ""
	})
}

// A stopped container's name does not resolve, and the lookup may be slow: the
// bound holds all the same.
func TestUnknownName(t *testing.T) {
	agrees(t, func() string {
		r := open(t, "redis.invalid:6379", "resilient")
		for range 8 {
			start := time.Now()
			if _, _, err := r.Take(context.Background(), "a", 50); err == nil {
				t.Fatal("a name that does not exist must be an error")
			}
			if took := time.Since(start); took > 100*time.Millisecond {
				return fmt.Sprintf("took %v", took)
			}
		}
		return ""
	})
}
