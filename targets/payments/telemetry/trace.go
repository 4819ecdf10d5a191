package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Header names of the trace context and of the tenant that the gateway found.
const (
	TraceHeader  = "traceparent"
	TenantHeader = "X-Tenant"
)

// Trace is who a piece of work is for.
type Trace struct {
	ID     string // 32 hex digits
	Span   string // 16 hex digits: the span that the work is part of
	Tenant string
	Op     string // the harness's operation, from ?op=
}

type whoKey struct{}

type who struct{ tenant, op string }

// WithTrace makes work of the context part of a trace that began elsewhere.
func WithTrace(ctx context.Context, t Trace) context.Context {
	ctx = context.WithValue(ctx, whoKey{}, who{t.Tenant, t.Op})
	id, bad := trace.TraceIDFromHex(t.ID)
	span, worse := trace.SpanIDFromHex(t.Span)
	if bad != nil || worse != nil {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: trace.FlagsSampled, Remote: true}))
}

// TraceOf returns the trace of the context.
func TraceOf(ctx context.Context) (Trace, bool) {
	sc := trace.SpanContextFromContext(ctx)
	w, _ := ctx.Value(whoKey{}).(who)
	if !sc.IsValid() {
		return Trace{Tenant: w.tenant, Op: w.op}, false
	}
	return Trace{ID: sc.TraceID().String(), Span: sc.SpanID().String(), Tenant: w.tenant, Op: w.op}, true
}

// Join reads a traceparent header. A missing or malformed one gives a Trace
// without ids: what is begun in it is a trace of its own.
func Join(header string) Trace {
	parts := strings.Split(header, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || !lowerHex(parts[1], 32) || !lowerHex(parts[2], 16) {
		return Trace{}
	}
	return Trace{ID: parts[1], Span: parts[2]}
}

// Resume makes a trace for work that continues a stored trace id later, when the
// span that it came from is not known any more.
func Resume(id string) Trace {
	t := Trace{ID: id, Span: randomHex(8)}
	if !lowerHex(id, 32) {
		t.ID = randomHex(16)
	}
	return t
}

// Header is the traceparent to pass on; empty without ids.
func (t Trace) Header() string {
	if t.ID == "" {
		return ""
	}
	return "00-" + t.ID + "-" + t.Span + "-01"
}

func lowerHex(s string, n int) bool {
	if len(s) != n || strings.Trim(s, "0") == "" {
		return false
	}
	for _, c := range s {
		if !strings.ContainsRune("0123456789abcdef", c) {
			return false
		}
	}
	return true
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // documented never to fail
	return hex.EncodeToString(b)
}
