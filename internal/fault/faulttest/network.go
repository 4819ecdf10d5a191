package faulttest

import (
	"context"
	"fmt"

	"chaos/internal/target"
)

// Plugged is how a node stands to the network.
func (m *Memory) Plugged(node string) target.Connection {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.network[node]
}

// Plug changes it, as somebody else might.
func (m *Memory) Plug(node string, c target.Connection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.network[node] = c
}

// Connection implements target.Connecter.
func (m *Memory) Connection(ctx context.Context, node string) (c target.Connection, err error) {
	err = m.call(ctx, func() error {
		c = m.network[node]
		return m.known(node)
	})
	return c, err
}

// Disconnect implements target.Connecter.
func (m *Memory) Disconnect(ctx context.Context, node string) error {
	return m.call(ctx, func() error { return m.plug(node, target.Disconnected) })
}

// Connect implements target.Connecter.
func (m *Memory) Connect(ctx context.Context, node string) error {
	return m.call(ctx, func() error { return m.plug(node, target.Connected) })
}

func (m *Memory) plug(node string, c target.Connection) error {
	if err := m.known(node); err != nil {
		return err
	}
	m.network[node] = c
	return nil
}

// known refuses a node that is not there. The caller holds mu.
func (m *Memory) known(node string) error {
	if m.nodes[node] == nil {
		return fmt.Errorf("no such container: %s", node)
	}
	return nil
}
