// Package toxic holds the fault kinds that hurt an edge through its proxy link. Each puts one toxic of
// its own name on the link of each edge:
//
//	             Arm: notes what is on the link          Revert: removes it by name
//	from ──▶ link ────────────────────────────▶ [chaos-<action>] ────────────────────▶ link ──▶ to
//	             Inject: adds it, waits for the answer       (absent already: nothing to do)
//
// The action holds the whole toxic, so another process can confirm, measure and remove it.
package toxic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"chaos/internal/edge"
	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// The names of the kinds.
const (
	kindLatency   = "toxic.latency"
	kindBandwidth = "toxic.bandwidth"
	kindSlowClose = "toxic.slow_close"
	kindSlicer    = "toxic.slicer"
	kindLimitData = "toxic.limit_data"
	kindTimeout   = "toxic.timeout"
	kindResetPeer = "toxic.reset_peer"
	kindCorrupt   = "toxic.corrupt"
	kindReset     = "toxic.reset"
	kindDown      = "toxic.down"
)

const (
	// healWithin is the heal deadline of an edge.
	healWithin = 2 * time.Second
	// addWithin bounds adding the toxic. Once begun it is waited for even when the run is cancelled,
	// so that it can't arrive after the revert.
	addWithin = 2 * time.Second
	// maxDelay is the longest time that the proxy takes for any attribute.
	maxDelay = time.Hour

	downstream = "downstream"
	upstream   = "upstream"
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindLatency, Doc: "adds latency, with jitter, to what passes an edge",
			Bites: "a connection and a chunk were touched, and the median delay is at least 80 % of the least that is to be expected",
			New:   func() fault.Fault { return &Latency{Distribution: uniform, Stream: downstream, Toxicity: 1, Chunks: 1} }},
		{Name: kindBandwidth, Doc: "throttles each connection of an edge to a rate, or stalls it",
			Bites: "bytes queued, and left within 20 % of the rate; without demand: a chunk was delayed by 1 ms; 0B/s: a chunk was held",
			New:   func() fault.Fault { return &Bandwidth{Streams: whole()} }},
		{Name: kindSlowClose, Doc: "delays the end of the streams of an edge",
			Bites: "the end of a stream is held, or was passed on with a median delay of at least 80 %",
			New:   func() fault.Fault { return &SlowClose{Streams: whole()} }},
		{Name: kindSlicer, Doc: "sends what passes an edge in small slices, with pauses",
			Bites: "a chunk was cut, and the pauses between slices are at least 80 % of those asked",
			New:   func() fault.Fault { return &Slicer{Streams: whole(), Chunks: 1} }},
		{Name: kindLimitData, Doc: "ends the connections of an edge after so many bytes",
			Bites: "it ended a connection",
			New:   func() fault.Fault { return &LimitData{Streams: whole()} }},
		{Name: kindTimeout, Doc: "drops what passes an edge, and ends the connections that stay without data",
			Bites: "it dropped a byte or ended a connection",
			New:   func() fault.Fault { return &Timeout{Stream: downstream, Toxicity: 1} }},
		{Name: kindResetPeer, Doc: "resets each connection of an edge at its next data",
			Bites: "at least one connection got a RST",
			New:   func() fault.Fault { return &ResetPeer{Streams: whole(), Chunks: 1} }},
		{Name: kindCorrupt, Doc: "flips bits of what passes an edge (beyond Toxiproxy)",
			Bites: "it flipped a bit",
			New:   func() fault.Fault { return &Corrupt{Streams: whole(), Bits: 1} }},
		{Name: kindReset, Doc: "resets the established connections of an edge, once or again and again",
			Bites: "at least one connection got a RST",
			New:   func() fault.Fault { return &Reset{} }},
		{Name: kindDown, Doc: "takes an edge down: dials refused, or a black hole",
			Bites: "refused: a connection was cut; blackhole: a byte was swallowed",
			New:   func() fault.Fault { return &Down{Mode: modeRefused} }},
	}
}

// whole is every connection's answers: the default.
func whole() Streams { return Streams{Stream: downstream, Toxicity: 1} }

// args is what an action carries: where, and the toxic as the proxy takes it.
type args struct {
	Edge  string `json:"edge"`
	Toxic spec   `json:"toxic"`
}

// spec is a toxic but for its name, which follows from the action's ID.
type spec struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Toxicity   float32        `json:"toxicity"`
	Attributes map[string]any `json:"attributes"`
}

// before is the link as Arm saw it.
type before struct {
	Link   string   `json:"link"`
	Toxics []string `json:"toxics"` // names of the toxics that were on it already
}

// edgesOf joins the two ways to name edges and refuses none, both and doubles.
func edgesOf(kindName, one string, many []string) ([]string, error) {
	switch {
	case one == "" && len(many) == 0:
		return nil, fmt.Errorf("%s: name the edge, such as edge: payments->redis, or several under edges", kindName)
	case one != "" && len(many) > 0:
		return nil, fmt.Errorf("%s: give edge or edges, not both", kindName)
	case one != "":
		return []string{one}, nil
	}
	for i, e := range many {
		if slices.Contains(many[:i], e) {
			return nil, fmt.Errorf("%s: edge %s is listed twice", kindName, e)
		}
	}
	return many, nil
}

// millis checks a time that the proxy takes in whole milliseconds.
func millis(kindName, name string, d, least time.Duration) error {
	if d < least || d > maxDelay || d%time.Millisecond != 0 {
		return fmt.Errorf("%s: %s %v is not a whole number of milliseconds from %v to %v", kindName, name, d, least, maxDelay)
	}
	return nil
}

// plan makes one action for each edge.
func plan(kindName string, edges []string, x spec, t *target.Topology, c target.Capabilities) ([]fault.Action, error) {
	if err := c.Need(kindName, target.VerbEdge); err != nil {
		return nil, err
	}
	actions := make([]fault.Action, 0, len(edges))
	for _, name := range edges {
		if _, ok := t.Edge(name); !ok {
			known := make([]string, len(t.Edges))
			for i, e := range t.Edges {
				known[i] = e.Name
			}
			return nil, fmt.Errorf("%s: target %s has no edge %q; its edges are %s", kindName, t.Name, name, strings.Join(known, ", "))
		}
		raw, err := json.Marshal(args{Edge: name, Toxic: x})
		if err != nil {
			return nil, fmt.Errorf("%s: encode arguments: %w", kindName, err)
		}
		actions = append(actions, fault.Action{
			Kind:  kindName,
			Place: "edge:" + name,
			Args:  raw,
			Undo:  fmt.Sprintf("remove the fault's own %s toxic from the proxy link of edge %s of target %s", x.Type, name, t.Name),
			Heal:  healWithin,
		})
	}
	return actions, nil
}

// toxicName is the toxic's name on its link. It is the same in every process, and no two IDs share
// one: what is neither a letter, a digit nor a dash is written as _ and two hex digits.
func toxicName(id string) string {
	var b strings.Builder
	b.WriteString("chaos-")
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// place is an action's link in a running system.
type place struct {
	args
	kind   string
	name   string // of the toxic
	client *edge.Client
	link   string
}

// open finds the link of an action.
func open(ctx context.Context, s target.System, a fault.Action) (*place, error) {
	p := &place{kind: a.Kind, name: toxicName(a.ID)}
	if err := json.Unmarshal(a.Args, &p.args); err != nil || p.Edge == "" || p.Toxic.Type == "" {
		return nil, fmt.Errorf("%s %s: arguments %q name no edge and toxic: the journal is damaged", a.Kind, a.ID, a.Args)
	}
	px, ok := s.(target.Proxied)
	if !ok {
		return nil, p.errorf("this target's runtime has no proxy links (%s)", target.VerbEdge)
	}
	var err error
	if p.client, p.link, err = px.Link(ctx, p.Edge); err != nil {
		return nil, p.errorf("find its proxy link: %w", err)
	}
	return p, nil
}

// errorf is an error that says which fault and where.
func (p *place) errorf(format string, a ...any) error {
	return fmt.Errorf("%s on edge %s: "+format, append([]any{p.kind, p.Edge}, a...)...)
}

// toxics lists what is on the link now.
func (p *place) toxics(ctx context.Context) ([]edge.Toxic, error) {
	all, err := p.client.Toxics(ctx, p.link)
	if err != nil {
		return nil, p.errorf("list the toxics of link %s: %w", p.link, err)
	}
	return all, nil
}

// onLink is what the kinds share: all but Plan and Measure works from the action alone.
type onLink struct{}

// Arm implements fault.Fault. It notes the toxics of the link. One of our own name is a leftover, which the revert would remove
// as if it were ours, so it must be healed first.
func (onLink) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	p, err := open(ctx, s, a)
	if err != nil {
		return a, err
	}
	all, err := p.toxics(ctx)
	if err != nil {
		return a, err
	}
	was := before{Link: p.link, Toxics: []string{}}
	for _, t := range all {
		if t.Name == p.name {
			return a, p.errorf("toxic %s is on link %s already, left by an earlier run: heal it first (chaos heal)", p.name, p.link)
		}
		was.Toxics = append(was.Toxics, t.Name)
	}
	a.Before, err = json.Marshal(was)
	if err != nil {
		return a, p.errorf("encode the state of link %s: %w", p.link, err)
	}
	return a, nil
}

// Inject implements fault.Fault.
func (onLink) Inject(ctx context.Context, s target.System, a fault.Action) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: not injected: %w", a.Kind, err)
	}
	p, err := open(ctx, s, a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), addWithin)
	defer cancel()
	if err := p.client.AddToxic(ctx, p.link, p.toxic()); err != nil {
		return p.errorf("add toxic %s to link %s: %w", p.name, p.link, err)
	}
	return nil
}

// toxic is what the link must carry while the fault is active.
func (p *place) toxic() edge.Toxic {
	return edge.Toxic{Name: p.name, Type: p.Toxic.Type, Stream: p.Toxic.Stream, Toxicity: p.Toxic.Toxicity, Attributes: p.Toxic.Attributes}
}

// Confirm implements fault.Fault. It looks at the link once. Active means there with every attribute as asked; gone means absent.
// A proxy that does not run has no toxics: that the edge is dead then is its death's doing, not the fault's.
func (onLink) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	p, err := open(ctx, s, a)
	if !active && errors.Is(err, target.ErrProxyDown) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := p.toxics(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(t edge.Toxic) bool { return t.Name == p.name })
	switch {
	case !active && i < 0:
		return nil
	case !active:
		return p.errorf("toxic %s is still on link %s: remove it (chaos heal)", p.name, p.link)
	case i < 0:
		return p.errorf("toxic %s is not on link %s: the proxy was restarted, or its lease ran out", p.name, p.link)
	}
	return p.same(all[i])
}

// same compares a toxic with the one that was asked for.
func (p *place) same(got edge.Toxic) error {
	want := p.toxic()
	if got.Type != want.Type || got.Stream != want.Stream || got.Toxicity != want.Toxicity {
		return p.errorf("toxic %s is %s %s at toxicity %v, but %s %s at %v was asked for",
			p.name, got.Stream, got.Type, got.Toxicity, want.Stream, want.Type, want.Toxicity)
	}
	for name, v := range want.Attributes {
		if !equal(got.Attributes[name], v) {
			return p.errorf("toxic %s has %s %v, but %v was asked for", p.name, name, got.Attributes[name], v)
		}
	}
	return nil
}

// equal compares two values as JSON: an int64 and the float64 that JSON makes of it are the same.
func equal(a, b any) bool {
	x, errX := plain(a)
	y, errY := plain(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func plain(v any) (out any, err error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(raw, &out)
	return out, err
}

// Revert implements fault.Fault. It removes the toxic by its name; one that is absent needs nothing (RemoveToxic is idempotent),
// nor does one whose proxy does not run.
func (onLink) Revert(ctx context.Context, s target.System, a fault.Action) error {
	p, err := open(ctx, s, a)
	if errors.Is(err, target.ErrProxyDown) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.client.RemoveToxic(ctx, p.link, p.name); err != nil {
		return p.errorf("remove toxic %s from link %s: %w", p.name, p.link, err)
	}
	return nil
}

// judgement reads the counters of a kind's toxic: what was delivered, and why it did not bite (empty
// when it did).
type judgement func(x spec, c edge.ToxicCounters) (delivered, why string)

// measure reads what the toxic did since it was added. One that is not there any more did not last
// for its window, whatever it did before.
func measure(ctx context.Context, s target.System, a fault.Action, asked func(spec) string, judge judgement) (verdict.Bite, error) {
	p, err := open(ctx, s, a)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place}
	after, moving := p.Toxic.settled()
	b.Asked = asked(after) + moving
	all, err := p.client.Counters(ctx, p.link)
	if err != nil {
		return b, p.errorf("read the counters of link %s: %w", p.link, err)
	}
	i := slices.IndexFunc(all.Toxics, func(c edge.ToxicCounters) bool { return c.Name == p.name })
	if i < 0 {
		b.Delivered = "nothing that lasted"
		b.Why = fmt.Sprintf("toxic %s was not on link %s any more when it was measured: the proxy was restarted, or its lease ran out", p.name, p.link)
		return b, nil
	}
	c := all.Toxics[i]
	b.Delivered, b.Why = judge(p.Toxic, c)
	if c.Seen > 0 {
		b.Delivered += fmt.Sprintf("; touched %d of %d connections", c.Connections, c.Seen)
	}
	b.Bit = b.Why == ""
	if b.Detail, err = json.Marshal(c); err != nil {
		return b, p.errorf("encode the counters of link %s: %w", p.link, err)
	}
	return b, nil
}
