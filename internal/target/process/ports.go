package process

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"chaos/internal/target"
)

// Ports are picked here, below those that Linux (32768) and macOS (49152) lend to outgoing connections:
// the generator makes thousands of those, and one would sit on a stopped node's port when it wants to
// come back.
const (
	firstPort = 20000
	lastPort  = 32000
)

// portKey names a port in the record: of a node, of the proxy's API or of an edge's link.
func portKey(node, port string) string { return node + "/" + port }
func linkKey(i int) string             { return "link/" + strconv.Itoa(i) }

const apiPort = "api" // the proxy's control API

// loopback is where everything listens.
const loopback = "127.0.0.1"

// places says where things are on this machine.
type places struct {
	rec record
	dir string
}

func (p places) Address(node, port string) string {
	if port == "" {
		return loopback
	}
	return net.JoinHostPort(loopback, strconv.Itoa(p.Port(node, port)))
}

func (p places) Link(i int) string {
	return net.JoinHostPort(loopback, strconv.Itoa(p.rec.Ports[linkKey(i)]))
}

func (p places) Collector() string {
	return p.Address(target.CollectorNode, target.CollectorPort)
}

func (p places) Listen() string               { return loopback }
func (p places) Port(node, port string) int   { return p.rec.Ports[portKey(node, port)] }
func (p places) Dir(node, path string) string { return filepath.Join(nodeDir(p.dir, node), path) }
func nodeDir(dir, node string) string         { return filepath.Join(dir, "nodes", node) }
func logFile(dir, node string) string         { return filepath.Join(dir, "logs", node+".log") }
func (s *System) expander(r record) target.Expander {
	return target.Expander{Topology: s.topology, Places: places{r, s.dir}, Secrets: r.Secrets}
}

// allot picks a free port for everything of the target that listens. A node keeps its ports for the
// target's whole life. The lock of the scratch folder must be held.
func (s *System) allot() (map[string]int, error) {
	var keys []string
	for _, n := range slices.Concat(s.builtins(), s.topology.Nodes) {
		for port := range n.Ports {
			keys = append(keys, portKey(n.Name, port))
		}
	}
	for i := range s.topology.Edges {
		keys = append(keys, linkKey(i))
	}
	taken, err := s.runtime.taken()
	if err != nil {
		return nil, err
	}
	const span = lastPort - firstPort
	var b [4]byte
	_, _ = rand.Read(b[:]) // documented to never return an error
	begin := int(binary.LittleEndian.Uint32(b[:]) % span)
	ports := make(map[string]int, len(keys))
	for i := 0; i < span && len(keys) > 0; i++ {
		port := firstPort + (begin+i)%span
		if slices.Contains(taken, port) || free(port) != nil {
			continue
		}
		ports[keys[0]], keys = port, keys[1:]
	}
	if len(keys) > 0 {
		return nil, fmt.Errorf("no free ports between %d and %d on %s for %d of the target", firstPort, lastPort, loopback, len(keys))
	}
	return ports, nil
}

// taken are the ports of this user's other targets: a stopped node's port is free and yet not to be had.
func (r *Runtime) taken() (ports []int, err error) {
	dirs, err := r.suites()
	for _, dir := range dirs {
		rec, err := readRecord(dir)
		if err != nil {
			continue // a target that is going, or one of another version: free tells about its ports
		}
		for _, port := range rec.Ports {
			ports = append(ports, port)
		}
	}
	return ports, err
}

// suites are the folders of this user's targets.
func (r *Runtime) suites() (dirs []string, err error) {
	entries, err := os.ReadDir(r.scratch())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.IsDir() && suiteForm.MatchString(e.Name()) {
			dirs = append(dirs, filepath.Join(r.scratch(), e.Name()))
		}
	}
	return dirs, err
}

// free returns nil when nobody listens on the port.
func free(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// unoccupied checks that a node's ports are free before it is started, and says who has one that isn't.
func unoccupied(n target.NodeSpec, rec record) error {
	for name := range n.Ports {
		port := rec.Ports[portKey(n.Name, name)]
		err := free(port)
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port %s of node %s (%s:%d): %w", name, n.Name, loopback, port, err)
		}
		return fmt.Errorf("port %s of node %s (%s:%d) is taken by %s", name, n.Name, loopback, port, holder(port))
	}
	return nil
}
