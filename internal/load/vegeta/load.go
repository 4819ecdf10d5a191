// Package vegeta is the load kind "vegeta": an open-model HTTP load sent by Vegeta's attacker, on a
// schedule and with a transport of our own, because Vegeta measures from the moment a worker picked a
// request up and net/http replays requests silently.
//
//	schedule ─▶ pacer: waits until due ─▶ Vegeta: workers ─▶ transport: Invoked, send once, Completed
//	   │                 │                    all busy?            │
//	   │                 └── ctx done         due goes on          └─▶ ids for other loads
//	   └─▶ arrivals that no worker took before ctx was done ─▶ recorded as never sent
//
// What is recorded counts from the time a request was due. One run needs memory for the requests in
// flight only.
package vegeta

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	vegetalib "github.com/tsenart/vegeta/v12/lib"

	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/load"
	"chaos/internal/target"
)

// Arrival processes.
const (
	Poisson  = "poisson"  // independent arrivals: exponential gaps
	Constant = "constant" // equal gaps
)

const (
	defaultTimeout = 5 * time.Second
	maxTimeout     = time.Minute
	minTimeout     = time.Millisecond
	workersSlack   = 1.2 // workers above rate × timeout, for arrivals that come in bunches
	workersMin     = 16
)

// Load drives one op of the target at a steady rate. It implements load.Driver and load.Resolver. A
// value may be used for one run after another, but not for two at once.
type Load struct {
	Node     string        `yaml:"node" doc:"the node that requests are sent to" example:"gateway"`
	Op       string        `yaml:"op" doc:"the op of the target, a request template" example:"pay"`
	Rate     kind.Rate     `yaml:"rate" doc:"planned requests, such as 50/s or 300/m" example:"50/s"`
	Arrivals string        `yaml:"arrivals" doc:"poisson (independent clients) or constant (equal gaps)" default:"poisson" enum:"poisson|constant"`
	Timeout  time.Duration `yaml:"timeout" doc:"what the client waits for the whole answer" default:"5s" range:"1ms..1m"`

	workers uint64 // tests only: caps the workers

	mu   sync.Mutex
	used map[journal.ID]map[string]string // by key: the ids that unknown requests were sent with, for their replay
}

// Kinds is the table of this package.
func Kinds() kind.Table[load.Driver] {
	return kind.Table[load.Driver]{{
		Name: "vegeta",
		Doc:  "open-model HTTP requests at a steady rate, measured from when they were due",
		New:  func() load.Driver { return New() },
	}}
}

// New returns a load with its defaults.
func New() *Load { return &Load{Arrivals: Poisson, Timeout: defaultTimeout} }

// Validate implements kind.Validator.
func (l *Load) Validate() error {
	switch {
	case l.Node == "":
		return fmt.Errorf("node is missing: name the node that requests are sent to")
	case l.Op == "":
		return fmt.Errorf("op is missing: name an op of the target")
	case !(l.Rate > 0) || l.Rate > kind.MaxRate:
		return fmt.Errorf("rate %v must be above 0 and at most %v", l.Rate, kind.MaxRate)
	case l.Arrivals != Poisson && l.Arrivals != Constant:
		return fmt.Errorf("arrivals %q must be %s or %s", l.Arrivals, Poisson, Constant)
	case l.Timeout < minTimeout || l.Timeout > maxTimeout:
		return fmt.Errorf("timeout %v must be between %v and %v", l.Timeout, minTimeout, maxTimeout)
	}
	return nil
}

// Info implements load.Driver. The caller fills in Name. An op that the target does not have, a port
// that is not published, or a template with an unknown placeholder is an error.
func (l *Load) Info(t *target.Topology) (journal.LoadInfo, error) {
	if err := l.Validate(); err != nil {
		return journal.LoadInfo{}, err
	}
	op, err := l.resolve(t)
	if err != nil {
		return journal.LoadInfo{}, err
	}
	return journal.LoadInfo{
		Op: l.Op, Node: l.Node, Rate: float64(l.Rate), Arrivals: l.Arrivals, Timeout: l.Timeout, Effect: op.Effect,
	}, nil
}

// resolve finds the op and checks all that sending it needs.
func (l *Load) resolve(t *target.Topology) (target.Op, error) {
	op, ok := t.Ops[l.Op]
	if !ok {
		return op, fmt.Errorf("the target has no op %q%s", l.Op, kind.Suggest(l.Op, sortedNames(t.Ops)))
	}
	node, ok := t.Node(l.Node)
	if !ok {
		return op, fmt.Errorf("the target has no node %q", l.Node)
	}
	if p, ok := node.Ports[op.Port]; !ok {
		return op, fmt.Errorf("op %s: node %s has no port %q", l.Op, l.Node, op.Port)
	} else if !p.Publish {
		return op, fmt.Errorf("op %s: port %s of node %s is not published", l.Op, op.Port, l.Node)
	}
	if _, err := compile(l.Op, op); err != nil {
		return op, err
	}
	for name, need := range op.Needs {
		from, ok := t.Ops[need.From]
		if !ok {
			return op, fmt.Errorf("op %s needs %s from op %q, which the target does not have", l.Op, name, need.From)
		}
		if len(from.Needs) > 0 {
			return op, fmt.Errorf("op %s needs %s from op %s, which needs ids itself", l.Op, name, need.From)
		}
		if _, err := compile(need.From, from); err != nil {
			return op, err
		}
	}
	return op, nil
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// maxWorkers is how many requests can be in flight: all that arrive in one timeout, and some more.
func (l *Load) maxWorkers() uint64 {
	if l.workers > 0 {
		return l.workers
	}
	return uint64(math.Ceil(float64(l.Rate)*l.Timeout.Seconds()*workersSlack)) + workersMin
}

// Run implements load.Driver.
func (l *Load) Run(ctx context.Context, s load.Session) error {
	l.forget()
	client, err := newClient(l, s, l.maxWorkers())
	if err != nil {
		return err
	}
	defer client.close()
	if err := client.allowed(ctx); err != nil {
		return err
	}
	client.want()
	if err := client.prepare(ctx); err != nil {
		return err
	}
	stream := rand.New(rand.NewPCG(s.Rand.Uint64(), s.Rand.Uint64()))
	p := newPlan(newArrivals(l.Arrivals, float64(l.Rate), s.Recorder.Now(), stream), stream)
	t := &tripper{client: client, plan: p}

	attacker := vegetalib.NewAttacker(vegetalib.Client(t.httpClient()), vegetalib.MaxWorkers(l.maxWorkers()))
	targeter := func(t *vegetalib.Target) error {
		t.Method, t.URL = "GET", client.url
		return nil
	}
	pacer := newPacer(ctx, p, s.Recorder.Now, float64(l.Rate))
	defer pacer.close()
	results := attacker.Attack(targeter, pacer, 0, "")
	release := stopAfter(ctx, pacer, attacker)
	for range results {
		// Vegeta's own results are not used: they count from worker pick-up. The channel ends when the
		// last request in flight has ended.
	}
	release()
	p.remaining(pacer.stopAt(), client.notSent)
	return client.refusal()
}

// stopAfter stops the attack lastChance after ctx is done: until then the pacer lets go what was due
// already. release ends the waiting.
func stopAfter(ctx context.Context, p *pacer, attacker *vegetalib.Attacker) (release func()) {
	ended, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-ctx.Done():
			p.stopAt()
		case <-ended:
			return
		}
		timer := time.NewTimer(lastChance)
		defer timer.Stop()
		select {
		case <-timer.C:
			attacker.Stop()
		case <-ended:
		}
	}()
	return func() {
		close(ended)
		<-gone
	}
}

// forget drops the ids remembered from an earlier run.
func (l *Load) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = make(map[journal.ID]map[string]string)
}

// maxUsed bounds the ids remembered for replays; a run with more unknown outcomes is far beyond saving.
const maxUsed = 100_000

// remember keeps the ids of a request whose outcome is unknown.
func (l *Load) remember(key journal.ID, ids map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(ids) > 0 && len(l.used) < maxUsed {
		l.used[key] = ids
	}
}

func (l *Load) remembered(key journal.ID) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used[key]
}
