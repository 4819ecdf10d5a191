// Package telemetry gives every node the same three things: JSON logs with one
// set of field names, trace identity taken from traceparent, and metrics.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// NewLogger writes one JSON object a line with the fields ts, level, service,
// instance and msg; requests add trace_id, span_id, user_id, op_id, reason,
// duration_ms, payment_id, dependency, attempt and outcome where they apply. ts is by now, the node's clock.
func NewLogger(w io.Writer, service, instance string, now func() time.Time) *slog.Logger {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.String("ts", now().UTC().Format(time.RFC3339Nano))
			}
			return a
		},
	})
	return slog.New(tracing{h}).With("service", service, "instance", instance)
}

// tracing adds trace_id and span_id of the context to each record.
type tracing struct{ slog.Handler }

func (t tracing) Handle(ctx context.Context, r slog.Record) error {
	if tr, ok := TraceOf(ctx); ok {
		r.AddAttrs(slog.String("trace_id", tr.ID), slog.String("span_id", tr.Span))
		if tr.Tenant != "" {
			r.AddAttrs(slog.String("user_id", tr.Tenant))
		}
		if tr.Op != "" {
			r.AddAttrs(slog.String("op_id", tr.Op))
		}
	}
	return t.Handler.Handle(ctx, r)
}

func (t tracing) WithAttrs(as []slog.Attr) slog.Handler { return tracing{t.Handler.WithAttrs(as)} }
func (t tracing) WithGroup(name string) slog.Handler    { return tracing{t.Handler.WithGroup(name)} }

// Milliseconds is a duration for the field duration_ms.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
