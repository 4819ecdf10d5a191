package process

import (
	"context"
	"fmt"
	"slices"

	"chaos/internal/target"
)

var _ target.Auditor = (*System)(nil)

// Snapshot tells the state of the edges' links, the behaviours and every node. This runtime limits nothing and
// has one network, so a node's state is whether it runs, whether all that it started does, what it is made of, and what
// stands beside it for a fault.
func (s *System) Snapshot(ctx context.Context) (map[string]string, error) {
	nodes := slices.Concat(s.builtins(), s.topology.Nodes)
	return target.Snapshot(ctx, s, nodes, func(n target.NodeSpec) (map[string]string, error) {
		st, err := s.State(ctx, n.Name)
		if err != nil {
			return nil, fmt.Errorf("look at node %s: %w", n.Name, err)
		}
		words := st.Word()
		if words == target.StateRunning {
			if words, err = s.asleep(n.Name); err != nil {
				return nil, fmt.Errorf("look at node %s: %w", n.Name, err)
			}
		}
		made, err := s.replaced(ctx, n.Name)
		if err != nil {
			return nil, err
		}
		rec, err := s.read()
		if err != nil {
			return nil, err
		}
		place := "node:" + n.Name
		return map[string]string{place: words, place + " made": made, place + " beside": besides(rec, n.Name)}, nil
	})
}

// asleep is the state of a node whose first process runs: something that it started may be stopped.
func (s *System) asleep(node string) (string, error) {
	_, rec, err := s.node(node)
	if err != nil {
		return "", err
	}
	for _, pid := range family(rec.Nodes[node].PID) {
		if r, ok := look(pid); ok && r.stopped {
			return "running, something that it started is stopped", nil
		}
	}
	return target.StateRunning, nil
}
