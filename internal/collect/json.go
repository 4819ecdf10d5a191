package collect

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// decodeJSON reads OTLP/JSON. It is protobuf's JSON but for trace and span ids, which are hex there and
// base64 here, so those are rewritten first.
func decodeJSON(body []byte, into *collectorpb.ExportTraceServiceRequest) error {
	var doc any
	numbers := json.NewDecoder(bytes.NewReader(body))
	numbers.UseNumber() // a time in nanoseconds has more digits than a float64
	if err := numbers.Decode(&doc); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	rewriteIDs(doc)
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, into)
}

func rewriteIDs(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			rewriteIDs(item)
		}
	case map[string]any:
		for key, item := range v {
			text, is := item.(string)
			switch key {
			case "traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id":
				if raw, err := hex.DecodeString(text); is && err == nil {
					v[key] = base64.StdEncoding.EncodeToString(raw)
				}
			default:
				rewriteIDs(item)
			}
		}
	}
}
