package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"chaos/internal/target"
)

// System is a target of local processes. Its methods may be called concurrently, except Reset and Close.
type System struct {
	runtime  *Runtime
	topology *target.Topology
	progress func(string)
	suite    string
	dir      string
	links    target.Links
	starting sync.Mutex // one node is started at a time
	forker   forker     // made with the first node that this process starts
}

var (
	_ target.System    = (*System)(nil)
	_ target.Signaller = (*System)(nil)
	_ target.Pauser    = (*System)(nil)
	_ target.Proxied   = (*System)(nil)
	_ target.Watcher   = (*System)(nil)
	_ target.StandIns  = (*System)(nil)

	_ target.Collecting = (*System)(nil)
)

// Topology is what the target was started from.
func (s *System) Topology() *target.Topology { return s.topology }

// proxy is the built-in node that carries every edge. It may connect to the nodes behind the edges only.
func (s *System) proxy() target.NodeSpec {
	return target.NodeSpec{
		Name: target.ProxyNode, Image: proxyImage, Stateful: true, EndSignal: "KILL",
		Ports: map[string]target.Port{apiPort: {Publish: true}},
		Ready: &target.Health{HTTP: "/version", Port: apiPort},
	}
}

// builtins are the nodes that are not in target.yaml: the proxy and, where it is wanted, the collector.
func (s *System) builtins() []target.NodeSpec {
	all := []target.NodeSpec{s.proxy()}
	if collector, ok := s.topology.Collector(proxyImage, loopback, 0); ok { // its port is in the record
		all = append(all, collector)
	}
	return all
}

// Spans begins to read the target's spans.
func (s *System) Spans(ctx context.Context) (target.SpanReader, error) {
	rec, err := s.read()
	if err != nil {
		return nil, err
	}
	return target.BeginSpans(ctx, s, rec.Secrets)
}

// Addresses are the addresses of the edges.
func (s *System) Addresses() (map[string][]string, error) {
	rec, err := s.read()
	if err != nil {
		return nil, err
	}
	return target.EdgeAddresses(s.topology, places{rec, s.dir})
}

// proxyCommand tells the proxy where to listen and whom it may reach.
func (s *System) proxyCommand(rec record) ([]string, error) {
	at := places{rec, s.dir}
	command := []string{"proxy", "--host", loopback, "--port", strconv.Itoa(rec.Ports[portKey(target.ProxyNode, apiPort)])}
	for _, e := range s.topology.Edges {
		to, err := target.Upstream(s.topology, at, e)
		if err != nil {
			return nil, err
		}
		command = append(command, "--allow-upstream", to)
	}
	return command, nil
}

// spec returns a node of the topology, or the proxy.
func (s *System) spec(node string) (target.NodeSpec, bool) {
	for _, n := range s.builtins() {
		if n.Name == node {
			return n, true
		}
	}
	return s.topology.Node(node)
}

// node returns a node and what the record says of it.
func (s *System) node(node string) (target.NodeSpec, record, error) {
	n, ok := s.spec(node)
	if !ok {
		return n, record{}, fmt.Errorf("there is no node %q", node)
	}
	rec, err := s.read()
	return n, rec, err
}

// Endpoint is the address of a published port of a node that runs. It stays the same for the target's
// whole life.
func (s *System) Endpoint(_ context.Context, node, port string) (string, error) {
	n, rec, err := s.node(node)
	if err != nil {
		return "", err
	}
	if p, ok := n.Ports[port]; !ok || !p.Publish {
		return "", fmt.Errorf("node %s publishes no port %q", node, port)
	}
	if !rec.Nodes[node].alive() {
		return "", fmt.Errorf("node %s: port %s is not there now: the node does not run", node, port)
	}
	return net.JoinHostPort(loopback, strconv.Itoa(rec.Ports[portKey(node, port)])), nil
}

// Call asks a node on a published port. Headers may hold {{secret "x"}}; {run} in the path is the run's id.
func (s *System) Call(ctx context.Context, c target.Call) ([]byte, error) {
	rec, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("call node %s: %w", c.Query.Node, err)
	}
	return target.Ask(ctx, s, s.expander(rec), c)
}

// Handle holds the suite's id; no token.
func (s *System) Handle() json.RawMessage {
	raw, err := json.Marshal(handle{Runtime: name, Suite: s.suite})
	if err != nil { // two plain fields can't fail to encode
		return nil
	}
	return raw
}

// Logs writes a node's output since the last Reset; "proxy" is a node too.
func (s *System) Logs(_ context.Context, node string, w io.Writer) error {
	_, rec, err := s.node(node)
	if err != nil {
		return err
	}
	f, err := os.Open(logFile(s.dir, node))
	if errors.Is(err, os.ErrNotExist) {
		return nil // never started: it said nothing
	}
	if err != nil {
		return fmt.Errorf("read the log of node %s: %w", node, err)
	}
	defer f.Close()
	if _, err := f.Seek(rec.Nodes[node].LogFrom, io.SeekStart); err != nil {
		return fmt.Errorf("read the log of node %s: %w", node, err)
	}
	_, err = io.Copy(w, f)
	return err
}

// tailBytes is how far back an error message looks for a node's last lines.
const tailBytes = 16 << 10

// tail returns the last lines of a node's log, indented for an error message.
func (s *System) tail(node string) string {
	raw, err := os.ReadFile(logFile(s.dir, node))
	if err != nil {
		return "\n    (its log could not be read: " + err.Error() + ")"
	}
	lines := strings.Split(strings.TrimRight(string(raw[max(0, len(raw)-tailBytes):]), "\n"), "\n")
	return target.Indent(strings.Join(lines[max(0, len(lines)-target.TailLines):], "\n"))
}

// Facts are the programs in use, by node, and what the machine says of itself.
func (s *System) Facts(context.Context) (images, machine map[string]string) {
	images, machine = map[string]string{}, map[string]string{}
	rec, err := s.read()
	if err != nil {
		machine["record"] = err.Error()
		return images, machine
	}
	for _, n := range slices.Concat(s.builtins(), s.topology.Nodes) {
		p := rec.Programs[n.Image]
		images[n.Name] = "sha256:" + p.SHA256
		switch {
		case p.Substitute != "":
			images[n.Name] = p.Substitute + ", a stand-in"
		case filepath.Dir(p.Path) != filepath.Join(s.dir, "bin"):
			images[n.Name] += " " + p.Path
		}
	}
	machine["os"], machine["arch"], machine["cpus"] = runtime.GOOS, runtime.GOARCH, strconv.Itoa(runtime.NumCPU())
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		machine["kernel"] = unix.ByteSliceToString(u.Release[:])
	}
	return images, machine
}

// StandIns names, in words, what stood in for a program that the machine lacks.
func (s *System) StandIns() (all []string) {
	rec, err := s.read()
	if err != nil {
		return nil
	}
	for _, n := range s.topology.Nodes {
		if p := rec.Programs[n.Image]; p.Substitute != "" {
			all = append(all, fmt.Sprintf("node %s was not %s but the stand-in %s", n.Name, s.topology.Image[n.Image].Local.Program, p.Substitute))
		}
	}
	return all
}

// Close ends every process of the target and removes its folder. It is idempotent, and what it could not
// end is named in the error.
func (s *System) Close(ctx context.Context) error {
	if s.dir == "" {
		return nil
	}
	rec, err := s.read()
	if errors.Is(err, os.ErrNotExist) && !exists(s.dir) {
		return nil
	}
	if err == nil {
		err = s.endAll(ctx, rec)
	}
	if err == nil {
		err = endStrays(ctx, s.dir)
	}
	if err != nil {
		return fmt.Errorf("remove target %s of suite %s: %w", s.topology.Name, s.suite, err)
	}
	if err := discard(s.dir); err != nil {
		return fmt.Errorf("remove target %s of suite %s: %w", s.topology.Name, s.suite, err)
	}
	if s.forker != nil {
		close(s.forker)
		s.forker = nil
	}
	return nil
}

// gonePrefix begins the name of a folder that is being removed.
const gonePrefix = ".gone-"

// discard removes a target's folder. It is given another name first: a reaper may still want to note how
// a process ended, and must not make files in a folder that is being emptied.
func discard(dir string) error {
	gone := filepath.Join(filepath.Dir(dir), gonePrefix+filepath.Base(dir))
	if err := os.Rename(dir, gone); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(gone)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// endAll ends the nodes of a record, each with its own signal.
func (s *System) endAll(ctx context.Context, rec record) error {
	var nodes []string
	for node := range rec.Nodes {
		nodes = append(nodes, node)
	}
	return errors.Join(target.Each(nodes, func(node string) error {
		signal := syscall.SIGQUIT // of one that target.yaml has no more: PostgreSQL leaves no shared memory behind then
		if n, ok := s.spec(node); ok {
			signal = endSignals()[endSignal(n)]
		}
		if err := end(ctx, rec.Nodes[node], signal); err != nil {
			return fmt.Errorf("end node %s: %w", node, err)
		}
		return nil
	})...)
}
