//go:build whole

package node

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"chaos/targets/payments/pgtest"
)

// span is what the collector has of one.
type span struct{ service, name, id, parent, trace string }

// spans is an OTLP/HTTP collector.
type spans struct {
	mu  sync.Mutex
	all []span
}

func (c *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	data, err := io.ReadAll(body)
	var req collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(data, &req) != nil {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		service := ""
		for _, a := range rs.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.all = append(c.all, span{service, s.Name, hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId), hex.EncodeToString(s.TraceId)})
			}
		}
	}
}

// of lists the spans of a trace.
func (c *spans) of(trace string) (out []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.all {
		if s.trace == trace {
			out = append(out, s)
		}
	}
	return out
}

// One order is one trace: through HTTP, the outbox, the broker and back, and
// every span hangs on another one. The logs of all services carry its id.
func testOneTrace(t *testing.T, pg *pgtest.Server) {
	c := &spans{}
	srv := httptest.NewServer(c)
	defer srv.Close()
	s := newShop(t, pg, "PAYSYS_OTLP_URL="+srv.URL)
	const trace, root = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	q, err := http.NewRequest(http.MethodPost, "http://"+s.nodes["gateway-a"].public+"/v1/orders?op=op-7", strings.NewReader(soldOut(basket)))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-Api-Key", "key-tenant-01")
	q.Header.Set("Idempotency-Key", s.key("a"))
	q.Header.Set("traceparent", "00-"+trace+"-"+root+"-01")
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || res.StatusCode != 201 && res.StatusCode != 202 {
		t.Fatal(res.StatusCode, err)
	}
	_ = res.Body.Close()
	s.reaches(a.ID, "cancelled")
	s.settle()
	wanted := []string{
		"gateway orders", "gateway orders", "orders orders", "orders postgres create order", "orders payments", "payments payments", "payments postgres create payment",
		"payments psp", "psp charge", "payments postgres settle payment", "payments publish payment.captured", "inventory consume payment.captured",
		"inventory publish inventory.rejected", "orders consume inventory.rejected", "orders saga to COMPENSATING", "orders publish order.cancelled",
		"notify consume order.cancelled", "inventory consume order.cancelled", "orders publish order.created", "notify consume order.created", "psp refund",
	}
	missing := func() (out []string) {
		have := map[string]int{}
		for _, sp := range c.of(trace) {
			have[sp.service+" "+sp.name]++
		}
		for _, w := range wanted {
			if have[w]--; have[w] < 0 {
				out = append(out, w)
			}
		}
		return out
	}
	s.until("the trace is whole", func() bool { return len(missing()) == 0 && len(orphans(c.of(trace), root)) == 0 })
	for _, name := range []string{"gateway-a", "orders", "inventory", "notify", "psp"} {
		if !strings.Contains(s.nodes[name].text(), trace) {
			t.Errorf("no log line of %s has the trace id", name)
		}
	}
	if text := s.do(http.MethodGet, s.nodes["orders"].internal, "/metrics", "", "").text; !strings.Contains(text, `telemetry_spans_total{outcome="exported"}`) {
		t.Error("exported spans are not counted")
	}
}

// orphans are spans whose parent nobody has.
func orphans(all []span, root string) (out []span) {
	ids := map[string]bool{root: true}
	for _, s := range all {
		ids[s.id] = true
	}
	for _, s := range all {
		if !ids[s.parent] {
			out = append(out, s)
		}
	}
	return out
}
