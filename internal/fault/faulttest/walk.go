package faulttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"chaos/internal/fault"
)

// walker strolls over the machine of package fault, spoiling calls, and holds every nil against what
// the system itself says.
//
//	planned ─arm─▶ intended ─inject─▶ active ─revert─▶ reverted ─▶ planned …
//	                  │  └──error──▶ unsure ◀──error──┘   ▲
//	                  └─────────────────┴──────revert─────┘
type walker struct {
	*life
	rng   *rand.Rand
	fresh fault.Action // as planned, not armed
	at    stage
	trail []string
	seen  map[stage]int
}

// walk takes walkSteps steps, half of them on a gate that spoils walkSpoil of the calls, in one world and ends healed.
func walk(l *life) {
	l.begin()
	w := &walker{life: l, rng: rand.New(rand.NewPCG(11, 13)), fresh: l.act, seen: map[stage]int{}}
	for range walkSteps {
		// In half of the steps nothing is spoilt: a verb that waits by asking often would else never succeed.
		calm := w.rng.IntN(2) == 0
		w.world.Gate.Set(func(int) Mode {
			switch x := w.rng.Float64(); {
			case calm:
			case x < walkSpoil/2:
				return Refused
			case x < walkSpoil:
				return Lost
			}
			return Pass
		})
		w.step()
		w.seen[w.at]++
		if w.Failed() {
			w.Fatalf("the last steps were: %s", strings.Join(w.trail[max(0, len(w.trail)-20):], " · "))
		}
	}
	w.world.Gate.Set(nil)
	for s := planned; s <= reverted; s++ {
		if w.seen[s] == 0 {
			w.Errorf("the walk never came to %s: it proves less than it should", s)
		}
	}
	if w.at != planned {
		l.died()
		l.revert()
	}
	w.Logf("steps that ended at: %v", w.seen)
}

func (w *walker) step() {
	w.Helper()
	if w.rng.IntN(10) == 0 {
		w.life.died()
		w.note("new process", nil)
	}
	switch w.at {
	case planned:
		w.arms()
	case reverted:
		if w.rng.IntN(2) == 0 {
			w.at, w.act, w.fault = planned, w.fresh, w.New()
			return
		}
		w.any(w.reverts, w.looks, w.measures)
	case intended:
		w.any(w.injects, w.injects, w.reverts, w.looks, w.measures)
	case active:
		w.any(w.looks, w.looks, w.measures, w.reverts)
	case unsure:
		w.any(w.reverts, w.reverts, w.looks, w.measures)
	}
}

func (w *walker) any(verbs ...func()) { verbs[w.rng.IntN(len(verbs))]() }

func (w *walker) note(what string, err error) {
	text := fmt.Sprintf("%s at %s", what, w.at)
	if err != nil {
		text += " (" + err.Error() + ")"
	}
	w.trail = append(w.trail, text)
}

func (w *walker) arms() {
	w.Helper()
	w.mark()
	a, err := w.fault.Arm(w.ctx, w.world.System, w.act)
	w.note("arm", err)
	if w.world.Hurt() || w.done() {
		w.Error("Arm changed the system")
	}
	if err == nil {
		w.act, w.at = a, intended
	}
}

func (w *walker) injects() {
	w.Helper()
	err := w.fault.Inject(w.ctx, w.world.System, w.act)
	w.note("inject", err)
	if err != nil {
		w.at = unsure
		return
	}
	if !w.done() {
		w.Error("Inject returned nil and the system is as before")
	}
	w.at = active
}

func (w *walker) reverts() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.within(w.act.Heal))
	defer cancel()
	err := w.fault.Revert(ctx, w.world.System, w.act)
	w.note("revert", err)
	if err != nil {
		w.at = unsure
		return
	}
	w.healed()
	w.at = reverted
}

// looks confirms either way. A nil must be true; without a spoilt call, what is known must be told.
func (w *walker) looks() {
	w.Helper()
	asked := w.rng.IntN(2) == 0
	spoilt := false
	spoil := w.rng.Float64() < walkSpoil
	w.world.Gate.Set(func(int) Mode {
		if spoil {
			spoilt = true
			return Refused
		}
		return Pass
	})
	err := w.fault.Confirm(w.ctx, w.world.System, w.act, asked)
	w.note(fmt.Sprintf("confirm(%v)", asked), err)
	known := w.at == active || w.at == reverted || w.at == intended
	switch {
	case err == nil && asked != w.done() && (asked || w.world.Hurt()):
		w.Errorf("Confirm(active %v) is nil, and it is not so", asked)
	case err != nil && !spoilt && known && (w.at == active) == asked:
		w.Errorf("Confirm(active %v): %v, and it is so", asked, err)
	}
}

func (w *walker) measures() {
	w.Helper()
	hurt := w.done()
	b, err := w.fault.Measure(w.ctx, w.world.System, w.act)
	w.note("measure", err)
	switch {
	case err != nil && b.Bit:
		w.Error("Measure has an error and claims a bite")
	case b.Bit && !hurt:
		w.Errorf("Measure claims a bite of a system that is not hurt: %+v", b)
	case w.done() != hurt:
		w.Error("Measure changed the system; it may only observe")
	}
}
