package collect

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"chaos/internal/trace"
)

func text(key, v string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}}
}

// exported is an export of n spans of one service, numbered from first on.
func exported(first, n int) *collectorpb.ExportTraceServiceRequest {
	scope := &tracepb.ScopeSpans{}
	for i := range n {
		var id [16]byte
		binary.BigEndian.PutUint64(id[:], uint64(first+i+1))
		scope.Spans = append(scope.Spans, &tracepb.Span{
			TraceId: id[:], SpanId: id[:8], ParentSpanId: []byte("parent-8"), Name: "GET /pay", Kind: tracepb.Span_SPAN_KIND_CLIENT,
			StartTimeUnixNano: 1_700_000_000_000_000_001, EndTimeUnixNano: 1_700_000_000_005_000_001,
			Attributes: []*commonpb.KeyValue{
				text("server.address", "proxy"), text("http.request.method", "GET"), text("url.path", "/v1/payments/"+strings.Repeat("0", 200)+fmt.Sprint(i)),
				{Key: "server.port", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 20001}}},
			},
			Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "no"},
		})
	}
	return &collectorpb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "gateway"), text("service.instance.id", "gw-1")}},
		ScopeSpans: []*tracepb.ScopeSpans{scope},
	}}}
}

type fixture struct {
	*httptest.Server
	t *testing.T
}

func serve(t *testing.T, room int) *fixture {
	s := httptest.NewServer(New(Options{Token: "secret", Room: room}).Handler())
	t.Cleanup(s.Close)
	return &fixture{s, t}
}

func (f *fixture) post(body []byte, header ...string) (int, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.URL+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// export sends spans and returns how many the collector says it refused.
func (f *fixture) export(first, n int) int64 {
	f.t.Helper()
	body, err := proto.Marshal(exported(first, n))
	if err != nil {
		f.t.Fatal(err)
	}
	status, answer := f.post(body, "Content-Type", typeProto)
	var got collectorpb.ExportTraceServiceResponse
	if err := proto.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusOK {
		f.t.Fatalf("answered %d, %v", status, err)
	}
	return got.GetPartialSuccess().GetRejectedSpans()
}

func (f *fixture) find(context.Context) (string, error) {
	return strings.TrimPrefix(f.URL, "http://"), nil
}

func (f *fixture) read(c *Client) (spans []trace.Span) {
	f.t.Helper()
	if _, err := c.Read(f.t.Context(), func(got []trace.Span) error { spans = append(spans, got...); return nil }); err != nil {
		f.t.Fatal(err)
	}
	return spans
}

func (f *fixture) begin() *Client {
	f.t.Helper()
	c, err := Begin(f.t.Context(), f.find, "secret")
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func TestSpansAreReadBackOnce(t *testing.T) {
	f := serve(t, 0)
	f.export(1000, 3)
	c := f.begin() // what came before belongs to nobody
	f.export(0, 2)
	got := f.read(c)
	if len(got) != 2 {
		t.Fatalf("%d spans", len(got))
	}
	s := got[0]
	if s.Service != "gateway" || s.Instance != "gw-1" || s.Kind != trace.Client || s.Status != trace.Failed || s.Message != "no" ||
		s.Start != 1_700_000_000_000_000_001 || s.Duration.Milliseconds() != 5 || s.Parent != trace.SpanID([]byte("parent-8")) || trace.Address(&s) != "proxy:20001" {
		t.Errorf("%+v", s)
	}
	if again := f.read(c); len(again) != 0 {
		t.Errorf("%d spans were given again", len(again))
	}
	f.export(2, 1)
	failing := fmt.Errorf("disk full")
	if _, err := c.Read(t.Context(), func([]trace.Span) error { return failing }); err == nil {
		t.Error("the error of who uses the spans was swallowed")
	}
	if again := f.read(c); len(again) != 1 {
		t.Errorf("after a read that failed %d spans were given", len(again))
	}
	if n := c.Counts(); n != (Counts{Received: 3, Requests: 2}) {
		t.Errorf("counts %+v", n)
	}
}

func TestEncodings(t *testing.T) {
	f := serve(t, 0)
	c := f.begin()
	body, _ := proto.Marshal(exported(0, 1))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(body)
	_ = z.Close()
	json := `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"gateway"}}]},"scopeSpans":[{"spans":[
	  {"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"x","kind":2,"startTimeUnixNano":1700000000000000001,"endTimeUnixNano":"1700000000000000002","unknown":1}]}]}]}`
	for name, one := range map[string]struct {
		body   []byte
		header []string
	}{
		"protobuf": {body, []string{"Content-Type", typeProto}},
		"gzip":     {packed.Bytes(), []string{"Content-Type", typeProto, "Content-Encoding", "gzip"}},
		"json":     {[]byte(json), []string{"Content-Type", "application/json; charset=utf-8"}},
	} {
		if status, answer := f.post(one.body, one.header...); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, answer)
		}
		got := f.read(c)
		if len(got) != 1 || got[0].Service != "gateway" || got[0].Start != 1_700_000_000_000_000_001 {
			t.Errorf("%s: %+v", name, got)
		}
		if name == "json" && len(got) == 1 && (got[0].Trace.String() != "0102030405060708090a0b0c0d0e0f10" || got[0].Kind != trace.Server) {
			t.Errorf("json: %+v", got[0])
		}
	}
}

func TestWhatCantBeTakenIsCountedAndSaid(t *testing.T) {
	f := serve(t, 12_000)
	c := f.begin()
	body, _ := proto.Marshal(exported(0, 1))
	bomb := bytes.NewBuffer(nil)
	z := gzip.NewWriter(bomb)
	_, _ = io.CopyN(z, zeros{}, maxExport+1)
	_ = z.Close()
	for name, one := range map[string]struct {
		body   []byte
		header []string
	}{
		"junk":         {[]byte("junk"), []string{"Content-Type", typeProto}},
		"no type":      {body, nil},
		"no gzip":      {body, []string{"Content-Type", typeProto, "Content-Encoding", "gzip"}},
		"other coding": {body, []string{"Content-Type", typeProto, "Content-Encoding", "zstd"}},
		"bomb":         {bomb.Bytes(), []string{"Content-Type", typeProto, "Content-Encoding", "gzip"}},
		"no json":      {[]byte("{"), []string{"Content-Type", typeJSON}},
	} {
		if status, _ := f.post(one.body, one.header...); status != http.StatusBadRequest {
			t.Errorf("%s: answered %d", name, status)
		}
	}
	if status, _ := f.post(body, "Content-Type", typeProto, "Origin", "http://evil.example"); status != http.StatusForbidden {
		t.Errorf("a web page was answered %d", status)
	}
	bad := exported(0, 2)
	bad.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId = make([]byte, 16)
	raw, _ := proto.Marshal(bad)
	f.post(raw, "Content-Type", typeProto)
	sent, refused := 1, int64(0)
	for sent < 400 && refused == 0 {
		refused = f.export(sent, 10)
		sent += 10
	}
	if refused != 10 {
		t.Fatalf("of %d spans none was refused for lack of room", sent)
	}
	got := f.read(c)
	if n := c.Counts(); n.Bad != 6 || n.Invalid != 1 || n.Refused != 10 || n.Received != uint64(sent-10) || len(got) != sent-10 {
		t.Errorf("counts %+v, %d read of %d sent", n, len(got), sent)
	}
	f.read(c) // tells that it has them: there is room again
	if refused := f.export(0, 10); refused != 0 {
		t.Errorf("refused %d after everything was read", refused)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestOnlyTheRunReads(t *testing.T) {
	f := serve(t, 0)
	for _, token := range []string{"", "other"} {
		if _, err := Begin(t.Context(), f.find, token); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("with token %q: %v", token, err)
		}
	}
	open := httptest.NewServer(New(Options{}).Handler())
	defer open.Close()
	if _, err := Begin(t.Context(), (&fixture{open, t}).find, ""); err == nil {
		t.Error("without a token of its own a collector lets everybody read")
	}
}

func TestARestartIsNoticed(t *testing.T) {
	f := serve(t, 0)
	c := f.begin()
	f.export(0, 5)
	f.read(c)
	other := serve(t, 0)
	other.export(10, 1)
	other.export(11, 1)
	f.Server = other.Server
	if got := f.read(c); len(got) != 2 {
		t.Errorf("%d spans of the new life", len(got))
	}
	if n := c.Counts(); n.Received != 7 || c.Restarts() != 1 {
		t.Errorf("counts %+v, %d restarts", n, c.Restarts())
	}
}

func TestMany(t *testing.T) {
	f := serve(t, 0)
	c := f.begin()
	const each, exports = 400, 80 // more than one answer holds
	for i := range exports {
		f.export(i*each, each)
	}
	seen, rounds := make(map[trace.ID]bool), 0
	for more := true; more; rounds++ {
		var err error
		more, err = c.Read(t.Context(), func(got []trace.Span) error {
			for _, s := range got {
				seen[s.Trace] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != each*exports || rounds < 2 {
		t.Errorf("read %d spans of %d in %d rounds", len(seen), each*exports, rounds)
	}
}

// BenchmarkExport is what one collector takes, decoded, converted and encoded: spans per second on one core.
func BenchmarkExport(b *testing.B) {
	const each = 512 // the SDK's largest export
	body, _ := proto.Marshal(exported(0, each))
	s := New(Options{Token: "secret", Room: 1 << 30})
	h := s.Handler()
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
		req.Header.Set("Content-Type", typeProto)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		s.buffer.forget()
	}
	b.ReportMetric(float64(b.N)*each/b.Elapsed().Seconds(), "spans/s")
}
