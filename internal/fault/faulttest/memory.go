package faulttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"chaos/internal/target"
)

// startTakes and readyTakes are how long a node of a Memory needs to start and to become ready.
const (
	startTakes = 50 * time.Millisecond
	readyTakes = 200 * time.Millisecond
)

// Memory is a target.System in memory: nodes with processes that obey or ignore SIGTERM and can be paused, and
// that are on a network, have limits and packets and are made of something (see network.go, limits.go, packets.go,
// replace.go), and one behaviour document with counters. Every call passes Gate. It is safe for concurrent use.
type Memory struct {
	Gate *Gate
	// Obeys is how long a process takes to end after SIGTERM; negative: it ignores it.
	Obeys time.Duration
	// Stuck is a node that never becomes ready while it is replaced.
	Stuck string

	topology *target.Topology
	mu       sync.Mutex
	nodes    map[string]*process
	network  map[string]target.Connection
	limits   map[string]target.Limits
	usage    map[string]target.Usage
	made     map[string]target.Made
	document map[string]json.RawMessage
	stats    map[string]float64
	clock    clock
	names    map[string]*naming
	disks    map[string]target.DiskState
	sealed   map[string]target.Protection
	slow     map[string]target.Slowness
}

// process is the last process of a node.
type process struct {
	started, dies, ended time.Time // dies: zero while nothing is going to end it
	before               time.Time // when the process before it ended
	exit                 int
	paused               bool
	rules                map[string]*rule // on its packets, by id; they end with it
}

func (p *process) running() bool { return p != nil && p.ended.IsZero() }

// end kills it.
func (p *process) end() { p.ended, p.exit, p.paused = time.Now(), 137, false }

// NewMemory returns a running system.
func NewMemory(t *target.Topology) *Memory {
	m := &Memory{
		Gate: &Gate{}, topology: t, nodes: map[string]*process{}, network: map[string]target.Connection{},
		limits: map[string]target.Limits{}, usage: map[string]target.Usage{}, made: map[string]target.Made{},
		document: map[string]json.RawMessage{}, stats: map[string]float64{},
		names: map[string]*naming{}, disks: map[string]target.DiskState{}, sealed: map[string]target.Protection{}, slow: map[string]target.Slowness{},
	}
	for _, n := range t.Nodes {
		m.made[n.Name] = FirstMade()
		m.network[n.Name], m.limits[n.Name], m.usage[n.Name] = target.Connected, FirstLimits(), firstUsage()
		m.nodes[n.Name] = &process{started: time.Now().Add(-time.Minute)}
	}
	return m
}

// SetDocument replaces what the behaviour's Read answers, and SetStats its counters.
func (m *Memory) SetDocument(d map[string]json.RawMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.document = maps.Clone(d)
}

// Document is the behaviour as it is now.
func (m *Memory) Document() map[string]json.RawMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.document)
}

// Count adds to a counter of the behaviour's Stats.
func (m *Memory) Count(name string, by float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats[name] += by
}

// Up tells whether a node runs, is not paused and is ready.
func (m *Memory) Up(node string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.now(node)
	return p.running() && !p.paused && time.Since(p.started) >= readyTakes
}

// Started is when a node's last process was started; the zero time when there is no such node.
func (m *Memory) Started(node string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.now(node); p != nil {
		return p.started
	}
	return time.Time{}
}

// Remove deletes a node, as if somebody removed its container.
func (m *Memory) Remove(node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.nodes, node)
}

// EndAt lets a node's present process end at a time to come, as a signal that arrives late does.
func (m *Memory) EndAt(node string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.now(node); p != nil {
		p.dies = at
	}
}

// now is a node's process after what was due has happened; a paused one ends only once it goes on. The
// caller holds mu.
func (m *Memory) now(node string) *process {
	p := m.nodes[node]
	if p.running() && !p.paused && !p.dies.IsZero() && !time.Now().Before(p.dies) {
		p.ended = p.dies
	}
	return p
}

// call passes the gate with ctx alive.
func (m *Memory) call(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return m.Gate.Do(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		return do()
	})
}

// State implements target.Signaller.
func (m *Memory) State(ctx context.Context, node string) (st target.State, err error) {
	err = m.call(ctx, func() error {
		p := m.now(node)
		if p == nil {
			return nil
		}
		st = target.State{Exists: true, Running: p.running(), Paused: p.paused, StartedAt: p.started, FinishedAt: p.ended, ExitCode: p.exit}
		if p.running() {
			st.FinishedAt = p.before
		}
		return nil
	})
	return st, err
}

// Signal implements target.Signaller.
func (m *Memory) Signal(ctx context.Context, node, signal string) error {
	return m.call(ctx, func() error {
		p := m.now(node)
		switch {
		case !p.running():
			return nil
		case signal == "KILL":
			p.end()
		case signal != "TERM":
			return fmt.Errorf("unknown signal %q", signal)
		case m.Obeys >= 0:
			p.dies = time.Now().Add(m.Obeys)
		}
		return nil
	})
}

// Pause implements target.Pauser.
func (m *Memory) Pause(ctx context.Context, node string) error {
	return m.call(ctx, func() error {
		p := m.now(node)
		if !p.running() {
			return fmt.Errorf("node %s does not run", node)
		}
		p.paused = true
		return nil
	})
}

// Unpause implements target.Pauser. What was due while it was paused happens now.
func (m *Memory) Unpause(ctx context.Context, node string) error {
	return m.call(ctx, func() error {
		if p := m.now(node); p.running() && p.paused {
			p.paused = false
			if !p.dies.IsZero() && p.dies.Before(time.Now()) {
				p.dies = time.Now()
			}
		}
		return nil
	})
}

// StartNode implements target.Signaller.
func (m *Memory) StartNode(ctx context.Context, node string) error {
	return m.call(ctx, func() error {
		if err := m.known(node); err != nil {
			return err
		}
		m.start(node)
		return nil
	})
}

// start starts a node that does not run. The caller holds mu.
func (m *Memory) start(node string) {
	p := m.now(node)
	if p.running() {
		return
	}
	m.nodes[node] = &process{started: time.Now().Add(startTakes), before: p.ended}
	m.usage[node] = firstUsage()
}

// NodeReady implements target.Signaller. A paused node never becomes ready, nor does one that is Stuck.
func (m *Memory) NodeReady(ctx context.Context, node string) error {
	var ready <-chan time.Time
	err := m.call(ctx, func() error {
		p := m.now(node)
		if !p.running() {
			return fmt.Errorf("node %s does not run", node)
		}
		if !p.paused && !(node == m.Stuck && m.made[node].Mark != "") {
			ready = time.After(time.Until(p.started.Add(readyTakes)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node %s is not ready yet: %w", node, ctx.Err())
	}
}

// Call implements target.System for a behaviour: a call with a body writes the document, a path of
// /stats reads the counters, one of /clock is the clock (see clock.go), and any other reads the document.
func (m *Memory) Call(ctx context.Context, c target.Call) (body []byte, err error) {
	err = m.call(ctx, func() error {
		switch {
		case c.Query.Path == clockPath:
			body, err = m.callClock(ctx, c)
			return err
		case c.Body != nil:
			next := maps.Clone(m.document)
			if err := json.Unmarshal(c.Body, &next); err != nil {
				return &target.StatusError{Status: 400, Body: err.Error()}
			}
			m.document = next
			return nil
		case c.Query.Path == "/stats":
			body, err = json.Marshal(m.stats)
		default:
			body, err = json.Marshal(m.document)
		}
		return err
	})
	return body, err
}

// errNoSuch is what a Memory answers to what it does not have.
var errNoSuch = errors.New("not part of a system in memory")

// Topology implements target.System.
func (m *Memory) Topology() *target.Topology { return m.topology }

// Endpoint implements target.System: there is none.
func (m *Memory) Endpoint(context.Context, string, string) (string, error) { return "", errNoSuch }

// Ready implements target.System.
func (m *Memory) Ready(ctx context.Context) error {
	for _, n := range m.topology.Nodes {
		if err := m.NodeReady(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

// Reset implements target.System: there is nothing to reset.
func (m *Memory) Reset(context.Context, string, string) error { return errNoSuch }

// Logs implements target.System: there are none.
func (m *Memory) Logs(context.Context, string, io.Writer) error { return errNoSuch }

// Handle implements target.System.
func (m *Memory) Handle() json.RawMessage { return json.RawMessage(`{}`) }

// Facts implements target.System.
func (m *Memory) Facts(context.Context) (images, machine map[string]string) { return nil, nil }

// Close implements target.System.
func (m *Memory) Close(context.Context) error { return nil }
