package faulttest

import (
	"context"
	"fmt"

	"chaos/internal/target"
)

// DiskSize is the size of the disk of each node of a Memory, of which half is in use.
const DiskSize = 64 << 20

// DiskOf is the fault on a node's disk.
func (m *Memory) DiskOf(node string) target.DiskState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.disks[node]
}

// ChangeDisk changes it, as somebody else might.
func (m *Memory) ChangeDisk(node string, change func(*target.DiskState)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.disks[node]
	change(&st)
	m.disks[node] = st
}

// FillDisk implements target.Filler.
func (m *Memory) FillDisk(ctx context.Context, node, id, _ string, leave int64) error {
	return m.call(ctx, func() error {
		if !m.now(node).running() {
			return fmt.Errorf("node %s does not run", node)
		}
		if other := m.disks[node].ID; other != "" {
			return fmt.Errorf("a fault is on the disk of node %s: %s", node, other)
		}
		taken := max(0, DiskSize/2-leave)
		m.disks[node] = target.DiskState{ID: id, Size: DiskSize, Taken: taken, Free: DiskSize/2 - taken}
		return nil
	})
}

// Disk implements target.Filler.
func (m *Memory) Disk(ctx context.Context, node, _ string) (st target.DiskState, err error) {
	err = m.call(ctx, func() error {
		st = m.disks[node]
		if st.ID == "" {
			st = target.DiskState{Size: DiskSize, Free: DiskSize / 2}
		}
		return m.known(node)
	})
	return st, err
}

// FreeDisk implements target.Filler.
func (m *Memory) FreeDisk(ctx context.Context, node, id, _ string) error {
	return m.call(ctx, func() error {
		if m.disks[node].ID == id {
			delete(m.disks, node)
		}
		return nil
	})
}
