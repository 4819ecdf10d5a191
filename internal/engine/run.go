package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"chaos/internal/journal"
	"chaos/internal/load"
	"chaos/internal/target"
	"chaos/internal/trace"
	"chaos/internal/verdict"
)

// Journal is what a run writes itself down in.
type Journal interface {
	journal.Recorder
	journal.Live
	Append(journal.Event) (journal.Event, error)
	Flush() error                             // everything so far can be read back
	History() (*journal.History, error)       // reads it back
	WriteAudit([]journal.AuditRecord) error   //
	Spans([]trace.Span) (kept int, err error) // of the target, as they come
	Observe([]journal.Reading) (kept int)     // of the target; losing some is no failure
	LogWriter(string) (io.WriteCloser, error) // of one node
	UpdateInfo(func(*journal.RunInfo)) error  //
	Failed() <-chan struct{}                  // closed at the first error: overflow, disk full
	Err() error                               // that error
}

// Options are what a run needs beside its plan.
type Options struct {
	// Gate judges the baseline on the history so far. An error means that it does not hold.
	Gate func(*journal.History) ([]verdict.Finding, error)
}

// errAborted ends the phases early after a guard's breach: healed, then judged on what there is.
var errAborted = errors.New("aborted by a guard")

// errInvalid ends the phases early because the run can't prove anything any more.
var errInvalid = errors.New("the run is invalid")

// run is one run under way.
type run struct {
	plan   *Plan
	sys    target.System
	j      Journal
	opts   Options
	ledger *ledger
	acks   *load.Acks

	end      context.CancelCauseFunc // ends the phases early
	loads    sync.WaitGroup
	loadErrs chan error
	stopLoad context.CancelFunc

	telemetry   *telemetry
	loadStopped time.Duration // offset

	before journal.States  // of every place that a fault can change; nil until it is taken
	unseen error           // what is missing in it
	died   map[string]bool // nodes whose death is noted
}

// Run takes a plan through its phases on a system that is up, reset and ready:
//
//	warm-up ─ baseline ─ gap+gate+state ─ fault ─ recovery ─ stop load ─ settle ─ audit ─ state as before? ─ logs
//	   └────────┴────────────┴──────────────┴─────────┴──▶ on error, breach or Ctrl-C: heal, then the rest as far as it makes sense
//
// The error is the harness's failure (or ctx's); a missed SLO is never an error. Every exit path heals.
func Run(ctx context.Context, p *Plan, sys target.System, j Journal, o Options) error {
	if err := p.Validate(); err != nil {
		return err
	}
	r := &run{plan: p, sys: sys, j: j, opts: o, acks: load.NewAcks(), loadErrs: make(chan error, len(p.Loads))}
	r.ledger, r.died = &ledger{sys: sys, book: j}, make(map[string]bool)
	return r.run(ctx)
}

func (r *run) run(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	phases, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := r.note(journal.EventRunStart, ""); err != nil {
		return err
	}
	r.end = cancel
	r.listen(whole)
	r.startLoad(whole)
	watchers := r.watch(phases)
	endLease := keepLease(whole, r.sys, r.plan.Topology, r.end)

	why := safely(func() error { return r.phases(phases) })
	if cause := context.Cause(phases); why != nil && cause != nil {
		why = cause
	}
	if errors.Is(why, context.Canceled) {
		_, _ = r.j.Append(journal.Event{Type: journal.EventInterrupted}) // healing comes first
	}
	healed := r.ledger.healAll(whole)
	endLease(healed == nil)
	cancel(nil)
	watchers.Wait()
	return r.finish(whole, why, healed)
}

// safely turns a panic into an error: a bug of ours, in a kind or here, must not leave anything broken.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// finish stops the load and gathers evidence, as far as why the phases ended leaves any to gather.
// What would not heal is in the journal as stuck, which judge calls RESIDUE; it gets a second chance
// when everything else is quiet. Then the state of every place is held against the one before the faults.
// Of what does not answer nothing more is asked.
func (r *run) finish(ctx context.Context, why, healed error) error {
	interrupted, lost := errors.Is(why, context.Canceled), unanswered(healed)
	failed := r.endLoad(interrupted || lost)
	switch {
	case why == nil && lost:
		failed = errors.Join(errLost, failed)
	case why == nil, errors.Is(why, errAborted):
		if !lost {
			failed = errors.Join(failed, r.gather(ctx))
		}
	case errors.Is(why, errInvalid):
	default:
		failed = errors.Join(why, failed)
	}
	if !lost {
		if healed != nil {
			_ = r.ledger.healAll(ctx)
		}
		failed = errors.Join(failed, safely(func() error { return r.stateAfter(ctx) }))
	}
	r.deafen(ctx, interrupted || lost)
	if !interrupted {
		if !lost {
			failed = errors.Join(failed, r.collectLogs(ctx))
		}
		failed = errors.Join(failed, r.j.Err())
		if failed != nil {
			_, _ = r.j.Append(journal.Event{Type: journal.EventError, Err: failed.Error()})
		}
	}
	return errors.Join(failed, r.note(journal.EventRunEnd, ""))
}

// phases runs from warm-up to the end of recovery. A non-nil error is why it ended early.
func (r *run) phases(ctx context.Context) error {
	p := r.plan.Phases
	if err := r.phase(ctx, "warmup", p.Warmup); err != nil {
		return err
	}
	if err := r.phase(ctx, "baseline", p.Baseline-Gap); err != nil {
		return err
	}
	if err := r.gate(ctx); err != nil {
		return err
	}
	if err := r.note(journal.EventPhase, "fault"); err != nil {
		return err
	}
	if err := r.faults(ctx); err != nil {
		return err
	}
	return r.phase(ctx, "recovery", p.Recovery)
}

// phase notes that a phase begins and waits for its end.
func (r *run) phase(ctx context.Context, name string, d time.Duration) error {
	if err := r.note(journal.EventPhase, name); err != nil {
		return err
	}
	return wait(ctx, d)
}

// wait waits for d or returns why ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	if !pause(ctx, d) {
		return context.Cause(ctx)
	}
	return nil
}

// gate judges the baseline during the gap. Requests due at the end of the baseline get most of the gap
// to finish.
func (r *run) gate(ctx context.Context) error {
	began, err := r.j.Append(journal.Event{Type: journal.EventGap, Phase: "baseline"})
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	const finish = 700 * time.Millisecond
	if err := wait(ctx, finish); err != nil {
		return err
	}
	if err := r.j.Flush(); err != nil {
		return fmt.Errorf("flushing the journal: %w", err)
	}
	h, err := r.j.History()
	if err != nil {
		return fmt.Errorf("reading the baseline back: %w", err)
	}
	findings, broken := r.opts.Gate(h)
	detail, err := json.Marshal(findings)
	if err != nil {
		return fmt.Errorf("encoding the baseline's findings: %w", err)
	}
	ev := journal.Event{Type: journal.EventBaseline, Phase: "baseline", Detail: detail}
	if broken != nil {
		ev.Err = broken.Error()
	}
	if _, err := r.j.Append(ev); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if broken != nil {
		return fmt.Errorf("%w: the baseline does not hold: %w", errInvalid, broken)
	}
	if err := r.stateBefore(ctx); err != nil {
		return err
	}
	return wait(ctx, began.At+Gap-r.j.Now())
}

// faults runs the timeline: every fault in its own time, and the phase ends when the last one is
// reverted. Without any fault it is a wait.
func (r *run) faults(ctx context.Context) error {
	began := r.j.Now()
	errs := make(chan error, len(r.plan.Faults))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	of := newMilestones(r.plan.Faults)
	var wg sync.WaitGroup
	for _, f := range r.plan.Faults {
		wg.Go(func() {
			err := r.fault(ctx, f, began, of)
			if err != nil {
				cancel(err)
			}
			errs <- err
		})
	}
	until := wait(ctx, r.plan.Phases.Fault-(r.j.Now()-began))
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return until
}

// fault takes one fault through its activations. What fails here is healed by healAll.
func (r *run) fault(ctx context.Context, f Fault, began time.Duration, of map[string]milestones) error {
	mine := of[f.ID]
	defer close(mine.over)
	came, err := await(ctx, f.After, of)
	if err != nil || !came { // what never comes is a fault that stays stuck: the run is RESIDUE
		return err
	}
	start := began + f.At
	if f.After.Fault != "" {
		start = r.j.Now() + f.At
	}
	for k := range f.rounds() {
		if err := wait(ctx, start-r.j.Now()); err != nil {
			return err
		}
		stuck, err := r.activation(ctx, f, k, start, mine)
		if err != nil || stuck {
			return err
		}
		start = max(start+f.For+f.Pause, r.j.Now()) // never before it is healed, and as long as asked
	}
	close(mine.reverted)
	return nil
}

// activation makes the fault once and heals it. What stays stuck is in the journal and makes the run
// RESIDUE; the run goes on to measure how the target copes with it, unless it is stuck for want of an answer.
func (r *run) activation(ctx context.Context, f Fault, k int, start time.Duration, mine milestones) (stuck bool, err error) {
	f.Actions = f.Round(k)
	if err := r.ledger.injectAll(ctx, f); err != nil {
		why := r.failedInject(ctx, f, err)
		stuck, _ := r.heal(ctx, f)
		return stuck, why
	}
	if k == 0 {
		close(mine.active)
	}
	err = wait(ctx, start+f.For-r.j.Now())
	// At once, whatever ended the wait: another fault may hold on to its own for seconds.
	stuck, lost := r.heal(ctx, f)
	if err == nil {
		err = lost
	}
	return stuck, err
}

// heal heals the fault. lost says that it is stuck for want of an answer.
func (r *run) heal(ctx context.Context, f Fault) (stuck bool, lost error) {
	err := r.ledger.heal(ctx, f.ID)
	if unanswered(err) {
		lost = fmt.Errorf("%w: %w", errLost, err)
	}
	return err != nil, lost
}

// failedInject tells a fault that was not seen (the run proves nothing) from a harness that failed.
func (r *run) failedInject(ctx context.Context, f Fault, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if !errors.Is(err, errNotSeen) {
		return err
	}
	r.ledger.unseen(f, err)
	return fmt.Errorf("%w: %w", errInvalid, err)
}

// note appends an event without detail.
func (r *run) note(typ, phase string) error {
	if _, err := r.j.Append(journal.Event{Type: typ, Phase: phase}); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// startLoad starts every load on its own stream of the seed.
func (r *run) startLoad(ctx context.Context) {
	ctx, r.stopLoad = context.WithCancel(ctx)
	_, _ = r.j.Append(journal.Event{Type: journal.EventLoadStart})
	for i, l := range r.plan.Loads {
		s := r.session(i, l.Name)
		r.loads.Go(func() {
			if err := safely(func() error { return l.Driver.Run(ctx, s) }); err != nil {
				err = fmt.Errorf("load %s: %w", l.Name, err)
				r.loadErrs <- err
				r.end(err)
			}
		})
	}
}

func (r *run) session(i int, name string) load.Session {
	return load.Session{System: r.sys, Rand: Stream(r.plan.Info.Seed, "load/"+name), Recorder: r.j,
		Run: r.plan.Info.ID, Index: journal.OpID(i), Loads: r.plan.Info.Loads, Acks: r.acks}
}

// interruptedDrain bounds how long Ctrl-C waits for requests in flight; what is unfinished then stays
// unknown in the journal.
const interruptedDrain = 500 * time.Millisecond

// endLoad stops the load and waits for what is in flight, which the clients' timeouts bound.
func (r *run) endLoad(interrupted bool) error {
	_, err := r.j.Append(journal.Event{Type: journal.EventLoadStop})
	r.loadStopped = r.j.Now()
	r.stopLoad()
	done := make(chan struct{})
	go func() { r.loads.Wait(); close(done) }()
	limit := time.Duration(0)
	for _, l := range r.plan.Info.Loads {
		limit = max(limit, l.Timeout)
	}
	limit += 5 * time.Second
	if interrupted {
		limit = interruptedDrain
	}
	select {
	case <-done:
	case <-time.After(limit):
		if !interrupted {
			err = errors.Join(err, fmt.Errorf("the load did not end within %v of being stopped", limit))
		}
		return err
	}
	close(r.loadErrs)
	for e := range r.loadErrs {
		err = errors.Join(err, e)
	}
	return err
}
