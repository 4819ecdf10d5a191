// Package trace is what the harness knows of spans: their form in memory and on disk, the tree that they
// make, and the dependency map that can be drawn from them. It imports nothing of ours.
package trace

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"
)

// ID is a W3C trace id.
type ID [16]byte

// String returns 32 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes the id as its hex digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// ParseID reads 32 hex digits; ok is false for anything else and for the zero id.
func ParseID(text string) (id ID, ok bool) {
	if len(text) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(text))
	return id, err == nil && id != ID{}
}

// SpanID is a W3C span id; zero is none.
type SpanID [8]byte

// String returns 16 lower-case hex digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes the id as its hex digits.
func (id SpanID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// ClientSpan is the span id that the load sends as the parent of a request's first span, a function of the
// trace id: the load's own span is exported by nobody, so this is how its children are known.
func ClientSpan(id ID) (span SpanID) {
	rng := rand.NewPCG(binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]))
	binary.BigEndian.PutUint64(span[:], rng.Uint64()|1)
	return span
}

// UnmarshalText reads 16 hex digits; after anything else the id is zero.
func (id *SpanID) UnmarshalText(text []byte) error {
	*id = SpanID{}
	if len(text) != 2*len(id) {
		return fmt.Errorf("%q is no span id", text)
	}
	if _, err := hex.Decode(id[:], text); err != nil {
		*id = SpanID{}
		return fmt.Errorf("%q is no span id", text)
	}
	return nil
}

// Kind is a span's role in a call.
type Kind uint8

// The kinds of spans.
const (
	Internal Kind = iota
	Server
	Client
	Producer
	Consumer
)

var kindNames = [...]string{"internal", "server", "client", "producer", "consumer"}

// String names the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// MarshalText writes the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Status is what a span says about how it ended.
type Status uint8

// The statuses of a span.
const (
	Unset Status = iota
	OK
	Failed
)

var statusNames = [...]string{"", "ok", "error"}

// String names the status; Unset is empty.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return ""
}

// MarshalText writes the status's name.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Attr is an attribute. Values that are no text are written as JSON.
type Attr struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Link names a span that this one follows without being its child: of another trace, mostly.
type Link struct {
	Trace ID     `json:"trace_id"`
	Span  SpanID `json:"span_id"`
}

// Event is something that happened inside a span.
type Event struct {
	After time.Duration `json:"after_ns"` // since the start of the span
	Name  string        `json:"name"`
	Attrs []Attr        `json:"attrs,omitempty"`
}

// Span is one operation of one service.
type Span struct {
	Trace    ID            `json:"trace_id"`
	ID       SpanID        `json:"span_id"`
	Parent   SpanID        `json:"parent_id,omitzero"`
	Start    int64         `json:"start_unix_ns"` // by the clock of the service
	Duration time.Duration `json:"duration_ns"`
	Kind     Kind          `json:"kind"`
	Status   Status        `json:"status,omitzero"`
	Service  string        `json:"service"`
	Instance string        `json:"instance,omitempty"`
	Name     string        `json:"name"`
	Message  string        `json:"message,omitempty"` // with Status Failed
	Attrs    []Attr        `json:"attrs,omitempty"`
	Links    []Link        `json:"links,omitempty"`
	Events   []Event       `json:"events,omitempty"`
	Dropped  uint32        `json:"dropped,omitempty"` // attributes, links and events that the sender or we left out
}

// Attr is the first attribute that has one of the keys and a value, in the order of the keys.
func (s *Span) Attr(keys ...string) string {
	for _, key := range keys {
		for i := range s.Attrs {
			if s.Attrs[i].Key == key && s.Attrs[i].Value != "" {
				return s.Attrs[i].Value
			}
		}
	}
	return ""
}

// Limits of one span. What is over them is left out and counted in Dropped, or cut.
const (
	maxName   = 256
	maxValue  = 1024
	maxAttrs  = 64
	maxLinks  = 16
	maxEvents = 8
)

// Bound cuts a span to the limits.
func (s *Span) Bound() {
	cut(&s.Service, maxName)
	cut(&s.Instance, maxName)
	cut(&s.Name, maxName)
	cut(&s.Message, maxValue)
	s.Attrs = s.bounded(s.Attrs)
	if n := len(s.Links) - maxLinks; n > 0 {
		s.Links, s.Dropped = s.Links[:maxLinks], s.Dropped+uint32(n)
	}
	if n := len(s.Events) - maxEvents; n > 0 {
		s.Events, s.Dropped = s.Events[:maxEvents], s.Dropped+uint32(n)
	}
	for i := range s.Events {
		cut(&s.Events[i].Name, maxName)
		s.Events[i].Attrs = s.bounded(s.Events[i].Attrs)
	}
	s.Duration = max(0, s.Duration)
}

func (s *Span) bounded(attrs []Attr) []Attr {
	if n := len(attrs) - maxAttrs; n > 0 {
		attrs, s.Dropped = attrs[:maxAttrs], s.Dropped+uint32(n)
	}
	for i := range attrs {
		cut(&attrs[i].Key, maxName)
		cut(&attrs[i].Value, maxValue)
	}
	return attrs
}

func cut(s *string, limit int) {
	if len(*s) > limit {
		*s = (*s)[:limit-len("…")] + "…"
	}
}
