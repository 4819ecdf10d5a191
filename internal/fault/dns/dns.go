// Package dns holds the fault kinds on one name that one node looks up: dns.no_such_host says that there is no
// such host, dns.slow answers late, dns.wrong answers another address. Every other name is as before, and so is
// this one for all others.
//
//	           Inject                  Measure                     Revert
//	as before ───────▶ one name wrong ───────▶ looked up meanwhile? ─────▶ as before; what waits is answered
package dns

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// The names of the kinds.
const (
	kindNoSuchHost = "dns.no_such_host"
	kindSlow       = "dns.slow"
	kindWrong      = "dns.wrong"
)

const (
	// defaultHeal is the heal deadline of a node whose target.yaml states none.
	defaultHeal = 10 * time.Second
	// changeWithin bounds one change. Once begun it is waited for even when the run is cancelled, so that
	// nothing can come to be after the revert.
	changeWithin = 15 * time.Second
	// least is the share of the delay that must have been delivered, on average.
	least = 0.8
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindNoSuchHost, Doc: "a node that looks one name up hears that there is no such host", Bites: "the name was looked up and answered so", New: func() fault.Fault { return &NoSuchHost{} }},
		{Name: kindSlow, Doc: "a node that looks one name up hears the right answer late", Bites: "the name was looked up, and answered at least 80 % as late on average or held at the end", New: func() fault.Fault { return &Slow{} }},
		{Name: kindWrong, Doc: "a node that looks one name up hears a wrong address", Bites: "the name was looked up and answered so", New: func() fault.Fault { return &Wrong{Answer: Itself} }},
	}
}

// name is whose lookup of which name is hit: that of an edge's caller, or a node's of any name.
type name struct {
	edge, node, name string
}

// find tells the node and the name.
func (n name) find(kindName string, t *target.Topology) (spec target.NodeSpec, host string, err error) {
	node := n.node
	switch {
	case n.edge == "" && n.node == "":
		return spec, "", fmt.Errorf("%s: name an edge, such as edge: payments->redis, or a node and the name that it looks up", kindName)
	case n.edge != "" && n.node != "":
		return spec, "", fmt.Errorf("%s: name an edge or a node, not both", kindName)
	case n.edge != "":
		e, ok := t.Edge(n.edge)
		if !ok {
			return spec, "", fmt.Errorf("%s: target %s has no edge %q", kindName, t.Name, n.edge)
		}
		node, _ = e.Ends()
		host = e.Host()
		if n.name != "" {
			return spec, "", fmt.Errorf("%s: the name of edge %s is %s; write node: %s and name: %s for another one", kindName, n.edge, host, node, n.name)
		}
	default:
		if host = strings.TrimSuffix(n.name, "."); host == "" {
			return spec, "", fmt.Errorf("%s: write the name that node %s looks up, such as name: redis", kindName, n.node)
		}
	}
	spec, ok := t.Node(node)
	if !ok {
		return spec, "", fmt.Errorf("%s: target %s has no node %q", kindName, t.Name, node)
	}
	return spec, host, nil
}

// args is what an action carries.
type args struct {
	Node  string           `json:"node"`
	Fault target.NameFault `json:"fault"`
}

// plan makes the one action of a fault on names. change says what becomes of the lookups.
func plan(kindName string, n name, t *target.Topology, c target.Capabilities, change func(*target.NameFault)) ([]fault.Action, error) {
	if err := c.Need(kindName, target.VerbNames, target.VerbSignal); err != nil {
		return nil, err
	}
	spec, host, err := n.find(kindName, t)
	if err != nil {
		return nil, err
	}
	a := args{Node: spec.Name, Fault: target.NameFault{Name: host}}
	change(&a.Fault)
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("%s: encode arguments: %w", kindName, err)
	}
	heal := spec.HealWithin
	if heal <= 0 {
		heal = defaultHeal
	}
	return []fault.Action{{
		Kind: kindName, Place: "node:" + spec.Name, Args: raw, Heal: heal,
		Undo: fmt.Sprintf("let node %s of target %s look %s up as before (or start the node anew)", spec.Name, t.Name, host),
	}}, nil
}

// looker is an action's node in a running system.
type looker struct {
	kind, id string
	args
	was before
	system
}

// before is the process that Arm saw: a fault on names is gone with it.
type before struct {
	StartedAt time.Time `json:"started_at"`
}

// system is what these kinds need of one.
type system interface {
	target.Namer
	State(ctx context.Context, node string) (target.State, error)
}

func open(s target.System, a fault.Action, armed bool) (*looker, error) {
	l := &looker{kind: a.Kind, id: a.ID}
	if err := json.Unmarshal(a.Args, &l.args); err != nil || l.Node == "" || l.Fault.Name == "" || a.ID == "" {
		return nil, fmt.Errorf("%s %s: arguments %q name no node and name: the journal is damaged", a.Kind, a.ID, a.Args)
	}
	if armed {
		if err := json.Unmarshal(a.Before, &l.was); err != nil || l.was.StartedAt.IsZero() {
			return nil, l.errorf("the action was never armed (before: %q)", a.Before)
		}
	}
	var ok bool
	if l.system, ok = s.(system); !ok {
		return nil, l.errorf("this target's runtime can't change what nodes hear of names (%s)", target.VerbNames)
	}
	return l, nil
}

func (l *looker) errorf(format string, a ...any) error {
	return fmt.Errorf("%s on node %s: "+format, append([]any{l.kind, l.Node}, a...)...)
}

// change makes one call that changes something: it is not begun on a dead ctx, and once begun its answer is
// waited for.
func (l *looker) change(ctx context.Context, doing string, call func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return l.errorf("%s: not begun: %w", doing, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeWithin)
	defer cancel()
	if err := call(ctx); err != nil {
		return l.errorf("%s: %w", doing, err)
	}
	return nil
}

// onName are the verbs that the kinds share; they work from an action alone.
type onName struct{}

// Arm implements fault.Fault. A node that does not run looks nothing up, and one whose names are under a fault
// already can't be under another.
func (onName) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	l, err := open(s, a, false)
	if err != nil {
		return a, err
	}
	st, err := l.State(ctx, l.Node)
	switch {
	case err != nil:
		return a, l.errorf("look at its state: %w", err)
	case !st.Running || st.Paused || st.StartedAt.IsZero():
		return a, l.errorf("it is %s before the fault: heal it first (chaos heal)", st.Word())
	}
	now, err := l.Name(ctx, l.Node)
	switch {
	case err != nil:
		return a, l.errorf("look at its names: %w", err)
	case now.ID != "":
		return a, l.errorf("fault %s is on its names: one at a time (chaos heal ends what an earlier run left)", now.ID)
	}
	a.Before, err = json.Marshal(before{StartedAt: st.StartedAt})
	if err != nil {
		return a, l.errorf("encode its state: %w", err)
	}
	return a, nil
}

// Inject implements fault.Fault. It returns when lookups are hit.
func (onName) Inject(ctx context.Context, s target.System, a fault.Action) error {
	l, err := open(s, a, true)
	if err != nil {
		return err
	}
	return l.change(ctx, "change what it hears of "+l.Fault.Name, func(ctx context.Context) error {
		return l.SetName(ctx, l.Node, l.id, l.Fault)
	})
}

// inForce says why the fault does not hit the process that Arm saw, or "".
func (l *looker) inForce(st target.State, now target.NameState) string {
	switch {
	case !st.Running:
		return fmt.Sprintf("it is %s, and looks nothing up", st.Word())
	case !st.StartedAt.Equal(l.was.StartedAt):
		return "its process is another one than before the fault, whose lookups are as before"
	case now.ID == "":
		return "its lookups are as before: they never were changed, or something else ended that"
	case now.ID != l.id:
		return "another fault is on its names: " + now.ID
	}
	return now.Missed
}

// look sees the process and its names.
func (l *looker) look(ctx context.Context) (st target.State, now target.NameState, err error) {
	if st, err = l.State(ctx, l.Node); err != nil {
		return st, now, l.errorf("look at its state: %w", err)
	}
	if !st.Exists {
		return st, now, nil
	}
	if now, err = l.Name(ctx, l.Node); err != nil {
		return st, now, l.errorf("look at its names: %w", err)
	}
	return st, now, nil
}

// Confirm implements fault.Fault. A node that is gone or does not run has no lookups that could be wrong, but
// what was made for them must be gone too.
func (onName) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	l, err := open(s, a, true)
	if err != nil {
		return err
	}
	st, now, err := l.look(ctx)
	if err != nil {
		return err
	}
	if active {
		if why := l.inForce(st, now); why != "" {
			return l.errorf("%s", why)
		}
		return nil
	}
	if now.ID != "" && now.ID != l.id && now.Missed == "" {
		return nil // another fault's
	}
	if now.ID != "" {
		return l.errorf("its lookups are not as before (chaos heal): %s %s", now.ID, now.Missed)
	}
	return nil
}

// Measure implements fault.Fault. It bites when the name was looked up and answered as asked.
func (onName) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	l, err := open(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: l.asked()}
	st, now, err := l.look(ctx)
	if err != nil {
		return b, err
	}
	b.Delivered = l.delivered(now)
	switch why := l.inForce(st, now); {
	case why != "":
		b.Why = why
	case now.Hit == 0:
		b.Why = fmt.Sprintf("it never looked %s up (it made %d other lookups): connections that are open need no name", l.Fault.Name, now.Passed)
	case now.Done == 0 && l.Fault.Late == 0:
		b.Why = "no lookup was answered as asked"
	case now.Done == 0 && now.Held == 0:
		b.Why = "no lookup was held"
	case now.Done > 0 && mean(now) < time.Duration(least*float64(l.Fault.Late)):
		b.Why = fmt.Sprintf("lookups were held %v on average, not %v", mean(now).Round(time.Millisecond), l.Fault.Late)
	}
	if b.Why != "" {
		b.Why = "node " + l.Node + ": " + b.Why
	}
	b.Bit = b.Why == ""
	b.Detail, err = json.Marshal(now)
	return b, err
}

// asked says in words what becomes of the lookups.
func (l *looker) asked() string {
	switch f := l.Fault; {
	case f.Late > 0:
		return fmt.Sprintf("%s answered %v late", f.Name, f.Late)
	case f.Answer != "":
		return fmt.Sprintf("%s is %s", f.Name, f.Answer)
	}
	return l.Fault.Name + ": no such host"
}

func (l *looker) delivered(now target.NameState) string {
	text := fmt.Sprintf("%d of %d lookups of it so answered", now.Done, now.Hit)
	if l.Fault.Late > 0 && now.Done > 0 {
		text += fmt.Sprintf(", %v late on average", mean(now).Round(time.Millisecond))
	}
	if now.Held > 0 {
		text += fmt.Sprintf(", %d waiting at the end", now.Held)
	}
	return text
}

func mean(now target.NameState) time.Duration {
	return now.Late / time.Duration(max(1, now.Done))
}

// Revert implements fault.Fault.
func (onName) Revert(ctx context.Context, s target.System, a fault.Action) error {
	l, err := open(s, a, true)
	if err != nil {
		return err
	}
	return l.change(ctx, "let it hear what is right of "+l.Fault.Name, func(ctx context.Context) error {
		return l.ClearName(ctx, l.Node, l.id)
	})
}
