package faulttest

import (
	"context"
	"fmt"

	"chaos/internal/target"
)

// FirstLimits are the limits of every node of a new Memory: none of the CPU.
func FirstLimits() target.Limits { return target.Limits{Memory: 256 << 20, Pids: 64} }

// firstUsage is what a process uses when it was just started.
func firstUsage() target.Usage { return target.Usage{Memory: 16 << 20, MemoryPeak: 20 << 20, Pids: 5} }

// LimitsOf are the limits that a node has.
func (m *Memory) LimitsOf(node string) target.Limits {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limits[node]
}

// Use changes what a node uses, as its work does.
func (m *Memory) Use(node string, change func(*target.Usage)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage[node]
	change(&u)
	m.usage[node] = u
}

// Limits implements target.Limiter.
func (m *Memory) Limits(ctx context.Context, node string) (l target.Limits, err error) {
	err = m.call(ctx, func() error {
		l = m.limits[node]
		return m.known(node)
	})
	return l, err
}

// SetLimits implements target.Limiter.
func (m *Memory) SetLimits(ctx context.Context, node string, l target.Limits) error {
	return m.call(ctx, func() error {
		if err := m.known(node); err != nil {
			return err
		}
		m.limits[node] = l
		return nil
	})
}

// Usage implements target.Limiter.
func (m *Memory) Usage(ctx context.Context, node string) (u target.Usage, err error) {
	err = m.call(ctx, func() error {
		if !m.now(node).running() {
			return fmt.Errorf("node %s does not run", node)
		}
		u = m.usage[node]
		u.InForce = target.Limits{Memory: m.limits[node].Memory, Pids: m.limits[node].Pids}
		return nil
	})
	return u, err
}
