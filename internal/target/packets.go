package target

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Lossy is the capability behind VerbLoss: packets of a node can be lost on their way. Several losses may be
// in force on one node, each under an id of its own. A node that does not run has none: they end with its
// process.
type Lossy interface {
	// SetLoss puts a loss in force on a node, which must run. One that is there under the id is replaced. When
	// SetLoss of another process is under way, it comes to nothing or is replaced.
	SetLoss(ctx context.Context, node, id string, l Loss) error
	// Loss tells what is in force under the id, and whether it hits what l is for.
	Loss(ctx context.Context, node, id string, l Loss) (LossState, error)
	// ClearLoss ends it. None under the id, and a node that does not run, are not errors; a SetLoss under way in
	// another process comes to nothing.
	ClearLoss(ctx context.Context, node, id string) error
}

// Loss is which packets of a node are lost. Those inside the node (on its loopback device) never are.
type Loss struct {
	Share   float64 // over 0 up to 1; drawn for each packet
	In, Out bool    // those that the node receives, those that it sends
	Peer    string  // only those from and to this node or the proxy, see Paths; "": all
}

// LossState is a loss as the kernel has it.
type LossState struct {
	There   bool
	In, Out PacketCount
	// Missed is why it does not hit what it is for any more, such as a peer that has another address now; or "".
	Missed string
}

// PacketCount is how many packets a loss has seen in one direction since it is in force, and lost.
type PacketCount struct{ Seen, Lost uint64 }

// Delayer is the capability behind VerbDelay: what a node sends can be held up. See Lossy for what an id means.
type Delayer interface {
	SetDelay(ctx context.Context, node, id string, d Delay) error
	Delay(ctx context.Context, node, id string) (DelayState, error)
	ClearDelay(ctx context.Context, node, id string) error
}

// Delay is how much later a node's packets leave it.
type Delay struct{ Latency, Jitter time.Duration }

// DelayState is a delay as the kernel has it.
type DelayState struct {
	There   bool
	Delay   Delay
	Left    uint64 // packets that were delayed and are gone
	Dropped uint64 // packets that found the queue full
	Missed  string // why it does not hit all that it is for, or ""
}

// Path is one way that packets between a node and its peer take.
type Path struct {
	Via    string // the node that the packets come from and go to, as the node sees it: the peer, or the proxy
	Edge   int    // of a way through the proxy: the index of its edge; else -1
	Caller bool   // of a way through the proxy: the node calls and the peer answers
}

// Paths are the ways between a node and a peer: straight, and through the proxy for each edge between the two.
// What others send to the node through the proxy can't be told from what the peer does, by the same port; that
// is an error. Who is called knows its callers by nothing else, so the fault is to be put on the caller.
func Paths(t *Topology, node, peer string) ([]Path, error) {
	if _, ok := t.Node(peer); !ok && peer != ProxyNode {
		names := make([]string, len(t.Nodes))
		for i, n := range t.Nodes {
			names[i] = n.Name
		}
		return nil, fmt.Errorf("target %s has no node %q; its nodes are %s, and %s", t.Name, peer, strings.Join(names, ", "), ProxyNode)
	}
	if peer == node {
		return nil, fmt.Errorf("the peer is the node itself: packets inside a node are never lost")
	}
	paths := []Path{{Via: peer, Edge: -1}}
	for i, e := range t.Edges {
		switch from, to := e.Ends(); {
		case from == node && to == peer:
			paths = append(paths, Path{Via: ProxyNode, Edge: i, Caller: true})
		case from == peer && to == node:
			if other := otherCaller(t, e, peer); other != "" {
				return nil, fmt.Errorf("%s and %s both call %s through the proxy, and %s can't tell them apart: turn it round, with node: %s and peer: %s",
					peer, other, node, node, peer, node)
			}
			paths = append(paths, Path{Via: ProxyNode, Edge: i})
		}
	}
	return paths, nil
}

// otherCaller is a node other than caller that reaches the same port as an edge does, or "".
func otherCaller(t *Topology, e EdgeSpec, caller string) string {
	_, to := e.Ends()
	for _, o := range t.Edges {
		if from, same := o.Ends(); same == to && o.Port == e.Port && from != caller {
			return from
		}
	}
	return ""
}
