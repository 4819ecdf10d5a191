package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"

	"chaos/internal/target"
)

// A node is replaced by putting its container aside, stopped and under another name, and making another one in its place with the
// same volumes, limits and ports. So the one from before is there unchanged, with all that is secret in it, for whoever puts it back:
//
//	          Replace                                      Restore
//	[node] ── KILL ─▶ rename ─▶ [node.before]        [node] with a mark ── remove
//	                            [node] marked        [node.before] ── rename ─▶ [node]
//
// Wherever either is interrupted, node.before is there or nothing has happened yet, and Restore knows what to do.
const (
	labelReplaced = "chaos.replaced" // on a container in place of another: the fault that made it
	asideSuffix   = ".before"        // of the name of one that was put aside; no node's name can hold a dot
)

// restoreTries bounds how often Restore looks again when somebody else restores too.
const restoreTries = 3

var _ target.Replacer = (*System)(nil)

// aside is the name of a node's container that was put aside.
func (s *System) aside(node string) string { return s.container(node) + asideSuffix }

// isAside tells whether a container of that name was put aside.
func isAside(name string) bool { return strings.HasSuffix(name, asideSuffix) }

// pair are a node's container and the one that was put aside for it.
type pair struct {
	now, before       container.InspectResponse
	hasNow, hasBefore bool
}

func (s *System) pair(ctx context.Context, node string) (p pair, err error) {
	if _, ok := s.spec(node); !ok {
		return p, fmt.Errorf("there is no node %q", node)
	}
	if p.now, p.hasNow, err = s.d.inspect(ctx, s.container(node)); err == nil {
		p.before, p.hasBefore, err = s.d.inspect(ctx, s.aside(node))
	}
	return p, err
}

// made reads what a node is made of off its containers.
func (s *System) made(p pair) target.Made {
	c := p.now
	if !p.hasNow {
		c = p.before
	}
	made := target.Made{Image: c.Image, Env: target.EnvSum(environment(c.Config.Env), s.secrets), Half: p.hasBefore && !p.hasNow}
	if p.hasNow {
		made.Mark = c.Config.Labels[labelReplaced]
		made.Half = p.hasBefore != (made.Mark != "")
	}
	return made
}

// environment reads KEY=value.
func environment(pairs []string) map[string]string {
	env := make(map[string]string, len(pairs))
	for _, p := range pairs {
		key, value, _ := strings.Cut(p, "=")
		env[key] = value
	}
	return env
}

// Made tells what a node is made of now.
func (s *System) Made(ctx context.Context, node string) (target.Made, error) {
	p, err := s.pair(ctx, node)
	if err == nil && !p.hasNow && !p.hasBefore {
		err = fmt.Errorf("node %s has no container", node)
	}
	if err != nil {
		return target.Made{}, err
	}
	return s.made(p), nil
}

// Prepare tells what Replace would make of a node. An image is looked for by its key and not made.
func (s *System) Prepare(ctx context.Context, node string, c target.Change) (target.Made, error) {
	was, err := s.inspected(ctx, node)
	if err != nil {
		return target.Made{}, err
	}
	if c.Image != "" {
		if c.Image, err = s.imageOf(ctx, c.Image); err != nil {
			return target.Made{}, err
		}
	}
	config, err := s.changed(ctx, node, was, c)
	if err != nil {
		return target.Made{}, err
	}
	return target.Made{Image: config.Image, Env: target.EnvSum(environment(config.Env), s.secrets)}, nil
}

// imageOf is the id of an image that is there.
func (s *System) imageOf(ctx context.Context, key string) (string, error) {
	engine, err := s.d.cli.ServerVersion(ctx)
	if err != nil {
		return "", err
	}
	img, ok := s.topology.Image[key]
	if !ok {
		return "", fmt.Errorf("there is no image %q", key)
	}
	m := maker{d: s.d, w: s.needed(), key: key, arch: engine.Arch, say: func(string) {}}
	id, err := m.present(ctx, img)
	if err == nil && id == "" {
		err = fmt.Errorf("image %s is not on the engine: chaos images ensure %s", key, s.topology.Name)
	}
	return id, err
}

// changed is the configuration of a container with a change, whose image is an id. The image of the result is an id too.
func (s *System) changed(ctx context.Context, node string, was container.InspectResponse, c target.Change) (*container.Config, error) {
	n, _ := s.spec(node)
	config := *was.Config
	config.Image = was.Image
	env := environment(config.Env)
	if c.Image != "" && c.Image != was.Image { // the other image brings its own, where the node says nothing
		config.Image = c.Image
		e := s.expander()
		var err error
		if config.Entrypoint, err = e.ExpandAll(node, n.Entrypoint); err == nil {
			config.Cmd, err = e.ExpandAll(node, n.Command)
		}
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", node, err)
		}
		for _, image := range []string{was.Image, c.Image} { // in this order: what the first brought goes, what the second brings comes
			own, err := s.d.imageEnv(ctx, image)
			if err != nil {
				return nil, err
			}
			for key, value := range own {
				if _, named := n.Env[key]; named {
					continue
				}
				if image == c.Image {
					env[key] = value
				} else if env[key] == value {
					delete(env, key)
				}
			}
		}
	}
	env, err := s.expander().Changed(n, env, c)
	if err != nil {
		return nil, err
	}
	config.Env = nil
	for _, key := range slices.Sorted(maps.Keys(env)) {
		config.Env = append(config.Env, key+"="+env[key])
	}
	return &config, nil
}

// imageEnv is the environment that an image brings.
func (d *daemon) imageEnv(ctx context.Context, id string) (env map[string]string, err error) {
	err = d.within(ctx, answerWithin, "inspect image "+id, func(ctx context.Context) error {
		found, err := d.cli.ImageInspect(ctx, id)
		if err == nil && found.Config != nil {
			env = environment(found.Config.Env)
		}
		return err
	})
	return env, err
}

// Replace puts a node's container aside and starts a changed one in its place.
func (s *System) Replace(ctx context.Context, node string, c target.Change, mark string) error {
	p, err := s.pair(ctx, node)
	if err != nil {
		return err
	}
	switch now := p.mark(); {
	case now == mark:
		return s.StartNode(ctx, node)
	case now != "":
		return fmt.Errorf("replace node %s: %w (%s)", node, target.ErrReplaced, now)
	case p.hasNow && p.hasBefore:
		return fmt.Errorf("replace node %s: container %s is in the way: heal it first (chaos heal)", node, s.aside(node))
	case !p.hasNow && !p.hasBefore:
		return fmt.Errorf("node %s has no container", node)
	case p.hasNow:
		if err := s.putAside(ctx, node); err != nil {
			return fmt.Errorf("replace node %s: %w", node, err)
		}
		p.before = p.now
	}
	config, err := s.changed(ctx, node, p.before, c)
	if err != nil {
		return err
	}
	config.Labels = maps.Clone(config.Labels)
	config.Labels[labelReplaced] = mark
	if err := s.d.create(ctx, s.container(node), config, inherited(p.before), s.at(node)); err != nil {
		return fmt.Errorf("replace node %s: %w", node, err)
	}
	if err := s.StartNode(ctx, node); err != nil && !s.unstartable(ctx, node) {
		return fmt.Errorf("replace node %s: %w", node, err)
	}
	return nil
}

// Exit codes that an engine gives a container whose program it can't run.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// unstartable tells whether a node's container was refused because of what is in it: a deployment that is as bad as can be.
func (s *System) unstartable(ctx context.Context, node string) bool {
	c, found, err := s.d.inspect(ctx, s.container(node))
	return err == nil && found && !c.State.Running && (c.State.ExitCode == exitNotExecutable || c.State.ExitCode == exitNotFound)
}

// mark is that of the container in place.
func (p pair) mark() string {
	if !p.hasNow {
		return ""
	}
	return p.now.Config.Labels[labelReplaced]
}

// at is where a node's container stands on the network.
func (s *System) at(node string) *network.NetworkingConfig {
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{s.networkName: {Aliases: []string{node}}}}
}

// putAside ends a node's container and gives it another name.
func (s *System) putAside(ctx context.Context, node string) error {
	if err := s.d.kill(ctx, s.container(node), "SIGKILL"); err != nil {
		return err
	}
	for {
		c, found, err := s.d.inspect(ctx, s.container(node))
		if err != nil {
			return err
		}
		if !found || !c.State.Running {
			return s.d.rename(ctx, s.container(node), s.aside(node))
		}
		if err := target.Pause(ctx, target.PollEvery); err != nil {
			return err
		}
	}
}

// inherited is how the container before was held, with its very volumes.
func inherited(was container.InspectResponse) *container.HostConfig {
	h := *was.HostConfig
	h.Mounts = slices.DeleteFunc(slices.Clone(h.Mounts), func(m mount.Mount) bool { return m.Type == mount.TypeVolume })
	for _, m := range was.Mounts {
		if m.Type == mount.TypeVolume {
			h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Source: m.Name, Target: m.Destination, ReadOnly: !m.RW})
		}
	}
	return &h
}

// Restore removes what replaces a node's container and gives that its name again. It is left stopped. Somebody else may be
// doing the same, so a refusal is held against what is there.
func (s *System) Restore(ctx context.Context, node string) (err error) {
	for range restoreTries {
		var p pair
		if p, err = s.pair(ctx, node); err != nil || !p.hasBefore {
			return err
		}
		if p.hasNow && p.mark() == "" {
			return fmt.Errorf("put node %s back: container %s is in the place of %s, and no fault made it: remove it", node, s.container(node), s.aside(node))
		}
		if p.hasNow {
			err = s.d.remove(ctx, p.now.ID)
		}
		if err == nil {
			err = s.d.rename(ctx, s.aside(node), s.container(node))
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, target.ErrUnresponsive) {
			break
		}
	}
	return fmt.Errorf("put node %s back: %w", node, err)
}

// restoreAll puts back every node that is replaced, and starts the stateful ones, which a reset does not.
func (s *System) restoreAll(ctx context.Context) error {
	made, err := s.d.containers(ctx, LabelSuite+"="+s.suite)
	if err != nil {
		return err
	}
	errs := target.Each(made, func(c container.Summary) error {
		if !slices.ContainsFunc(c.Names, isAside) {
			return nil
		}
		node := c.Labels[LabelNode]
		if err := s.Restore(ctx, node); err != nil {
			return err
		}
		if n, ok := s.spec(node); !ok || !n.Stateful {
			return nil
		}
		if err := s.StartNode(ctx, node); err != nil {
			return err
		}
		return s.NodeReady(ctx, node)
	})
	return errors.Join(errs...)
}

// create makes a container and does not start it.
func (d *daemon) create(ctx context.Context, name string, c *container.Config, h *container.HostConfig, n *network.NetworkingConfig) error {
	return d.within(ctx, workWithin, "make container "+name, func(ctx context.Context) error {
		_, err := d.cli.ContainerCreate(ctx, c, h, n, nil, name)
		return err
	})
}

// rename gives a container another name; one that has it is not an error.
func (d *daemon) rename(ctx context.Context, from, to string) error {
	err := d.within(ctx, answerWithin, "rename container "+from+" to "+to, func(ctx context.Context) error {
		return d.cli.ContainerRename(ctx, from, to)
	})
	if errdefs.IsNotFound(err) {
		if _, found, look := d.inspect(ctx, to); look == nil && found {
			return nil
		}
	}
	return err
}
