package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// walkSteps is how many steps TestRandomWalk takes at least: calls of arm, inject, confirm, measure and revert, and
// appends to the journal (of which an intent is one).
const walkSteps = 10_000

// mishap is what happens to a step.
type mishap uint8

const (
	none     mishap = iota
	refused         // an error, and nothing was done
	lost            // an error, though it was done
	panics          // a bug, after it was done
	hangs           // until the deadline
	deaf            // the engine does not answer
	dies            // kill -9 before it is done
	diesDone        // kill -9 right after
	mishaps
)

// String names it.
func (m mishap) String() string {
	return [...]string{"none", "refused", "lost", "panics", "hangs", "deaf", "dies", "diesDone"}[m]
}

// walk is a target and the journal's disk, both of which outlive the processes that work on them:
//
//	process ─ inject, heal, … on overlapping places ─▶ ends healed, stuck, or killed at any step
//	   └▶ memory is lost, the disk keeps what was synced and a random part of the rest ─▶ process: Heal, killed too ─▶ … ─▶ neutral
type walk struct {
	seed uint64
	calm bool // no mishaps any more

	mu       sync.Mutex
	seen     map[string]int // calls so far, so that what happens to a call does not depend on who runs when
	happened [mishaps]int
	steps    int
	synced   []byte          // of the event log: on disk for certain
	tail     []byte          // written and not synced
	seq      uint64          // of the newest event
	there    map[string]bool // the faults, by action
	wrong    []string        // what must never be
}

// chance draws what happens to a step, the same for the same seed: 10 % errors of several sorts, a tenth of that panics, and kills.
func (w *walk) chance(key string) mishap {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps++
	w.seen[key]++
	if w.calm {
		return none
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", key, w.seen[key])
	m := none
	switch n := rand.New(rand.NewPCG(w.seed, h.Sum64())).IntN(1000); {
	case n < 40:
		m = refused
	case n < 80:
		m = lost
	case n < 90:
		m = hangs
	case n < 100:
		m = deaf
	case n < 110:
		m = panics
	case n < 120:
		m = dies
	case n < 130:
		m = diesDone
	}
	w.happened[m]++
	return m
}

func (w *walk) never(format string, a ...any) { w.wrong = append(w.wrong, fmt.Sprintf(format, a...)) }

// intended tells whether an intent is on disk, come what may.
func (w *walk) intended(id string) bool {
	for line := range bytes.Lines(w.synced) {
		var e journal.Event
		if json.Unmarshal(line, &e) == nil && e.Type == journal.EventIntent && e.Action == id {
			return true
		}
	}
	return false
}

// incarnation is one process that works on the walk. A dead one has no effect on anything any more.
type incarnation struct {
	*walk
	start time.Time
	alive bool // guarded by walk.mu
}

func (w *walk) process() *incarnation {
	return &incarnation{walk: w, start: time.Now(), alive: true}
}

// step does what do does, unless something happens.
func (p *incarnation) step(ctx context.Context, key string, do func()) error {
	m := p.chance(key)
	if m == hangs {
		pause(ctx, 7*time.Second) // arm and inject bound themselves
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m == dies {
		p.alive = false
	}
	if !p.alive {
		runtime.Goexit() // and with it the goroutine; the locks that it held belong to nobody now
	}
	switch m {
	case refused:
		return errors.New("injected error")
	case hangs:
		return errors.Join(errors.New("injected timeout"), ctx.Err())
	case deaf:
		return fmt.Errorf("injected: %w", target.ErrUnresponsive)
	}
	do()
	switch m {
	case lost:
		return errors.New("injected error, though it was done")
	case panics:
		panic("injected panic")
	case diesDone:
		p.alive = false
		runtime.Goexit()
	}
	return nil
}

// Plan implements fault.Fault.
func (p *incarnation) Plan(*target.Topology, target.Capabilities, *rand.Rand) ([]fault.Action, error) {
	return nil, nil
}

// Arm implements fault.Fault.
func (p *incarnation) Arm(ctx context.Context, _ target.System, a fault.Action) (fault.Action, error) {
	a.Before = json.RawMessage(`"seen"`)
	return a, p.step(ctx, "arm "+a.ID, func() {})
}

// Inject implements fault.Fault.
func (p *incarnation) Inject(ctx context.Context, _ target.System, a fault.Action) error {
	return p.step(ctx, "inject "+a.ID, func() {
		if !p.intended(a.ID) {
			p.never("%s was made, and its intent is not on disk", a.ID)
		}
		p.there[a.ID] = true
	})
}

// Confirm implements fault.Fault.
func (p *incarnation) Confirm(ctx context.Context, _ target.System, a fault.Action, active bool) (err error) {
	return errors.Join(p.step(ctx, "confirm "+a.ID, func() {
		if p.there[a.ID] != active {
			err = errors.New("not as wanted")
		}
	}), err)
}

// Measure implements fault.Fault.
func (p *incarnation) Measure(ctx context.Context, _ target.System, a fault.Action) (verdict.Bite, error) {
	return verdict.Bite{Bit: true}, p.step(ctx, "measure "+a.ID, func() {})
}

// Revert implements fault.Fault.
func (p *incarnation) Revert(ctx context.Context, _ target.System, a fault.Action) error {
	return p.step(ctx, "revert "+a.ID, func() {
		if !p.intended(a.ID) {
			p.never("%s was undone, and its intent is not on disk", a.ID)
		}
		delete(p.there, a.ID)
	})
}

// Now implements book.
func (p *incarnation) Now() time.Duration { return time.Since(p.start) }

// Append implements book on the disk: written, and synced when the journal would. A write that fails, or whose process
// dies in it, leaves the beginning of a line.
func (p *incarnation) Append(e journal.Event) (journal.Event, error) {
	key := "append " + e.Type + e.Action
	m := p.chance(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive {
		runtime.Goexit()
	}
	e.Seq, e.At = p.seq+1, p.Now()
	line, err := json.Marshal(e)
	if err != nil {
		return e, err
	}
	if n := len(p.tail); n > 0 && p.tail[n-1] != '\n' || n == 0 && len(p.synced) > 0 && p.synced[len(p.synced)-1] != '\n' {
		line = append([]byte{'\n'}, line...)
	}
	line = append(line, '\n')
	cut := len(line)
	if m == refused || m == dies || m == deaf || m == hangs {
		cut = int(p.seed+e.Seq*7) % len(line)
	}
	p.tail = append(p.tail, line[:cut]...)
	p.seq = e.Seq
	switch m {
	case refused, deaf, hangs, panics: // a panic in the journal is nobody's promise
		return e, errors.New("disk full")
	case dies:
		p.alive = false
		runtime.Goexit()
	}
	if journal.Durable(e.Type) {
		p.synced, p.tail = append(p.synced, p.tail...), nil
	}
	switch m {
	case lost:
		return e, errors.New("sync failed")
	case diesDone:
		p.alive = false
		runtime.Goexit()
	}
	return e, nil
}

// during runs work of a process, which may die in it, and tells whether it lives.
func (p *incarnation) during(work ...func()) bool {
	var wg sync.WaitGroup
	for _, w := range work {
		wg.Go(w)
	}
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive
}

// crash is what the disk has when the process, or the machine, is gone: all that was synced, and some of the rest.
func (w *walk) crash(rng *rand.Rand) {
	w.synced, w.tail = append(w.synced, w.tail[:rng.IntN(len(w.tail)+1)]...), nil
}

// read reads the event log as chaos heal does.
func (w *walk) read(t *testing.T, dir string) []journal.Event {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, journal.FileEvents), append(slices.Clone(w.synced), w.tail...), 0o600); err != nil {
		t.Fatal(err)
	}
	events, _, err := journal.ReadEvents(dir)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// outstanding is what the journal says may be there, which must be all that is.
func (w *walk) outstanding(t *testing.T, dir, when string) []fault.Action {
	t.Helper()
	left, err := Outstanding(w.read(t, dir))
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for id := range w.there {
		if !slices.ContainsFunc(left, func(a fault.Action) bool { return a.ID == id }) {
			w.never("%s: %s is there, and the journal does not say so", when, id)
		}
	}
	return left
}

// work is the life of a process that makes and heals faults: it ends healed, with what is stuck named, or killed.
func (w *walk) work(t *testing.T, dir string, rng *rand.Rand) {
	t.Helper()
	p := w.process()
	l := &ledger{sys: newBench(), book: p}
	made := 0
	inject := func() func() {
		made++
		f := Fault{ID: fmt.Sprintf("f%d", made), Fault: p}
		for k := range 1 + rng.IntN(2) {
			a := action(f.ID, fmt.Sprintf("node:%d", rng.IntN(3)))
			a.ID = fmt.Sprintf("%s#%d", f.ID, k+1)
			f.Actions = append(f.Actions, a)
		}
		return func() { _ = l.injectAll(t.Context(), f) }
	}
	heal := func() func() {
		id := fmt.Sprintf("f%d", 1+rng.IntN(max(1, made)))
		return func() { _ = l.heal(t.Context(), id) }
	}
	for range 8 {
		var both []func()
		for range 1 + rng.IntN(2) {
			if rng.IntN(5) < 3 {
				both = append(both, inject())
			} else {
				both = append(both, heal())
			}
		}
		if !p.during(both...) {
			return
		}
	}
	var err error
	if !p.during(func() { err = l.healAll(t.Context()) }) {
		return
	}
	w.ended(t, dir, l, err)
}

// ended: a process that lived to its end has reverted each of its intents, or named it as stuck.
func (w *walk) ended(t *testing.T, dir string, l *ledger, err error) {
	t.Helper()
	for _, e := range l.entries {
		id := e.action.ID
		switch {
		case e.state == reverted && w.there[id]:
			w.never("%s counts as reverted, and is there", id)
		case e.state != reverted && (err == nil || !strings.Contains(err.Error(), id+" on ")):
			if err == nil || !strings.Contains(err.Error(), "panic") {
				w.never("%s is not reverted, and not named: %v", id, err)
			}
		case e.state == stuck && !strings.Contains(err.Error(), e.action.Undo):
			w.never("%s is stuck, and its undo is not named: %v", id, err)
		}
	}
	w.outstanding(t, dir, "at the end")
}

// heals is the life of processes that heal from the disk, each of which may die too; the last ones have it calm.
func (w *walk) heals(t *testing.T, dir string, rng *rand.Rand) {
	t.Helper()
	for try := range 12 {
		w.crash(rng)
		left := w.outstanding(t, dir, "after a kill")
		if len(left) == 0 {
			break
		}
		w.calm = try > 8
		p := w.process()
		p.during(func() {
			_, _ = Heal(t.Context(), left, func(string) (fault.Fault, error) { return p, nil }, newBench(), p)
		})
	}
	w.calm = false
	if left := w.outstanding(t, dir, "when all is healed"); len(left) > 0 || len(w.there) > 0 {
		w.never("healed, and %d are outstanding, %d there", len(left), len(w.there))
	}
}

// TestRandomWalk takes ledgers through random interleavings on overlapping places, with 10 % errors, panics, hangs and kills -9 at
// any step, after each of which another process heals from what the disk kept: no fault is made or undone before its
// intent is on disk, none is there that the journal does not name, and all ends neutral.
func TestRandomWalk(t *testing.T) {
	dir := t.TempDir()
	total := walk{}
	for seed := uint64(1); total.steps < walkSteps; seed++ {
		w := &walk{seed: seed, seen: make(map[string]int), there: make(map[string]bool)}
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			w.work(t, dir, rng)
			w.heals(t, dir, rng)
		})
		for _, wrong := range w.wrong {
			t.Errorf("seed %d: %s", seed, wrong)
		}
		if t.Failed() {
			t.Fatalf("seed %d, the log:\n%s", seed, w.synced)
		}
		total.steps += w.steps
		for m, n := range w.happened {
			total.happened[m] += n
		}
		total.seed = seed
	}
	t.Logf("%d steps, seeds 1 to %d", total.steps, total.seed)
	for m, n := range total.happened {
		t.Logf("%s: %d", mishap(m), n)
		if n < walkSteps/500 {
			t.Errorf("only %d of %d steps: %s", n, total.steps, mishap(m))
		}
	}
}
