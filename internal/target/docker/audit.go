package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/target"
)

var _ target.Auditor = (*System)(nil)

// Snapshot tells the state of the edges' links, the behaviours and, of every node, whether its container
// runs, which networks it is on, its limits, what it is made of, what stands beside it for a fault and, where a fault
// was on its packets or its disk, which rules and mounts are left.
func (s *System) Snapshot(ctx context.Context) (map[string]string, error) {
	nodes := slices.Concat(s.builtins, s.topology.Nodes)
	beside, err := s.besides(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at what stands beside the nodes: %w", err)
	}
	return target.Snapshot(ctx, s, nodes, func(n target.NodeSpec) (map[string]string, error) {
		p, err := s.pair(ctx, n.Name)
		if err != nil {
			return nil, fmt.Errorf("look at node %s: %w", n.Name, err)
		}
		c, found := p.now, p.hasNow
		if !found {
			c, found = p.before, p.hasBefore
		}
		place := "node:" + n.Name
		if !found {
			return map[string]string{place: target.StateGone}, nil
		}
		seen := map[string]string{
			place:              stateOf(c).Word(),
			place + " network": networkWords(c),
			place + " limits":  limitWords(c),
			place + " made":    s.made(p).Word(),
			place + " beside":  cmp.Or(beside[n.Name], "nothing"),
		}
		packets, err := s.packetState(ctx, n.Name)
		if err != nil {
			return nil, err
		}
		maps.Copy(seen, packets)
		left, err := s.mountsLeft(ctx, n)
		maps.Copy(seen, left)
		return seen, err
	})
}

// networkWords are the networks that a container is on, and by which names it is found there.
func networkWords(c container.InspectResponse) string {
	if c.NetworkSettings == nil || len(c.NetworkSettings.Networks) == 0 {
		return "on no network"
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		var aliases []string
		if at := c.NetworkSettings.Networks[name]; at != nil {
			aliases = slices.Sorted(slices.Values(at.Aliases))
		}
		words = append(words, name+" as "+strings.Join(aliases, ", "))
	}
	return "on " + strings.Join(words, "; ")
}

// limitWords are the limits of a container that `docker update` can change; 0 is none.
func limitWords(c container.InspectResponse) string {
	if c.HostConfig == nil {
		return "none"
	}
	r, pids := c.HostConfig.Resources, int64(0)
	if r.PidsLimit != nil {
		pids = max(0, *r.PidsLimit)
	}
	// An engine writes no quota as 0, and as -1 of some period when one was taken away.
	quota := "none"
	if r.CPUQuota > 0 {
		quota = fmt.Sprintf("%d of %d us", r.CPUQuota, r.CPUPeriod)
	}
	return fmt.Sprintf("memory %d B, with swap %d B, cpus %g, cpu quota %s, shares %d, cpuset %q, pids %d",
		r.Memory, r.MemorySwap, float64(r.NanoCPUs)/1e9, quota, r.CPUShares, r.CpusetCpus, pids)
}
