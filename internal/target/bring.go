package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// What runtimes share in bringing a target up: order, steps, and waiting.

// Check refuses what no runtime can start, before anything is touched.
func Check(t *Topology) error {
	var errs []error
	for _, n := range t.Nodes {
		if err := checkNode(t, n); err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", n.Name, err))
		}
	}
	if cycle := cyclic(t.Nodes); cycle != "" {
		errs = append(errs, fmt.Errorf("node %s waits for itself (after:)", cycle))
	}
	for _, s := range slices.Concat(t.Prepare, t.ResetSteps) {
		if _, ok := t.Node(s.Node); !ok || len(s.Exec) == 0 {
			errs = append(errs, fmt.Errorf("step on node %q: want a node and a command", s.Node))
		}
	}
	return errors.Join(errs...)
}

func checkNode(t *Topology, n NodeSpec) error {
	var errs []error
	if n.Name == ProxyNode {
		errs = append(errs, fmt.Errorf("the name %q is the built-in proxy's", ProxyNode))
	}
	if n.Name == CollectorNode && t.Collects() {
		errs = append(errs, fmt.Errorf("the name %q is the built-in collector's, which {{collector}} asks for", CollectorNode))
	}
	for _, a := range n.After {
		after, ok := t.Node(a)
		if !ok {
			errs = append(errs, fmt.Errorf("after: there is no node %q", a))
		} else if n.Stateful && !after.Stateful {
			errs = append(errs, fmt.Errorf("after: stateful node %s can't wait for %s, which is made anew for each run", n.Name, a))
		}
	}
	if n.Ready != nil && n.Ready.HTTP != "" && !n.Ports[n.Ready.Port].Publish {
		errs = append(errs, fmt.Errorf("ready: port %q must be published to be asked", n.Ready.Port))
	}
	return errors.Join(errs...)
}

// cyclic returns a node that waits for itself, or "".
func cyclic(nodes []NodeSpec) string {
	has := func(name string) bool {
		return slices.ContainsFunc(nodes, func(n NodeSpec) bool { return n.Name == name })
	}
	done := map[string]bool{}
	for progress := true; progress; {
		progress = false
		for _, n := range nodes {
			if done[n.Name] || slices.ContainsFunc(n.After, func(a string) bool { return !done[a] }) {
				continue
			}
			done[n.Name], progress = true, true
		}
	}
	for _, n := range nodes {
		if !done[n.Name] && !slices.ContainsFunc(n.After, func(a string) bool { return !has(a) }) {
			return n.Name
		}
	}
	return ""
}

// Split returns the nodes that stay up between runs and those that don't.
func Split(nodes []NodeSpec) (stateful, stateless []NodeSpec) {
	for _, n := range nodes {
		if n.Stateful {
			stateful = append(stateful, n)
		} else {
			stateless = append(stateless, n)
		}
	}
	return stateful, stateless
}

// Names are the nodes' names in one line, for people.
func Names(nodes []NodeSpec) string {
	all := make([]string, len(nodes))
	for i, n := range nodes {
		all[i] = n.Name
	}
	return strings.Join(all, ", ")
}

// Knows returns an error when the topology has no such variant. No name is no overlay.
func (t *Topology) Knows(variant string) error {
	if _, ok := t.Variants[variant]; ok || variant == "" {
		return nil
	}
	return fmt.Errorf("target %s has no variant %q", t.Name, variant)
}

// Each calls f for all items at once and returns the errors in their order.
func Each[T any](items []T, f func(T) error) []error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = f(item) })
	}
	wg.Wait()
	return errs
}

// Bring starts nodes, all at once but for what waits for others (after:), and returns when every one
// is ready. start returns when its node is. The first failure cancels the rest.
func Bring(ctx context.Context, nodes []NodeSpec, start func(context.Context, NodeSpec) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ready := make(map[string]chan struct{}, len(nodes))
	for _, n := range nodes {
		ready[n.Name] = make(chan struct{})
	}
	one := func(n NodeSpec) error {
		for _, a := range n.After {
			if ch, ok := ready[a]; ok { // the others were ready before
				select {
				case <-ch:
				case <-ctx.Done():
				}
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := start(ctx, n); err != nil {
			return err
		}
		close(ready[n.Name])
		return nil
	}
	var mu sync.Mutex
	var first error
	Each(nodes, func(n NodeSpec) error {
		err := one(n)
		mu.Lock()
		defer mu.Unlock()
		if err != nil && first == nil {
			first = err
			cancel(err)
		}
		return err
	})
	return first
}

// Builder is what a runtime's system does for Up.
type Builder interface {
	// Bring starts nodes and returns when every one is ready.
	Bring(ctx context.Context, nodes []NodeSpec) error
	// Relink makes every edge's link anew.
	Relink(ctx context.Context) error
	// Steps runs commands inside nodes, one after the other.
	Steps(ctx context.Context, phase string, steps []Step) error
}

// Up brings a whole target up, in the order in which its parts need each other; builtins are
// the nodes that are not in target.yaml.
func Up(ctx context.Context, t *Topology, builtins []NodeSpec, b Builder, progress func(string)) error {
	stateful, stateless := Split(t.Nodes)
	progress("starting " + Names(slices.Concat(builtins, stateful)))
	if err := b.Bring(ctx, slices.Concat(builtins, stateful)); err != nil {
		return err
	}
	if err := b.Relink(ctx); err != nil {
		return err
	}
	progress("preparing")
	if err := b.Steps(ctx, "prepare", t.Prepare); err != nil {
		return err
	}
	if err := b.Steps(ctx, "reset", t.ResetSteps); err != nil {
		return err
	}
	progress("starting " + Names(stateless))
	if err := b.Bring(ctx, stateless); err != nil {
		return err
	}
	progress("ready")
	return nil
}

// ExecResult is how a command inside a node ended.
type ExecResult struct {
	Code   int
	Stdout string
	Stderr string
}

// Exec runs a command inside a node, with a file as its standard input or none. A code other than 0 is
// no error.
type Exec func(ctx context.Context, node string, command []string, stdin *os.File) (ExecResult, error)

// RunSteps runs the steps of prepare or reset, one after the other.
func RunSteps(ctx context.Context, e Expander, phase string, steps []Step, exec Exec) error {
	for i, step := range steps {
		if err := runStep(ctx, e, step, exec); err != nil {
			return fmt.Errorf("%s step %d on %s: %w", phase, i+1, step.Node, err)
		}
	}
	return nil
}

func runStep(ctx context.Context, e Expander, step Step, exec Exec) error {
	command, err := e.ExpandAll(step.Node, step.Exec)
	if err != nil {
		return err
	}
	var stdin *os.File
	if step.Stdin != "" {
		if stdin, err = open(e.Topology, step.Stdin); err != nil {
			return err
		}
		defer stdin.Close()
	}
	res, err := exec(ctx, step.Node, command, stdin)
	if err != nil {
		return err
	}
	if res.Code != 0 {
		return fmt.Errorf("%s exited with %d: %s", strings.Join(step.Exec, " "), res.Code, OneLine(res.Stderr+res.Stdout))
	}
	if got := strings.TrimSpace(res.Stdout); step.Want != nil && got != strings.TrimSpace(*step.Want) {
		return fmt.Errorf("%s printed %q, want %q", strings.Join(step.Exec, " "), got, *step.Want)
	}
	return nil
}

// open opens a file beside target.yaml; never one outside that folder.
func open(t *Topology, name string) (*os.File, error) {
	dir, err := os.OpenRoot(filepath.Dir(t.Path))
	if err != nil {
		return nil, fmt.Errorf("open the folder of target.yaml: %w", err)
	}
	defer dir.Close()
	return dir.Open(name)
}

// Limits of waiting for a node.
const (
	PollEvery    = 25 * time.Millisecond
	readyDefault = 30 * time.Second // when the node names no deadline
)

// WaitReady polls a node's health check until it holds. probe asks once; running says whether there is
// a process that may still become ready. It gives up at the node's deadline, or at once when the node
// is not running; the error ends with tail, the node's last log lines.
func WaitReady(ctx context.Context, n NodeSpec, probe func(context.Context) (running bool, err error), tail func() string) error {
	limit := readyDefault
	if n.Ready != nil && n.Ready.Within > 0 {
		limit = n.Ready.Within
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		running, err := probe(bounded)
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrUnresponsive) {
			return err
		}
		if !running && bounded.Err() == nil {
			return fmt.Errorf("node %s is not running: %w%s%s", n.Name, err, LastLines, tail())
		}
		if Pause(bounded, PollEvery) == nil {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for node %s: %w", n.Name, context.Cause(ctx))
		}
		return fmt.Errorf("node %s was not ready within %v: %w%s%s", n.Name, limit, err, LastLines, tail())
	}
}

// Pause waits, or returns the context's error.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// LastLines stands in an error before the end of a node's log.
const LastLines = "; its last lines:"

// TailLines is how much of a log an error message shows.
const TailLines = 15

// Indent lays out the last lines of a log for an error message.
func Indent(log string) string {
	if strings.TrimSpace(log) == "" {
		return "\n    (its log is empty)"
	}
	return "\n    " + strings.ReplaceAll(strings.TrimRight(log, "\n"), "\n", "\n    ")
}
