package faulttest

import (
	"context"
	"fmt"

	"chaos/internal/target"
)

// FirstMade is what every node of a new Memory is made of.
func FirstMade() target.Made { return target.Made{Image: "first", Env: target.EnvSum(nil, nil)} }

// MadeOf is what a node is made of.
func (m *Memory) MadeOf(node string) target.Made {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made[node]
}

// Remake changes it, as somebody else might.
func (m *Memory) Remake(node string, made target.Made) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made[node] = made
}

// Made implements target.Replacer.
func (m *Memory) Made(ctx context.Context, node string) (made target.Made, err error) {
	err = m.call(ctx, func() error {
		made = m.made[node]
		return m.known(node)
	})
	return made, err
}

// Prepare implements target.Replacer.
func (m *Memory) Prepare(ctx context.Context, node string, c target.Change) (made target.Made, err error) {
	err = m.call(ctx, func() error {
		made = changed(m.made[node], c)
		return m.known(node)
	})
	return made, err
}

func changed(made target.Made, c target.Change) target.Made {
	if c.Image != "" {
		made.Image = c.Image
	}
	if len(c.Env) > 0 {
		made.Env = target.EnvSum(c.Env, nil)
	}
	return made
}

// Replace implements target.Replacer. One that is Stuck never becomes ready after it.
func (m *Memory) Replace(ctx context.Context, node string, c target.Change, mark string) error {
	return m.call(ctx, func() error {
		if err := m.known(node); err != nil {
			return err
		}
		switch was := m.made[node]; was.Mark {
		case mark:
		case "":
			p := m.now(node)
			if p.running() {
				p.end()
			}
			made := changed(was, c)
			made.Mark = mark
			m.made[node] = made
		default:
			return fmt.Errorf("node %s: %w", node, target.ErrReplaced)
		}
		m.start(node)
		return nil
	})
}

// Restore implements target.Replacer.
func (m *Memory) Restore(ctx context.Context, node string) error {
	return m.call(ctx, func() error {
		if err := m.known(node); err != nil {
			return err
		}
		if made := m.made[node]; made.Mark != "" || made.Half {
			if p := m.now(node); p.running() {
				p.end()
			}
			m.made[node] = FirstMade()
		}
		return nil
	})
}
