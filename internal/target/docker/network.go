package docker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"chaos/internal/target"
)

// plugWithin bounds connecting and disconnecting, which set up and take down ports and packet rules.
const plugWithin = 4 * time.Second

// Connection looks at the networks of a node's container.
func (s *System) Connection(ctx context.Context, node string) (target.Connection, error) {
	c, err := s.inspected(ctx, node)
	if err != nil {
		return target.Disconnected, err
	}
	return s.connectionOf(c, node), nil
}

// connectionOf reads it off an inspected container. One that does not run has no endpoint; what counts is
// what it will be started with.
func (s *System) connectionOf(c container.InspectResponse, node string) target.Connection {
	at := c.NetworkSettings.Networks[s.networkName]
	switch {
	case at == nil || c.State.Running && at.EndpointID == "":
		return target.Disconnected
	case !slices.Contains(at.Aliases, node):
		return target.Nameless
	}
	return target.Connected
}

// Disconnect takes a node's container off the target's network. Its published ports go with it.
func (s *System) Disconnect(ctx context.Context, node string) error {
	now, err := s.Connection(ctx, node)
	if err != nil || now == target.Disconnected {
		return err
	}
	return s.replug(ctx, node, target.Disconnected, func(ctx context.Context) error {
		return s.d.cli.NetworkDisconnect(ctx, s.network, s.container(node), false)
	})
}

// Connect puts a node's container back on the target's network. The engine forgets a container's aliases
// when it is disconnected, so the node's name is given again (some engines add the host name by themselves);
// one that somebody connected without it is taken off first.
func (s *System) Connect(ctx context.Context, node string) error {
	now, err := s.Connection(ctx, node)
	if err == nil && now == target.Nameless {
		err = s.Disconnect(ctx, node)
	}
	if err != nil || now == target.Connected {
		return err
	}
	return s.replug(ctx, node, target.Connected, func(ctx context.Context) error {
		return s.d.cli.NetworkConnect(ctx, s.network, s.container(node), &network.EndpointSettings{Aliases: []string{node}})
	})
}

// replug makes a call that connects or disconnects. Another process may have done it meanwhile, which the
// engine says only in words, so a refusal is held against the container itself.
func (s *System) replug(ctx context.Context, node string, want target.Connection, call func(context.Context) error) error {
	doing := map[target.Connection]string{target.Disconnected: "disconnect", target.Connected: "connect"}[want]
	err := s.d.within(ctx, plugWithin, doing+" container "+s.container(node), call)
	if err == nil || ctx.Err() != nil || errors.Is(err, target.ErrUnresponsive) {
		return err
	}
	if now, look := s.Connection(ctx, node); look == nil && now == want {
		return nil
	}
	return err
}
