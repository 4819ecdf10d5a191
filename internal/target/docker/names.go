package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/resolver"
	"chaos/internal/target"
)

// A node's lookups go to the engine's resolver, 127.0.0.11 in its network namespace. While a fault is on a name
// they are redirected to a resolver of ours in the same namespace, which passes on what the fault does not name:
//
//	node ─── network namespace ─── chaos resolver run '{rule}'   NET_ADMIN and nothing else, read-only, no volume
//
// Told to end, it takes the redirection back first and answers what waits. What is left when it was killed
// another one takes back, which only does that.

// labelNames marks it, with the id of the fault.
const labelNames = "chaos.names"

func (s *System) namesOf(node string) string { return "names-" + node }

// SetName starts the resolver.
func (s *System) SetName(ctx context.Context, node, id string, f target.NameFault) error {
	c, err := s.inspected(ctx, node)
	if err == nil && !c.State.Running {
		err = fmt.Errorf("node %s does not run, so it looks nothing up", node)
	}
	if err != nil {
		return err
	}
	rule, err := s.rule(ctx, f)
	if err != nil {
		return err
	}
	there, found, err := s.d.inspect(ctx, s.container(s.namesOf(node)))
	switch {
	case err != nil:
		return err
	case found && there.Config.Labels[labelNames] != id:
		return fmt.Errorf("another fault is on the names of node %s: %s", node, there.Config.Labels[labelNames])
	case found:
		if err := s.ClearName(ctx, node, id); err != nil {
			return err
		}
	}
	text, err := json.Marshal(rule)
	if err != nil {
		return err
	}
	b, err := s.beside(ctx, s.namesOf(node), "resolver", "run", string(text))
	if err != nil {
		return err
	}
	b.labels[labelNames], b.labels[labelBeside] = id, node
	inNetwork(&b, c)
	line, err := s.d.startBeside(ctx, b)
	if err == nil {
		_, err = said[resolver.Answer](line)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("in the network namespace of node %s: %w", node, err), s.ClearName(context.WithoutCancel(ctx), node, id))
	}
	return nil
}

// inNetwork joins a container's network namespace, with the right to change its rules.
func inNetwork(b *beside, c container.InspectResponse) {
	b.host.NetworkMode = container.NetworkMode("container:" + c.ID)
	b.host.CapAdd = []string{"NET_ADMIN"}
}

// rule is a fault as the resolver knows it.
func (s *System) rule(ctx context.Context, f target.NameFault) (resolver.Rule, error) {
	r := resolver.Rule{Name: f.Name, Do: resolver.NoSuchHost}
	switch {
	case f.Late > 0:
		r.Do, r.Late = resolver.Slow, f.Late
	case f.Answer != "":
		r.Do = resolver.Wrong
		text := f.Answer
		if _, ok := s.spec(text); ok {
			c, err := s.inspected(ctx, text)
			if err != nil {
				return r, err
			}
			at := c.NetworkSettings.Networks[s.networkName]
			if at == nil || at.IPAddress == "" {
				return r, fmt.Errorf("node %s, which is to be the answer, has no address on the target's network", text)
			}
			text = at.IPAddress
		}
		var err error
		if r.Address, err = netip.ParseAddr(text); err != nil {
			return r, fmt.Errorf("the answer %q is neither a node nor an address: %w", f.Answer, err)
		}
	}
	return r, r.Check()
}

// Name asks the resolver.
func (s *System) Name(ctx context.Context, node string) (st target.NameState, err error) {
	c, found, err := s.d.inspect(ctx, s.container(s.namesOf(node)))
	if err != nil {
		return st, err
	}
	n, err := s.inspected(ctx, node)
	if err != nil {
		return st, err
	}
	if !found {
		return s.unattended(ctx, node, n)
	}
	st.ID = c.Config.Labels[labelNames]
	switch {
	case !n.State.Running:
		st.Missed = "the node does not run"
	case !c.State.Running:
		st.Missed = fmt.Sprintf("the resolver of the fault has ended (%s)", ended(stateOf(c)))
	case c.HostConfig.NetworkMode != container.NetworkMode("container:"+n.ID) || engineTime(n.State.StartedAt).After(engineTime(c.State.StartedAt)):
		st.Missed = "the node was started anew, and its lookups are as before"
	}
	if !c.State.Running {
		return st, nil
	}
	res, err := s.d.exec(ctx, s.container(s.namesOf(node)), lookWithin, []string{s.program(c), "resolver", "look"}, nil)
	if err != nil {
		return st, err
	}
	a, err := said[resolver.Answer](res.Stdout)
	if err != nil {
		return st, fmt.Errorf("look at the names of node %s: %w %s", node, err, target.OneLine(res.Stderr))
	}
	if a.Rule == nil || a.Counts == nil || !a.Redirected {
		st.Missed = "the lookups of the node are not redirected: something else took that back"
		return st, nil
	}
	st.Fault = a.Rule.Name + " " + a.Rule.Do
	st.Hit, st.Done, st.Late, st.Held, st.Passed = a.Counts.Hit, a.Counts.Done, a.Counts.Late, a.Counts.Held, a.Counts.Passed
	return st, nil
}

// program is what a container of the proxy's image runs.
func (s *System) program(c container.InspectResponse) string { return c.Path }

// unattended looks for a redirection whose resolver is gone: then nothing is looked up at all.
func (s *System) unattended(ctx context.Context, node string, n container.InspectResponse) (st target.NameState, err error) {
	if !n.State.Running {
		return st, nil
	}
	a, err := s.visitNames(ctx, node, n, "look")
	if err == nil && a.Redirected {
		st.ID, st.Missed = "nobody's", "its lookups are redirected to a resolver that is gone"
	}
	return st, err
}

// visitNames does one thing in a node's network namespace. With the node its namespace is gone.
func (s *System) visitNames(ctx context.Context, node string, n container.InspectResponse, do string) (a resolver.Answer, err error) {
	b, err := s.beside(ctx, "visit-"+target.Token(4), "resolver", do)
	if err != nil {
		return a, err
	}
	inNetwork(&b, n)
	a, err = ask[resolver.Answer](ctx, s.d, b)
	if err != nil {
		if now, look := s.State(ctx, node); look == nil && !now.Running {
			return resolver.Answer{}, nil
		}
		return a, fmt.Errorf("in the network namespace of node %s: %w", node, err)
	}
	return a, nil
}

// ClearName ends the resolver and, unless that says that it took the redirection back, does so itself.
func (s *System) ClearName(ctx context.Context, node, id string) error {
	return s.clearBeside(ctx, node, s.container(s.namesOf(node)), labelNames, id, func(n container.InspectResponse) error {
		if !n.State.Running {
			return nil
		}
		_, err := s.visitNames(ctx, node, n, "off")
		return err
	})
}
