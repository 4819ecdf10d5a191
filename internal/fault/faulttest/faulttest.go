// Package faulttest is the conformance suite of fault kinds. A kind that passes it can be undone at
// any moment, by any process, and says the truth about what it did:
//
//	plan ─▶ pure, complete, refuses a runtime without its verbs
//	         │
//	       (arm) ─▶ revert            nothing was injected yet
//	         │
//	      (inject) ─▶ revert, revert  twice
//	         │  └─── error at call 0, 1, 2 … of the system, refused or answer lost ─▶ revert
//	         │
//	      JSON ─▶ new process, zero value ─▶ confirm, measure, revert
//	         │
//	      random walk over the machine of package fault, calls spoilt, ends healed
//
// Each check compares what the kind says with World.Hurt, which looks at the system itself. A fault that
// passes by itself, such as a restart, is besides held against World.Since: that it is gone does not mean
// that it has not happened.
package faulttest

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
)

// World is a system to hurt, in memory or real.
type World struct {
	System target.System
	// Gate is what every call of System passes.
	Gate *Gate
	// Hurt looks at the system itself, past the gate: is anything not as it was at the start?
	Hurt func() bool
	// Since, if not nil, is of a fault that passes by itself, such as a restart, so that Hurt can't tell it. It is
	// called before each Arm, and what it returns looks at the system itself: has the fault happened since?
	Since func() (happened func() bool)
	// Warm, if not nil, brings about what an injection needs to find in order to bite, such as an open connection.
	Warm func(t testing.TB)
	// Traffic uses the system, so that an active fault touches something. Nil, with Warm: the kind needs none.
	Traffic func(t testing.TB)
}

// Case is one fault, with parameters, to be tested.
type Case struct {
	Kind         string             // the kind's name
	New          func() fault.Fault // the fault with its parameters
	Zero         func() fault.Fault // the kind's zero value: what another process makes of Action.Kind
	Topology     *target.Topology
	Capabilities target.Capabilities
	Start        func(t testing.TB) *World
	// Virtual runs each check on a clock of its own (testing/synctest), for worlds in memory.
	Virtual bool
	// Needs are the verbs without which Plan must refuse.
	Needs []target.Verb
}

const (
	walkSteps = 1000
	walkSpoil = 0.1             // share of calls that are spoilt, in every second step
	linger    = 5 * time.Second // how long a healed world of virtual time must stay healed
	maxCalls  = 100             // a verb that makes more calls than this is broken

	measurements = 10               // of a bite in real time
	slack        = 30 * time.Second // that a busy machine is given in real time
)

// Run runs the suite.
func Run(t *testing.T, c Case) {
	t.Helper()
	for _, check := range []struct {
		name string
		run  func(*life)
	}{
		{"plan is pure", planIsPure},
		{"revert before inject", revertBeforeInject},
		{"revert twice", revertTwice},
		{"revert after half an inject", halfInject},
		{"revert after half a revert", halfRevert},
		{"revert in a new process", newProcess},
		{"confirm tells the truth", confirmTruth},
		{"errors are told", errorsAreTold},
		{"no bite without being touched", zeroBite},
		{"bite", bite},
		{"cancelled", cancelled},
		{"random walk", walk},
	} {
		t.Run(check.name, func(t *testing.T) {
			if !c.Virtual {
				check.run(&life{T: t, Case: c, ctx: t.Context()})
				return
			}
			synctest.Test(t, func(t *testing.T) { check.run(&life{T: t, Case: c, ctx: t.Context()}) })
		})
	}
}

// life is one world and the first action of a fault in it.
type life struct {
	*testing.T
	Case
	ctx   context.Context
	world *World
	fault fault.Fault
	plan  []fault.Action
	act   fault.Action
	// past is whether a fault that passes by itself has happened since it was armed; nil for all others.
	past func() bool
}

// done is whether the fault is there; one that passes by itself, whether it has happened.
func (l *life) done() bool {
	if l.past != nil {
		return l.past()
	}
	return l.world.Hurt()
}

// mark notes how the system is before Arm.
func (l *life) mark() {
	if l.world.Since != nil {
		l.past = l.world.Since()
	}
}

// begin makes a new world and plans, with an ID as the engine gives it.
func (l *life) begin() {
	l.Helper()
	l.world = l.Start(l.T)
	l.fault = l.New()
	actions, err := l.fault.Plan(l.Topology, l.Capabilities, rand.New(rand.NewPCG(1, 2)))
	if err != nil || len(actions) == 0 {
		l.Fatalf("Plan: %d actions, %v", len(actions), err)
	}
	l.plan = actions
	l.act = actions[0]
	l.act.ID, l.act.Fault = "a.fault#0", "a.fault"
	if l.world.Hurt() {
		l.Fatal("the world is hurt before anything was done: the case is broken")
	}
}

func (l *life) arm() {
	l.Helper()
	was := string(l.act.Args)
	l.mark()
	a, err := l.fault.Arm(l.ctx, l.world.System, l.act)
	if err != nil {
		l.Fatalf("Arm: %v", err)
	}
	if !json.Valid(a.Before) {
		l.Fatalf("Arm left Before %q: another process could not undo", a.Before)
	}
	if string(a.Args) != was || a.ID != l.act.ID || a.Place != l.act.Place {
		l.Errorf("Arm changed more than Before: %+v", a)
	}
	if l.world.Hurt() || l.done() {
		l.Error("Arm changed the system; it may only observe")
	}
	l.act = a
}

func (l *life) inject() {
	l.Helper()
	if err := l.fault.Inject(l.ctx, l.world.System, l.act); err != nil {
		l.Fatalf("Inject: %v", err)
	}
	if !l.done() {
		l.Fatal("Inject returned nil and the system is as before")
	}
}

// died goes on in another process: the action as the journal has it, masked, and a zero value of the kind.
func (l *life) died() {
	l.Helper()
	raw, err := json.Marshal(l.act)
	if err != nil {
		l.Fatalf("write the action: %v", err)
	}
	var a fault.Action
	if err := json.Unmarshal(journal.NewMasker().JSON(raw), &a); err != nil {
		l.Fatalf("read the action: %v", err)
	}
	l.act, l.fault = a, l.Zero()
}

// within is how long something may take that takes d.
func (l *life) within(d time.Duration) time.Duration {
	if l.Virtual {
		return d
	}
	return d + slack
}

// revert must succeed within the action's own deadline, and leave nothing.
func (l *life) revert() {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, l.within(l.act.Heal))
	defer cancel()
	if err := l.fault.Revert(ctx, l.world.System, l.act); err != nil {
		l.Fatalf("Revert: %v", err)
	}
	if err := l.fault.Confirm(ctx, l.world.System, l.act, false); err != nil {
		l.Errorf("after Revert, Confirm(gone): %v", err)
	}
	l.healed()
}

// healed checks the system itself, now and, on virtual time, for a while.
func (l *life) healed() {
	l.Helper()
	if l.world.Hurt() {
		l.Fatal("reverted, and the system is still hurt")
	}
	if l.Virtual {
		time.Sleep(linger) // of virtual time
		if l.world.Hurt() {
			l.Fatalf("reverted, and within %v the system was hurt again", linger)
		}
	}
}

func planIsPure(l *life) {
	before, err := json.Marshal(l.Topology)
	if err != nil {
		l.Fatal(err)
	}
	used := l.New()
	first := planOf(l, used)
	for _, again := range []fault.Fault{used, l.New()} {
		if got := planOf(l, again); !reflect.DeepEqual(first, got) {
			l.Errorf("same seed, other plan:\n%+v\n%+v", first, got)
		}
	}
	if after, _ := json.Marshal(l.Topology); string(after) != string(before) {
		l.Error("Plan changed the topology")
	}
	seen := map[string]bool{}
	for _, a := range first {
		_, where, _ := strings.Cut(a.Place, ":")
		switch {
		case a.Kind != l.Kind:
			l.Errorf("action of kind %q, not %q: another process could not revert it", a.Kind, l.Kind)
		case where == "" || seen[a.Place]:
			l.Errorf("place %q is empty or used twice", a.Place)
		case !strings.Contains(a.Undo, where):
			l.Errorf("undo %q does not say where (%s)", a.Undo, where)
		case a.Heal <= 0:
			l.Errorf("action at %s has no heal deadline", a.Place)
		case !json.Valid(a.Args):
			l.Errorf("arguments %q are not JSON", a.Args)
		case a.Before != nil || a.ID != "" || a.Fault != "":
			l.Errorf("Plan filled in what is not its own: %+v", a)
		}
		seen[a.Place] = true
	}
	for _, verb := range l.Needs {
		c := l.Capabilities
		c.Verbs = without(c.Verbs, verb)
		if _, err := l.New().Plan(l.Topology, c, rand.New(rand.NewPCG(1, 2))); err == nil || !strings.Contains(err.Error(), string(verb)) {
			l.Errorf("planned on a runtime without %s: %v", verb, err)
		}
	}
}

func planOf(l *life, f fault.Fault) []fault.Action {
	l.Helper()
	actions, err := f.Plan(l.Topology, l.Capabilities, rand.New(rand.NewPCG(7, 7)))
	if err != nil || len(actions) == 0 {
		l.Fatalf("Plan: %d actions, %v", len(actions), err)
	}
	return actions
}

func without(verbs []target.Verb, verb target.Verb) []target.Verb {
	var rest []target.Verb
	for _, v := range verbs {
		if v != verb {
			rest = append(rest, v)
		}
	}
	return rest
}
