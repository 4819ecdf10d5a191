package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"chaos/internal/target"
)

// Limits of bringing a target up.
const (
	stepWithin = 10 * time.Second // one step of prepare or reset
	makeWithin = 30 * time.Second // making one container or network; it is not interrupted by a cancellation
)

// up brings a new target up.
func (s *System) up(ctx context.Context) error {
	if err := s.ensure(ctx); err != nil {
		return err
	}
	if err := s.join(ctx); err != nil {
		return err
	}
	s.since = time.Now()
	return target.Up(ctx, s.topology, s.builtins, s, s.progress)
}

// unused refuses a suite id that something on the engine has already: a Start that failed on it would
// remove what is not its own.
func (s *System) unused(ctx context.Context) error {
	there, err := s.d.containers(ctx, LabelSuite+"="+s.suite)
	if err != nil {
		return err
	}
	networks, err := s.d.networks(ctx, LabelSuite+"="+s.suite)
	if err == nil && len(there)+len(networks) > 0 {
		err = fmt.Errorf("suite %s is on the engine already; attach to it, close it, or take another id", s.suite)
	}
	return err
}

// join makes the network, which carries the tokens of the target's life.
func (s *System) join(ctx context.Context) error {
	labels, err := s.labels(s.run)
	if err != nil {
		return err
	}
	tokens, err := json.Marshal(s.secrets)
	if err != nil {
		return fmt.Errorf("encode the tokens: %w", err)
	}
	labels[labelSecrets] = string(tokens)
	return s.d.within(context.WithoutCancel(ctx), makeWithin, "make the target's network", func(ctx context.Context) (err error) {
		s.network, s.networkName, err = newNetwork(ctx, labels)
		return err
	})
}

// Reset removes the stateless nodes, empties the stateful ones by the target's own steps, makes fresh
// proxy links and starts the stateless nodes with the variant's environment. When it fails the target
// is in no known state: close it and start another.
func (s *System) Reset(ctx context.Context, variant, run string) error {
	if err := s.topology.Knows(variant); err != nil {
		return err
	}
	if err := s.ensure(ctx); err != nil {
		return err
	}
	if err := s.restoreAll(ctx); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	_, stateless := target.Split(s.topology.Nodes)
	errs := target.Each(stateless, func(n target.NodeSpec) error { return s.d.remove(ctx, s.container(n.Name)) })
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	s.variant, s.run, s.since = variant, run, time.Now()
	errs = target.Each([]func() error{
		func() error { return s.Relink(ctx) },
		func() error { return s.Steps(ctx, "reset", s.topology.ResetSteps) },
	}, func(f func() error) error { return f() })
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	if err := s.Bring(ctx, stateless); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	return nil
}

// ensure makes the images once in this process.
func (s *System) ensure(ctx context.Context) error {
	if s.images != nil {
		return nil
	}
	made, err := s.d.ensure(ctx, s.needed(), s.progress)
	if err != nil {
		return err
	}
	s.images = made
	return nil
}

// Bring starts nodes and returns when every one is ready.
func (s *System) Bring(ctx context.Context, nodes []target.NodeSpec) error {
	return target.Bring(ctx, nodes, s.bringOne)
}

func (s *System) bringOne(ctx context.Context, n target.NodeSpec) error {
	l, err := s.plan(n)
	if err != nil {
		return err
	}
	// Not cancelled half-way: the engine would make the container after nobody looks for it any more.
	if err := s.d.within(context.WithoutCancel(ctx), makeWithin, "start node "+n.Name, l.run); err != nil {
		return err
	}
	if n.VolumeSize != "" {
		if err := s.keepVolumes(ctx, n.Name); err != nil {
			return fmt.Errorf("keep the volumes of node %s: %w", n.Name, err)
		}
	}
	return s.NodeReady(ctx, n.Name)
}

// plan fills in a node's commands and environment, with the variant's overlay on stateless ones.
func (s *System) plan(n target.NodeSpec) (launch, error) {
	e := s.expander()
	env, err := e.Env(n, s.variant)
	if err != nil {
		return launch{}, err
	}
	if n.Entrypoint, err = e.ExpandAll(n.Name, n.Entrypoint); err == nil {
		n.Command, err = e.ExpandAll(n.Name, n.Command)
	}
	if err != nil {
		return launch{}, fmt.Errorf("node %s: %w", n.Name, err)
	}
	labels, err := s.nodeLabels(s.run, n)
	if err != nil {
		return launch{}, err
	}
	return launch{
		container: s.container(n.Name), image: s.images[n.Image], node: n,
		env: env, labels: labels, network: s.networkName, aliases: s.aliases(n.Name),
	}, nil
}

// aliases are the names by which a node is found: its own, and the proxy by that of each node behind an edge.
func (s *System) aliases(node string) []string {
	names := []string{node}
	if node != target.ProxyNode {
		return names
	}
	for _, e := range s.topology.Edges {
		if host := e.Host(); !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return names
}

// Steps runs commands inside nodes, one after the other.
func (s *System) Steps(ctx context.Context, phase string, steps []target.Step) error {
	return target.RunSteps(ctx, s.expander(), phase, steps, func(ctx context.Context, node string, command []string, stdin *os.File) (target.ExecResult, error) {
		if stdin == nil {
			return s.d.exec(ctx, s.container(node), stepWithin, command, nil)
		}
		return s.d.exec(ctx, s.container(node), stepWithin, command, stdin)
	})
}
