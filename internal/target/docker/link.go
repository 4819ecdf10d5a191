package docker

import (
	"context"
	"fmt"
	"strconv"

	"chaos/internal/edge"
	"chaos/internal/target"
)

// Link returns a client of the proxy, at the address that it has now, and the name of the edge's link.
func (s *System) Link(ctx context.Context, edgeName string) (*edge.Client, string, error) {
	if _, ok := s.topology.Edge(edgeName); !ok {
		return nil, "", fmt.Errorf("there is no edge %q", edgeName)
	}
	c, err := s.proxyClient(ctx)
	return c, edgeName, err
}

func (s *System) proxyClient(ctx context.Context) (*edge.Client, error) {
	addr, err := s.Endpoint(ctx, target.ProxyNode, "api")
	if err != nil {
		return nil, target.Lost(ctx, s, err)
	}
	return s.links.At(addr), nil
}

// Relink makes every edge's link anew: no toxic, and no connection of an earlier run. The listen port of
// an edge is the same for the target's whole life, as the nodes were told.
func (s *System) Relink(ctx context.Context) error {
	if len(s.topology.Edges) == 0 {
		return nil
	}
	c, err := s.proxyClient(ctx)
	if err != nil {
		return err
	}
	return target.Relink(ctx, c, s.topology, places{s.topology}, func(i int) string { return "0.0.0.0:" + strconv.Itoa(linkPort+i) })
}
