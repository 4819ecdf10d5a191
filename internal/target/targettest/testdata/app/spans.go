package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// tell sends the spans of one count to the collector: the request's and, below it, the call of Redis. With
// APP_ORPHANS the request's own is left out, so that the call's parent is one that nobody sent. With
// APP_LOG=json a count that failed is logged too.
func tell(r *http.Request, began time.Time, failed error) {
	address := os.Getenv("APP_COLLECTOR")
	if address == "" {
		return
	}
	trace, parent := id(16), ""
	if p := strings.Split(r.Header.Get("traceparent"), "-"); len(p) == 4 {
		trace, parent = p[1], p[2]
	}
	if os.Getenv("APP_LOG") == "json" && failed != nil {
		line, err := json.Marshal(map[string]any{
			"ts": time.Now().UTC(), "level": "ERROR", "service": "app", "msg": "count failed", "reason": failed.Error(), "trace_id": trace,
		})
		if err == nil {
			fmt.Println(string(line))
		}
	}
	host, port, _ := net.SplitHostPort(os.Getenv("APP_REDIS"))
	server, call := id(8), id(8)
	code := 0
	if failed != nil {
		code = 2
	}
	span := func(id, parent, name string, kind int, attributes ...any) map[string]any {
		return map[string]any{
			"traceId": trace, "spanId": id, "parentSpanId": parent, "name": name, "kind": kind, "attributes": attributes,
			"startTimeUnixNano": fmt.Sprint(began.UnixNano()), "endTimeUnixNano": fmt.Sprint(time.Now().UnixNano()),
			"status": map[string]any{"code": code},
		}
	}
	spans := []any{span(call, server, "INCR", 3, text("server.address", host), text("server.port", port), text("db.system.name", "redis"))}
	if os.Getenv("APP_ORPHANS") == "" {
		spans = append(spans, span(server, parent, "POST /count", 2))
	}
	body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource":   map[string]any{"attributes": []any{text("service.name", "app")}},
		"scopeSpans": []any{map[string]any{"spans": spans}},
	}}})
	if err != nil {
		fmt.Println("spans:", err)
		return
	}
	go send(address, body) // whoever counts does not wait for it
}

func send(address string, body []byte) {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Post("http://"+address+"/v1/traces", "application/json", bytes.NewReader(body))
	if err != nil {
		fmt.Println("spans:", err)
		return
	}
	_ = resp.Body.Close()
}

func text(key, value string) map[string]any {
	return map[string]any{"key": key, "value": map[string]any{"stringValue": value}}
}

func id(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // documented to never return an error
	return hex.EncodeToString(b)
}
