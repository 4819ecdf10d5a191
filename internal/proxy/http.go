package proxy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// kindHTTP is a toxic that acts on single requests of HTTP/1; see web for how a link knows them.
const kindHTTP = "http"

// When an http toxic acts.
const (
	stageRequest  = "request"  // before the request is forwarded
	stageResponse = "response" // when the upstream's answer has begun to come
)

// Limits of http attributes.
const (
	maxHTTPText   = 64 << 10 // of a body, in bytes
	maxHTTPPath   = 1 << 10
	maxHTTPFields = 32
	maxTruncate   = 1 << 50
	noTruncate    = -1
)

// httpSettings are the attributes of an http toxic. A map is replaced and never changed, so a copy is safe.
type httpSettings struct {
	method, path string
	ratio        float64
	status       int64 // 0: none
	delay        time.Duration
	abort        bool
	truncate     int64 // noTruncate: none
	body         *string
	headers      map[string]*string // nil value: remove
	stage        string             // "": not given
}

// httpKind has neither pulses nor ramps: each request is judged by what the toxic is given.
func httpKind() kind {
	return kind{name: kindHTTP, start: settings{http: httpSettings{ratio: 1, truncate: noTruncate}}, check: checkHTTP, attributes: []attribute{
		text("method", "such as POST; every one when left out", checkMethod, func(s *settings) *string { return &s.http.method }),
		text("path", "without query; * stands for any characters", checkPath, func(s *settings) *string { return &s.http.path }),
		fixed(share("ratio", func(s *settings) *float64 { return &s.http.ratio })),
		given(whole("status", "of the answer", 200, 599, func(s *settings) *int64 { return &s.http.status }), int64(0)),
		given(duration("delay", 0, func(s *settings) *time.Duration { return &s.http.delay }), int64(0)),
		given(boolean("abort", func(s *settings) *bool { return &s.http.abort }), false),
		given(whole("truncate", "bytes of the body that still come", 0, maxTruncate, func(s *settings) *int64 { return &s.http.truncate }), int64(noTruncate)),
		given(attribute{"body", "text, at most 64 KiB", readBody, func(s *settings) any { return s.http.body }, nil}, (*string)(nil)),
		{"headers", "object of name: text, or null to remove", readHeaders, showHeaders, nil},
		given(word("stage", []string{stageRequest, stageResponse}, func(s *settings) *string { return &s.http.stage }), ""),
	}}
}

// given is an attribute that is shown only when it was given, and takes no ramp.
func given(a attribute, none any) attribute { return fixed(beyond(a, none)) }

// text is an attribute that is any text that check likes.
func text(name, unit string, check func(string) error, field func(*settings) *string) attribute {
	return given(attribute{name, unit, func(s *settings, raw json.RawMessage) error {
		var v string
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("want a text")
		}
		if err := check(v); err != nil {
			return err
		}
		*field(s) = v
		return nil
	}, func(s *settings) any { return *field(s) }, nil}, "")
}

func showHeaders(s *settings) any {
	if s.http.headers == nil {
		return nil
	}
	return s.http.headers
}

func checkMethod(v string) error {
	if !token([]byte(v)) || v != strings.ToUpper(v) || len(v) > 32 {
		return fmt.Errorf("want one method in capitals, such as POST")
	}
	return nil
}

func checkPath(v string) error {
	if len(v) > maxHTTPPath || strings.Trim(v[:min(1, len(v))], "/*") != "" || v == "" || strings.ContainsAny(v, "?# \t\r\n") {
		return fmt.Errorf("want a path such as /v1/payments/*, with neither query nor spaces")
	}
	return nil
}

func readBody(s *settings, raw json.RawMessage) error {
	var v string
	if err := json.Unmarshal(raw, &v); err != nil || len(v) > maxHTTPText {
		return fmt.Errorf("want a text of at most %d bytes", maxHTTPText)
	}
	s.http.body = &v
	return nil
}

// readHeaders refuses what decides where a message ends or whether the connection lives: changed, the two
// sides would no longer mean the same bytes.
func readHeaders(s *settings, raw json.RawMessage) error {
	var v map[string]*string
	if err := json.Unmarshal(raw, &v); err != nil || len(v) == 0 || len(v) > maxHTTPFields {
		return fmt.Errorf("want an object of 1 to %d header names, each with a text, or null to remove it", maxHTTPFields)
	}
	fixed := []string{"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
	seen := map[string]bool{}
	for name, value := range v {
		lower := strings.ToLower(name)
		switch {
		case !token([]byte(name)):
			return fmt.Errorf("%q is no header name", name)
		case slices.Contains(fixed, lower):
			return fmt.Errorf("%s frames the message or the connection and can't be changed", name)
		case seen[lower]:
			return fmt.Errorf("%s is there twice", name)
		case value != nil && (len(*value) > maxHTTPPath || strings.ContainsFunc(*value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })):
			return fmt.Errorf("the value of %s is longer than %d bytes or has control characters", name, maxHTTPPath)
		}
		seen[lower] = true
	}
	s.http.headers = v
	return nil
}

// checkHTTP wants exactly one action. A body and headers may also belong to the answer that status gives,
// and headers to a body.
func checkHTTP(s *settings) error {
	h := &s.http
	var actions []string
	for _, a := range []struct {
		name string
		is   bool
	}{
		{"status", h.status != 0}, {"delay", h.delay != 0}, {"abort", h.abort}, {"truncate", h.truncate != noTruncate},
		{"body", h.body != nil && h.status == 0}, {"headers", h.headers != nil && h.status == 0 && h.body == nil},
	} {
		if a.is {
			actions = append(actions, a.name)
		}
	}
	switch {
	case len(actions) == 0:
		return fmt.Errorf("it does nothing: want one of status, delay, abort, truncate, body or headers")
	case len(actions) > 1:
		return fmt.Errorf("want one action and not %s: add a toxic for each", strings.Join(actions, " and "))
	case h.stage != "" && !slices.Contains([]string{"delay", "abort", "headers"}, actions[0]):
		return fmt.Errorf("%s has no stage", actions[0])
	case (h.status == 204 || h.status == 304) && h.body != nil:
		return fmt.Errorf("an answer with status %d has no body", h.status)
	}
	return nil
}

// late tells whether the toxic acts on the answer.
func (h *httpSettings) late() bool {
	return h.status == 0 && (h.stage == stageResponse || h.truncate != noTruncate || h.body != nil)
}

// matches tells whether the toxic is about such requests.
func (h *httpSettings) matches(r *request) bool {
	return (h.method == "" || h.method == string(r.method)) && (h.path == "" || glob(h.path, string(r.path)))
}

// glob tells whether text is pattern, in which * stands for any run of characters, slashes too.
func glob(pattern, text string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, last)
}

// request tells whether t touches request number n of connection conn. As for connections, the answer
// depends on numbers alone, and raising ratio only adds requests.
func (d dice) request(t *toxic, conn, n uint64) bool {
	const mix = 0x9e3779b97f4a7c15 // spreads the connections, so that no two pairs of small numbers meet
	return rand.New(rand.NewPCG(d.seed^t.ordinal<<32^mix, conn*mix+n)).Float64() < t.set.http.ratio
}
