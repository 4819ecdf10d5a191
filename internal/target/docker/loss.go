package docker

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"chaos/internal/packet"
	"chaos/internal/target"
)

var (
	_ target.Lossy   = (*System)(nil)
	_ target.Delayer = (*System)(nil)
)

// SetLoss makes the rules of a loss in a node's network namespace.
func (s *System) SetLoss(ctx context.Context, node, id string, l target.Loss) error {
	streams, err := s.streams(ctx, node, l.Peer)
	if err != nil {
		return err
	}
	return s.put(ctx, node, packet.Request{Op: packet.OpLoss, ID: id, Loss: &packet.Loss{Share: l.Share, In: l.In, Out: l.Out, Streams: streams}})
}

// put makes a request that needs the node's process.
func (s *System) put(ctx context.Context, node string, r packet.Request) error {
	_, running, err := s.change(ctx, node, r)
	if err == nil && !running {
		err = fmt.Errorf("node %s does not run, so it has no packets", node)
	}
	return err
}

// streams are the packets between a node and a peer as the node sees them; nil for no peer.
func (s *System) streams(ctx context.Context, node, peer string) ([]packet.Stream, error) {
	if peer == "" {
		return nil, nil
	}
	paths, err := target.Paths(s.topology, node, peer)
	if err != nil {
		return nil, err
	}
	var streams []packet.Stream
	for _, p := range paths {
		addresses, err := s.addresses(ctx, p.Via)
		if err != nil {
			return nil, err
		}
		for _, at := range addresses {
			stream := packet.Stream{Peer: at}
			switch {
			case p.Edge < 0:
			case p.Caller:
				stream.Remote = uint16(linkPort + p.Edge)
			default:
				stream.Local = uint16(places{s.topology}.Port(node, s.topology.Edges[p.Edge].Port))
			}
			streams = append(streams, stream)
		}
	}
	return streams, nil
}

// addresses are those that a node has on the target's network now.
func (s *System) addresses(ctx context.Context, node string) (all []netip.Addr, err error) {
	c, err := s.inspected(ctx, node)
	if err != nil {
		return nil, err
	}
	if at := c.NetworkSettings.Networks[s.networkName]; at != nil {
		for _, text := range []string{at.IPAddress, at.GlobalIPv6Address} {
			if address, err := netip.ParseAddr(text); err == nil {
				all = append(all, address)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("node %s has no address on the target's network: does it run?", node)
	}
	return all, nil
}

// Loss looks at the rules of a loss and their counters. A peer that was started again may have another address
// than the one that the rules are for.
func (s *System) Loss(ctx context.Context, node, id string, l target.Loss) (st target.LossState, err error) {
	a, _, err := s.visit(ctx, node, packet.Request{Op: packet.OpLook, ID: id})
	if err != nil {
		return st, err
	}
	found, there := a.Loss(id)
	if !there {
		return st, nil
	}
	st = target.LossState{There: true, In: count(found.In), Out: count(found.Out)}
	want, err := s.streams(ctx, node, l.Peer)
	if err != nil {
		st.Missed = fmt.Sprintf("peer %s can't be found any more (%v)", l.Peer, err)
		return st, nil
	}
	var words []string
	for _, stream := range want {
		words = append(words, stream.String())
	}
	slices.Sort(words)
	slices.Sort(found.Streams)
	if !slices.Equal(words, found.Streams) {
		st.Missed = fmt.Sprintf("the rules are for %s, and peer %s is now %s: it was started anew or connected anew",
			strings.Join(found.Streams, "; "), l.Peer, strings.Join(words, "; "))
	}
	return st, nil
}

func count(c *packet.Count) target.PacketCount {
	if c == nil {
		return target.PacketCount{}
	}
	return target.PacketCount{Seen: c.Seen, Lost: c.Lost}
}

// ClearLoss removes the rules of a loss. With the node's process its namespace is gone, and they with it.
func (s *System) ClearLoss(ctx context.Context, node, id string) error {
	_, _, err := s.change(ctx, node, packet.Request{Op: packet.OpClear, ID: id})
	return err
}

// SetDelay makes a delay in a node's network namespace, on each of its devices.
func (s *System) SetDelay(ctx context.Context, node, id string, d target.Delay) error {
	return s.put(ctx, node, packet.Request{Op: packet.OpDelay, ID: id, Delay: &packet.Delay{Latency: d.Latency, Jitter: d.Jitter}})
}

// Delay looks at a delay; of several devices it sums what left.
func (s *System) Delay(ctx context.Context, node, id string) (st target.DelayState, err error) {
	a, _, err := s.visit(ctx, node, packet.Request{Op: packet.OpLook, ID: id})
	if err != nil {
		return st, err
	}
	for _, d := range a.Delay(id) {
		st.There = true
		st.Delay = target.Delay{Latency: d.Latency, Jitter: d.Jitter}
		st.Left, st.Dropped = st.Left+d.Left, st.Dropped+d.Dropped
	}
	return st, nil
}

// ClearDelay removes a delay; what waits in it is lost.
func (s *System) ClearDelay(ctx context.Context, node, id string) error {
	_, _, err := s.change(ctx, node, packet.Request{Op: packet.OpClear, ID: id})
	return err
}

// visits remembers on which nodes this process has changed rules: only there can a snapshot find some that
// were not there before, and looking is dear.
type visits struct {
	mu    sync.Mutex
	nodes map[string]bool
}

func (s *System) visited(node string) {
	s.visits.mu.Lock()
	defer s.visits.mu.Unlock()
	if s.visits.nodes == nil {
		s.visits.nodes = map[string]bool{}
	}
	s.visits.nodes[node] = true
}

func (s *System) wasVisited(node string) bool {
	s.visits.mu.Lock()
	defer s.visits.mu.Unlock()
	return s.visits.nodes[node]
}

// packetState tells of rules of ours on a node; a node without any is not told of.
func (s *System) packetState(ctx context.Context, node string) (map[string]string, error) {
	if !s.wasVisited(node) {
		return nil, nil
	}
	a, _, err := s.visit(ctx, node, packet.Request{Op: packet.OpLook})
	if err != nil {
		return nil, fmt.Errorf("look at the packet rules: %w", err)
	}
	var words []string
	for _, l := range a.Losses {
		words = append(words, "loss "+l.Name)
	}
	for _, d := range a.Delays {
		words = append(words, fmt.Sprintf("delay %x: on %s", d.Handle, d.Device))
	}
	if len(words) == 0 {
		return nil, nil
	}
	slices.Sort(words)
	return map[string]string{"node:" + node + " packets": strings.Join(words, ", ")}, nil
}
