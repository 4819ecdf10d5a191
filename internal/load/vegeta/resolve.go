package vegeta

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"chaos/internal/journal"
	"chaos/internal/load"
)

const (
	resolveWorkers = 8 // replays at a time: the target may still be unwell
	firstBackoff   = 200 * time.Millisecond
	lastBackoff    = time.Second
)

// Resolve implements load.Resolver: it sends each request again, with the same key, body and trace,
// until the answer settles what became of it, or ctx is done. Each is recorded once, with FlagReplay,
// from its first replay to its last.
func (l *Load) Resolve(ctx context.Context, s load.Session, unknown []journal.Sample) error {
	client, err := newClient(l, s, resolveWorkers)
	if err != nil {
		return err
	}
	defer client.close()
	if err := client.allowed(ctx); err != nil {
		return err
	}
	jobs := make(chan journal.Sample)
	var wg sync.WaitGroup
	for range min(resolveWorkers, len(unknown)) {
		wg.Go(func() {
			for old := range jobs {
				client.replay(ctx, old)
			}
		})
	}
feed:
	for _, old := range unknown {
		select {
		case jobs <- old:
		case <-ctx.Done():
			break feed
		}
	}
	close(jobs)
	wg.Wait()
	return client.refusal()
}

// replay sends one request until its outcome is known.
func (c *client) replay(ctx context.Context, old journal.Sample) {
	rec := c.session.Recorder
	content := c.template.content(old.Key, old.Trace)
	if len(c.needs) > 0 {
		if content.ids = c.load.remembered(old.Key); content.ids == nil {
			return // what it was sent with is not known any more: it stays unknown
		}
	}
	s := journal.Sample{
		Seq: old.Seq, Op: old.Op, Key: old.Key, Trace: old.Trace, Amount: old.Amount,
		Flags: old.Flags&journal.FlagPrepare | journal.FlagReplay,
	}
	s.Due = rec.Now()
	s.Sent = s.Due
	rec.Invoked(&s)
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		a := c.send(ctx, c.template, &content.values)
		s.Flags &= journal.FlagPrepare | journal.FlagReplay
		c.template.fillSample(&s, a)
		s.Result = settledBy(s.Result, a)
		if s.Result != journal.Unknown || !pause(ctx, backoff) {
			break
		}
	}
	s.Done = rec.Now()
	rec.Completed(&s)
}

// about are the statuses that speak of the request as such: it would have been refused the first
// time too.
var about = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity}

// settledBy is what the answer to a replay says about the first request. That the replay had no
// effect, such as when it was shed or limited, says nothing about the first.
func settledBy(r journal.Result, a attempt) journal.Result {
	if r == journal.Failed && !slices.Contains(about, a.status) {
		return journal.Unknown
	}
	return r
}

// pause waits for d; false when ctx is done first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
