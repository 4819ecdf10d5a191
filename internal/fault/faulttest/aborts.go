package faulttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
)

// Graceful is a fault that begins with a graceful stop, on a real system.
type Graceful struct {
	New          func(node string) fault.Fault
	Zero         func() fault.Fault // what another process makes of Action.Kind
	System       target.System
	Capabilities target.Capabilities
	Nodes        []string // ready, all alike, and ignoring SIGTERM; each has one trial at a time
	Grace        time.Duration
}

const (
	abortEvery    = 100 * time.Millisecond
	abortPast     = 200 * time.Millisecond  // beyond the grace, when the process is killed and what comes next begins
	abortPatience = 2 * time.Minute         // with an engine that does not answer, or a machine that is too busy to heal in time
	abortWatch    = 1500 * time.Millisecond // how long a healed node must be the same process
)

// Aborts aborts the fault in every 100 ms of its graceful stop, undoes it as another process would, and sees the node run on
// as the same process: a stop that an engine had still pending would end it.
func Aborts(t *testing.T, g Graceful) {
	t.Helper()
	free := make(chan string, len(g.Nodes))
	for _, node := range g.Nodes {
		free <- node
	}
	var trials sync.WaitGroup
	var mu sync.Mutex
	cut := 0
	for after := time.Duration(0); after <= g.Grace+abortPast; after += abortEvery {
		node := <-free
		trials.Go(func() {
			defer func() { free <- node }()
			aborted, err := g.trial(t.Context(), node, after)
			mu.Lock()
			defer mu.Unlock()
			if aborted {
				cut++
			}
			if err != nil {
				t.Errorf("aborted after %v on %s: %v", after, node, err)
			}
		})
	}
	trials.Wait()
	if cut == 0 {
		t.Error("no injection was aborted: the nodes do not ignore SIGTERM, or the test proves nothing")
	}
	t.Logf("%d injections were cut short", cut)
}

// trial is one abort. aborted: the injection was cut short.
func (g Graceful) trial(ctx context.Context, node string, after time.Duration) (aborted bool, err error) {
	f := g.New(node)
	actions, err := f.Plan(g.System.Topology(), g.Capabilities, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		return false, err
	}
	a := actions[0]
	a.ID, a.Fault = fmt.Sprintf("abort-%v#1", after), "abort"
	err = patiently(ctx, func() error {
		armed, err := f.Arm(ctx, g.System, a)
		if err == nil {
			a = armed
		}
		return err
	})
	if err != nil {
		return false, err
	}
	inject, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(after, cancel).Stop()
	injected := f.Inject(inject, g.System, a)
	aborted = errors.Is(injected, context.Canceled)
	if injected != nil && !aborted && !errors.Is(injected, target.ErrUnresponsive) {
		return false, errors.Join(fmt.Errorf("inject: %w", injected), g.heals(ctx, node, a))
	}
	return aborted, g.heals(ctx, node, a)
}

// patiently asks again when an engine does not answer: a busy machine is not what is tested.
func patiently(ctx context.Context, call func() error) error {
	ctx, cancel := context.WithTimeout(ctx, abortPatience)
	defer cancel()
	for {
		err := call()
		late := errors.Is(err, target.ErrUnresponsive) || errors.Is(err, context.DeadlineExceeded)
		if !late || target.Pause(ctx, abortEvery) != nil {
			return err
		}
	}
}

// heals undoes the action as another process would, and watches the node.
func (g Graceful) heals(ctx context.Context, node string, a fault.Action) error {
	raw, err := json.Marshal(a)
	if err == nil {
		err = json.Unmarshal(journal.NewMasker().JSON(raw), &a)
	}
	s, ok := g.System.(target.Signaller)
	if err != nil || !ok {
		return fmt.Errorf("read the action as the journal has it: %w (signals: %v)", err, ok)
	}
	f := g.Zero()
	err = patiently(ctx, func() error {
		within, cancel := context.WithTimeout(ctx, a.Heal)
		defer cancel()
		if err := f.Revert(within, g.System, a); err != nil {
			return fmt.Errorf("revert: %w", err)
		}
		return f.Confirm(within, g.System, a, false)
	})
	if err != nil {
		return err
	}
	var first, last target.State
	look := func(st *target.State) error {
		return patiently(ctx, func() (err error) {
			*st, err = s.State(ctx, node)
			return err
		})
	}
	if err := look(&first); err != nil {
		return err
	}
	if err := target.Pause(ctx, abortWatch); err != nil {
		return err
	}
	if err := look(&last); err != nil {
		return err
	}
	if !first.Running || !last.Running || !last.StartedAt.Equal(first.StartedAt) {
		return fmt.Errorf("healed, it was %+v, and %v later it is not the same process: %+v", first, abortWatch, last)
	}
	return patiently(ctx, func() error { return s.NodeReady(ctx, node) })
}
