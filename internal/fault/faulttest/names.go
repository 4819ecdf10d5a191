package faulttest

import (
	"context"
	"fmt"
	"time"

	"chaos/internal/target"
)

// naming is a fault on a node's names.
type naming struct {
	fault target.NameFault
	state target.NameState
	of    time.Time // start of the process that it is on
}

// Naming is what is in force on a node's names; "" is nothing.
func (m *Memory) Naming(node string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nameOf(node).state.ID
}

// LookUp looks a name up n times, as a node's work does, when it runs.
func (m *Memory) LookUp(node, name string, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.nameOf(node)
	switch {
	case f.state.ID == "":
	case f.fault.Name != name:
		f.state.Passed += n
	default:
		f.state.Hit, f.state.Done = f.state.Hit+n, f.state.Done+n
		f.state.Late += time.Duration(n) * f.fault.Late
	}
}

// ChangeNaming changes what came of the fault on a node's names.
func (m *Memory) ChangeNaming(node string, change func(*target.NameState)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.nameOf(node).state)
}

// nameOf is the fault on a node's names, which is gone with its process. The caller holds mu.
func (m *Memory) nameOf(node string) *naming {
	f, p := m.names[node], m.now(node)
	if f == nil || !p.running() || !p.started.Equal(f.of) {
		f = &naming{}
	}
	return f
}

// SetName implements target.Namer.
func (m *Memory) SetName(ctx context.Context, node, id string, f target.NameFault) error {
	return m.call(ctx, func() error {
		p := m.now(node)
		if !p.running() {
			return fmt.Errorf("node %s does not run", node)
		}
		if other := m.nameOf(node).state.ID; other != "" && other != id {
			return fmt.Errorf("another fault is on the names of node %s: %s", node, other)
		}
		m.names[node] = &naming{fault: f, state: target.NameState{ID: id}, of: p.started}
		return nil
	})
}

// Name implements target.Namer.
func (m *Memory) Name(ctx context.Context, node string) (st target.NameState, err error) {
	err = m.call(ctx, func() error {
		st = m.nameOf(node).state
		return m.known(node)
	})
	return st, err
}

// ClearName implements target.Namer.
func (m *Memory) ClearName(ctx context.Context, node, id string) error {
	return m.call(ctx, func() error {
		if m.nameOf(node).state.ID == id {
			delete(m.names, node)
		}
		return nil
	})
}
