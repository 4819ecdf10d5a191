package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"chaos/internal/journal"
	"chaos/internal/probe"
	"chaos/internal/target"
	"chaos/internal/trace"
)

// Periods of reading a target's telemetry.
const (
	spansEvery   = 500 * time.Millisecond
	defaultFlush = 5 * time.Second // how long the SDK of OpenTelemetry keeps a span by default
	flushMargin  = time.Second     // beyond what the target says
	lastReadsFor = 10 * time.Second
	lastReadIn   = time.Second // after Ctrl-C
)

// telemetry is what is read of the target beside its requests: spans and metrics. Nothing that goes wrong in
// it ends a run; it is counted, and told in the event "telemetry".
type telemetry struct {
	stop    context.CancelFunc
	readers sync.WaitGroup

	mu    sync.Mutex
	told  journal.Telemetry
	wrong []string
	spans target.SpanReader // used by one goroutine at a time: the reader, then deafen
}

// maxWrong is how many different troubles are told.
const maxWrong = 5

func (t *telemetry) trouble(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range t.wrong {
		if known == text {
			return
		}
	}
	if len(t.wrong) < maxWrong {
		t.wrong = append(t.wrong, text)
	}
}

// listen begins to read spans and metrics, before the load that makes them. It goes on through faults, which
// don't reach the collector, and through healing.
func (r *run) listen(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	t := &telemetry{stop: stop}
	r.telemetry = t
	t.told.ScrapeFailed = make(map[string]int)
	for _, p := range r.plan.Probes {
		t.readers.Go(func() { r.scrape(ctx, t, p) })
	}
	c, ok := r.sys.(target.Collecting)
	if !ok {
		return
	}
	spans, err := c.Spans(ctx)
	if err != nil {
		t.trouble("spans can't be read: %v", err)
		return
	}
	if spans != nil {
		t.spans = spans
		t.readers.Go(func() {
			for pause(ctx, spansEvery) {
				r.readSpans(ctx, t)
			}
		})
	}
}

// readSpans reads all that has come until now. A collector that can't be asked is asked again.
func (r *run) readSpans(ctx context.Context, t *telemetry) (came int) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		more, err = t.spans.Read(ctx, func(spans []trace.Span) error {
			kept, err := r.j.Spans(spans)
			t.mu.Lock()
			defer t.mu.Unlock()
			came += len(spans)
			t.told.Kept += uint64(kept)
			if err == nil {
				t.told.OverLimit += uint64(len(spans) - kept)
			}
			return err
		})
		if err != nil {
			if ctx.Err() == nil {
				t.trouble("spans can't be read: %v", err)
			}
			return came
		}
	}
	return came
}

// scrape asks one probe each second.
func (r *run) scrape(ctx context.Context, t *telemetry, p Probe) {
	tick := time.NewTicker(probe.Every)
	defer tick.Stop()
	for ctx.Err() == nil {
		r.scrapeOnce(ctx, t, p)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// scrapeOnce asks one probe and writes down what it said.
func (r *run) scrapeOnce(ctx context.Context, t *telemetry, p Probe) {
	at := r.j.Now()
	within, cancel := context.WithTimeout(ctx, probe.Within)
	values, lost, err := p.Probe.Read(within, r.sys)
	cancel()
	if ctx.Err() != nil {
		return
	}
	up := journal.Reading{Name: journal.MetricsUp, Value: 1}
	if err != nil {
		up.Value = 0
	}
	values = append(values, up)
	for i := range values {
		values[i].At, values[i].Source = at, p.Source
	}
	kept := r.j.Observe(values)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.told.ScrapeFailed[p.Source]++
	} else {
		t.told.Scrapes++
	}
	t.told.SeriesLost += lost + len(values) - kept
}

// deafen reads the spans that are still on their way: until as long after the load as the target may keep
// one, and then until none comes any more. Metrics are asked for once more, so that what the witnesses have told is
// in the counters too. It writes down what there was. Ctrl-C waits for nothing.
func (r *run) deafen(ctx context.Context, interrupted bool) {
	t := r.telemetry
	t.stop()
	t.readers.Wait()
	if !interrupted {
		for _, p := range r.plan.Probes {
			t.readers.Go(func() { r.scrapeOnce(ctx, t, p) })
		}
		t.readers.Wait()
	}
	if t.spans != nil {
		limit := lastReadsFor + r.flush()
		if interrupted {
			limit = lastReadIn
		}
		within, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if !interrupted {
			_ = pause(within, r.loadStopped+r.flush()-r.j.Now())
		}
		for r.readSpans(within, t) > 0 && !interrupted && pause(within, spansEvery) {
		}
		n := t.spans.Counts()
		t.told.Spans, t.told.Refused, t.told.Invalid, t.told.BadSends = n.Received, n.Refused, n.Invalid, n.Bad
		t.told.Restarts = t.spans.Restarts()
	}
	if t.spans == nil && len(r.plan.Probes) == 0 && len(t.wrong) == 0 {
		return
	}
	detail, err := json.Marshal(t.told)
	if err != nil { // numbers and names can't fail to encode
		return
	}
	ev := journal.Event{Type: journal.EventTelemetry, Detail: detail}
	for i, text := range t.wrong {
		if i > 0 {
			ev.Err += "; "
		}
		ev.Err += text
	}
	_, _ = r.j.Append(ev) // a journal that fails is noticed by others
}

// flush is how long after a span ended it may still come.
func (r *run) flush() time.Duration {
	flush := defaultFlush
	if t := r.plan.Topology.Traces; t != nil {
		flush = t.Flush
	}
	return flush + flushMargin
}
