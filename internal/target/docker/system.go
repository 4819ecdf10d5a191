package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/system"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// System is a target in containers. Its methods may be called concurrently, except Reset and Close.
type System struct {
	d        *daemon
	config   Config
	topology *target.Topology
	builtins []target.NodeSpec // the proxy and, where it is wanted, the collector
	owner    journal.Owner
	progress func(string)

	suite       string
	keep        bool
	network     string // id
	networkName string
	secrets     map[string]string

	images       map[string]string // image key → id; nil until ensured in this process
	variant, run string
	since        time.Time // of the last Reset

	links  target.Links
	visits visits
}

var (
	_ target.System    = (*System)(nil)
	_ target.Signaller = (*System)(nil)
	_ target.Pauser    = (*System)(nil)
	_ target.Connecter = (*System)(nil)
	_ target.Limiter   = (*System)(nil)
	_ target.Namer     = (*System)(nil)
	_ target.Filler    = (*System)(nil)
	_ target.Protector = (*System)(nil)
	_ target.Proxied   = (*System)(nil)
	_ target.Watcher   = (*System)(nil)
	_ target.Answering = (*System)(nil)

	_ target.Collecting = (*System)(nil)
)

// Topology is what the target was started from.
func (s *System) Topology() *target.Topology { return s.topology }

// container is the name of a node's container; it holds the suite's id, which no other target has.
func (s *System) container(node string) string { return "chaos-" + s.suite + "-" + node }

// Endpoint asks the engine for the published port as of now.
func (s *System) Endpoint(ctx context.Context, node, port string) (string, error) {
	c, found, err := s.d.inspect(ctx, s.container(node))
	if err != nil {
		return "", err
	}
	if !found {
		return "", fmt.Errorf("node %s has no container", node)
	}
	return s.published(c, node, port)
}

// published reads a port off an inspected container.
func (s *System) published(c container.InspectResponse, node, port string) (string, error) {
	spec, ok := s.spec(node)
	if !ok {
		return "", fmt.Errorf("there is no node %q", node)
	}
	p, ok := spec.Ports[port]
	if !ok || !p.Publish {
		return "", fmt.Errorf("node %s publishes no port %q", node, port)
	}
	for inside, bindings := range c.NetworkSettings.Ports {
		for _, b := range bindings {
			if ip := net.ParseIP(b.HostIP); inside.Int() == p.Port && ip != nil && ip.IsLoopback() {
				return net.JoinHostPort(b.HostIP, b.HostPort), nil
			}
		}
	}
	return "", fmt.Errorf("node %s: port %s is not published now (%s)", node, port, c.State.Status)
}

// Handle holds the suite's id and the network's; no token.
func (s *System) Handle() json.RawMessage {
	raw, err := json.Marshal(handle{Runtime: runtimeName, Suite: s.suite, Network: s.network, Keep: s.keep})
	if err != nil { // four plain fields can't fail to encode
		return nil
	}
	return raw
}

// Logs writes a node's output since the last Reset; "proxy" is a node too.
func (s *System) Logs(ctx context.Context, node string, w io.Writer) error {
	if _, ok := s.spec(node); !ok {
		return fmt.Errorf("there is no node %q", node)
	}
	return s.d.logs(ctx, s.container(node), s.since, "all", w)
}

// tail returns the last lines of a node's log, indented for an error message.
func (s *System) tail(ctx context.Context, node string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
	defer cancel()
	var b strings.Builder
	if err := s.d.logs(ctx, s.container(node), time.Time{}, strconv.Itoa(target.TailLines), &b); err != nil {
		return "\n    (its log could not be read: " + err.Error() + ")"
	}
	return target.Indent(b.String())
}

// Facts are the ids of the images in use, by node, and what the engine says of itself and the machine.
func (s *System) Facts(ctx context.Context) (images, machine map[string]string) {
	images, machine = map[string]string{}, map[string]string{}
	made, err := s.d.containers(ctx, LabelSuite+"="+s.suite)
	if err != nil {
		machine["docker"] = err.Error()
		return images, machine
	}
	for _, c := range made {
		if slices.ContainsFunc(c.Names, isAside) {
			continue
		}
		if node := c.Labels[LabelNode]; node != "" { // a visitor is none, nor what stands beside one
			images[node] = c.ImageID
		}
	}
	info, err := s.info(ctx)
	if err != nil {
		machine["docker"] = err.Error()
		return images, machine
	}
	maps.Copy(machine, map[string]string{
		"docker": info.ServerVersion, "docker_api": s.d.cli.ClientVersion(), "os": info.OperatingSystem,
		"kernel": info.KernelVersion, "arch": info.Architecture, "cpus": strconv.Itoa(info.NCPU),
		"memory_bytes": strconv.FormatInt(info.MemTotal, 10), "storage": info.Driver, "cgroup": info.CgroupVersion,
	})
	return images, machine
}

func (s *System) info(ctx context.Context) (info system.Info, err error) {
	err = s.d.within(ctx, answerWithin, "tell about itself", func(ctx context.Context) (err error) {
		info, err = s.d.cli.Info(ctx)
		return err
	})
	return info, err
}

func (s *System) self(ctx context.Context) (journal.Owner, error) {
	info, err := s.info(ctx)
	if err != nil {
		return journal.Owner{}, err
	}
	return target.Self(info.ID)
}

// Close removes every container of the suite, with its volumes, and then the network. It is
// idempotent, and what it could not remove is named in the error.
func (s *System) Close(ctx context.Context) error {
	made, err := s.d.containers(ctx, LabelSuite+"="+s.suite)
	if err != nil {
		return err
	}
	var errs []error
	for _, aside := range []bool{false, true} { // last: only with the last container of an anonymous volume the volume goes
		group := slices.DeleteFunc(slices.Clone(made), func(c container.Summary) bool { return slices.ContainsFunc(c.Names, isAside) != aside })
		errs = append(errs, target.Each(group, func(c container.Summary) error { return s.d.remove(ctx, c.ID) })...)
	}
	networks, err := s.d.networks(ctx, LabelSuite+"="+s.suite)
	errs = append(errs, err)
	for _, n := range networks {
		errs = append(errs, s.d.removeNetwork(ctx, n.ID))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove target %s of suite %s: %w", s.topology.Name, s.suite, err)
	}
	return s.d.cli.Close()
}
