package vegeta

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"

	"chaos/internal/journal"
)

// seqHeader is where Vegeta says which of its hits a request is.
const seqHeader = "X-Vegeta-Seq"

// tripper is the http.RoundTripper that Vegeta's workers call: it finds the planned request by its
// sequence number, sends that instead of Vegeta's, and records it.
type tripper struct {
	client *client
	plan   *plan
}

// httpClient is what Vegeta is given. It has no timeout, as the tripper keeps it.
func (t *tripper) httpClient() *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements http.RoundTripper. What it returns only tells Vegeta that the hit has ended.
//
// It runs in Vegeta's workers, where a panic would end the process with faults in place: it fails the
// load instead, which ends the run.
func (t *tripper) RoundTrip(req *http.Request) (_ *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			t.client.fail(err)
		}
	}()
	seq, err := strconv.ParseUint(req.Header.Get(seqHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", seqHeader, err)
	}
	r, ok := t.plan.take(seq)
	if !ok {
		return nil, fmt.Errorf("request %d was not planned", seq)
	}
	t.client.do(req.Context(), r)
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: req}, nil
}

// do sends one planned request and records it. A request that needs an id nobody has is recorded as
// never sent: the run lacks ids, which says nothing about the target.
func (c *client) do(ctx context.Context, r request) {
	rec := c.session.Recorder
	s := c.sample(r)
	s.Sent = rec.Now()
	content := c.template.content(s.Key, s.Trace)
	s.Amount = content.cents
	if !c.pick(&content) {
		s.Sent = 0
		rec.Invoked(&s)
		s.Result, s.Class, s.Err = journal.Failed, journal.Excluded, journal.ErrNotSent
		rec.Completed(&s)
		return
	}
	rec.Invoked(&s)
	a := c.send(ctx, c.template, &content.values)
	s.Done = rec.Now()
	got := c.template.fillSample(&s, a)
	if s.Result == journal.Unknown {
		c.load.remember(s.Key, content.ids) // before the record, after which it may be resolved
	}
	rec.Completed(&s)
	c.offer(c.offers, c.template, a, got)
}

func (c *client) sample(r request) journal.Sample {
	return journal.Sample{
		Seq: r.seq, Due: r.due, Op: c.session.Index, Trace: r.trace,
		Key: makeKey(c.run, c.session.Index, keyLoad, r.seq),
	}
}

// notSentBatch is after how many requests that were never sent the recorder writes down what it has: a
// generator that was held for minutes has more of them than the recorder's ring has room for.
const notSentBatch = 8192

// notSent records a request that was planned but that no worker took before the load stopped. It
// counts as bad: it was not done at the end of the load.
func (c *client) notSent(r request) {
	if c.unsent++; c.unsent%notSentBatch == 0 {
		if r, ok := c.session.Recorder.(interface{ Flush() error }); ok {
			_ = r.Flush() // its error is the recorder's own, and is told by it
		}
	}
	s := c.sample(r)
	s.Amount = c.template.content(s.Key, s.Trace).cents
	c.session.Recorder.Invoked(&s)
	s.Result, s.Err = journal.Failed, journal.ErrNotSent
	c.session.Recorder.Completed(&s)
}

// pick chooses the ids that the request needs; false when one is missing.
func (c *client) pick(v *content) bool {
	for _, n := range c.needs {
		id, ok := c.session.Acks.Pick(n.acks, v.rng)
		if !ok {
			return false
		}
		if v.ids == nil {
			v.ids = make(map[string]string, len(c.needs))
		}
		v.ids[n.name] = id
	}
	return true
}

// offer remembers the ids of a whole answer for the loads that want them.
func (c *client) offer(wanted []need, t *template, a attempt, got answer) {
	if a.err != journal.ErrNone || len(wanted) == 0 {
		return
	}
	for _, n := range wanted {
		if !n.accepts(t.op, a.status) {
			continue
		}
		if got == nil {
			got = parseAnswer(a.body)
		}
		if id := got.text(n.Field); id != "" {
			c.session.Acks.Add(n.acks, id)
		}
	}
}
