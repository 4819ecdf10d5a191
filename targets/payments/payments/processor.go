package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"chaos/targets/payments/guard"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	dependency = "psp"
	// askTimeout bounds GET /charges, which never waits for a charge.
	askTimeout = time.Second
	// worthTrying is the least time left for which a call is still made.
	worthTrying = 100 * time.Millisecond
)

// result is what is known about a charge or refund after asking for it.
type result int

const (
	charged   result = iota
	declined         // the processor said no
	missing          // the processor knows nothing of it
	underway         // the processor is still at it
	notSent          // certainly never reached the processor
	uncertain        // it may have happened
)

// outcome is a result with its particulars.
type outcome struct {
	result result
	pspID  string
	reason string
	charge wire.Charge
}

// processor calls the PSP. One attempt on the wire is one attempt in the
// metrics; nothing below repeats a request.
type processor struct {
	client     *wire.Client
	retry      *guard.Retry
	request    *guard.Breaker // of calls that a client waits for
	background *guard.Breaker
	stableKeys bool
	metrics    *telemetry.Metrics
	log        *slog.Logger
	server     telemetry.Server
}

func newProcessor(base string, s switches.Set, server telemetry.Server) *processor {
	p := &processor{
		client: wire.NewClient(base), stableKeys: s.IdempotencyPSP, metrics: server.Metrics, log: server.Log, server: server,
		retry: guard.NewRetry(s, uint64(time.Now().UnixNano())),
	}
	if s.Breaker {
		// The window is short, so that 50 calls a second that all fail open the
		// breaker within three seconds even after a long time of success.
		p.request = guard.NewBreaker("psp", guard.Trip{Window: 4 * time.Second, MinCalls: 20, Ratio: 0.5, Open: 5 * time.Second}, server.Metrics.Breaker, nil)
		// Nobody waits for the background, so it may look again soon.
		p.background = guard.NewBreaker("psp-background", guard.Trip{Window: 4 * time.Second, MinCalls: 20, Ratio: 0.5, Open: 500 * time.Millisecond}, server.Metrics.Breaker, nil)
	}
	return p
}

// call is one POST to the processor.
type call struct {
	path    string // /charges or /refunds
	key     string // idempotency key, when keys are stable
	body    wire.ChargeRequest
	breaker *guard.Breaker
	// timeout bounds one try, total all of them together.
	timeout, total time.Duration
	// tries is the most attempts, at most what the retry switch says.
	tries int
}

// post makes a call, with retries as the switches allow: only after a failure
// that came fast, within the total time, out of the budget. permit is the
// breaker's leave for the first try.
func (p *processor) post(ctx context.Context, c call, permit func(error)) outcome {
	ctx, cancel := context.WithTimeout(ctx, c.total)
	defer cancel()
	p.retry.First()
	body, err := json.Marshal(c.body)
	if err != nil {
		permit(err)
		return outcome{result: notSent, reason: err.Error()}
	}
	best := outcome{result: notSent}
	for attempt := 1; ; attempt++ {
		o, again := p.try(ctx, c, body, attempt)
		permit(o.failure())
		if o.result == notSent && best.result == uncertain {
			o.result = uncertain // an earlier try may have been read
		}
		best = o
		if !again || attempt >= c.tries || !p.retry.Again(attempt) {
			return best
		}
		wait := p.retry.Delay(attempt)
		if until, ok := ctx.Deadline(); ok && time.Until(until) < wait+worthTrying {
			return best
		}
		if guard.Pause(ctx, wait) != nil {
			return best
		}
		if permit, err = c.breaker.Allow(); err != nil {
			return best
		}
	}
}

// failure is what the breaker hears.
func (o outcome) failure() error {
	if o.result == uncertain || o.result == notSent {
		return errors.New(o.reason)
	}
	return nil
}

// try is one attempt. again says that a retry makes sense.
func (p *processor) try(ctx context.Context, c call, body []byte, attempt int) (o outcome, again bool) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	key := c.key
	if !p.stableKeys {
		key = uuid.NewString()
	}
	ctx, span := p.server.Call(ctx, dependency, attempt, attribute.String("breaker_state", c.breaker.State()), attribute.String("payment_id", c.body.Reference))
	h := p.header(ctx)
	h.Set(wire.IdempotencyHeader, key)
	start := time.Now()
	reply, err := p.client.Do(ctx, http.MethodPost, c.path, h, body)
	o, again = judge(reply, err)
	label := "ok"
	if o.failure() != nil {
		label = o.reason
		p.log.LogAttrs(ctx, slog.LevelWarn, "processor call failed", slog.String("dependency", dependency), slog.Int("attempt", attempt),
			slog.String("outcome", o.reason), slog.String("reason", o.reason), slog.String("payment_id", c.body.Reference), slog.Float64("duration_ms", telemetry.Milliseconds(time.Since(start))))
	}
	span.Done(label)
	p.metrics.Attempts.WithLabelValues(dependency, strconv.Itoa(attempt), label).Inc()
	return o, again
}

func (p *processor) header(ctx context.Context) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	if t, ok := telemetry.TraceOf(ctx); ok {
		h.Set(telemetry.TraceHeader, t.Header())
		h.Set(telemetry.TenantHeader, t.Tenant)
	}
	return h
}

// judge reads an answer to a POST.
func judge(r wire.Reply, err error) (o outcome, again bool) {
	if failed := new(wire.SendError); errors.As(err, &failed) {
		o.result, o.reason = uncertain, "connection"
		if !failed.Sent {
			o.result = notSent
		}
		if errors.Is(err, context.DeadlineExceeded) {
			// A slow processor is not asked twice: the first charge may still come.
			o.reason = "timeout"
			return o, false
		}
		return o, true
	}
	if bad := json.Unmarshal(r.Body, &o.charge); bad != nil && r.Code < http.StatusInternalServerError {
		return outcome{result: uncertain, reason: "bad_answer"}, false
	}
	o.pspID, o.reason = o.charge.ID, o.charge.Reason
	switch {
	case r.Code == http.StatusCreated:
		o.result = charged
	case r.Code == http.StatusPaymentRequired:
		o.result = declined
	case r.Code == http.StatusConflict:
		o.result = underway
	case r.Code == http.StatusNotFound:
		o.result = missing
	default:
		return outcome{result: uncertain, reason: "http_" + strconv.Itoa(r.Code)}, r.Code >= http.StatusInternalServerError
	}
	return o, false
}

// ask looks a payment up by its reference at the processor.
func (p *processor) ask(ctx context.Context, reference string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ctx, span := p.server.Call(ctx, dependency, 1, attribute.String("payment_id", reference), attribute.String("asks", "outcome"))
	reply, err := p.client.Do(ctx, http.MethodGet, "/charges?reference="+url.QueryEscape(reference), p.header(ctx), nil)
	var found struct{ Charges []wire.Charge }
	if err == nil && reply.Code != http.StatusOK {
		err = fmt.Errorf("processor answered %d", reply.Code)
	}
	if err == nil {
		err = json.Unmarshal(reply.Body, &found)
	}
	if err != nil {
		span.Done("error")
		p.metrics.Attempts.WithLabelValues("psp-ask", "1", "error").Inc()
		return outcome{}, fmt.Errorf("ask processor: %w", err)
	}
	span.Done("ok")
	p.metrics.Attempts.WithLabelValues("psp-ask", "1", "ok").Inc()
	o := outcome{result: missing}
	for _, c := range found.Charges {
		switch c.State {
		case "succeeded":
			return outcome{result: charged, pspID: c.ID, charge: c}, nil
		case "pending":
			o = outcome{result: underway}
		case "declined":
			if o.result != underway {
				o = outcome{result: declined, pspID: c.ID, reason: c.Reason}
			}
		}
	}
	return o, nil
}
