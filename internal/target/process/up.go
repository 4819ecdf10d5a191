package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"chaos/internal/edge"
	"chaos/internal/target"
)

// stepWithin bounds one step of prepare or reset.
const stepWithin = 10 * time.Second

// up brings a new target up. What is built is built while the stateful nodes, which mostly are found,
// start.
func (s *System) up(ctx context.Context) error {
	for _, dir := range []string{"logs", "nodes"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), dirMode); err != nil {
			return fmt.Errorf("make the target's folders: %w", err)
		}
	}
	if err := s.install(ctx); err != nil {
		return err
	}
	return target.Up(ctx, s.topology, s.builtins(), s, s.progress)
}

// Bring starts nodes and returns when every one is ready.
func (s *System) Bring(ctx context.Context, nodes []target.NodeSpec) error {
	return target.Bring(ctx, nodes, func(ctx context.Context, n target.NodeSpec) error {
		if err := s.StartNode(ctx, n.Name); err != nil {
			return err
		}
		return s.NodeReady(ctx, n.Name)
	})
}

// Reset ends the stateless nodes, empties the stateful ones by the target's own steps, makes fresh proxy
// links and starts the stateless nodes with the variant's environment. When it fails the target is in no
// known state: close it and start another.
func (s *System) Reset(ctx context.Context, variant, run string) error {
	if err := s.topology.Knows(variant); err != nil {
		return err
	}
	rec, err := s.read()
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	_, stateless := target.Split(s.topology.Nodes)
	err = errors.Join(target.Each(stateless, func(n target.NodeSpec) error {
		if err := end(ctx, rec.Nodes[n.Name], endSignals()[endSignal(n)]); err != nil {
			return err
		}
		return os.RemoveAll(nodeDir(s.dir, n.Name)) // its files go with it, as a container's do
	})...)
	if err == nil {
		err = s.restoreAll(ctx, rec)
	}
	if err == nil {
		err = s.turn(variant, run)
	}
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	err = errors.Join(target.Each([]func() error{
		func() error { return s.Relink(ctx) },
		func() error { return s.Steps(ctx, "reset", s.topology.ResetSteps) },
	}, func(f func() error) error { return f() })...)
	if err == nil {
		err = s.Bring(ctx, stateless)
	}
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	return nil
}

// turn notes the new run, and that every log begins here.
func (s *System) turn(variant, run string) error {
	return s.update(func(rec *record) {
		rec.Variant, rec.Run = variant, run
		for node, p := range rec.Nodes {
			if info, err := os.Stat(logFile(s.dir, node)); err == nil {
				p.LogFrom = info.Size()
				rec.Nodes[node] = p
			}
		}
	})
}

// Steps runs commands in nodes' surroundings, one after the other.
func (s *System) Steps(ctx context.Context, phase string, steps []target.Step) error {
	rec, err := s.read()
	if err != nil {
		return err
	}
	return target.RunSteps(ctx, s.expander(rec), phase, steps, func(ctx context.Context, node string, command []string, stdin *os.File) (target.ExecResult, error) {
		return s.exec(ctx, node, stepWithin, command, stdin)
	})
}

// Link returns a client of the proxy and the name of the edge's link.
func (s *System) Link(ctx context.Context, edgeName string) (*edge.Client, string, error) {
	if _, ok := s.topology.Edge(edgeName); !ok {
		return nil, "", fmt.Errorf("there is no edge %q", edgeName)
	}
	c, err := s.proxyClient(ctx)
	return c, edgeName, err
}

func (s *System) proxyClient(ctx context.Context) (*edge.Client, error) {
	addr, err := s.Endpoint(ctx, target.ProxyNode, apiPort)
	if err != nil {
		return nil, target.Lost(ctx, s, err)
	}
	return s.links.At(addr), nil
}

// Relink makes every edge's link anew.
func (s *System) Relink(ctx context.Context) error {
	if len(s.topology.Edges) == 0 {
		return nil
	}
	rec, err := s.read()
	if err != nil {
		return err
	}
	c, err := s.proxyClient(ctx)
	if err != nil {
		return err
	}
	at := places{rec, s.dir}
	return target.Relink(ctx, c, s.topology, at, at.Link)
}
