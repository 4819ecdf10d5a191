package target

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chaos/internal/edge"
)

// Links is the one client of a system's proxy, for as long as the proxy's API stays at its address: it
// knows which of its own calls were given up and may still land.
type Links struct {
	mu     sync.Mutex
	addr   string
	client *edge.Client
}

// ErrProxyDown is wrapped by Link when the runtime says that the proxy does not run: every toxic is gone with
// it. A proxy that does not answer, or an engine that does not, is another thing.
var ErrProxyDown = errors.New("the proxy does not run")

// Lost is why the proxy can't be found: cause, and ErrProxyDown when it is known not to run.
func Lost(ctx context.Context, s Signaller, cause error) error {
	if st, err := s.State(ctx, ProxyNode); err == nil && !st.Running {
		return fmt.Errorf("find the proxy: %w: %w", ErrProxyDown, cause)
	}
	return fmt.Errorf("find the proxy: %w", cause)
}

// At returns the client of the proxy whose API is at addr.
func (l *Links) At(addr string) *edge.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == nil || l.addr != addr {
		l.addr, l.client = addr, edge.New(addr)
	}
	return l.client
}

// Relink makes every edge's link anew: no toxic, and no connection of an earlier run. listen is where the
// link of the i-th edge listens, the same for the target's whole life, as the nodes were told.
func Relink(ctx context.Context, c *edge.Client, t *Topology, at Places, listen func(i int) string) error {
	index := make([]int, len(t.Edges))
	for i := range index {
		index[i] = i
	}
	return errors.Join(Each(index, func(i int) error {
		e := t.Edges[i]
		to, err := Upstream(t, at, e)
		if err != nil {
			return err
		}
		if err := c.Create(ctx, e.Name, listen(i), to); err != nil {
			return fmt.Errorf("link of edge %s: %w", e.Name, err)
		}
		return nil
	})...)
}
