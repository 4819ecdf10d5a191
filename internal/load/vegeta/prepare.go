package vegeta

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

const (
	prepareWorkers = 25               // requests at a time
	prepareWithin  = 10 * time.Second // how long a load waits for its first ids
	prepareRounds  = 3                // as some are declined, what is missing is tried again
	preparePoll    = 20 * time.Millisecond
)

// want makes room for the ids that this load needs.
func (c *client) want() {
	for _, n := range c.needs {
		c.session.Acks.Want(n.acks, n.Keep)
	}
}

// prepare makes the ids that this load needs, or waits for the load that does. When the time is up
// it goes on with what there is: a request without an id is recorded as never sent, and that makes
// the run INVALID.
func (c *client) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	for _, n := range c.needs {
		if c.session.Acks.Claim(n.acks) {
			if err := c.create(ctx, n); err != nil {
				return fmt.Errorf("preparing ids for %s: %w", c.load.Op, err)
			}
			continue
		}
		c.await(ctx, n)
	}
	return nil
}

// await waits until another load has prepared some of n: the first will do.
func (c *client) await(ctx context.Context, n need) {
	tick := time.NewTicker(preparePoll)
	defer tick.Stop()
	for c.session.Acks.Len(n.acks) == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// create makes n.Prepare ids by op n.From. They are recorded as preparations of the load that drives
// that op, so that what they brought about is looked for; their seq carries our index, as several
// loads may prepare by one op.
func (c *client) create(ctx context.Context, n need) error {
	t, maker, as, err := c.maker(n)
	if err != nil {
		return err
	}
	defer maker.close()
	rng := rand.New(rand.NewPCG(c.session.Rand.Uint64(), c.session.Rand.Uint64()))
	for range prepareRounds {
		missing := min(n.Prepare, n.Keep) - c.session.Acks.Len(n.acks)
		if missing <= 0 || ctx.Err() != nil {
			break
		}
		jobs := make(chan request, missing)
		for range missing {
			jobs <- request{seq: uint64(c.session.Index)<<32 | c.made, trace: newTrace(rng)}
			c.made++
		}
		close(jobs)
		var wg sync.WaitGroup
		for range min(prepareWorkers, missing) {
			wg.Go(func() {
				for r := range jobs {
					if ctx.Err() == nil {
						c.createOne(ctx, maker, t, as, r)
					}
				}
			})
		}
		wg.Wait()
	}
	return maker.refusal()
}

// maker is the client that sends op n.From, and the index of the load that its requests count for.
func (c *client) maker(n need) (*template, *client, journal.OpID, error) {
	as, node := c.session.Index, c.load.Node
	for i, l := range c.session.Loads {
		if l.Op == n.From {
			as, node = journal.OpID(i), l.Node
			break
		}
	}
	by := &Load{Node: node, Op: n.From, Rate: c.load.Rate, Arrivals: c.load.Arrivals, Timeout: c.load.Timeout}
	maker, err := newClient(by, c.session, prepareWorkers)
	if err != nil {
		return nil, nil, 0, err
	}
	return maker.template, maker, as, nil
}

// createOne sends one preparation, due now.
func (c *client) createOne(ctx context.Context, maker *client, t *template, as journal.OpID, r request) {
	rec := c.session.Recorder
	s := journal.Sample{
		Seq: r.seq, Op: as, Trace: r.trace, Flags: journal.FlagPrepare,
		Key: makeKey(c.run, c.session.Index, keyPrepare, r.seq),
	}
	s.Due = rec.Now()
	s.Sent = s.Due
	content := t.content(s.Key, s.Trace)
	s.Amount = content.cents
	rec.Invoked(&s)
	// what is in flight when the time is up is finished: it would be one more unknown outcome
	a := maker.send(context.WithoutCancel(ctx), t, &content.values)
	s.Done = rec.Now()
	got := t.fillSample(&s, a)
	rec.Completed(&s)
	maker.offer(maker.offers, t, a, got)
}

// accepts reports whether an answer's status makes its id one that n wants.
func (n need) accepts(op target.Op, status int) bool {
	list := n.Status
	if len(list) == 0 {
		list = op.Good
	}
	return slices.Contains(list, status)
}
