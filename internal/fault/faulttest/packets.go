package faulttest

import (
	"context"
	"fmt"
	"math"

	"chaos/internal/target"
)

// rule is a loss or a delay of a process's packets.
type rule struct {
	loss     *target.Loss
	delay    *target.Delay
	counted  target.LossState
	left     uint64
	missed   string
	declined float64 // share of what it should lose that it does not
}

// Ruled tells whether there are rules on a node's packets.
func (m *Memory) Ruled(node string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.now(node)
	return p.running() && len(p.rules) > 0
}

// Packets lets packets of a node pass in and out, and lose what its rules say.
func (m *Memory) Packets(node string, in, out uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.nodes[node].rules {
		r.left += out
		if r.loss == nil {
			continue
		}
		for _, way := range []struct {
			on    bool
			n     uint64
			count *target.PacketCount
		}{{r.loss.In, in, &r.counted.In}, {r.loss.Out, out, &r.counted.Out}} {
			if way.on {
				way.count.Seen += way.n
				way.count.Lost += uint64(math.Round(float64(way.n) * r.loss.Share * (1 - r.declined)))
			}
		}
	}
}

// Spoil makes a node's losses lose less than they should, by a share, or miss their peer.
func (m *Memory) Spoil(node string, declined float64, missed string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.nodes[node].rules {
		r.declined, r.missed = declined, missed
	}
}

// SetLoss implements target.Lossy.
func (m *Memory) SetLoss(ctx context.Context, node, id string, l target.Loss) error {
	return m.rule(ctx, node, id, &rule{loss: &l})
}

// SetDelay implements target.Delayer.
func (m *Memory) SetDelay(ctx context.Context, node, id string, d target.Delay) error {
	return m.rule(ctx, node, id, &rule{delay: &d})
}

func (m *Memory) rule(ctx context.Context, node, id string, r *rule) error {
	return m.call(ctx, func() error {
		p := m.now(node)
		if !p.running() {
			return fmt.Errorf("node %s does not run", node)
		}
		if p.rules == nil {
			p.rules = map[string]*rule{}
		}
		p.rules[id] = r
		return nil
	})
}

// look looks at a rule, if there is one.
func (m *Memory) look(ctx context.Context, node, id string, see func(*rule)) error {
	return m.call(ctx, func() error {
		if p := m.now(node); p.running() && p.rules[id] != nil {
			see(p.rules[id])
		}
		return nil
	})
}

// Loss implements target.Lossy.
func (m *Memory) Loss(ctx context.Context, node, id string, _ target.Loss) (st target.LossState, err error) {
	err = m.look(ctx, node, id, func(r *rule) {
		st = r.counted
		st.There, st.Missed = true, r.missed
	})
	return st, err
}

// Delay implements target.Delayer.
func (m *Memory) Delay(ctx context.Context, node, id string) (st target.DelayState, err error) {
	err = m.look(ctx, node, id, func(r *rule) {
		if r.delay != nil {
			st = target.DelayState{There: true, Delay: *r.delay, Left: r.left, Missed: r.missed}
		}
	})
	return st, err
}

// ClearLoss implements target.Lossy.
func (m *Memory) ClearLoss(ctx context.Context, node, id string) error {
	return m.call(ctx, func() error {
		if p := m.now(node); p.running() {
			delete(p.rules, id)
		}
		return nil
	})
}

// ClearDelay implements target.Delayer.
func (m *Memory) ClearDelay(ctx context.Context, node, id string) error {
	return m.ClearLoss(ctx, node, id)
}
