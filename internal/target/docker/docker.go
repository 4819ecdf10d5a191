// Package docker runs a target in containers on one private network: testcontainers-go starts them,
// the docker/docker client looks at them, signals and removes them.
//
//	Start:  images ─▶ network ─▶ proxy + links ┐
//	                        └──▶ stateful nodes ┴─▶ prepare ─▶ reset steps ─▶ stateless nodes ─▶ ready
//	Reset:  remove stateless nodes ─▶ reset steps + fresh links ─▶ stateless nodes ─▶ ready
//	Close:  remove containers ─▶ remove network
//
// What is made carries labels (label.go) and a name that holds the suite's id, so nothing needs to be
// remembered: another process takes hold of it by its handle, and Sweep removes what dead processes left.
package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"chaos/internal/target"
)

// Config is what the runtime needs beside a topology.
type Config struct {
	// ModuleRoot is where the go: recipes of images are built, and ./cmd/chaos when Binary is empty.
	// Empty: the nearest folder with a go.mod, upwards of target.yaml.
	ModuleRoot string
	// Binary is a static Linux build of chaos that becomes the proxy's image, usually the running one.
	// Empty, or not static: the image is built from ModuleRoot.
	Binary string
}

// Runtime starts targets in containers. It holds nothing open.
type Runtime struct{ config Config }

var _ target.Runtime = (*Runtime)(nil)

// New returns the runtime. It touches nothing.
func New(c Config) *Runtime { return &Runtime{config: c} }

const runtimeName = "docker"

// Name is "docker".
func (r *Runtime) Name() string { return runtimeName }

// Capabilities asks the engine for an answer; an engine that gives none is a *DaemonError.
func (r *Runtime) Capabilities(ctx context.Context) (target.Capabilities, error) {
	d, err := dial(ctx)
	if err != nil {
		return target.Capabilities{}, err
	}
	c := Declared()
	c.Lacking = r.lacking(ctx)
	return c, d.cli.Close()
}

// Declared is what the runtime can do, known without asking any engine. Whether packets can be lost and delayed
// and disks be slow depends on the machine besides, see Probe.
func Declared() target.Capabilities {
	return target.Capabilities{
		Runtime: runtimeName,
		Verbs: []target.Verb{
			target.VerbSignal, target.VerbPause, target.VerbDisconnect, target.VerbLimit, target.VerbReplace,
			target.VerbLoss, target.VerbDelay, target.VerbNames, target.VerbFill, target.VerbReadOnly, target.VerbSlow,
			target.VerbEdge, target.VerbCall, target.VerbLogs, target.VerbExec,
		},
	}
}

// closeWithin bounds the removal of a target that could not be started.
const closeWithin = 20 * time.Second

// Start makes the images that are missing and brings the whole target up. On error nothing is left,
// and the error names the node at fault with its last log lines.
func (r *Runtime) Start(ctx context.Context, t *target.Topology, o target.Options) (target.System, error) {
	s, err := r.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	err = s.begin(o)
	if err == nil {
		err = s.unused(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.d.cli.Close())
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

// connect dials the engine and checks what the topology asks of this runtime.
func (r *Runtime) connect(ctx context.Context, t *target.Topology) (*System, error) {
	if err := check(t); err != nil {
		return nil, err
	}
	d, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &System{d: d, config: r.config, topology: t, progress: func(string) {}}
	err = prepareTestcontainers(d.cli.DaemonHost())
	if err == nil {
		s.builtins, err = builtins(t)
	}
	if err == nil {
		s.owner, err = s.self(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.cli.Close())
	}
	return s, nil
}

// suiteForm is what may stand in names of containers.
var suiteForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// begin gives the new target its id and its tokens.
func (s *System) begin(o target.Options) error {
	s.suite, s.variant, s.run, s.keep = o.Suite, o.Variant, o.Run, o.Keep
	if o.Progress != nil {
		s.progress = o.Progress
	}
	if s.suite == "" {
		s.suite = target.Token(6)
	}
	if !suiteForm.MatchString(s.suite) {
		return fmt.Errorf("suite id %q: want at most 63 letters, digits, dots, dashes and underscores", s.suite)
	}
	if s.run == "" {
		s.run = s.suite
	}
	if err := s.topology.Knows(s.variant); err != nil {
		return err
	}
	s.secrets = make(map[string]string, len(s.topology.Secrets))
	for _, name := range s.topology.Secrets {
		s.secrets[name] = target.Token(16)
	}
	if s.topology.Collects() {
		s.secrets[target.CollectorSecret] = target.Token(16)
	}
	return nil
}

// handle is what System.Handle encodes. Tokens stay on the network's label, so that run.json can be
// passed on; folders of runs are 0700 all the same.
type handle struct {
	Runtime string `json:"runtime"`
	Suite   string `json:"suite"`
	Network string `json:"network"` // id
	Keep    bool   `json:"keep,omitempty"`
}

// Attach takes hold of a running target in another process. It changes nothing. Nodes may be down:
// healing is what it is mostly used for.
func (r *Runtime) Attach(ctx context.Context, t *target.Topology, raw json.RawMessage) (target.System, error) {
	var h handle
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("read the target's handle: %w", err)
	}
	if h.Runtime != r.Name() || !suiteForm.MatchString(h.Suite) {
		return nil, fmt.Errorf("handle of runtime %q, suite %q: not one of runtime docker", h.Runtime, h.Suite)
	}
	s, err := r.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	s.suite, s.run, s.keep = h.Suite, h.Suite, h.Keep
	if err := s.find(ctx, h.Network); err != nil {
		return nil, errors.Join(err, s.d.cli.Close())
	}
	return s, nil
}

// ErrGone says that a target was removed: there is nothing left to attach to or to heal.
var ErrGone = target.ErrGone

// find reads back what a starting process knew.
func (s *System) find(ctx context.Context, network string) error {
	n, found, err := s.d.network(ctx, network)
	if err != nil {
		return err
	}
	if !found || n.Labels[LabelSuite] != s.suite {
		return fmt.Errorf("attach to suite %s: %w", s.suite, ErrGone)
	}
	if n.Labels[LabelTarget] != s.topology.Name {
		return fmt.Errorf("attach to suite %s: it is target %q, not %q", s.suite, n.Labels[LabelTarget], s.topology.Name)
	}
	s.network, s.networkName = n.ID, n.Name
	if err := json.Unmarshal([]byte(n.Labels[labelSecrets]), &s.secrets); err != nil {
		return fmt.Errorf("attach to suite %s: read its tokens: %w", s.suite, err)
	}
	made, err := s.d.containers(ctx, LabelSuite+"="+s.suite)
	if err != nil {
		return err
	}
	for _, c := range made {
		spec, ok := s.spec(c.Labels[LabelNode])
		if c.Labels[labelReplaced] != "" { // a fault's, made in the middle of a run
			continue
		}
		if at := time.Unix(c.Created, 0); ok && !spec.Stateful && at.After(s.since) {
			s.since, s.run = at, c.Labels[LabelRun]
		}
	}
	return nil
}
