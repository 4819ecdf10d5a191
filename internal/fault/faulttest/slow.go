package faulttest

import (
	"context"
	"fmt"

	"chaos/internal/slowdisk"
	"chaos/internal/target"
)

// SlownessOf is what a fault has held on a node's disk.
func (m *Memory) SlownessOf(node string) target.Slowness {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.slow[node]
}

// ChangeSlowness changes it, as work of the node would, or somebody else.
func (m *Memory) ChangeSlowness(node string, change func(*target.Slowness)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slow[node]
	change(&s)
	m.slow[node] = s
}

// SlowDisk implements target.Slower. A Memory writes ten times at once.
func (m *Memory) SlowDisk(ctx context.Context, node, id, _ string, s slowdisk.Slow) error {
	return m.call(ctx, func() error {
		if !m.now(node).running() {
			return fmt.Errorf("node %s does not run", node)
		}
		if other := m.slow[node].ID; other != "" {
			return fmt.Errorf("a fault is on the disk of node %s: %s", node, other)
		}
		const writes = 10
		m.slow[node] = target.Slowness{ID: id, Counts: map[string]slowdisk.Count{
			slowdisk.Write: {N: writes, Asked: writes * s.Latency, Added: writes * s.Latency},
		}}
		return nil
	})
}

// Slowness implements target.Slower. A process that has ended is held no more.
func (m *Memory) Slowness(ctx context.Context, node string) (s target.Slowness, err error) {
	err = m.call(ctx, func() error {
		s = m.slow[node]
		if s.ID != "" && !m.now(node).running() {
			s = target.Slowness{ID: s.ID, Missed: "its process has ended"}
		}
		return m.known(node)
	})
	return s, err
}

// UnslowDisk implements target.Slower.
func (m *Memory) UnslowDisk(ctx context.Context, node, id string) error {
	return m.call(ctx, func() error {
		if m.slow[node].ID == id {
			delete(m.slow, node)
		}
		return nil
	})
}
