package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/target"
)

// cpuPeriod is the kernel's period of CPU accounting, in microseconds, and minQuota the least of it that an
// engine takes: 0.01 of a CPU.
const (
	cpuPeriod = 100_000
	minQuota  = 1_000
)

// tickWithin bounds reading statistics.
const tickWithin = 5 * time.Second

// Limits are what the engine has noted. What the kernel says is in Usage, which is slow.
func (s *System) Limits(ctx context.Context, node string) (target.Limits, error) {
	c, err := s.inspected(ctx, node)
	if err != nil {
		return target.Limits{}, err
	}
	r := c.HostConfig.Resources
	l := target.Limits{Memory: max(0, r.Memory)}
	if r.CPUQuota > 0 && r.CPUPeriod > 0 {
		l.CPU = float64(r.CPUQuota) / float64(r.CPUPeriod)
	}
	if r.PidsLimit != nil {
		l.Pids = max(0, *r.PidsLimit)
	}
	return l, nil
}

// SetLimits puts all three in force. Nodes of this runtime always have a limit of memory and pids (launch).
func (s *System) SetLimits(ctx context.Context, node string, l target.Limits) error {
	if _, err := s.inspected(ctx, node); err != nil {
		return err
	}
	if l.Memory <= 0 || l.Pids <= 0 || l.CPU < 0 {
		return fmt.Errorf("limits %+v: a node on docker has a limit of memory and of pids", l)
	}
	quota := int64(-1) // none
	if l.CPU > 0 {
		quota = max(minQuota, int64(math.Round(l.CPU*cpuPeriod)))
	}
	return s.d.within(ctx, answerWithin, "update container "+s.container(node), func(ctx context.Context) error {
		_, err := s.d.cli.ContainerUpdate(ctx, s.container(node), container.UpdateConfig{Resources: container.Resources{
			CPUPeriod: cpuPeriod, CPUQuota: quota,
			Memory: l.Memory, MemorySwap: l.Memory, PidsLimit: &l.Pids,
		}})
		return err
	})
}

// Usage reads the engine's statistics of a node's container.
func (s *System) Usage(ctx context.Context, node string) (target.Usage, error) {
	c, err := s.inspected(ctx, node)
	if err == nil && !c.State.Running {
		err = fmt.Errorf("node %s does not run (%s)", node, ended(stateOf(c)))
	}
	if err != nil {
		return target.Usage{}, err
	}
	st, err := s.d.stats(ctx, s.container(node))
	if err != nil {
		return target.Usage{}, err
	}
	cpu, memory := st.CPUStats.ThrottlingData, st.MemoryStats
	return target.Usage{
		Periods: cpu.Periods, Throttled: cpu.ThrottledPeriods, ThrottledFor: time.Duration(cpu.ThrottledTime),
		Memory: int64(memory.Usage), MemoryPeak: int64(memory.MaxUsage), MemoryHits: memory.Failcnt,
		Pids:    int64(st.PidsStats.Current),
		InForce: target.Limits{Memory: int64(memory.Limit), Pids: pidsLimit(st)},
	}, nil
}

// pidsLimit is the kernel's, which an engine writes as 0 or as all ones when there is none.
func pidsLimit(st container.StatsResponse) int64 {
	if st.PidsStats.Limit > math.MaxInt32 {
		return 0
	}
	return int64(st.PidsStats.Limit)
}

// inspected is a node's container, which must be there.
func (s *System) inspected(ctx context.Context, node string) (container.InspectResponse, error) {
	if _, ok := s.spec(node); !ok {
		return container.InspectResponse{}, fmt.Errorf("there is no node %q", node)
	}
	c, found, err := s.d.inspect(ctx, s.container(node))
	if err == nil && !found {
		err = fmt.Errorf("node %s has no container", node)
	}
	return c, err
}

// stats reads a container's statistics once. Even so some engines answer only at the next tick of their
// collector, which is a second or two away.
func (d *daemon) stats(ctx context.Context, name string) (st container.StatsResponse, err error) {
	err = d.within(ctx, tickWithin, "read the statistics of container "+name, func(ctx context.Context) error {
		r, err := d.cli.ContainerStatsOneShot(ctx, name)
		if err != nil {
			return err
		}
		return errors.Join(json.NewDecoder(r.Body).Decode(&st), r.Body.Close())
	})
	return st, err
}
