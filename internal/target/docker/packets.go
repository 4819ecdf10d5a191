package docker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"

	"chaos/internal/packet"
	"chaos/internal/target"
)

// Packets are lost and delayed by rules in the node's network namespace. A container beside the node goes there
// for each look and each change, and is gone when it has answered:
//
//	node ◀── network namespace ──▶ chaos packet '{…}'   NET_ADMIN and nothing else, read-only, no volume

// labelVisit marks these containers, with the node and the id that they are there for.
const labelVisit = "chaos.packet"

func visitOf(node, id string) string { return node + " " + id }

// visitor is the container of one request, in no namespace yet.
func (s *System) visitor(ctx context.Context, node string, r packet.Request) (beside, error) {
	request, err := json.Marshal(r)
	if err != nil {
		return beside{}, fmt.Errorf("encode the request: %w", err)
	}
	b, err := s.beside(ctx, "packet-"+target.Token(4), "packet", string(request))
	if err != nil {
		return b, err
	}
	b.labels[labelVisit] = visitOf(node, r.ID)
	return b, nil
}

// visit makes one request in a node's network namespace. running is false when the node does not run, and so
// has none; then nothing was done.
func (s *System) visit(ctx context.Context, node string, r packet.Request) (a packet.Answer, running bool, err error) {
	if _, ok := s.spec(node); !ok {
		return a, false, fmt.Errorf("there is no node %q", node)
	}
	c, found, err := s.d.inspect(ctx, s.container(node))
	if err != nil || !found || !c.State.Running {
		return a, false, err
	}
	b, err := s.visitor(ctx, node, r)
	if err != nil {
		return a, true, err
	}
	inNetwork(&b, c)
	a, err = ask[packet.Answer](ctx, s.d, b)
	if err != nil {
		// The node may have ended under it.
		if now, look := s.State(ctx, node); look == nil && !now.Running {
			return packet.Answer{}, false, nil
		}
		return a, true, fmt.Errorf("in the network namespace of node %s: %w", node, err)
	}
	return a, true, nil
}

// change makes a request that changes something. It first removes the container of one that was begun for the
// same id by a process that may be dead, so that it can't come to something later.
func (s *System) change(ctx context.Context, node string, r packet.Request) (a packet.Answer, running bool, err error) {
	begun, err := s.d.containers(ctx, labelVisit+"="+visitOf(node, r.ID))
	if err != nil {
		return a, false, err
	}
	for _, c := range begun {
		if c.Labels[LabelSuite] != s.suite {
			continue
		}
		if err := s.d.remove(ctx, c.ID); err != nil && !errdefs.IsNotFound(err) {
			return a, false, fmt.Errorf("end what was begun in the network namespace of node %s: %w", node, err)
		}
	}
	s.visited(node)
	return s.visit(ctx, node, r)
}
