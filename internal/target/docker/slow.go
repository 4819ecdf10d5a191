package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/slowdisk"
	"chaos/internal/target"
)

// A node's folder is slow while a container beside it, in its pid namespace, traces the node's first process and all
// that it started:
//
//	chaos slowdisk hold 1 <folder> @chaos-slowdisk '{slow}'     SYS_PTRACE, and DAC_READ_SEARCH to see which files are open
//
// When that ends, in whatever way, the kernel lets them go on. It ends with the node's process.

// slowSocket is where it tells what it has held: an abstract socket of its own network namespace.
const slowSocket = "@chaos-slowdisk"

var _ target.Slower = (*System)(nil)

// tracing are the capabilities that it needs.
func tracing() []string { return []string{"SYS_PTRACE", "DAC_READ_SEARCH"} }

// SlowDisk starts the container that makes it slow.
func (s *System) SlowDisk(ctx context.Context, node, id, folder string, slow slowdisk.Slow) error {
	asked, err := json.Marshal(slow)
	if err != nil {
		return err
	}
	return s.onDisk(ctx, node, id, folder, func(b *beside, c container.InspectResponse) error {
		b.cmd = []string{"slowdisk", "hold", "1", folder, slowSocket, string(asked)}
		b.host.PidMode = container.PidMode("container:" + c.ID)
		b.host.CapAdd = tracing()
		return nil
	}, func(ctx context.Context) error { return s.UnslowDisk(ctx, node, id) })
}

// Slowness asks the container.
func (s *System) Slowness(ctx context.Context, node string) (st target.Slowness, err error) {
	name := s.container(s.diskOf(node))
	c, found, err := s.d.inspect(ctx, name)
	if err != nil || !found {
		return st, err
	}
	st.ID = c.Config.Labels[labelDisk]
	switch {
	case !c.State.Running:
		st.Missed = fmt.Sprintf("what made it slow has ended (%s): the node has ended, or something else ended it", ended(stateOf(c)))
		return st, nil
	case !slices.Contains(c.Args, "slowdisk"): // another kind of fault
		return st, nil
	}
	res, err := s.d.exec(ctx, name, lookWithin, []string{s.program(c), "slowdisk", "look", slowSocket}, nil)
	var a slowdisk.Answer
	if err == nil {
		a, err = said[slowdisk.Answer](res.Stdout)
	}
	if err != nil {
		return st, fmt.Errorf("ask what is held on the disk of node %s: %w", node, err)
	}
	st.Counts, st.Held, st.Passed = a.Counts, a.Held, a.Passed
	return st, nil
}

// UnslowDisk ends the container, and with it all.
func (s *System) UnslowDisk(ctx context.Context, node, id string) error {
	return s.clearBeside(ctx, node, s.container(s.diskOf(node)), labelDisk, id, func(container.InspectResponse) error { return nil })
}
