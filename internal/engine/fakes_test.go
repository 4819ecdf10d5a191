package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/trace"
	"chaos/internal/verdict"
)

// memory is a Journal in memory.
type memory struct {
	mu       sync.Mutex
	start    time.Time
	events   []journal.Event
	samples  []journal.Sample
	audit    []journal.AuditRecord
	readings []journal.Reading
	spans    []trace.Span
	counts   journal.Counts
	failed   chan struct{}
	err      error
	info     journal.RunInfo
}

func newMemory(info journal.RunInfo) *memory {
	return &memory{start: time.Now(), failed: make(chan struct{}), info: info}
}

func (m *memory) Now() time.Duration { return time.Since(m.start) }
func (m *memory) Invoked(*journal.Sample) {
}
func (m *memory) Completed(s *journal.Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = append(m.samples, *s)
}
func (m *memory) Read(r journal.Reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readings = append(m.readings, r)
}
func (m *memory) Since(time.Duration, journal.OpID) journal.Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts
}
func (m *memory) Append(e journal.Event) (journal.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.Seq, e.At = uint64(len(m.events)), m.Now()
	m.events = append(m.events, e)
	return e, nil
}
func (m *memory) Flush() error { return nil }
func (m *memory) History() (*journal.History, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &journal.History{Run: m.info, Events: append([]journal.Event(nil), m.events...), Samples: append([]journal.Sample(nil), m.samples...)}, nil
}
func (m *memory) WriteAudit(a []journal.AuditRecord) error { m.audit = a; return nil }
func (m *memory) LogWriter(string) (io.WriteCloser, error) {
	return struct {
		io.Writer
		io.Closer
	}{&bytes.Buffer{}, io.NopCloser(nil)}, nil
}
func (m *memory) Spans(s []trace.Span) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spans = append(m.spans, s...)
	return len(s), m.err
}
func (m *memory) Observe(r []journal.Reading) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readings = append(m.readings, r...)
	return len(r)
}
func (m *memory) UpdateInfo(func(*journal.RunInfo)) error { return nil }
func (m *memory) Failed() <-chan struct{}                 { return m.failed }
func (m *memory) Err() error                              { return m.err }

// types returns the event types, in order, without the guards' chatter.
func (m *memory) types() []string {
	var types []string
	for _, e := range m.events {
		switch {
		case e.Type == journal.EventPhase:
			types = append(types, "phase:"+e.Phase)
		case e.Action != "":
			types = append(types, e.Type+":"+e.Action)
		default:
			types = append(types, e.Type)
		}
	}
	return types
}

func (m *memory) find(typ string) []journal.Event {
	h, _ := m.History()
	return h.Find(typ)
}

// bench is a target.System whose faults are names in a set.
type bench struct {
	mu       sync.Mutex
	topology *target.Topology
	active   map[string]bool
	answers  map[string]string // path → body
	died     map[string]string
	silent   func() bool // the engine does not answer
	slow     func() bool // it answers only the easiest question
	refuses  func() bool // nobody is there
	logs     int         // how often one was asked for
}

func newBench() *bench {
	zero := int64(0)
	return &bench{active: make(map[string]bool), answers: map[string]string{
		"/settled": `{"pending":0}`,
		"/audit":   "{\"type\":\"payment\",\"key\":\"k\"}\n{\"type\":\"end\",\"count\":1}\n",
	}, topology: &target.Topology{
		Nodes:   []target.NodeSpec{{Name: "a"}},
		Settled: []target.Query{{Node: "a", Path: "/settled", Field: "pending", Equals: &zero}},
		Audit:   map[string]target.Query{"books": {Node: "a", Path: "/audit"}},
	}}
}

func (b *bench) Topology() *target.Topology { return b.topology }
func (b *bench) Endpoint(context.Context, string, string) (string, error) {
	return "127.0.0.1:1", nil
}
func (b *bench) Ready(context.Context) error                 { return nil }
func (b *bench) Reset(context.Context, string, string) error { return nil }
func (b *bench) Call(_ context.Context, c target.Call) ([]byte, error) {
	return []byte(b.answers[c.Query.Path]), nil
}
func (b *bench) Logs(context.Context, string, io.Writer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logs++
	return nil
}
func (b *bench) Handle() json.RawMessage { return nil }
func (b *bench) Facts(context.Context) (map[string]string, map[string]string) {
	return nil, nil
}
func (b *bench) Close(context.Context) error { return nil }
func (b *bench) Died(ctx context.Context) (map[string]string, error) {
	if err := b.quiet(ctx, 2*time.Second, b.silent, b.slow); err != nil {
		return nil, errors.Join(err, errors.New("the next node"))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	died := make(map[string]string)
	for k, v := range b.died {
		died[k] = v
	}
	return died, nil
}

func (b *bench) Answers(ctx context.Context) error { return b.quiet(ctx, time.Second, b.silent) }

// quiet waits while the engine keeps quiet for one of these reasons, and gives up after a time.
func (b *bench) quiet(ctx context.Context, limit time.Duration, why ...func() bool) error {
	keeps := func() bool {
		return slices.ContainsFunc(why, func(quiet func() bool) bool { return quiet != nil && quiet() })
	}
	if b.refuses != nil && b.refuses() {
		return fmt.Errorf("connect: %w", target.ErrUnresponsive)
	}
	for began := time.Now(); keeps(); {
		if time.Since(began) >= limit {
			return fmt.Errorf("inspect: %w", target.ErrUnresponsive)
		}
		if !pause(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// unresponsive is what an engine that does not answer is known by after 2 s.
func unresponsive(ctx context.Context) error {
	if !pause(ctx, 2*time.Second) {
		return ctx.Err()
	}
	return fmt.Errorf("inspect: %w", target.ErrUnresponsive)
}

func (b *bench) set(place string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if on {
		b.active[place] = true
	} else {
		delete(b.active, place)
	}
}

func (b *bench) broken() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.active)
}

// breaker is a fault kind whose every verb can be told to misbehave.
type breaker struct {
	on       func(verb string, a fault.Action) error
	system   func(target.System) *bench // finds the bench in a system that is more than one
	slow     time.Duration              // each revert takes this long
	bite     bool
	unseen   bool
	injected []string
	healed   []string
	mu       sync.Mutex
}

func (k *breaker) hook(verb string, a fault.Action) error {
	if k.on == nil {
		return nil
	}
	return k.on(verb, a)
}

func (k *breaker) bench(s target.System) *bench {
	if k.system != nil {
		return k.system(s)
	}
	return s.(*bench)
}

func (k *breaker) Plan(*target.Topology, target.Capabilities, *rand.Rand) ([]fault.Action, error) {
	return nil, nil
}
func (k *breaker) Arm(_ context.Context, _ target.System, a fault.Action) (fault.Action, error) {
	a.Before = json.RawMessage(`"armed"`)
	return a, k.hook("arm", a)
}
func (k *breaker) Inject(_ context.Context, s target.System, a fault.Action) error {
	k.mu.Lock()
	k.injected = append(k.injected, a.ID)
	k.mu.Unlock()
	k.bench(s).set(a.ID, true) // half an inject is there even when it fails
	return k.hook("inject", a)
}
func (k *breaker) Confirm(_ context.Context, s target.System, a fault.Action, active bool) error {
	if err := k.hook("confirm", a); err != nil {
		return err
	}
	b := k.bench(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.active[a.ID] != active || (active && k.unseen) {
		return errors.New("not as wanted")
	}
	return nil
}
func (k *breaker) Measure(_ context.Context, _ target.System, a fault.Action) (verdict.Bite, error) {
	return verdict.Bite{Bit: k.bite, Asked: "all", Delivered: "all"}, k.hook("measure", a)
}
func (k *breaker) Revert(ctx context.Context, s target.System, a fault.Action) error {
	if k.slow > 0 && !pause(ctx, k.slow) {
		return ctx.Err()
	}
	if err := k.hook("revert", a); err != nil {
		return err
	}
	k.bench(s).set(a.ID, false)
	k.mu.Lock()
	k.healed = append(k.healed, a.ID)
	k.mu.Unlock()
	return nil
}

// errNoAnswer is what a proxy that does not answer is known by.
func errNoAnswer() error { return fmt.Errorf("remove toxic: %w", edge.ErrNoAnswer) }
