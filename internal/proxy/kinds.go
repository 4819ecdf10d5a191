package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The kinds of toxics that this proxy knows.
const (
	kindLatency   = "latency"
	kindBandwidth = "bandwidth"
	kindSlowClose = "slow_close"
	kindSlicer    = "slicer"
	kindLimitData = "limit_data"
	kindTimeout   = "timeout"
	kindCorrupt   = "corrupt" // ours, as all below but reset_peer
	kindResetPeer = "reset_peer"
	kindReset     = "reset"
	kindDown      = "down"

	modeRefused   = "refused"
	modeBlackhole = "blackhole"
)

// Limits of attributes.
const (
	maxDelay = time.Hour             // of any time given to a toxic
	maxRate  = 10_000_000            // of bandwidth, in KB/s
	maxSlice = 1 << 20               // of slicer, in bytes
	maxBits  = 256                   // of corrupt, of one chunk
	maxBytes = 1_000_000_000_000_000 // of limit_data
	minEvery = 10 * time.Millisecond // of reset's period, unless it is 0: once
)

type kind struct {
	name       string
	attributes []attribute
	start      settings              // of a toxic that is given nothing
	check      func(*settings) error // what single attributes can't tell; nil: nothing
}

func kinds() []kind {
	chunks := beyond(share("chunks", func(s *settings) *float64 { return &s.chunks }), 1.0)
	every := settings{chunks: 1}
	timeout := duration("timeout", 0, func(s *settings) *time.Duration { return &s.timeout })
	return []kind{
		{name: kindLatency, start: settings{chunks: 1, distribution: distUniform}, check: checkLatency, attributes: pulsed(
			duration("latency", 0, func(s *settings) *time.Duration { return &s.latency }),
			duration("jitter", 0, func(s *settings) *time.Duration { return &s.jitter }),
			beyond(word("distribution", distributions(), func(s *settings) *string { return &s.distribution }), distUniform),
			chunks,
		)},
		{name: kindBandwidth, attributes: pulsed(
			whole("rate", "KB/s", 0, maxRate, func(s *settings) *int64 { return &s.rate }),
		)},
		{name: kindSlowClose, attributes: pulsed(
			duration("delay", 0, func(s *settings) *time.Duration { return &s.delay }),
		)},
		{name: kindSlicer, start: every, check: checkSlicer, attributes: pulsed(
			whole("average_size", "bytes", 1, maxSlice, func(s *settings) *int64 { return &s.sliceSize }),
			whole("size_variation", "bytes", 0, maxSlice, func(s *settings) *int64 { return &s.sliceVariation }),
			whole("delay", "µs", 0, maxDelay.Microseconds(), func(s *settings) *int64 { return &s.sliceDelay }),
			chunks,
		)},
		{name: kindLimitData, attributes: pulsed(
			whole("bytes", "bytes", 0, maxBytes, func(s *settings) *int64 { return &s.bytes }),
		)},
		{name: kindTimeout, attributes: []attribute{fixed(timeout)}},
		{name: kindResetPeer, start: every, attributes: pulsed(timeout, chunks)},
		{name: kindCorrupt, start: settings{chunks: 1, bits: 1}, attributes: pulsed(
			share("chunks", func(s *settings) *float64 { return &s.chunks }),
			whole("bits", "of a chunk", 1, maxBits, func(s *settings) *int64 { return &s.bits }),
		)},
		{name: kindReset, attributes: []attribute{
			fixed(duration("every", minEvery, func(s *settings) *time.Duration { return &s.every })),
			boolean("refuse", func(s *settings) *bool { return &s.refuse }),
		}},
		{name: kindDown, start: settings{mode: modeRefused}, attributes: []attribute{
			word("mode", []string{modeRefused, modeBlackhole}, func(s *settings) *string { return &s.mode }),
		}},
		httpKind(),
	}
}

// checkSlicer refuses what ends stock's process.
func checkSlicer(s *settings) error {
	switch {
	case s.sliceSize == 0:
		return fmt.Errorf("average_size is missing: want 1 to %d", maxSlice)
	case s.sliceVariation >= s.sliceSize:
		return fmt.Errorf("size_variation %d: want less than average_size %d", s.sliceVariation, s.sliceSize)
	}
	return nil
}

// newToxic checks all of in but the attributes, in stock's order.
func newToxic(in toxicInput) (*toxic, error) {
	t := &toxic{kind: in.Type, stream: "downstream", toxicity: 1}
	if in.Stream != nil {
		t.stream = *in.Stream
	}
	dir, ok := parseDirection(t.stream)
	if !ok {
		return nil, &apiError{"stream was invalid, can be either upstream or downstream", http.StatusBadRequest}
	}
	t.dir = dir
	t.name = in.Name
	if t.name == "" {
		t.name = t.kind + "_" + t.stream
	}
	if len(t.name) > maxNameLength {
		return nil, badRequest("name is longer than %d bytes", maxNameLength)
	}
	k, err := findKind(t.kind)
	if err != nil {
		return nil, err
	}
	t.set = k.start
	return t, t.setToxicity(in.Toxicity)
}

func findKind(name string) (kind, error) {
	all := kinds()
	names := make([]string, 0, len(all))
	for _, k := range all {
		if k.name == name {
			return k, nil
		}
		names = append(names, k.name)
	}
	valid := "; valid types: " + strings.Join(names, ", ")
	return kind{}, &apiError{fmt.Sprintf("invalid toxic type: %q%s%s", name, meant(name, names), valid), http.StatusBadRequest}
}

func (t *toxic) setToxicity(v *float32) error {
	if v != nil {
		if !(*v >= 0 && *v <= 1) {
			return badRequest("toxicity %v: want 0 to 1", *v)
		}
		t.toxicity = *v
	}
	if t.kind == kindDown && t.toxicity != 1 {
		return badRequest("down has toxicity 1: for a share of the connections use timeout with timeout 0")
	}
	return nil
}

// setAttributes takes over the given attributes; stock would ignore a misspelt one.
func (t *toxic) setAttributes(given map[string]json.RawMessage) error {
	k, err := findKind(t.kind)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		i := slices.IndexFunc(k.attributes, func(a attribute) bool { return a.name == name })
		if i < 0 {
			return k.unknown(name)
		}
		raw := bytes.TrimSpace(given[name])
		err := fmt.Errorf("is null")
		if string(raw) != "null" {
			err = t.set.assign(k.attributes[i], raw)
		}
		if err != nil {
			return badRequest("%s of toxic %q: %v; valid: %s", name, k.name, err, k.valid())
		}
	}
	if err := t.consistent(k.check); err != nil {
		return badRequest("toxic %q: %v; valid: %s", k.name, err, k.valid())
	}
	return nil
}

func (k kind) unknown(name string) error {
	var names []string
	for _, a := range k.attributes {
		names = append(names, a.name)
	}
	return badRequest("toxic %q has no attribute %q%s; valid: %s", k.name, name, meant(name, names), k.valid())
}

func (k kind) valid() string {
	var all []string
	for _, a := range k.attributes {
		all = append(all, a.name+" ("+a.unit+")")
	}
	return strings.Join(all, ", ")
}

// update changes attributes and toxicity. Stock ignores name, type and stream here;
// a value that differs is an error, because nothing would come of it.
func (t *toxic) update(in toxicInput) error {
	if (in.Name != "" && in.Name != t.name) || (in.Type != "" && in.Type != t.kind) ||
		(in.Stream != nil && *in.Stream != t.stream) {
		return badRequest("name, type and stream of a toxic can't be changed: remove it and add another")
	}
	if err := t.setToxicity(in.Toxicity); err != nil {
		return err
	}
	return t.setAttributes(in.Attributes)
}

// attributesJSON is an object with the kind's attributes in their order.
func (t *toxic) attributesJSON() json.RawMessage {
	k, err := findKind(t.kind)
	if err != nil {
		return json.RawMessage("{}")
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for _, a := range k.attributes {
		shown := t.set.present(a)
		if shown == nil {
			continue
		}
		v, err := json.Marshal(shown)
		if err != nil { // int64, float64, bool, string and ramps always marshal
			v = []byte("null")
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", a.name, v)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func (t *toxic) view() toxicView {
	return toxicView{Attributes: t.attributesJSON(), Name: t.name, Type: t.kind, Stream: t.stream, Toxicity: t.toxicity}
}
