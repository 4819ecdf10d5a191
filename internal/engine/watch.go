package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// Periods of the watchers.
const (
	GuardEvery  = 250 * time.Millisecond // how often guards are evaluated
	CanaryEvery = 10 * time.Millisecond  // the canary's tick
	CanaryLate  = 50 * time.Millisecond  // a tick later than this is late
	DeathsEvery = time.Second            // how often the runtime is asked for dead nodes
)

// watch starts all that goes on beside the phases. They end with ctx.
func (r *run) watch(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	start := func(what string, watch func()) {
		wg.Go(func() {
			if err := safely(func() error { watch(); return nil }); err != nil {
				r.end(fmt.Errorf("%s failed: %w", what, err)) // a run must not go on unwatched
			}
		})
	}
	start("the canary", func() { canary(ctx, r.j) })
	start("a guard", func() { r.guard(ctx) })
	start("the watch on the journal", func() { r.journalFailure(ctx) })
	if w, ok := r.sys.(target.Watcher); ok {
		start("the watch on nodes", func() { r.deaths(ctx, w) })
	}
	return &wg
}

// canary ticks every 10 ms and counts the ticks that came more than 50 ms late: what a busy machine
// does to it, it does to the generator's clock as well. A tick that a stall swallowed counts as late.
func canary(ctx context.Context, j journal.Recorder) {
	t := time.NewTicker(CanaryEvery)
	defer t.Stop()
	next := j.Now() + CanaryEvery
	ticks, late := 0, 0
	second := j.Now() + time.Second
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := j.Now()
		for next <= now {
			ticks++
			if now-next > CanaryLate {
				late++
			}
			next += CanaryEvery
		}
		if now >= second {
			j.Read(journal.Reading{At: second - time.Second, Source: journal.SourceCanary, Name: journal.CanaryTicks, Value: float64(ticks)})
			j.Read(journal.Reading{At: second - time.Second, Source: journal.SourceCanary, Name: journal.CanaryLate, Value: float64(late)})
			ticks, late, second = 0, 0, now+time.Second
		}
	}
}

// guard evaluates the guards every 250 ms; the first breach ends the phases. That a guard could not
// decide is said once.
func (r *run) guard(ctx context.Context) {
	t := time.NewTicker(GuardEvery)
	defer t.Stop()
	undecided := make(map[string]bool)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, g := range r.plan.Guards {
			breach, decided, why := g.Observe(r.j)
			switch {
			case breach:
				r.breach(g.Text(), why)
				return
			case !decided && !undecided[g.Text()]:
				undecided[g.Text()] = true
				_, _ = r.j.Append(journal.Event{Type: journal.EventGuard, Subject: g.Text(), Detail: quote("no decision yet: " + why)})
			}
		}
	}
}

func (r *run) breach(text, why string) {
	msg := text + ": " + why
	_, _ = r.j.Append(journal.Event{Type: journal.EventGuard, Subject: text, Err: msg})
	r.end(fmt.Errorf("%w: %s", errAborted, msg))
}

// journalFailure ends a run that can't be written down any more.
func (r *run) journalFailure(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-r.j.Failed():
		r.end(fmt.Errorf("the journal failed: %w", r.j.Err()))
	}
}

// deaths notes nodes that died though no fault was on them. An engine that does not answer while a fault is on ends the phases.
func (r *run) deaths(ctx context.Context, w target.Watcher) {
	r.ledger.listen(ctx, func(ctx context.Context) error { return r.noteDeaths(ctx, w) }, r.end)
}

// noteDeaths asks once. A node is asked about before and after, so that one whose fault was just reverted
// is not taken for dead. The error says why the engine can't be asked now.
func (r *run) noteDeaths(ctx context.Context, w target.Watcher) error {
	before := r.ledger.under()
	died, err := w.Died(ctx)
	if err != nil {
		return err
	}
	after := r.ledger.under()
	for node, why := range died {
		if before[node] || after[node] || r.died[node] {
			continue
		}
		r.died[node] = true
		_, _ = r.j.Append(journal.Event{Type: journal.EventNodeDied, Subject: node, Err: strings.TrimSpace(why)})
	}
	return nil
}
