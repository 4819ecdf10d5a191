package docker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/packet"
	"chaos/internal/target"
)

// Probed is what trying out what faults need of the engine's machine has shown.
type Probed struct {
	Lacks   map[target.Verb]string // what the engine's machine lacks for a verb
	Untried string                 // why nothing could be tried, or ""
}

// probeWithin bounds the whole of it.
const probeWithin = 10 * time.Second

// Probe tries what packet faults and slow disks need of the engine's machine, in containers with namespaces of their
// own. It builds and pulls nothing: without the proxy's image nothing is tried. t may be nil.
func (r *Runtime) Probe(ctx context.Context, t *target.Topology) (p Probed, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	s := &System{topology: t, suite: "probe-" + target.Token(4)}
	if s.d, err = dial(ctx); err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, s.d.cli.Close()) }()
	if t == nil { // then it is this program's, or that of the module around
		here, err := filepath.Abs("target.yaml")
		if err != nil {
			return p, err
		}
		s.topology = &target.Topology{Path: here}
	}
	image, err := r.proxyImageID(ctx, s)
	if err != nil || image == "" {
		return Probed{Untried: untried(err)}, nil
	}
	if s.owner, err = s.self(ctx); err != nil {
		return p, err
	}
	labels, err := s.labels(s.suite)
	if err != nil {
		return p, err
	}
	a, err := s.d.visit(ctx, s.container("packet"), image, container.NetworkMode("none"), labels, packet.Request{Op: packet.OpProbe})
	if err != nil {
		return p, fmt.Errorf("try out packet faults: %w", err)
	}
	p.Lacks = map[target.Verb]string{}
	for op, verb := range map[string]target.Verb{packet.OpLoss: target.VerbLoss, packet.OpDelay: target.VerbDelay} {
		if lacks := a.Lacks[op]; lacks != "" {
			p.Lacks[verb] = lacks
		}
	}
	s.images, s.run = map[string]string{proxyImage: image}, s.suite
	if lacks, err := s.tryTracing(ctx); err != nil {
		return p, fmt.Errorf("try out slow disks: %w", err)
	} else if lacks != "" {
		p.Lacks[target.VerbSlow] = lacks
	}
	return p, nil
}

// tryTracing lets a container do to a process of its own what makes a disk slow, and returns why it can't.
func (s *System) tryTracing(ctx context.Context) (lacks string, err error) {
	b, err := s.beside(ctx, "trace", "slowdisk", "try", "/dev/shm")
	if err != nil {
		return "", err
	}
	delete(b.labels, LabelKeep) // it never outlives who made it
	b.host.CapAdd = tracing()
	line, err := s.d.runBeside(ctx, b)
	if err != nil {
		return "", err
	}
	if _, err := slowdiskSaid(line); err != nil {
		return err.Error(), nil
	}
	return "", nil
}

func untried(err error) string {
	if err != nil {
		return target.OneLine(err.Error())
	}
	return "image " + proxyImage + " is not built"
}

// proxyImageID is the id of the proxy's image, or "" when it is not there.
func (r *Runtime) proxyImageID(ctx context.Context, s *System) (string, error) {
	engine, err := s.d.cli.ServerVersion(ctx)
	if err != nil {
		return "", err
	}
	w := r.config.wanted(s.topology)
	m := maker{d: s.d, w: w, key: proxyImage, arch: engine.Arch, say: func(string) {}}
	return m.present(ctx, w.images[proxyImage])
}

// lacking returns what Capabilities.Lacking is: the machine is tried at most once, when a packet fault or a slow disk
// is planned. What can't be tried is taken to be there; then the fault itself fails, by name.
func (r *Runtime) lacking(ctx context.Context) func(target.Verb) string {
	probed := sync.OnceValue(func() Probed {
		p, err := r.Probe(context.WithoutCancel(ctx), nil)
		if err != nil {
			return Probed{}
		}
		return p
	})
	return func(v target.Verb) string {
		switch v {
		case target.VerbLoss, target.VerbDelay, target.VerbSlow:
			return probed().Lacks[v]
		}
		return ""
	}
}
