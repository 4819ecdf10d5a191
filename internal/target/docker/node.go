package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/target"
)

// State looks at a node's container.
func (s *System) State(ctx context.Context, node string) (target.State, error) {
	if _, ok := s.spec(node); !ok {
		return target.State{}, fmt.Errorf("there is no node %q", node)
	}
	c, found, err := s.d.inspect(ctx, s.container(node))
	if err == nil && !found { // half replaced: what it was is there
		c, found, err = s.d.inspect(ctx, s.aside(node))
	}
	if err != nil || !found {
		return target.State{}, err
	}
	return stateOf(c), nil
}

func stateOf(c container.InspectResponse) target.State {
	return target.State{
		Exists: true, Running: c.State.Running, Paused: c.State.Paused,
		ExitCode: c.State.ExitCode, OOMKilled: c.State.OOMKilled,
		StartedAt: engineTime(c.State.StartedAt), FinishedAt: engineTime(c.State.FinishedAt),
	}
}

// engineTime reads a time of the engine; "0001-01-01T00:00:00Z" means never and is the zero time.
func engineTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// Signal sends TERM or KILL by ContainerKill. It never waits.
func (s *System) Signal(ctx context.Context, node, signal string) error {
	if _, ok := s.spec(node); !ok {
		return fmt.Errorf("there is no node %q", node)
	}
	if signal != "TERM" && signal != "KILL" {
		return fmt.Errorf("signal %q: want TERM or KILL", signal)
	}
	return s.d.kill(ctx, s.container(node), "SIG"+signal)
}

// Pause freezes the processes of a node's container. It still completes TCP connects, which nobody answers.
func (s *System) Pause(ctx context.Context, node string) error {
	if _, ok := s.spec(node); !ok {
		return fmt.Errorf("there is no node %q", node)
	}
	return s.d.pause(ctx, s.container(node))
}

// Unpause lets the processes of a node's container go on.
func (s *System) Unpause(ctx context.Context, node string) error {
	if _, ok := s.spec(node); !ok {
		return fmt.Errorf("there is no node %q", node)
	}
	return s.d.unpause(ctx, s.container(node))
}

// StartNode starts a stopped node's container again. Its published ports change.
func (s *System) StartNode(ctx context.Context, node string) error {
	if _, ok := s.spec(node); !ok {
		return fmt.Errorf("there is no node %q", node)
	}
	return s.d.start(ctx, s.container(node))
}

// Ready waits until every node and the proxy are ready, each within its own deadline.
func (s *System) Ready(ctx context.Context) error {
	nodes := slices.Concat(s.builtins, s.topology.Nodes)
	return errors.Join(target.Each(nodes, func(n target.NodeSpec) error { return s.NodeReady(ctx, n.Name) })...)
}

// NodeReady polls a node's health check until it holds. It gives up at the node's deadline, or at once
// when the node is not running; the error ends with the node's last log lines.
func (s *System) NodeReady(ctx context.Context, node string) error {
	spec, ok := s.spec(node)
	if !ok {
		return fmt.Errorf("there is no node %q", node)
	}
	return target.WaitReady(ctx, spec, func(ctx context.Context) (bool, error) { return s.probe(ctx, spec) },
		func() string { return s.tail(ctx, node) })
}

// probe asks once. running says whether there is a process that may still become ready.
func (s *System) probe(ctx context.Context, n target.NodeSpec) (running bool, err error) {
	c, found, err := s.d.inspect(ctx, s.container(n.Name))
	if err != nil {
		return true, err
	}
	if !found {
		return false, errors.New("it has no container")
	}
	if !c.State.Running || c.State.Paused {
		return c.State.Paused, fmt.Errorf("it is %s, %s", c.State.Status, ended(stateOf(c)))
	}
	switch {
	case n.Ready == nil:
		return true, nil
	case n.Ready.HTTP != "":
		addr, err := s.published(c, n.Name, n.Ready.Port)
		if err != nil {
			return true, err
		}
		return true, target.AskHealth(ctx, addr, n.Ready.HTTP)
	}
	command, err := s.expander().ExpandAll(n.Name, n.Ready.Exec)
	if err != nil {
		return false, err
	}
	res, err := s.d.exec(ctx, s.container(n.Name), target.ProbeWithin, command, nil)
	if errors.Is(err, target.ErrUnresponsive) { // it may be the command that takes its time, not the engine
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, _, silent := s.d.inspect(look, s.container(n.Name)); silent == nil {
			err = fmt.Errorf("%s did not end within %v", n.Ready.Exec[0], target.ProbeWithin)
		}
	}
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("%s exited with %d: %s", n.Ready.Exec[0], res.Code, target.OneLine(res.Stdout+res.Stderr))
	}
	return true, err
}

// ended says in words how a process ended.
func ended(st target.State) string {
	if st.OOMKilled {
		return fmt.Sprintf("exit code %d, killed because it was out of memory", st.ExitCode)
	}
	return fmt.Sprintf("exit code %d", st.ExitCode)
}

// Answers pings the engine.
func (s *System) Answers(ctx context.Context) error { return s.d.ping(ctx) }

// Died returns the nodes that are not running, and why, with their last log lines. Nodes that a fault
// holds down are among them; the caller knows those.
func (s *System) Died(ctx context.Context) (map[string]string, error) {
	nodes := slices.Concat(s.builtins, s.topology.Nodes)
	why := make([]string, len(nodes))
	index := make([]int, len(nodes))
	for i := range index {
		index[i] = i
	}
	err := errors.Join(target.Each(index, func(i int) error {
		st, err := s.State(ctx, nodes[i].Name)
		switch {
		case err != nil:
			return err
		case !st.Exists:
			why[i] = "its container is gone"
		case !st.Running:
			why[i] = ended(st) + "; its last lines:" + s.tail(ctx, nodes[i].Name)
		}
		return nil
	})...)
	died := map[string]string{}
	for i, n := range nodes {
		if why[i] != "" {
			died[n.Name] = why[i]
		}
	}
	return died, err
}
