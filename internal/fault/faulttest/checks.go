package faulttest

import (
	"context"
	"errors"
	"time"

	"chaos/internal/verdict"
)

func revertBeforeInject(l *life) {
	l.begin()
	l.arm()
	l.revert()
}

func revertTwice(l *life) {
	l.begin()
	l.arm()
	l.inject()
	l.revert()
	l.revert()
}

// halfInject spoils Inject at its first call to the system, its second and so on, each in both ways.
func halfInject(l *life) {
	l.eachCall(func() error { return l.fault.Inject(l.ctx, l.world.System, l.act) }, func() {
		l.begin()
		l.arm()
	}, func(n int, mode Mode, err error) {
		if err == nil && l.fault.Confirm(l.ctx, l.world.System, l.act, true) != nil {
			l.Errorf("call %d %s: Inject returned nil, and the fault is not there", n, mode)
		}
	})
}

// halfRevert does the same to Revert.
func halfRevert(l *life) {
	l.eachCall(func() error { return l.fault.Revert(l.ctx, l.world.System, l.act) }, func() {
		l.begin()
		l.arm()
		l.inject()
	}, func(n int, mode Mode, err error) {
		if err == nil && l.world.Hurt() {
			l.Errorf("call %d %s: Revert returned nil, and the system is still hurt", n, mode)
		}
	})
}

// eachCall runs verb in fresh worlds, spoiling one call more each time, until it makes no more calls.
// After each, another process must be able to heal.
func (l *life) eachCall(verb func() error, prepare func(), judge func(n int, mode Mode, err error)) {
	l.Helper()
	for n := 0; ; n++ {
		if n > maxCalls {
			l.Fatalf("more than %d calls of the system", maxCalls)
		}
		for _, mode := range []Mode{Refused, Lost} {
			prepare()
			l.world.Gate.Set(func(i int) Mode {
				if i == n {
					return mode
				}
				return Pass
			})
			err := verb()
			reached := l.world.Gate.Calls() > n
			l.world.Gate.Set(nil)
			if !reached {
				if n == 0 {
					l.Fatal("no call passed the gate: the case is broken")
				}
				l.revert()
				return
			}
			judge(n, mode, err)
			l.died()
			l.revert()
		}
	}
}

func newProcess(l *life) {
	l.begin()
	l.arm()
	l.inject()
	l.died()
	if err := l.fault.Confirm(l.ctx, l.world.System, l.act, true); err != nil {
		l.Errorf("Confirm(active) in a new process: %v", err)
	}
	if _, err := l.fault.Measure(l.ctx, l.world.System, l.act); err != nil {
		l.Errorf("Measure in a new process: %v", err)
	}
	l.revert()
}

func confirmTruth(l *life) {
	l.begin()
	l.arm()
	l.confirms("armed", false)
	l.inject()
	l.confirms("injected", true)
	l.revert()
	l.confirms("reverted", false)
}

// confirms asks for the truth both ways, and that asking changes nothing.
func (l *life) confirms(when string, active bool) {
	l.Helper()
	for _, asked := range []bool{true, false, true} {
		err := l.fault.Confirm(l.ctx, l.world.System, l.act, asked)
		want := asked == active
		if l.past != nil { // what has happened has happened, also when it is gone again
			want = asked == l.done() || !asked && !l.world.Hurt()
		}
		if (err == nil) != want {
			l.Errorf("%s: Confirm(active %v): %v", when, asked, err)
		}
	}
	if l.past == nil && l.world.Hurt() != active {
		l.Errorf("%s: Confirm changed the system; it may only observe", when)
	}
}

// errorsAreTold: a call that fails is never taken for an answer.
func errorsAreTold(l *life) {
	l.begin()
	l.arm()
	l.inject()
	l.world.Gate.Set(func(int) Mode { return Refused })
	for _, active := range []bool{true, false} {
		if err := l.fault.Confirm(l.ctx, l.world.System, l.act, active); err == nil {
			l.Errorf("Confirm(active %v) is nil though the system can't be asked", active)
		}
	}
	if b, err := l.fault.Measure(l.ctx, l.world.System, l.act); err == nil || b.Bit {
		l.Errorf("Measure is %+v, %v though the system can't be asked", b, err)
	}
	if err := l.fault.Revert(l.ctx, l.world.System, l.act); err == nil {
		l.Error("Revert is nil though the system can't be reached")
	}
	l.world.Gate.Set(nil)
	l.revert()
}

// zeroBite: a fault that touched nothing must not claim to have bitten.
func zeroBite(l *life) {
	l.begin()
	l.arm()
	l.noBite("armed, never injected")
	if l.world.Traffic == nil && l.world.Warm == nil {
		l.revert()
		return
	}
	l.inject()
	l.noBite("injected, without traffic")
	l.revert()
}

func (l *life) noBite(when string) {
	l.Helper()
	b, err := l.fault.Measure(l.ctx, l.world.System, l.act)
	switch {
	case err != nil:
		l.Errorf("%s: Measure: %v", when, err)
	case b.Bit:
		l.Errorf("%s: it claims to have bitten: %+v", when, b)
	case b.Why == "":
		l.Errorf("%s: it does not say why it did not bite: %+v", when, b)
	}
}

// bite: what traffic meets is measured. In real time the measurement may be taken a few times: a busy machine makes
// what was delivered another thing than what was asked.
func bite(l *life) {
	var b verdict.Bite
	var err error
	for n := 1; ; n++ {
		l.begin()
		l.arm()
		if l.world.Warm != nil {
			l.world.Warm(l.T)
		}
		l.inject()
		if l.world.Traffic != nil {
			l.world.Traffic(l.T)
		}
		b, err = l.fault.Measure(l.ctx, l.world.System, l.act)
		if err != nil || b.Bit || l.Virtual || n == measurements {
			break
		}
		l.Logf("measured once more: delivered %q: %s", b.Delivered, b.Why)
		l.revert()
	}
	if err != nil || !b.Bit || b.Why != "" {
		l.Errorf("Measure after traffic: %+v, %v", b, err)
	}
	if b.Asked == "" || b.Delivered == "" || b.Fault != l.act.Fault || b.Action != l.act.ID || b.Kind != l.Kind || b.Place != l.act.Place {
		l.Errorf("the bite lacks what a report shows: %+v", b)
	}
	l.Logf("asked %q, delivered %q", b.Asked, b.Delivered)
	l.revert()
}

// cancelled: no verb goes on for long after its context ended, none claims success, and what was
// begun can be undone.
func cancelled(l *life) {
	l.begin()
	dead, cancel := context.WithCancel(l.ctx)
	cancel()
	if _, err := l.fault.Arm(dead, l.world.System, l.act); err == nil {
		l.Error("Arm succeeded on a dead context")
	}
	l.arm()
	began := time.Now()
	for name, verb := range map[string]func(context.Context) error{
		"Inject": func(ctx context.Context) error { return l.fault.Inject(ctx, l.world.System, l.act) },
		"Revert": func(ctx context.Context) error { return l.fault.Revert(ctx, l.world.System, l.act) },
	} {
		if err := verb(dead); !errors.Is(err, context.Canceled) {
			l.Errorf("%s on a dead context: %v, which is not %v", name, err, context.Canceled)
		}
	}
	if took := time.Since(began); took > l.within(time.Second) {
		l.Errorf("a dead context was noticed after %v", took)
	}
	if l.world.Hurt() || l.done() {
		l.Error("Inject on a dead context hurt the system")
	}
	l.revert()
}

// stage is where a walk believes an action to be.
type stage uint8

const (
	planned stage = iota
	intended
	unsure // Inject or Revert returned an error: anything may be
	active
	reverted
)

// String returns the stage's name.
func (s stage) String() string {
	return [...]string{"planned", "intended", "unsure", "active", "reverted"}[s]
}
