package collect

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"chaos/internal/trace"
)

// What a resource says of who sends.
const (
	attrService  = "service.name"
	attrInstance = "service.instance.id"
	unknown      = "unknown_service" // as OpenTelemetry calls a service without a name
)

// convert turns an export into spans of ours, bounded. Spans without ids are counted, not taken.
func convert(resources []*tracepb.ResourceSpans) (spans []trace.Span, invalid int) {
	for _, r := range resources {
		service, instance := unknown, ""
		for _, a := range r.GetResource().GetAttributes() {
			switch a.GetKey() {
			case attrService:
				service = value(a.GetValue())
			case attrInstance:
				instance = value(a.GetValue())
			}
		}
		for _, scope := range r.GetScopeSpans() {
			for _, p := range scope.GetSpans() {
				s, ok := one(p)
				if !ok {
					invalid++
					continue
				}
				s.Service, s.Instance = service, instance
				s.Bound()
				spans = append(spans, s)
			}
		}
	}
	return spans, invalid
}

func one(p *tracepb.Span) (s trace.Span, ok bool) {
	if len(p.GetTraceId()) != len(s.Trace) || len(p.GetSpanId()) != len(s.ID) {
		return s, false
	}
	copy(s.Trace[:], p.TraceId)
	copy(s.ID[:], p.SpanId)
	if (s.Trace == trace.ID{}) || (s.ID == trace.SpanID{}) {
		return s, false
	}
	if len(p.ParentSpanId) == len(s.Parent) {
		copy(s.Parent[:], p.ParentSpanId)
	}
	s.Start = int64(p.StartTimeUnixNano)
	s.Duration = time.Duration(int64(p.EndTimeUnixNano) - s.Start)
	switch p.Kind {
	case tracepb.Span_SPAN_KIND_SERVER:
		s.Kind = trace.Server
	case tracepb.Span_SPAN_KIND_CLIENT:
		s.Kind = trace.Client
	case tracepb.Span_SPAN_KIND_PRODUCER:
		s.Kind = trace.Producer
	case tracepb.Span_SPAN_KIND_CONSUMER:
		s.Kind = trace.Consumer
	}
	switch p.GetStatus().GetCode() {
	case tracepb.Status_STATUS_CODE_OK:
		s.Status = trace.OK
	case tracepb.Status_STATUS_CODE_ERROR:
		s.Status, s.Message = trace.Failed, p.GetStatus().GetMessage()
	}
	s.Name, s.Attrs = p.Name, attrs(p.Attributes)
	s.Dropped = p.DroppedAttributesCount + p.DroppedEventsCount + p.DroppedLinksCount
	for _, l := range p.Links {
		link := trace.Link{}
		copy(link.Trace[:], l.GetTraceId())
		copy(link.Span[:], l.GetSpanId())
		s.Links = append(s.Links, link)
	}
	for _, e := range p.Events {
		s.Events = append(s.Events, trace.Event{
			After: time.Duration(int64(e.GetTimeUnixNano()) - s.Start), Name: e.GetName(), Attrs: attrs(e.GetAttributes()),
		})
	}
	return s, true
}

func attrs(list []*commonpb.KeyValue) []trace.Attr {
	if len(list) == 0 {
		return nil
	}
	out := make([]trace.Attr, len(list))
	for i, a := range list {
		out[i] = trace.Attr{Key: a.GetKey(), Value: value(a.GetValue())}
	}
	return out
}

// value is an attribute as text; lists and maps are written as JSON.
func value(v *commonpb.AnyValue) string {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(x.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(x.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return strconv.FormatFloat(x.DoubleValue, 'g', -1, 64)
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(x.BytesValue)
	case *commonpb.AnyValue_ArrayValue:
		var list []string
		for _, item := range x.ArrayValue.GetValues() {
			list = append(list, value(item))
		}
		return encoded(list)
	case *commonpb.AnyValue_KvlistValue:
		all := make(map[string]string)
		for _, a := range x.KvlistValue.GetValues() {
			all[a.GetKey()] = value(a.GetValue())
		}
		return encoded(all)
	}
	return ""
}

func encoded(v any) string {
	text, err := json.Marshal(v)
	if err != nil { // lists and maps of texts can't fail to encode
		return ""
	}
	return string(text)
}
