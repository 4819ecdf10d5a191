package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"chaos/internal/packet"
	"chaos/internal/target"
)

// Packets are lost and delayed by rules in the node's network namespace. A container of the proxy's image
// goes there for each look and each change, and is gone when it has answered:
//
//	node ◀── network namespace ──▶ chaos packet '{…}'   NET_ADMIN and nothing else, read-only, no volume
//
// The nodes themselves get no capability. What a dead process left of such containers is removed like
// everything else that carries our labels, also beside a target that is kept.

// Limits of the container.
const (
	visitorMemory = 128 << 20
	visitorPids   = 64
)

// labelVisit marks these containers, with the node and the id that they are there for.
const labelVisit = "chaos.packet"

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
	image, err := s.visitorImage(ctx)
	if err != nil {
		return a, true, err
	}
	labels, err := s.labels(s.run)
	if err != nil {
		return a, true, err
	}
	delete(labels, LabelKeep) // it never outlives who made it
	labels[labelVisit] = visitOf(node, r.ID)
	name := s.container("packet-" + target.Token(4))
	a, err = s.d.visit(ctx, name, image, container.NetworkMode("container:"+c.ID), labels, r)
	if err != nil {
		// The node may have ended under it.
		if now, look := s.State(ctx, node); look == nil && !now.Running {
			return packet.Answer{}, false, nil
		}
		return a, true, fmt.Errorf("in the network namespace of node %s: %w", node, err)
	}
	return a, true, nil
}

func visitOf(node, id string) string { return node + " " + id }

// visitorImage is the image that the target's proxy was started from.
func (s *System) visitorImage(ctx context.Context) (string, error) {
	c, err := s.inspected(ctx, target.ProxyNode)
	return c.Image, err
}

// visitor is the container of one request.
func visitor(image string, network container.NetworkMode, labels map[string]string, r packet.Request) (*container.Config, *container.HostConfig, error) {
	request, err := json.Marshal(r)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the request: %w", err)
	}
	pids := int64(visitorPids)
	config := &container.Config{Image: image, Cmd: []string{"packet", string(request)}, User: "0:0", Labels: labels, AttachStdout: true, AttachStderr: true}
	host := &container.HostConfig{
		NetworkMode: network, CapDrop: []string{"ALL"}, CapAdd: []string{"NET_ADMIN"}, SecurityOpt: []string{"no-new-privileges"},
		ReadonlyRootfs: true, AutoRemove: true, LogConfig: container.LogConfig{Type: "none"},
		Resources: container.Resources{Memory: visitorMemory, MemorySwap: visitorMemory, PidsLimit: &pids},
	}
	return config, host, nil
}

// visit runs a container on a network and reads its answer. The engine removes it when it ends; one that has
// not ended when ctx does is removed here.
func (d *daemon) visit(ctx context.Context, name, image string, network container.NetworkMode, labels map[string]string, r packet.Request) (a packet.Answer, err error) {
	config, host, err := visitor(image, network, labels, r)
	if err != nil {
		return a, err
	}
	var out, errs bytes.Buffer
	err = d.within(ctx, workWithin, "run container "+name, func(ctx context.Context) error {
		if _, err := d.cli.ContainerCreate(ctx, config, host, nil, nil, name); err != nil {
			return err
		}
		at, err := d.cli.ContainerAttach(ctx, name, container.AttachOptions{Stream: true, Stdout: true, Stderr: true})
		if err != nil {
			return err
		}
		defer at.Close()
		defer context.AfterFunc(ctx, at.Close)() // a read of a hijacked connection knows no context
		if err := d.cli.ContainerStart(ctx, name, container.StartOptions{}); err != nil {
			return err
		}
		if _, err := stdcopy.StdCopy(&out, &errs, at.Reader); err != nil {
			return err
		}
		return errors.Join(ctx.Err(), d.awaitRemoved(ctx, name))
	})
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), workWithin)
		defer cancel()
		return a, errors.Join(err, d.remove(undo, name))
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return a, fmt.Errorf("container %s answered %q: %s", name, target.OneLine(out.String()), target.OneLine(errs.String()))
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// awaitRemoved waits until the engine has removed a container that it was told to. It looks: the engine's own wait
// for that never returns when the container goes while it is being asked (seen on 20.10).
func (d *daemon) awaitRemoved(ctx context.Context, name string) error {
	for {
		_, err := d.cli.ContainerInspect(ctx, name)
		switch {
		case errdefs.IsNotFound(err):
			return nil
		case err != nil:
			return err
		}
		if err := target.Pause(ctx, target.PollEvery); err != nil {
			return err
		}
	}
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
