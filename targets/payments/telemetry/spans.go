package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	tracerName = "chaos/targets/payments"
	// Spans wait in a queue of queueSize and go in batches of batchSize, after
	// exportEvery at the latest. What finds the queue full is lost, and counted.
	queueSize, batchSize = 16384, 1024
	exportEvery          = 500 * time.Millisecond
	exportTimeout        = 2 * time.Second
)

// Kinds of spans.
const (
	Inside   = trace.SpanKindInternal
	Serving  = trace.SpanKindServer
	Calling  = trace.SpanKindClient
	Sending  = trace.SpanKindProducer
	Taking   = trace.SpanKindConsumer
	outcomes = "outcome"
)

// Export makes a tracer that sends its spans to an OTLP/HTTP collector, and a
// function that sends what is left. Without a base URL spans have ids and go
// nowhere.
func Export(ctx context.Context, base, service, instance, version string, m *Metrics) (trace.Tracer, func(context.Context) error, error) {
	if base == "" {
		return quiet(), func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(base+"/v1/traces"), otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}), otlptracehttp.WithProxy(func(*http.Request) (*url.URL, error) { return nil, nil }))
	if err != nil {
		return nil, nil, fmt.Errorf("read PAYSYS_OTLP_URL: %w", err)
	}
	batch := sdk.NewBatchSpanProcessor(counted{exporter, m.Spans}, sdk.WithMaxQueueSize(queueSize), sdk.WithMaxExportBatchSize(batchSize),
		sdk.WithBatchTimeout(exportEvery), sdk.WithExportTimeout(exportTimeout))
	provider := sdk.NewTracerProvider(sdk.WithSampler(sdk.AlwaysSample()), sdk.WithSpanProcessor(counting{batch, m.Spans.WithLabelValues("ended")}),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", service), attribute.String("service.instance.id", instance), attribute.String("service.version", version))))
	return provider.Tracer(tracerName), provider.Shutdown, nil
}

// quiet makes ids and records nothing.
func quiet() trace.Tracer {
	return sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer(tracerName)
}

// counting counts the spans that ended: those that were not exported afterwards
// are lost, telemetry_spans_total{outcome="ended"} minus "exported".
type counting struct {
	sdk.SpanProcessor
	ended prometheus.Counter
}

func (c counting) OnEnd(s sdk.ReadOnlySpan) {
	c.ended.Inc()
	c.SpanProcessor.OnEnd(s)
}

// counted counts what the collector took.
type counted struct {
	sdk.SpanExporter
	spans *prometheus.CounterVec
}

func (c counted) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	outcome := "exported"
	if err != nil {
		outcome = "failed"
	}
	c.spans.WithLabelValues(outcome).Add(float64(len(spans)))
	return err
}

// Span is a piece of work under way.
type Span struct{ trace.Span }

// Done ends the span. An outcome that is neither empty nor "ok" is an error.
func (s Span) Done(outcome string) {
	if outcome != "" {
		s.SetAttributes(attribute.String(outcomes, outcome))
		if outcome != "ok" {
			s.SetStatus(codes.Error, outcome)
		}
	}
	s.End()
}

// Start begins work that may be the first of this process for its trace.
func (s Server) Start(ctx context.Context, name string, kind trace.SpanKind, attrs ...attribute.KeyValue) (context.Context, Span) {
	tracer := s.Tracer
	if tracer == nil {
		tracer = quiet()
	}
	ctx, span := tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
	return ctx, Span{span}
}

// Call begins one attempt at a dependency.
func (s Server) Call(ctx context.Context, dependency string, attempt int, attrs ...attribute.KeyValue) (context.Context, Span) {
	attrs = append(attrs, attribute.String("dependency", dependency), attribute.String("peer.service", dependency), attribute.Int("attempt", attempt))
	if at, ok := ctx.Deadline(); ok {
		attrs = append(attrs, attribute.Int64("deadline_left_ms", time.Until(at).Milliseconds()))
	}
	return s.Start(ctx, dependency, Calling, attrs...)
}

// Step begins work inside of a span; outside of one it records nothing.
func Step(ctx context.Context, name string, kind trace.SpanKind, attrs ...attribute.KeyValue) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{trace.SpanFromContext(context.Background())}
	}
	ctx, span := parent.TracerProvider().Tracer(tracerName).Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
	return ctx, Span{span}
}

// Linked says that a span was caused by the one that the context came from.
func Linked(ctx context.Context) trace.Link { return trace.LinkFromContext(ctx) }
