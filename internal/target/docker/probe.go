package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"chaos/internal/packet"
	"chaos/internal/resolver"
	"chaos/internal/slowdisk"
	"chaos/internal/target"
)

// Probed is what trying out what faults need of the engine's machine has shown.
type Probed struct {
	Lacks   map[target.Verb]string // what the engine's machine lacks for a verb
	Untried string                 // why nothing could be tried, or ""
}

// trial finds out whether the machine has what some verbs need, in a container with namespaces of its own.
type trial struct {
	verbs []target.Verb
	cmd   []string
	caps  []string
	read  func(line string) (lacks map[target.Verb]string, err error)
}

// trials are all there are. A verb that is in none needs nothing of a kernel that an engine does not need itself.
func trials() ([]trial, error) {
	packets, err := json.Marshal(packet.Request{Op: packet.OpProbe})
	net := []string{"NET_ADMIN"}
	return []trial{
		{[]target.Verb{target.VerbLoss, target.VerbDelay}, []string{"packet", string(packets)}, net, func(line string) (map[target.Verb]string, error) {
			a, err := said[packet.Answer](line)
			return map[target.Verb]string{target.VerbLoss: a.Lacks[packet.OpLoss], target.VerbDelay: a.Lacks[packet.OpDelay]}, err
		}},
		{[]target.Verb{target.VerbNames}, []string{"resolver", "probe"}, net, func(line string) (map[target.Verb]string, error) {
			a, err := said[resolver.Answer](line)
			return map[target.Verb]string{target.VerbNames: a.Lacks}, err
		}},
		{[]target.Verb{target.VerbSlow}, []string{"slowdisk", "try", "/dev/shm"}, tracing(), func(line string) (map[target.Verb]string, error) {
			lacks := ""
			if _, err := said[slowdisk.Answer](line); err != nil { // it does to a process of its own what makes a disk slow
				lacks = err.Error()
			}
			return map[target.Verb]string{target.VerbSlow: lacks}, nil
		}},
	}, err
}

// probeWithin bounds one call of Probe.
const probeWithin = 10 * time.Second

// Probe tries what faults need of the engine's machine. It builds and pulls nothing: without the proxy's image
// nothing is tried. t may be nil. With verbs, only what they need is tried.
func (r *Runtime) Probe(ctx context.Context, t *target.Topology, verbs ...target.Verb) (p Probed, err error) {
	all, err := trials()
	if err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	s := &System{topology: t, suite: "probe-" + target.Token(4)}
	s.run = s.suite
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
	s.images = map[string]string{proxyImage: image}
	if s.owner, err = s.self(ctx); err != nil {
		return p, err
	}
	p.Lacks = map[target.Verb]string{}
	for _, trial := range all {
		if len(verbs) > 0 && !slices.ContainsFunc(verbs, trial.has) {
			continue
		}
		if err := s.try(ctx, trial, p.Lacks); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (t trial) has(v target.Verb) bool { return slices.Contains(t.verbs, v) }

// try notes what the machine lacks.
func (s *System) try(ctx context.Context, t trial, lacks map[target.Verb]string) error {
	b, err := s.beside(ctx, t.cmd[0]+"-"+target.Token(4), t.cmd...)
	if err != nil {
		return err
	}
	b.host.CapAdd = t.caps
	line, err := s.d.runBeside(ctx, b)
	if err != nil {
		return fmt.Errorf("try out what %s needs: %w", t.verbs[0], err)
	}
	found, err := t.read(line)
	if err != nil {
		return fmt.Errorf("try out what %s needs: %w", t.verbs[0], err)
	}
	for verb, words := range found {
		if words != "" {
			lacks[verb] = target.OneLine(words)
		}
	}
	return nil
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

// lacking returns what Capabilities.Lacking is: each thing is tried at most once, when a fault that needs it is
// planned. What can't be tried is taken to be there; then the fault itself fails, by name.
func (r *Runtime) lacking(ctx context.Context) func(target.Verb) string {
	all, err := trials()
	if err != nil {
		return nil
	}
	probed := map[target.Verb]func() string{}
	for _, t := range all {
		once := sync.OnceValue(func() map[target.Verb]string {
			p, err := r.Probe(context.WithoutCancel(ctx), nil, t.verbs...)
			if err != nil {
				return nil
			}
			return p.Lacks
		})
		for _, v := range t.verbs {
			probed[v] = func() string { return once()[v] }
		}
	}
	return func(v target.Verb) string {
		if lacks := probed[v]; lacks != nil {
			return lacks()
		}
		return ""
	}
}
