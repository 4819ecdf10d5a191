package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/readonly"
	"chaos/internal/target"
)

// A node's folder is made read-only by a container beside it, in its pid namespace (chaos readonly hold 1 <folder>).
// The mount that it makes is in the node's mount namespace, so it is gone with the node's process, and so is the
// container. One that was killed alone leaves the mount; another container takes it away.

// inMounts lets a container reach the mounts and the processes of a node: SYS_ADMIN and SYS_CHROOT to enter its
// mount namespace, SYS_PTRACE to see its processes and let them enter the folder anew.
func inMounts(b *beside, c container.InspectResponse, do, folder string) {
	b.cmd = []string{"readonly", do, "1", folder}
	b.host.PidMode = container.PidMode("container:" + c.ID)
	b.host.CapAdd = []string{"SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "DAC_OVERRIDE"}
	b.host.SecurityOpt = append(b.host.SecurityOpt, "apparmor=unconfined") // its default profile lets nobody mount
}

// ProtectDisk starts the container that makes it read-only.
func (s *System) ProtectDisk(ctx context.Context, node, id, folder string) error {
	return s.onDisk(ctx, node, id, folder, func(b *beside, c container.InspectResponse) error {
		inMounts(b, c, "hold", folder)
		s.visited(s.diskOf(node) + folder)
		return nil
	}, func(ctx context.Context) error { return s.UnprotectDisk(ctx, node, id, folder) })
}

// Protection asks the container, or looks whether one left its mount.
func (s *System) Protection(ctx context.Context, node, folder string) (p target.Protection, err error) {
	name := s.container(s.diskOf(node))
	c, found, err := s.d.inspect(ctx, name)
	if err != nil {
		return p, err
	}
	n, err := s.inspected(ctx, node)
	if err != nil {
		return p, err
	}
	if found {
		p.ID = c.Config.Labels[labelDisk]
	}
	var a readonly.Answer
	switch {
	case !n.State.Running:
		if found {
			p.Missed = "its mounts are gone with the node's process, which has ended"
		}
		return p, nil
	case found && c.State.Running && slices.Contains(c.Args, "readonly"):
		res, err := s.d.exec(ctx, name, lookWithin, []string{c.Path, "readonly", "look", "1", folder}, nil)
		if err == nil {
			a, err = said[readonly.Answer](res.Stdout)
		}
		if err != nil {
			return p, fmt.Errorf("look at %s of node %s: %w", folder, node, err)
		}
		if !a.Mounted {
			p.Missed = "it is not mounted read-only any more: something unmounted it"
		}
	default:
		if a, err = s.visitMounts(ctx, node, n, "look", folder); err != nil {
			return p, err
		}
		switch {
		case found && !c.State.Running:
			p.Missed = fmt.Sprintf("what made it read-only has ended (%s): the node was started anew, or something else ended it", ended(stateOf(c)))
		case !found && a.Mounted:
			p.ID, p.Missed = "nobody's", "it is read-only, and who made it so is gone"
		}
	}
	p.Attempt, p.Writers = a.Attempt, a.Writers
	return p, nil
}

// visitMounts does one thing with a folder of a node that runs.
func (s *System) visitMounts(ctx context.Context, node string, n container.InspectResponse, do, folder string) (a readonly.Answer, err error) {
	b, err := s.beside(ctx, "visit-"+target.Token(4))
	if err != nil {
		return a, err
	}
	inMounts(&b, n, do, folder)
	if a, err = ask[readonly.Answer](ctx, s.d, b); err != nil {
		return a, fmt.Errorf("in %s of node %s: %w", folder, node, err)
	}
	return a, nil
}

// UnprotectDisk ends the container, which takes its mount away; when it does not say that it did, another one does it.
func (s *System) UnprotectDisk(ctx context.Context, node, id, folder string) error {
	return s.clearBeside(ctx, node, s.container(s.diskOf(node)), labelDisk, id, func(n container.InspectResponse) error {
		if !n.State.Running {
			return nil
		}
		_, err := s.visitMounts(ctx, node, n, "off", folder)
		if err == nil {
			return nil
		}
		// A node that ends meanwhile takes the visitor along, and its mounts.
		if now, _, looked := s.d.inspect(ctx, s.container(node)); looked != nil || stateOf(now).Running {
			return errors.Join(err, looked)
		}
		return nil
	})
}

// mountsLeft tells of a node's folders that are read-only by a mount of ours. Only those that this process made so
// are looked at: it takes a container each.
func (s *System) mountsLeft(ctx context.Context, node target.NodeSpec) (map[string]string, error) {
	var left []string
	for _, folder := range node.Folders() {
		if !s.wasVisited(s.diskOf(node.Name) + folder) {
			continue
		}
		p, err := s.Protection(ctx, node.Name, folder)
		if err != nil {
			return nil, err
		}
		if p.ID != "" && p.Attempt != "" {
			left = append(left, folder+" is read-only")
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	return map[string]string{"node:" + node.Name + " mounts": strings.Join(left, ", ")}, nil
}
