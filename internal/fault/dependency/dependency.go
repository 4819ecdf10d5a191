// Package dependency holds the fault kind that tells a dependency to misbehave: it changes fields of
// a document that the target declares under behaviours, and writes the old values back.
//
//	            Arm                Inject               Measure            Revert
//	document ──────▶ Before ──▶ document + set ──▶ counters moved? ──▶ document + old values
//	counters ──────▶ Before
package dependency

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/target"
)

const (
	kindDependency = "dependency"
	// healWithin is the heal deadline of a behaviour.
	healWithin = 2 * time.Second
	// writeWithin bounds one write. Once begun it is waited for even when the run is cancelled, so that
	// it can't arrive after the revert.
	writeWithin = 2 * time.Second
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindDependency, Doc: "tells a dependency to misbehave, through a behaviour that target.yaml declares",
			Bites: "every counter named for a changed field moved, and each that is a share moved by that share of the calls, within 20 %",
			New:   func() fault.Fault { return &Dependency{} }},
	}
}

// Dependency changes fields of a declared behaviour for as long as the fault lasts.
type Dependency struct {
	Call string         `yaml:"call" doc:"name of the behaviour in target.yaml, such as psp" example:"psp"`
	Set  map[string]any `yaml:"set" doc:"fields of its document to change, such as slow_fraction: 1" example:"{slow_fraction: 1}"`
}

// Validate implements kind.Validator.
func (f *Dependency) Validate() error {
	switch {
	case f.Call == "":
		return errors.New("dependency: name the behaviour under call, such as call: psp")
	case len(f.Set) == 0:
		return errors.New("dependency: set no field, so nothing would change; give set, such as set: {slow_fraction: 1}")
	}
	return nil
}

// args is what an action carries. It holds the calls too: a target.yaml that was edited since, or is
// gone, changes nothing about how to undo.
type args struct {
	Call      string           `json:"call"`
	Set       document         `json:"set"`
	Behaviour target.Behaviour `json:"behaviour"`
}

// before is what Arm read.
type before struct {
	Document document `json:"document"`
	Stats    document `json:"stats"`
}

// document is a JSON object whose values are kept as they came, so that no number is rounded.
type document map[string]json.RawMessage

// Plan implements fault.Fault. An unknown behaviour or field is an error that names the valid ones,
// and so is a change that no counter could prove.
func (f *Dependency) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if err := c.Need(kindDependency, target.VerbCall); err != nil {
		return nil, err
	}
	b, ok := t.Behaviours[f.Call]
	if !ok {
		return nil, fmt.Errorf("dependency: target %s declares no behaviour %q; valid: %s", t.Name, f.Call, list(t.Behaviours))
	}
	if !writable(b.Read) || !writable(b.Write) {
		return nil, fmt.Errorf("dependency: behaviour %s of target %s holds a secret in the clear, which no journal keeps, so the fault could not be undone: "+
			`write {{secret "name"}} for it`, f.Call, t.Name)
	}
	a := args{Call: f.Call, Set: document{}, Behaviour: b}
	counted := false
	for _, name := range slices.Sorted(maps.Keys(f.Set)) {
		if _, ok := b.Fields[name]; !ok {
			return nil, fmt.Errorf("dependency: behaviour %s has no field %q%s", f.Call, name, kind.Suggest(name, slices.Sorted(maps.Keys(b.Fields))))
		}
		raw, err := json.Marshal(f.Set[name])
		if err != nil {
			return nil, fmt.Errorf("dependency: field %s of %s can't be written as JSON: %w", name, f.Call, err)
		}
		a.Set[name] = raw
		counted = counted || b.Bites[name] != ""
		if _, ok := shareOf(raw); b.Shares[name] != "" && !ok {
			return nil, fmt.Errorf("dependency: field %s of %s is a share, so it is a number from 0 to 1, not %s", name, f.Call, raw)
		}
	}
	if !counted || b.Stats.Path == "" {
		return nil, fmt.Errorf("dependency: no counter would show that %s of %s bit: set one of %s, or declare stats and bites in target.yaml",
			list(f.Set), f.Call, list(b.Bites))
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("dependency: encode arguments: %w", err)
	}
	return []fault.Action{{
		Kind:  kindDependency,
		Place: "behaviour:" + f.Call,
		Args:  raw,
		Undo: fmt.Sprintf("write the old values of %s back to behaviour %s of target %s (%s %s on node %s, port %s)",
			list(f.Set), f.Call, t.Name, b.Write.Method, b.Write.Path, b.Write.Node, b.Write.Port),
		Heal: healWithin,
	}}, nil
}

// writable tells whether v comes through the journal as it is. Undo has nothing else to go by, and the
// journal masks secrets.
func writable(v any) bool {
	raw, err := json.Marshal(v)
	return err == nil && bytes.Equal(raw, journal.NewMasker().JSON(raw))
}

func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// place is an action's behaviour in a running system.
type place struct {
	args
	was before
	caller
}

// caller is all that this kind needs of a system; every target.System has it.
type caller interface {
	Call(ctx context.Context, c target.Call) ([]byte, error)
}

// open reads an action's arguments and, unless it is not armed yet, what was there before.
func open(s caller, a fault.Action, armed bool) (*place, error) {
	p := &place{caller: s}
	if err := json.Unmarshal(a.Args, &p.args); err != nil || p.args.Call == "" {
		return nil, fmt.Errorf("dependency %s: arguments %q name no behaviour: the journal is damaged", a.ID, a.Args)
	}
	if armed {
		if err := json.Unmarshal(a.Before, &p.was); err != nil || p.was.Document == nil {
			return nil, p.errorf("the action was never armed (before: %q), so the old values are not known", a.Before)
		}
	}
	return p, nil
}

// errorf is an error that says where.
func (p *place) errorf(format string, a ...any) error {
	return fmt.Errorf("dependency %s: "+format, append([]any{p.args.Call}, a...)...)
}

// read asks for a JSON object.
func (p *place) read(ctx context.Context, what string, q target.Query) (document, error) {
	body, err := p.caller.Call(ctx, target.Call{Query: q})
	if err != nil {
		return nil, p.errorf("read its %s (%s of node %s): %w", what, q.Path, q.Node, err)
	}
	var d document
	if err := json.Unmarshal(body, &d); err != nil || d == nil {
		return nil, p.errorf("its %s (%s of node %s) is not a JSON object: %.100q", what, q.Path, q.Node, body)
	}
	return d, nil
}

// write gives the whole document back with some fields changed.
func (p *place) write(ctx context.Context, d, fields document) error {
	if err := ctx.Err(); err != nil {
		return p.errorf("behaviour not written: %w", err)
	}
	merged := maps.Clone(d)
	maps.Copy(merged, fields)
	body, err := json.Marshal(merged)
	if err != nil {
		return p.errorf("encode its behaviour: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
	defer cancel()
	q := p.Behaviour.Write
	if _, err := p.caller.Call(ctx, target.Call{Query: q, Body: body}); err != nil {
		return p.errorf("write its behaviour (%s of node %s): %w", q.Path, q.Node, err)
	}
	return nil
}

// old are the values that the changed fields had before.
func (p *place) old() document {
	d := document{}
	for name := range p.Set {
		if v, ok := p.was.Document[name]; ok {
			d[name] = v
		}
	}
	return d
}

// differs names the fields of want that d does not have with the same value, each with both values.
func differs(d, want document) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !equal(d[name], want[name]) {
			got := string(d[name])
			if got == "" {
				got = "missing"
			}
			out = append(out, fmt.Sprintf("%s is %s, not %s", name, got, want[name]))
		}
	}
	return out
}

// equal compares JSON values by meaning: 1 and 1.0 are the same.
func equal(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// Arm implements fault.Fault. A dependency that behaves so already is an error: the fault would
// change nothing, or what it finds is what a run before left behind.
func (f *Dependency) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	p, err := open(s, a, false)
	if err != nil {
		return a, err
	}
	if p.was.Document, err = p.read(ctx, "behaviour", p.Behaviour.Read); err != nil {
		return a, err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Set)) {
		if _, ok := p.was.Document[name]; !ok {
			return a, p.errorf("its document has no field %s, so its old value can't be kept; it has %s", name, list(p.was.Document))
		}
	}
	if len(differs(p.was.Document, p.Set)) == 0 {
		return a, p.errorf("it behaves as asked before the fault (%s): heal what an earlier run left (chaos heal), or set other values", p.Set)
	}
	if !writable(p.old()) {
		return a, p.errorf("the old value of %s is a secret, which no journal keeps, so it could not be written back: set other fields", list(p.Set))
	}
	if p.was.Stats, err = p.read(ctx, "counters", p.Behaviour.Stats); err != nil {
		return a, err
	}
	if _, err := p.counts(p.was.Stats); err != nil {
		return a, err
	}
	a.Before, err = json.Marshal(p.was)
	if err != nil {
		return a, p.errorf("encode what was before: %w", err)
	}
	return a, nil
}

// String writes the fields as name value, name value.
func (d document) String() string {
	parts := make([]string, 0, len(d))
	for _, name := range slices.Sorted(maps.Keys(d)) {
		parts = append(parts, name+" "+string(d[name]))
	}
	return strings.Join(parts, ", ")
}

// Inject implements fault.Fault.
func (f *Dependency) Inject(ctx context.Context, s target.System, a fault.Action) error {
	p, err := open(s, a, true)
	if err != nil {
		return err
	}
	return p.write(ctx, p.was.Document, p.Set)
}

// Confirm implements fault.Fault: it reads the changed fields back.
func (f *Dependency) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	p, err := open(s, a, true)
	if err != nil {
		return err
	}
	d, err := p.read(ctx, "behaviour", p.Behaviour.Read)
	if err != nil && !active && p.gone(ctx, s) {
		return nil
	}
	if err != nil {
		return err
	}
	want, state := p.old(), "not as before the fault (chaos heal writes it back)"
	if active {
		want, state = p.Set, "not as asked"
	}
	if wrong := differs(d, want); len(wrong) > 0 {
		return p.errorf("it is %s: %s", state, strings.Join(wrong, ", "))
	}
	return nil
}

// gone tells whether the node's process ended, and its behaviour with it, as a toxic goes with its proxy: it can't be asked, and
// begins anew when it is started again. What a stateful node was told it may have kept, so there it is not gone.
func (p *place) gone(ctx context.Context, s target.System) bool {
	name := p.Behaviour.Write.Node
	node, known := s.Topology().Node(name)
	signaller, ok := s.(target.Signaller)
	if !ok || known && node.Stateful {
		return false
	}
	st, err := signaller.State(ctx, name)
	return err == nil && !st.Running
}

// Revert implements fault.Fault. It writes only the fields that the fault changed back to their old
// values, into the document as it is now, so that it undoes no other fault on the same behaviour.
func (f *Dependency) Revert(ctx context.Context, s target.System, a fault.Action) error {
	p, err := open(s, a, true)
	if err != nil {
		return err
	}
	now, err := p.read(ctx, "behaviour", p.Behaviour.Read)
	if err != nil && p.gone(ctx, s) {
		return nil
	}
	if err != nil {
		return err
	}
	old := p.old()
	if len(differs(now, old)) == 0 {
		return nil
	}
	return p.write(ctx, now, old)
}
