package targettest

import (
	"testing"
	"time"

	"chaos/internal/target"
)

// feltWithin is how long a node that is kept busy may take to feel a limit, and busyWith how many calls keep
// it so between two looks, each of which may take a second.
const (
	feltWithin = time.Minute
	busyWith   = 100
)

// cappable is a system that can limit its nodes.
type cappable interface {
	target.System
	target.Signaller
	target.Limiter
}

func (h *harness) cappable(t *testing.T, s target.System) cappable {
	t.Helper()
	able, ok := s.(cappable)
	if !ok {
		t.Skip("this runtime has no node.limit and node.signal")
	}
	return able
}

// limits are those that the victim has.
func (h *harness) limits(t *testing.T, s cappable) target.Limits {
	t.Helper()
	l, err := s.Limits(t.Context(), h.Victim)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// caps sets limits, twice, and checks that they are as set.
func (h *harness) caps(t *testing.T, s cappable, l target.Limits) {
	t.Helper()
	for range 2 {
		if err := s.SetLimits(t.Context(), h.Victim, l); err != nil {
			t.Fatal(err)
		}
		if got := h.limits(t, s); got != l {
			t.Fatalf("limits %+v, want %+v", got, l)
		}
	}
}

func (h *harness) usage(t *testing.T, s cappable) target.Usage {
	t.Helper()
	u, err := s.Usage(t.Context(), h.Victim)
	if err != nil {
		t.Fatal(err)
	}
	if u.Memory <= 0 || u.Pids <= 0 || u.Throttled > u.Periods {
		t.Errorf("usage %+v", u)
	}
	if had := h.limits(t, s); u.InForce.Memory != had.Memory || u.InForce.Pids != had.Pids {
		t.Errorf("the kernel holds it to %+v, not to %+v", u.InForce, had)
	}
	return u
}

// tight are limits under what a node has, of which only the CPU's is felt by one that does little.
func tight(had target.Limits) target.Limits {
	return target.Limits{CPU: 0.01, Memory: had.Memory * 3 / 4, Pids: had.Pids / 2}
}

func (h *harness) limit(t *testing.T) {
	s := h.cappable(t, h.system)
	had, was := h.limits(t, s), h.state(t, s)
	if had.CPU != 0 || had.Memory <= 0 || had.Pids <= 0 {
		t.Fatalf("limits before: %+v; want none of the CPU, and some of the rest", had)
	}
	before := h.usage(t, s)
	h.caps(t, s, tight(had))
	for began := time.Now(); ; {
		h.busy(t, s)
		now := h.usage(t, s)
		if now.Throttled > before.Throttled && now.ThrottledFor > before.ThrottledFor {
			t.Logf("before %+v, now %+v", before, now)
			break
		}
		if time.Since(began) > feltWithin {
			t.Fatalf("busy for %v, before %+v, now %+v", feltWithin, before, now)
		}
	}
	h.caps(t, h.cappable(t, h.handleIn(t)), had) // what heal does
	free := h.usage(t, s)
	h.busy(t, s)
	if now := h.usage(t, s); now.Throttled > free.Throttled {
		t.Errorf("it was given back all, and is throttled: %+v, then %+v", free, now)
	}
	if now := h.state(t, s); !now.Running || !now.StartedAt.Equal(was.StartedAt) {
		t.Errorf("it was restarted: %+v, was %+v", now, was)
	}
}

// busy keeps the victim busy for a while.
func (h *harness) busy(t *testing.T, s cappable) {
	t.Helper()
	for range busyWith {
		if _, err := s.Call(t.Context(), h.Secret); err != nil {
			t.Fatal(err)
		}
	}
}

// limitedEnds: limits stay with a node that has ended, and can be given back to it.
func (h *harness) limitedEnds(t *testing.T) {
	s := h.cappable(t, h.system)
	had := h.limits(t, s)
	less := tight(had)
	less.CPU = 0.5 // with next to nothing it would take its time to die
	h.caps(t, s, less)
	if err := s.Signal(t.Context(), h.Victim, "KILL"); err != nil {
		t.Fatal(err)
	}
	h.waitDown(t, s)
	if u, err := s.Usage(t.Context(), h.Victim); err == nil {
		t.Errorf("a node that does not run uses %+v", u)
	}
	if got := h.limits(t, s); got != less {
		t.Errorf("limits of a node that has ended: %+v, want %+v", got, less)
	}
	h.caps(t, s, had)
	h.revive(t, s)
	if got := h.limits(t, s); got != had {
		t.Errorf("limits after it was started: %+v, want %+v", got, had)
	}
}
