package toxic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// The names of the kinds that hurt single HTTP/1 requests. All of them put one http toxic on the link.
const (
	kindStatus = "http.status"
	kindDelay  = "http.delay"
	kindAbort  = "http.abort"
	kindBody   = "http.body"
	kindHeader = "http.header"

	onRequest  = "request"
	onResponse = "response"
)

// HTTPKinds lists the kinds of faults on requests, for internal/catalog.
func HTTPKinds() kind.Table[fault.Fault] {
	all := Requests{Ratio: 1}
	const hitShare = "requests were hit, and their share of the matching ones may be a draw of ratio, within 20 %"
	return kind.Table[fault.Fault]{
		{Name: kindStatus, Doc: "answers HTTP requests of an edge itself, with a status such as 503",
			Bites: hitShare,
			New:   func() fault.Fault { return &Status{Requests: all, Status: 503} }},
		{Name: kindDelay, Doc: "delays HTTP requests of an edge, or their answers",
			Bites: hitShare + "; the median delay at least 80 %",
			New:   func() fault.Fault { return &Delay{Requests: all, Stage: onRequest} }},
		{Name: kindAbort, Doc: "resets the connection of HTTP requests of an edge, before they arrive or once they are answered",
			Bites: hitShare,
			New:   func() fault.Fault { return &Abort{Requests: all, Stage: onRequest} }},
		{Name: kindBody, Doc: "cuts or replaces the bodies of HTTP answers on an edge",
			Bites: hitShare,
			New:   func() fault.Fault { return &Body{Requests: all} }},
		{Name: kindHeader, Doc: "sets and removes headers of HTTP requests or answers on an edge",
			Bites: hitShare,
			New:   func() fault.Fault { return &Header{Requests: all, Stage: onRequest} }},
	}
}

// Requests says which requests are hit.
type Requests struct {
	Edges  []string `yaml:"edges" doc:"the edges, from->to each" optional:"true" one:"place"`
	Edge   string   `yaml:"edge" doc:"the edge, when it is one" optional:"true" one:"place" example:"gateway->payments"`
	Method string   `yaml:"method" doc:"only requests with this method, such as POST; left out: all" optional:"true"`
	Path   string   `yaml:"path" doc:"only requests with this path, without query; * stands for any characters, such as /v1/payments/*; left out: all" optional:"true"`
	Ratio  float64  `yaml:"ratio" doc:"share of these requests that is hit" default:"1" range:">0..1"`
}

// action makes the toxic that does what attributes say to the requests, and checks it.
func (r *Requests) action(kindName string, attributes map[string]any) (spec, error) {
	x := spec{Type: "http", Stream: downstream, Toxicity: 1, Attributes: attributes}
	if _, err := edgesOf(kindName, r.Edge, r.Edges); err != nil {
		return x, err
	}
	switch {
	case r.Method != strings.ToUpper(r.Method) || strings.ContainsAny(r.Method, " ,|*"):
		return x, fmt.Errorf("%s: method %q is not one method in capitals, such as POST", kindName, r.Method)
	case r.Path != "" && r.Path[0] != '/' && r.Path[0] != '*' || strings.ContainsAny(r.Path, "?# "):
		return x, fmt.Errorf("%s: path %q is not a path such as /v1/payments/*, with neither query nor spaces", kindName, r.Path)
	case !(r.Ratio > 0 && r.Ratio <= 1):
		return x, fmt.Errorf("%s: ratio %v is not over 0 and up to 1: it is the share of the matching requests that is hit", kindName, r.Ratio)
	}
	x.Attributes["ratio"] = r.Ratio
	if r.Method != "" {
		x.Attributes["method"] = r.Method
	}
	if r.Path != "" {
		x.Attributes["path"] = r.Path
	}
	raw, err := json.Marshal(x.Attributes)
	if err != nil {
		return x, fmt.Errorf("%s: encode attributes: %w", kindName, err)
	}
	if !bytes.Equal(raw, journal.NewMasker().JSON(raw)) {
		return x, fmt.Errorf("%s: it holds what looks like a secret, which no journal keeps, so another process could not tell whether it is there: use another value", kindName)
	}
	return x, nil
}

// plan makes one action for each edge.
func (r *Requests) plan(kindName string, x spec, t *target.Topology, c target.Capabilities) ([]fault.Action, error) {
	edges, err := edgesOf(kindName, r.Edge, r.Edges)
	if err != nil {
		return nil, err
	}
	return plan(kindName, edges, x, t, c)
}

// measureRequests measures a toxic of requests; what says what it does to them.
func measureRequests(ctx context.Context, s target.System, a fault.Action, what func(spec) string) (verdict.Bite, error) {
	return measure(ctx, s, a, func(x spec) string {
		return fmt.Sprintf("%s, %.3g %% of %s", what(x), 100*x.ratio(), x.requests())
	}, hitRequests)
}

func (x spec) ratio() float64 {
	v, _ := x.Attributes["ratio"].(float64) // action has set it
	return v
}

// requests names the requests that the toxic is about.
func (x spec) requests() string {
	method, path := x.Attributes["method"], x.Attributes["path"]
	switch {
	case method == nil && path == nil:
		return "all requests"
	case method == nil:
		return fmt.Sprintf("requests to %v", path)
	case path == nil:
		return fmt.Sprintf("%v requests", method)
	}
	return fmt.Sprintf("%v %v", method, path)
}

// stage names when the toxic acts: before the request is forwarded, or when it is answered.
func (x spec) stage() string {
	if x.Attributes["stage"] == onResponse {
		return onResponse
	}
	return onRequest
}

// hitRequests judges the counters of an http toxic.
func hitRequests(x spec, c edge.ToxicCounters) (delivered, why string) {
	h := c.HTTP
	if h == nil {
		return "nothing that was counted", "the proxy counts no requests: it is another one than this program's"
	}
	delivered = fmt.Sprintf("%d of %d matching requests, on %d connections", h.Touched, h.Matched, c.Connections)
	least := time.Duration(minShare * float64(x.millis("delay")))
	switch {
	case h.Requests == 0 && h.NotUnderstood > 0:
		return delivered, fmt.Sprintf("%d connections spoke no HTTP/1 (HTTP/2 and TLS pass untouched): this kind can't hurt them", h.NotUnderstood)
	case h.Requests == 0:
		return delivered, "no request passed the edge while the fault was there: does any load use it?"
	case h.Matched == 0:
		return delivered, fmt.Sprintf("%d requests passed, and none that it could hit (%s): see method and path, and whether they were answered with a body", h.Requests, x.requests())
	case h.Touched == 0:
		return delivered, fmt.Sprintf("none of %d matching requests was hit: make ratio %.3g larger, or the fault longer", h.Matched, x.ratio())
	case !fault.LikelyShare(float64(h.Touched), float64(h.Matched), x.ratio()):
		return delivered, fmt.Sprintf("ratio %.4g was asked, and %.3g of %d matching requests were hit: not within %.0f %% of it, and no luck of the draw",
			x.ratio(), float64(h.Touched)/float64(max(h.Matched, 1)), h.Matched, 100*fault.ShareTolerance)
	case least > 0 && c.Chunks > 0 && c.AddedP50 < least:
		return delivered, fmt.Sprintf("the median delay is %v, under %.0f %% of what was asked: the proxy did not deliver it", round(c.AddedP50), 100*minShare)
	}
	if c.Chunks > 0 {
		delivered += ", median " + added(c)
	}
	return delivered, ""
}
