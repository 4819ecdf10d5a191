package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"chaos/internal/edge"
	"chaos/internal/target"
)

// The proxy goes back to neutral by itself when nobody renews its lease: the last line behind the
// ledger, the watchdog and chaos heal, for when all of these are dead.
const (
	LeaseTTL   = 20 * time.Second
	LeaseEvery = 4 * time.Second // several renewals may fail before the lease runs out
)

// keepLease renews the lease of the system's proxy until end is called, which waits for that. What is healed needs
// no lease any more, so end(true) ends it; what is not then runs out with it. failed is told of a bug in here.
func keepLease(ctx context.Context, sys target.System, t *target.Topology, failed func(error)) (end func(healed bool)) {
	p, ok := sys.(target.Proxied)
	if !ok || len(t.Edges) == 0 {
		return func(bool) {}
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx)) // Ctrl-C does not end it: healing comes first
	stopped := make(chan bool, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := safely(func() error { lease(renewing, p, t.Edges[0].Name, stopped); return nil }); err != nil {
			failed(fmt.Errorf("the proxy's lease failed: %w", err))
		}
	})
	return func(healed bool) {
		stopped <- healed
		stop()
		wg.Wait()
	}
}

// lease renews at once and every LeaseEvery until ctx ends; healed then tells how.
func lease(ctx context.Context, p target.Proxied, edgeName string, healed <-chan bool) {
	renew := func(ctx context.Context, ttl time.Duration) error {
		client, _, err := p.Link(ctx, edgeName)
		if err == nil {
			_, err = client.Renew(ctx, ttl)
		}
		return err
	}
	t := time.NewTicker(LeaseEvery)
	defer t.Stop()
	for {
		// An error is the proxy's: a fault on it does not get confirmed then, or is seen not to have lasted.
		if err := renew(ctx, LeaseTTL); errors.Is(err, edge.ErrStock) {
			return // a stock toxiproxy knows no lease
		}
		select {
		case <-t.C:
			continue
		case <-ctx.Done():
		}
		if <-healed {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), edge.CallTimeout)
			defer cancel()
			_ = renew(ctx, 0) // else it runs out, and finds everything neutral
		}
		return
	}
}
