package docker

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"

	"chaos/internal/kind"
	"chaos/internal/target"
)

// Limits of a container whose node does not name its own.
const (
	defaultMemory = "512MiB"
	defaultPids   = 512
	defaultUser   = "65532:65532"
	defaultID     = 65532
	logMaxSize    = "64m" // of one container; the engine rotates beyond it
)

// quiet is the one place that prepares testcontainers-go. It reads its settings once in a process,
// from the environment only, so they are set before the first call and are the same for everybody:
//
//   - the host is 127.0.0.1: inside a container it would take the gateway instead, and load would
//     leave loopback;
//   - no reaper: its image can't be assumed, and Sweep does its work by label. Only the literal "true" counts;
//   - no registry prefix: images are named by id;
//   - the same engine that the docker/docker client dialled;
//   - no lines of its own on stderr.
var quiet = sync.OnceFunc(func() { tclog.SetDefault(tclog.NewNoopLogger()) })

func prepareTestcontainers(host string) error {
	for key, value := range map[string]string{
		"TESTCONTAINERS_HOST_OVERRIDE":         "127.0.0.1",
		"TESTCONTAINERS_RYUK_DISABLED":         "true",
		"TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX": "",
		"DOCKER_HOST":                          host,
	} {
		if os.Getenv(key) == value {
			continue
		}
		if err := os.Setenv(key, value); err != nil {
			return fmt.Errorf("prepare testcontainers: %w", err)
		}
	}
	quiet()
	return nil
}

// launch is one container about to be made, all placeholders filled in.
type launch struct {
	container string // name; unique by the suite's id
	image     string // id
	node      target.NodeSpec
	env       map[string]string
	labels    map[string]string
	network   string // name
	aliases   []string
}

// run makes and starts the container. On error a container may be left; the caller removes it by name.
func (l launch) run(ctx context.Context) error {
	memory, err := parseBytes(l.node.Memory)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	size, err := parseBytes(l.node.VolumeSize)
	if err != nil {
		return fmt.Errorf("volume_size: %w", err)
	}
	user, err := userOf(l.node)
	if err != nil {
		return err
	}
	ports, bindings, err := publish(l.node.Ports)
	if err != nil {
		return err
	}
	var hostConfig *container.HostConfig
	var config *container.Config
	req := testcontainers.ContainerRequest{
		Name: l.container, Image: l.image, Entrypoint: l.node.Entrypoint, Cmd: l.node.Command,
		Env: l.env, Labels: maps.Clone(l.labels), Tmpfs: l.node.Tmpfs,
		Networks:       []string{l.network},
		NetworkAliases: map[string][]string{l.network: l.aliases},
		ConfigModifier: func(c *container.Config) {
			c.User, c.Hostname = user, l.node.Name
			config = c
		},
		HostConfigModifier: func(h *container.HostConfig) {
			l.harden(h, memory, size)
			hostConfig = h
		},
		// testcontainers-go publishes every port that an image exposes, on all addresses, when the
		// request names none: PostgreSQL would be reachable from outside. This hook runs after that.
		LifecycleHooks: []testcontainers.ContainerLifecycleHooks{{
			PreCreates: []testcontainers.ContainerRequestHook{func(context.Context, testcontainers.ContainerRequest) error {
				config.ExposedPorts, hostConfig.PortBindings = ports, bindings
				return nil
			}},
		}},
	}
	_, err = testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		ContainerRequest: req, Started: true, Logger: tclog.NewNoopLogger(),
	})
	if err != nil {
		return explain(err)
	}
	return nil
}

// harden closes what a node has no need of. size is that of its volumes, when they have one.
func (l launch) harden(h *container.HostConfig, memory, size int64) {
	pids := l.node.Pids
	if pids <= 0 {
		pids = defaultPids
	}
	h.CapDrop = []string{"ALL"}
	h.SecurityOpt = []string{"no-new-privileges"}
	h.ReadonlyRootfs = true
	h.NetworkMode = container.NetworkMode(l.network)
	h.Memory, h.MemorySwap = memory, memory
	h.PidsLimit = &pids
	h.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": logMaxSize, "max-file": "2"}}
	for _, path := range l.node.Volumes {
		o := &mount.VolumeOptions{Labels: l.labels}
		if l.node.VolumeSize != "" {
			o.DriverConfig = &mount.Driver{Name: "local", Options: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=" + strconv.FormatInt(size, 10)}}
		}
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Target: path, VolumeOptions: o})
	}
}

// publish returns the ports that a node exposes; published ones are bound to 127.0.0.1, on a port that
// the engine picks and picks anew whenever the node starts.
func publish(ports map[string]target.Port) (network.PortSet, network.PortMap, error) {
	set, bindings := network.PortSet{}, network.PortMap{}
	for name, p := range ports {
		port, err := network.ParsePort(strconv.Itoa(p.Port) + "/tcp")
		if err != nil {
			return nil, nil, fmt.Errorf("port %s: %w", name, err)
		}
		set[port] = struct{}{}
		if p.Publish {
			bindings[port] = []network.PortBinding{{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}
		}
	}
	return set, bindings, nil
}

// userOf refuses root, by any of its names.
func userOf(n target.NodeSpec) (string, error) {
	if n.User == "" {
		return defaultUser, nil
	}
	uid, _, _ := strings.Cut(n.User, ":")
	if id, err := strconv.Atoi(uid); err != nil || id <= 0 {
		return "", fmt.Errorf("user %q: want uid:gid in numbers, and not root", n.User)
	}
	return n.User, nil
}

// parseBytes reads a size such as 512MiB; empty is the default.
func parseBytes(s string) (int64, error) {
	if s == "" {
		s = defaultMemory
	}
	n, err := kind.ParseSize(s)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s is nothing", s)
	}
	return int64(n), err
}

// explain says what people can do about the engine's commonest refusals.
func explain(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "address already in use"), strings.Contains(text, "port is already allocated"):
		return fmt.Errorf("a port on 127.0.0.1 is taken by another process; it is picked anew at the next try: %w", err)
	case strings.Contains(text, "No such image"):
		return fmt.Errorf("its image was removed meanwhile; `chaos images ensure` makes it again: %w", err)
	case strings.Contains(text, "all predefined address pools have been fully subnetted"):
		return fmt.Errorf("the engine has no free network; `chaos heal` removes ours, `docker network prune` others': %w", err)
	}
	return err
}

// newNetwork makes the private network of one target's life.
func newNetwork(ctx context.Context, labels map[string]string) (id, name string, err error) {
	n, err := tcnetwork.New(ctx, tcnetwork.WithLabels(labels))
	if err != nil {
		return "", "", explain(err)
	}
	return n.ID, n.Name, nil
}
