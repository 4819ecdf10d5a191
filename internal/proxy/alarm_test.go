package proxy

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// bell is a kernel timer that notes what it is set to and when it went off.
type bell struct {
	sets   []time.Duration
	rang   []time.Duration
	began  time.Time
	timer  *time.Timer
	closed chan struct{}
	broken error
}

func newBell() *bell {
	b := &bell{began: time.Now(), timer: time.NewTimer(time.Hour), closed: make(chan struct{})}
	b.timer.Stop()
	return b
}

func (b *bell) set(d time.Duration) error {
	b.sets = append(b.sets, d)
	b.timer.Reset(d)
	return b.broken
}

func (b *bell) wait() bool {
	select {
	case <-b.timer.C:
		b.rang = append(b.rang, time.Since(b.began))
		return true
	case <-b.closed:
		return false
	}
}

func (b *bell) close() { close(b.closed) }

// The alarm goes off once for each slot that something is due in, the earliest first, whatever the order in which it
// was told; it is set only when the earliest one changes.
func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a alarm
		b := newBell()
		if !a.start(func() (kernelTimer, error) { return b, nil }) {
			t.Fatal("not started")
		}
		due := func(us int) { a.at(b.began.Add(time.Duration(us) * time.Microsecond)) }
		due(300_000)
		due(100_000)
		due(100_000)
		due(100_060)
		due(100_099)
		due(-5) // was due already
		time.Sleep(50 * time.Millisecond)
		due(120_000)
		time.Sleep(time.Second)
		due(1_500_000)
		time.Sleep(time.Second)
		want := []time.Duration{1, 100e6, 100.1e6, 120e6, 300e6, 1500e6}
		synctest.Wait()
		if !slices.Equal(b.rang, want) {
			t.Errorf("rang at %v, want %v", b.rang, want)
		}
		if len(b.sets) != 2+6 { // to 300 and 100 ms first
			t.Errorf("set %v", b.sets)
		}
		if len(a.slots)+len(a.known) != 0 {
			t.Errorf("kept: %v, %v", a.slots, a.known)
		}
		a.close()
		due(9_000_000)
		if len(b.sets) != 8 {
			t.Error("it is set after it was closed")
		}
	})
}

// Without a timer, or with one that breaks, nothing is kept and nothing waits.
func TestAlarmWithoutATimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none, breaks alarm
		if none.start(func() (kernelTimer, error) { return nil, errors.New("not here") }) {
			t.Error("started")
		}
		b := newBell()
		b.broken = errors.New("gone")
		breaks.start(func() (kernelTimer, error) { return b, nil })
		for i := range 3 {
			none.at(b.began.Add(time.Duration(i) * time.Second))
			breaks.at(b.began.Add(time.Duration(i+1) * time.Second))
		}
		if len(none.slots) != 0 || len(b.sets) != 1 {
			t.Errorf("kept %v, set %v", none.slots, b.sets)
		}
		none.close()
		breaks.close()
	})
}
