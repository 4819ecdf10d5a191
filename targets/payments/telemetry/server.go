package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Server wraps the handlers of a node: each request gets a trace, is counted,
// and leaves one log line.
type Server struct {
	Log     *slog.Logger
	Metrics *Metrics
	Tracer  trace.Tracer // nil: spans have ids and go nowhere
	// Clock is the node's wall clock; nil is the machine's.
	Clock func() time.Time
}

// Now is what the node takes the time to be.
func (s Server) Now() time.Time {
	if s.Clock == nil {
		return time.Now()
	}
	return s.Clock()
}

// Route names a handler for metrics and logs. Answers below 500 are logged at
// INFO, the others at WARN.
func (s Server) Route(route string, next http.HandlerFunc) http.HandlerFunc {
	durations := s.Metrics.Durations.WithLabelValues(route)
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		t := Join(r.Header.Get(TraceHeader))
		t.Tenant, t.Op = r.Header.Get(TenantHeader), r.URL.Query().Get("op")
		attrs := []attribute.KeyValue{attribute.String("http.request.method", r.Method), attribute.String("http.route", route), attribute.String("op_id", t.Op)}
		if left := r.Header.Get(deadlineHeader); left != "" {
			attrs = append(attrs, attribute.String("deadline_left_ms", left))
		}
		ctx, span := s.Start(WithTrace(r.Context(), t), route, Serving, attrs...)
		if who, ok := TraceOf(ctx); ok {
			t.ID, t.Span = who.ID, who.Span
		}
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			if rec.done {
				return
			}
			span.Done("aborted") // a handler that aborts the connection has no answer to count
		}()
		next(rec, r.WithContext(ctx))
		rec.done = true
		if rec.tenant != "" {
			t.Tenant = rec.tenant
			ctx = context.WithValue(ctx, whoKey{}, who{t.Tenant, t.Op})
		}
		took := time.Since(start)
		s.Metrics.Requests.WithLabelValues(route, strconv.Itoa(rec.code), t.Tenant).Inc()
		durations.Observe(took.Seconds())
		level := slog.LevelInfo
		if rec.code >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
		span.SetAttributes(attribute.Int("http.response.status_code", rec.code), attribute.String("user_id", t.Tenant), attribute.String("reason", rec.reason),
			attribute.String("order_id", rec.order), attribute.String("payment_id", rec.payment))
		outcome := "ok"
		if rec.code >= http.StatusInternalServerError {
			outcome = "http_" + strconv.Itoa(rec.code)
		}
		span.Done(outcome)
		s.line(ctx, level, route, rec, took)
	}
}

// line is the request's log line.
func (s Server) line(ctx context.Context, level slog.Level, route string, rec *recorder, took time.Duration) {
	attrs := []slog.Attr{slog.String("route", route), slog.Int("code", rec.code), slog.Float64("duration_ms", Milliseconds(took)), slog.String("reason", rec.reason)}
	if rec.payment != "" {
		attrs = append(attrs, slog.String("payment_id", rec.payment))
	}
	if rec.order != "" {
		attrs = append(attrs, slog.String("order_id", rec.order))
	}
	s.Log.LogAttrs(ctx, level, "request", attrs...)
}

// deadlineHeader is the time that a caller has left, in milliseconds.
const deadlineHeader = "X-Deadline"

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	code                           int
	reason, payment, tenant, order string
	done                           bool
}

func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Describe adds the reason of a refusal and the payment it is about to the
// request's log line. Empty strings leave what is there.
func Describe(w http.ResponseWriter, reason, payment string) {
	if r, ok := w.(*recorder); ok {
		if reason != "" {
			r.reason = reason
		}
		if payment != "" {
			r.payment = payment
		}
	}
}

// DescribeOrder adds the order that a request is about to its log line.
func DescribeOrder(w http.ResponseWriter, order string) {
	if r, ok := w.(*recorder); ok {
		r.order = order
	}
}

// Identify tells the request's log line and metrics whose request it is.
func Identify(w http.ResponseWriter, tenant string) {
	if r, ok := w.(*recorder); ok {
		r.tenant = tenant
	}
}
