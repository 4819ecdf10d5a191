package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/pkg/stdcopy"

	"chaos/internal/target"
)

// What a fault needs inside a node's namespaces is done by a container beside it, of the proxy's image: the
// nodes themselves get no capability and hold no tool. It joins the namespaces that it needs and gets the
// capabilities that it needs there, and nothing else. One stands there for as long as a fault does (startBeside); one
// comes, does one thing and is gone (ask), and what a dead process left of such is removed like everything else that
// carries our labels, also beside a target that is kept.
type beside struct {
	name   string
	image  string // id
	labels map[string]string
	cmd    []string
	host   container.HostConfig // namespaces, capabilities and mounts
}

// Limits of such a container.
const (
	lookWithin   = 2 * time.Second // one question to it
	endsWithin   = 4 * time.Second // from being told to end to its end
	besideMemory = 128 << 20
	besidePids   = 64
)

// beside is such a container of this target, with no network, no namespace of a node and no capability yet.
func (s *System) beside(ctx context.Context, name string, cmd ...string) (beside, error) {
	image := s.images[proxyImage] // another process knows it from the proxy that runs
	if image == "" {
		proxy, err := s.inspected(ctx, target.ProxyNode)
		if err != nil {
			return beside{}, err
		}
		image = proxy.Image
	}
	labels, err := s.labels(s.run)
	if err != nil {
		return beside{}, err
	}
	pids := int64(besidePids)
	return beside{
		name: s.container(name), image: image, labels: labels, cmd: cmd,
		host: container.HostConfig{
			NetworkMode: network.NetworkNone,
			CapDrop:     []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, ReadonlyRootfs: true,
			LogConfig: container.LogConfig{Type: "none"},
			Resources: container.Resources{Memory: besideMemory, MemorySwap: besideMemory, PidsLimit: &pids},
		},
	}, nil
}

func (b beside) config() *container.Config {
	return &container.Config{Image: b.image, Cmd: b.cmd, User: "0:0", Labels: b.labels, AttachStdout: true, AttachStderr: true}
}

// startBeside makes and starts the container, and reads the first line that it prints. On error it is removed.
func (d *daemon) startBeside(ctx context.Context, b beside) (line string, err error) {
	err = d.within(ctx, workWithin, "run container "+b.name, func(ctx context.Context) error {
		if _, err := d.cli.ContainerCreate(ctx, b.config(), &b.host, nil, nil, b.name); err != nil {
			return err
		}
		at, err := d.cli.ContainerAttach(ctx, b.name, container.AttachOptions{Stream: true, Stdout: true, Stderr: true})
		if err != nil {
			return err
		}
		defer at.Close()
		defer context.AfterFunc(ctx, at.Close)() // a read of a hijacked connection knows no context
		if err := d.cli.ContainerStart(ctx, b.name, container.StartOptions{}); err != nil {
			return err
		}
		said, write := io.Pipe()
		var complaint bytes.Buffer
		copied := make(chan struct{})
		go func() {
			defer close(copied)
			_, err := stdcopy.StdCopy(write, &complaint, at.Reader)
			_ = write.CloseWithError(err) // a pipe's never fails
		}()
		line, err = bufio.NewReader(said).ReadString('\n')
		_ = said.Close() // nor does this
		if err != nil {
			at.Close()
			<-copied
			return errors.Join(fmt.Errorf("it said nothing: %s", target.OneLine(complaint.String())), ctx.Err())
		}
		return nil
	})
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), workWithin)
		defer cancel()
		return "", errors.Join(err, d.remove(undo, b.name))
	}
	return strings.TrimSpace(line), nil
}

// runBeside runs the container to its end: it does one thing and says what came of it. It never outlives who made
// it: the engine removes it when it ends, and a sweep when it never began.
func (d *daemon) runBeside(ctx context.Context, b beside) (line string, err error) {
	delete(b.labels, LabelKeep)
	b.host.AutoRemove = true
	line, err = d.startBeside(ctx, b)
	if err != nil {
		return "", err
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), workWithin)
	defer cancel()
	return line, d.remove(undo, b.name)
}

// ask runs the container to its end and reads its answer.
func ask[Answer any](ctx context.Context, d *daemon, b beside) (a Answer, err error) {
	line, err := d.runBeside(ctx, b)
	if err != nil {
		return a, err
	}
	return said[Answer](line)
}

// said reads what a container said: an answer as JSON, in which an error is the container's own.
func said[Answer any](line string) (a Answer, err error) {
	var failed struct {
		Error string `json:"error"`
	}
	if err := errors.Join(json.Unmarshal([]byte(line), &failed), json.Unmarshal([]byte(line), &a)); err != nil {
		return a, fmt.Errorf("it said %q", target.OneLine(line))
	}
	if failed.Error != "" {
		return a, errors.New(failed.Error)
	}
	return a, nil
}

// endBeside tells a container that stands beside a node to end, and waits for that.
func (s *System) endBeside(ctx context.Context, name string, c container.InspectResponse) (container.InspectResponse, error) {
	if !c.State.Running {
		return c, nil
	}
	if err := s.d.kill(ctx, name, "SIGTERM"); err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, endsWithin)
	defer cancel()
	for {
		now, found, err := s.d.inspect(ctx, name)
		if err != nil || !found || !now.State.Running {
			if err == nil && !found { // somebody else, who does the same, has removed it
				c.State.Running, c.State.ExitCode = false, 1
				return c, nil
			}
			return now, err
		}
		if err := target.Pause(ctx, target.PollEvery); err != nil {
			return now, fmt.Errorf("container %s does not end: %w", name, err)
		}
	}
}

// clearBeside ends the container that stands beside a node for a fault, told by its label, which takes back what it
// did. When it does not say that it did, undo does it. Whose label is another fault's is not touched.
func (s *System) clearBeside(ctx context.Context, node, name, label, id string, undo func(container.InspectResponse) error) error {
	c, found, err := s.d.inspect(ctx, name)
	if err != nil {
		return err
	}
	clean := false
	if found {
		if c.Config.Labels[label] != id {
			return nil
		}
		ran := c.State.Running
		if c, err = s.endBeside(ctx, name, c); err != nil {
			return err
		}
		clean = ran && c.State.ExitCode == 0
	}
	n, there, err := s.d.inspect(ctx, s.container(node))
	if err != nil {
		return err
	}
	if there && !clean {
		if err := undo(n); err != nil {
			return err
		}
	}
	if found {
		return s.d.remove(ctx, name)
	}
	return nil
}

// labelBeside marks containers that stand beside a node for as long as a fault does, with the node's name.
const labelBeside = "chaos.beside"

// besides are, by node, the faults for which something stands beside it.
func (s *System) besides(ctx context.Context) (map[string]string, error) {
	all, err := s.d.containers(ctx, labelBeside)
	if err != nil {
		return nil, err
	}
	words := map[string][]string{}
	for _, c := range all {
		if c.Labels[LabelSuite] != s.suite {
			continue
		}
		for _, label := range []string{labelNames, labelDisk} {
			if id := c.Labels[label]; id != "" {
				words[c.Labels[labelBeside]] = append(words[c.Labels[labelBeside]], fmt.Sprintf("%s of fault %s", strings.TrimPrefix(label, "chaos."), id))
			}
		}
	}
	found := map[string]string{}
	for node, all := range words {
		slices.Sort(all)
		found[node] = strings.Join(all, ", ")
	}
	return found, nil
}
