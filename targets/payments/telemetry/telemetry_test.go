package telemetry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// The harness reads these names out of the logs.
func TestRequestLine(t *testing.T) {
	var out bytes.Buffer
	s := Server{Log: NewLogger(&out, "payments", "p1", time.Now), Metrics: NewMetrics()}
	h := s.Route("payments", func(w http.ResponseWriter, _ *http.Request) {
		Describe(w, "insufficient_funds", "pay-1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	r := httptest.NewRequest(http.MethodPost, "/?op=42", nil)
	r.Header.Set(TraceHeader, "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	r.Header.Set(TenantHeader, "tenant-07")
	h(httptest.NewRecorder(), r)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"level": "WARN", "service": "payments", "instance": "p1", "msg": "request", "trace_id": "0123456789abcdef0123456789abcdef",
		"reason": "insufficient_funds", "user_id": "tenant-07", "op_id": "42", "payment_id": "pay-1", "code": 503.0,
	} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
	for _, name := range []string{"ts", "span_id", "duration_ms"} {
		if line[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestJoin(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	good := Join("00-" + id + "-0123456789abcdef-01")
	if good.ID != id || good.Span != "0123456789abcdef" || Join(good.Header()) != good {
		t.Errorf("joined: %+v", good)
	}
	for _, bad := range []string{"", "00-short-0123456789abcdef-01", "00-00000000000000000000000000000000-0123456789abcdef-01", "00-" + id + "-XYZ3456789abcdef-01"} {
		if j := Join(bad); j != (Trace{}) || j.Header() != "" {
			t.Errorf("%q: %+v", bad, j)
		}
	}
}
