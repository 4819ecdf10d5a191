// Package process runs a target as local processes on 127.0.0.1: the same target.yaml, with the
// machine's own PostgreSQL and Redis, and no Docker.
//
//	Start:  programs ─▶ folder + record ─▶ ports ─▶ proxy + links ┐
//	                                  └──▶ stateful nodes ─────────┴─▶ prepare ─▶ reset steps ─▶ stateless nodes ─▶ ready
//	Reset:  end stateless nodes ─▶ reset steps + fresh links ─▶ stateless nodes ─▶ ready
//	Close:  end every process ─▶ remove the folder
//
// All that is known of a target is in its folder's record (record.go), so another process takes hold of
// it by the suite's id, and Sweep ends what dead processes left by their own records: a pid counts only
// with the start time that was written down beside it, and never by its name.
//
// Unless it is kept, a target dies with the process that started it: on Linux the kernel ends each node
// with that node's own signal; elsewhere the watchdog of chaos run does, through Sweep.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

const name = "process"

// Config is what the runtime needs beside a topology.
type Config struct {
	// ModuleRoot is where the go: recipes are built, and ./cmd/chaos when Binary is empty.
	// Empty: the nearest folder with a go.mod, upwards of target.yaml.
	ModuleRoot string
	// Binary is this program: it is the proxy and the stand-ins.
	Binary string
	// Scratch is the folder that holds the targets' folders; empty is one of this user's own in the
	// machine's temporary folder. Its path must be short: PostgreSQL's socket lies in it.
	Scratch string
	// AllowSubstitutes lets a built-in stand-in serve for a program that the machine lacks.
	AllowSubstitutes bool
}

// Runtime starts targets as processes. It holds nothing open.
type Runtime struct{ config Config }

var (
	_ target.Runtime   = (*Runtime)(nil)
	_ target.Custodian = (*Runtime)(nil)
)

// New returns the runtime. It touches nothing.
func New(c Config) *Runtime { return &Runtime{config: c} }

// Name is "process".
func (r *Runtime) Name() string { return name }

// Declared is what this runtime can do; whether a disk can be slow depends on the machine besides, see TryTracing.
func Declared() target.Capabilities {
	return target.Capabilities{
		Runtime: name,
		Verbs:   []target.Verb{target.VerbSignal, target.VerbPause, target.VerbReplace, target.VerbSlow, target.VerbEdge, target.VerbCall, target.VerbLogs, target.VerbExec},
	}
}

// Capabilities needs nothing to run: what a target lacks on this machine is told by Start, by name.
func (r *Runtime) Capabilities(ctx context.Context) (target.Capabilities, error) {
	c := Declared()
	c.Lacking = r.lacking(ctx)
	return c, nil
}

// scratch is the folder that holds all targets' folders of this user.
func (r *Runtime) scratch() string {
	if r.config.Scratch != "" {
		return r.config.Scratch
	}
	// Not the user's own temporary folder: as root, nodes run as somebody else, who must get there.
	return filepath.Join(string(filepath.Separator), "tmp", "chaos-process-"+strconv.Itoa(os.Getuid()))
}

// closeWithin bounds the removal of a target that could not be started.
const closeWithin = 20 * time.Second

// Start finds and builds the programs and brings the whole target up. On error nothing is left, and the
// error names the node at fault with its last log lines.
func (r *Runtime) Start(ctx context.Context, t *target.Topology, o target.Options) (target.System, error) {
	if err := r.check(t); err != nil {
		return nil, err
	}
	s := r.system(t)
	if o.Progress != nil {
		s.progress = o.Progress
	}
	programs, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.begin(o, programs); err != nil {
		return nil, err
	}
	if err := s.up(ctx); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		if left := s.Close(undo); left != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", target.ErrLeft, left))
		}
		return nil, err
	}
	return s, nil
}

func (r *Runtime) system(t *target.Topology) *System {
	return &System{runtime: r, topology: t, progress: func(string) {}}
}

// check refuses what this runtime can't start, before anything is touched.
func (r *Runtime) check(t *target.Topology) error {
	errs := []error{target.Check(t)}
	for _, n := range t.Nodes {
		if _, ok := t.Image[n.Image]; !ok {
			errs = append(errs, fmt.Errorf("node %s: there is no image %q", n.Name, n.Image))
		}
		if _, ok := endSignals()[endSignal(n)]; !ok {
			errs = append(errs, fmt.Errorf("node %s: end_signal %q: want TERM, INT, QUIT or KILL", n.Name, n.EndSignal))
		}
	}
	for _, e := range t.Edges {
		if _, err := target.Upstream(t, places{}, e); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("target %s as processes: %w", t.Name, err)
	}
	return nil
}

// suiteForm is what may stand in names of folders.
var suiteForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$`)

// begin makes the new target's folder and its record, with its tokens and its ports.
func (s *System) begin(o target.Options, programs map[string]program) error {
	suite := o.Suite
	if suite == "" {
		suite = target.Token(6)
	}
	if !suiteForm.MatchString(suite) {
		return fmt.Errorf("suite id %q: want at most 63 letters, digits, dashes and underscores", suite)
	}
	if err := s.topology.Knows(o.Variant); err != nil {
		return err
	}
	owner, err := self()
	if err != nil {
		return err
	}
	rec := record{
		Version: recordVersion, Suite: suite, Target: s.topology.Name, Keep: o.Keep, Owner: owner,
		Variant: o.Variant, Run: o.Run, Programs: programs, Nodes: map[string]proc{}, Secrets: map[string]string{},
	}
	if rec.Boot, err = target.BootID(); err != nil {
		return err
	}
	if rec.Run == "" {
		rec.Run = suite
	}
	for _, name := range s.topology.Secrets {
		rec.Secrets[name] = target.Token(16)
	}
	if s.topology.Collects() {
		rec.Secrets[target.CollectorSecret] = target.Token(16)
	}
	return s.found(rec)
}

// found makes the folder. Ports are picked while no other target of this user can pick the same.
func (s *System) found(rec record) error {
	if err := s.runtime.base(); err != nil {
		return err
	}
	unlock, err := lock(s.runtime.scratch())
	if err != nil {
		return err
	}
	defer unlock()
	s.suite, s.dir = rec.Suite, filepath.Join(s.runtime.scratch(), rec.Suite)
	if rec.Ports, err = s.allot(); err != nil {
		return err
	}
	if err := os.Mkdir(s.dir, dirMode); err != nil {
		dir := s.dir
		s.dir = "" // not ours to remove
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("suite %s is on this machine already (%s); attach to it, close it, or take another id", rec.Suite, dir)
		}
		return fmt.Errorf("make the target's folder: %w", err)
	}
	return s.save(rec)
}

// base makes the folder that holds all targets, and refuses one that somebody else put there.
func (r *Runtime) base() error {
	dir := r.scratch()
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the folder for targets: %w", err)
	}
	mine, err := owned(dir)
	if err != nil {
		return fmt.Errorf("look at the folder for targets: %w", err)
	}
	if !mine {
		return fmt.Errorf("the folder for targets, %s, is not a folder of this user's own: remove it", dir)
	}
	return os.Chmod(dir, dirMode)
}

// self is the owner that this process writes on what it makes.
func self() (journal.Owner, error) { return target.Self(name) }

// handle is what System.Handle encodes: where to find the record, and no token.
type handle struct {
	Runtime string `json:"runtime"`
	Suite   string `json:"suite"`
}

// Attach takes hold of a running target in another process. It changes nothing. A target whose owner is
// dead and that was not kept is gone: its processes die with it, and Sweep ends the stragglers.
func (r *Runtime) Attach(_ context.Context, t *target.Topology, raw json.RawMessage) (target.System, error) {
	var h handle
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("read the target's handle: %w", err)
	}
	if h.Runtime != name || !suiteForm.MatchString(h.Suite) {
		return nil, fmt.Errorf("handle of runtime %q, suite %q: not one of runtime process", h.Runtime, h.Suite)
	}
	if err := r.check(t); err != nil {
		return nil, err
	}
	s := r.system(t)
	s.suite, s.dir = h.Suite, filepath.Join(r.scratch(), h.Suite)
	rec, err := s.read()
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && !rec.Keep && !target.Alive(rec.Owner):
		return nil, fmt.Errorf("attach to suite %s: %w", h.Suite, target.ErrGone)
	case err != nil:
		return nil, fmt.Errorf("attach to suite %s: %w", h.Suite, err)
	case rec.Target != t.Name:
		return nil, fmt.Errorf("attach to suite %s: it is target %q, not %q", h.Suite, rec.Target, t.Name)
	}
	return s, nil
}
