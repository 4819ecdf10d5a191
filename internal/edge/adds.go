package edge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// adds are the calls that add a toxic and have not ended. One that was given up goes on in the
// background and may land on the link after whatever was done in between, so nothing that takes toxics
// away is certain before it has ended. (The server can't be asked to forget it: a request that waits
// in a socket is known to nobody.)
//
//	AddToxic ─► begun ─► given up after CallTimeout ─► lands, is refused, or ends with the client's 30 s
//	                          └ RemoveToxic, Neutral, Delete wait for that end, and fail without it
type adds struct {
	mu   sync.Mutex
	open []*add
}

// add is one of them.
type add struct {
	proxy, toxic string
	begun        atomic.Bool // or never to begin
	ended        chan struct{}
}

// errGivenUp ends a call that nobody waits for any more before it was made.
var errGivenUp = errors.New("given up before it was made")

// begin notes that a call is about to be made.
func (a *adds) begin(proxy, toxic string) *add {
	n := &add{proxy: proxy, toxic: toxic, ended: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = append(a.open, n)
	return n
}

// end notes that a call can't land any more.
func (a *adds) end(n *add) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = slices.DeleteFunc(a.open, func(o *add) bool { return o == n })
	close(n.ended)
}

// settle waits for the ends of the calls on a proxy ("" for all) that add toxic ("" for any), for
// as long as its client is patient. An error means that one may still land.
func (c *Client) settle(ctx context.Context, proxy, toxic string) error {
	a := &c.adds
	a.mu.Lock()
	open := slices.Clone(a.open)
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	for _, n := range open {
		if (proxy != "" && proxy != n.proxy) || (toxic != "" && n.toxic != "" && toxic != n.toxic) {
			continue
		}
		select {
		case <-n.ended:
		case <-ctx.Done():
			return fmt.Errorf("toxic %s may still be added to %s by a call that was given up: %w", n.toxic, n.proxy, ctx.Err())
		}
	}
	return nil
}
