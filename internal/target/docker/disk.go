package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/ballast"
	"chaos/internal/target"
)

// A node's folder is filled by a container beside it that reaches the folder and writes one file there:
//
//	volume   shared with the node               chaos ballast hold <folder>/.chaos-ballast
//	tmpfs    by /proc/1/root in its pid namespace, with SYS_PTRACE; it ends with the node, as the tmpfs does
//
// Only file systems in memory are filled (package ballast looks), so never the engine's disk.

const (
	// labelDisk marks it, with the id of the fault; labelFolder has the folder.
	labelDisk   = "chaos.disk"
	labelFolder = "chaos.folder"
	ballastFile = "/.chaos-ballast"
)

func (s *System) diskOf(node string) string { return "disk-" + node }

// keepVolumes starts what holds a node's volumes in memory: they would be empty after a restart of the node if
// nobody else had them.
func (s *System) keepVolumes(ctx context.Context, node string) error {
	b, err := s.beside(ctx, "keep-"+node, "ballast", "keep")
	if err != nil {
		return err
	}
	b.host.VolumesFrom = []string{s.container(node)}
	_, err = s.d.startBeside(context.WithoutCancel(ctx), b)
	return err
}

// reach is how a container beside a node reaches a folder, and where it is there.
func (s *System) reach(b *beside, node target.NodeSpec, c container.InspectResponse, folder string) (file string, err error) {
	b.host.CapAdd = []string{"DAC_OVERRIDE"}
	b.host.Memory, b.host.MemorySwap = 0, 0 // what fills the file system counts as its own; the file system is bounded
	switch {
	case slices.Contains(node.Volumes, folder):
		b.host.VolumesFrom = []string{c.ID}
		return folder + ballastFile, nil
	case node.Tmpfs[folder] != "":
		b.host.PidMode = container.PidMode("container:" + c.ID)
		b.host.CapAdd = append(b.host.CapAdd, "SYS_PTRACE")
		return "/proc/1/root" + folder + ballastFile, nil
	}
	return "", fmt.Errorf("node %s has no folder %s", node.Name, folder)
}

// onDisk starts the container that does a fault to a folder of a node, which prepare completes. What it
// may have begun when it says that it failed is undone. One at a time is on a node's disk.
func (s *System) onDisk(ctx context.Context, node, id, folder string, prepare func(*beside, container.InspectResponse) error, undo func(context.Context) error) error {
	c, err := s.inspected(ctx, node)
	if err == nil && !c.State.Running {
		err = fmt.Errorf("node %s does not run", node)
	}
	if err != nil {
		return err
	}
	if spec, _ := s.spec(node); !slices.Contains(spec.Folders(), folder) {
		return fmt.Errorf("node %s has no folder %s", node, folder)
	}
	there, found, err := s.d.inspect(ctx, s.container(s.diskOf(node)))
	switch {
	case err != nil:
		return err
	case found:
		return fmt.Errorf("a fault is on the disk of node %s: %s", node, there.Config.Labels[labelDisk])
	}
	b, err := s.beside(ctx, s.diskOf(node))
	if err == nil {
		err = prepare(&b, c)
	}
	if err != nil {
		return err
	}
	b.labels[labelDisk], b.labels[labelFolder], b.labels[labelBeside] = id, folder, node
	line, err := s.d.startBeside(ctx, b)
	if err == nil {
		_, err = said[struct{}](line)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("on %s of node %s: %w", folder, node, err), undo(context.WithoutCancel(ctx)))
	}
	return nil
}

// FillDisk starts the container that fills it.
func (s *System) FillDisk(ctx context.Context, node, id, folder string, leave int64) error {
	spec, _ := s.spec(node)
	return s.onDisk(ctx, node, id, folder, func(b *beside, c container.InspectResponse) error {
		file, err := s.reach(b, spec, c, folder)
		b.cmd = []string{"ballast", "hold", file, strconv.FormatInt(leave, 10)}
		return err
	}, func(ctx context.Context) error { return s.FreeDisk(ctx, node, id, folder) })
}

// Disk asks the container, or looks whether one left its file.
func (s *System) Disk(ctx context.Context, node, folder string) (st target.DiskState, err error) {
	name := s.container(s.diskOf(node))
	c, found, err := s.d.inspect(ctx, name)
	if err != nil {
		return st, err
	}
	n, err := s.inspected(ctx, node)
	if err != nil {
		return st, err
	}
	var a ballast.Answer
	switch {
	case found && c.State.Running && slices.Contains(c.Args, "ballast"):
		st.ID = c.Config.Labels[labelDisk]
		file := c.Args[len(c.Args)-2] // hold <file> <leave>
		res, err := s.d.exec(ctx, name, lookWithin, []string{c.Path, "ballast", "look", file}, nil)
		if err == nil {
			a, err = said[ballast.Answer](res.Stdout)
		}
		if err != nil {
			return st, fmt.Errorf("look at the disk of node %s: %w", node, err)
		}
		if a.Ballast == 0 {
			st.Missed = "what filled it is gone: something removed it"
		}
	default:
		if a, err = s.visitDisk(ctx, node, n, folder, "look"); err != nil {
			return st, err
		}
		switch {
		case found && c.State.Running: // another kind of fault
			st.ID = c.Config.Labels[labelDisk]
		case found:
			st.ID, st.Missed = c.Config.Labels[labelDisk], fmt.Sprintf("what filled it has ended (%s): the node was started anew, or something else ended it", ended(stateOf(c)))
		case a.Ballast > 0:
			st.ID, st.Missed = "nobody's", "it is filled, and who filled it is gone"
		}
	}
	st.Size, st.Free, st.Taken = a.Size, a.Free, a.Ballast
	return st, nil
}

// visitDisk does one thing in a node's folder. What is in a tmpfs is gone with the node's process.
func (s *System) visitDisk(ctx context.Context, node string, n container.InspectResponse, folder, do string) (a ballast.Answer, err error) {
	spec, _ := s.spec(node)
	if !n.State.Running && !slices.Contains(spec.Volumes, folder) {
		return a, nil
	}
	b, err := s.beside(ctx, "visit-"+target.Token(4))
	if err != nil {
		return a, err
	}
	file, err := s.reach(&b, spec, n, folder)
	if err != nil {
		return a, err
	}
	b.cmd = []string{"ballast", do, file}
	if a, err = ask[ballast.Answer](ctx, s.d, b); err != nil {
		return a, fmt.Errorf("in %s of node %s: %w", folder, node, err)
	}
	return a, nil
}

// FreeDisk ends the container, which removes its file; when it does not say that it did, another one does it.
func (s *System) FreeDisk(ctx context.Context, node, id, folder string) error {
	return s.clearBeside(ctx, node, s.container(s.diskOf(node)), labelDisk, id, func(n container.InspectResponse) error {
		_, err := s.visitDisk(ctx, node, n, folder, "off")
		return err
	})
}
