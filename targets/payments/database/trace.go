package database

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"

	"chaos/targets/payments/telemetry"
)

// maxStatement bounds what a span says of a statement.
const maxStatement = 300

// statements makes a span of each statement that is part of a trace. Polling
// belongs to none.
type statements struct{}

type doingKey struct{}

type spanKey struct{}

// Begin starts the span of a statement.
func Begin(ctx context.Context, sql string) telemetry.Span {
	doing, _ := ctx.Value(doingKey{}).(string)
	if doing == "" {
		doing, _, _ = strings.Cut(strings.TrimSpace(sql), " ")
	}
	text := strings.Join(strings.Fields(sql[:min(len(sql), maxStatement)]), " ")
	_, span := telemetry.Step(ctx, "postgres "+doing, telemetry.Calling, attribute.String("dependency", "postgres"), attribute.String("peer.service", "postgres"),
		attribute.String("db.system", "postgresql"), attribute.String("db.query.text", text))
	return span
}

func (statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, spanKey{}, Begin(ctx, q.SQL))
}

func (statements) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryEndData) {
	span, ok := ctx.Value(spanKey{}).(telemetry.Span)
	if !ok {
		return
	}
	if q.Err != nil {
		span.Done("error")
		return
	}
	span.Done("ok")
}
