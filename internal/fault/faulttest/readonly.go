package faulttest

import (
	"context"
	"fmt"

	"chaos/internal/target"
)

// ProtectionOf is whether a node's folder is read-only.
func (m *Memory) ProtectionOf(node string) target.Protection {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sealed[node]
}

// ChangeProtection changes it, as somebody else might.
func (m *Memory) ChangeProtection(node string, change func(*target.Protection)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.sealed[node]
	change(&p)
	m.sealed[node] = p
}

// ProtectDisk implements target.Protector.
func (m *Memory) ProtectDisk(ctx context.Context, node, id, _ string) error {
	return m.call(ctx, func() error {
		if !m.now(node).running() {
			return fmt.Errorf("node %s does not run", node)
		}
		if other := m.sealed[node].ID; other != "" {
			return fmt.Errorf("a fault is on the disk of node %s: %s", node, other)
		}
		m.sealed[node] = target.Protection{ID: id, Attempt: "read-only file system", Writers: 1}
		return nil
	})
}

// Protection implements target.Protector. What was mounted is gone with a process.
func (m *Memory) Protection(ctx context.Context, node, _ string) (p target.Protection, err error) {
	err = m.call(ctx, func() error {
		p = m.sealed[node]
		if p.ID != "" && !m.now(node).running() {
			p = target.Protection{ID: p.ID, Missed: "its process has ended"}
		}
		return m.known(node)
	})
	return p, err
}

// UnprotectDisk implements target.Protector.
func (m *Memory) UnprotectDisk(ctx context.Context, node, id, _ string) error {
	return m.call(ctx, func() error {
		if m.sealed[node].ID == id {
			delete(m.sealed, node)
		}
		return nil
	})
}
