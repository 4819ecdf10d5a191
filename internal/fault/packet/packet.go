// Package packet holds the fault kinds on single packets of a node: packet.loss loses a share of them,
// packet.delay lets them leave later. Both are rules in the node's network namespace under the action's id, so
// what Revert does is to remove what is there under that id, whoever made it; they end with the node's process,
// which is no reason to start it again.
package packet

import (
	"context"
	"encoding/json"
	"errors"
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
	kindLoss  = "packet.loss"
	kindDelay = "packet.delay"
)

const (
	// healWithin is the heal deadline: a container is started for the undo, and one to see that it is done. On
	// two busy cores each takes a second or two; one that takes longer is still waited for, since nothing else undoes.
	healWithin = 20 * time.Second
	// injectWithin bounds an injection. One that was begun is waited for, so that it can't come true after the
	// revert.
	injectWithin = 20 * time.Second
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindLoss, Doc: "loses a share of a node's packets, by direction and peer, until reverted",
			Bites: "packets passed in each direction that was asked for, and the share of them that was lost may be a draw of the one asked",
			New:   func() fault.Fault { return &Loss{Direction: both} }},
		{Name: kindDelay, Doc: "delays every packet that a node sends until reverted; needs a kernel with sch_netem",
			Bites: "packets left through the delay, which the kernel has as asked",
			New:   func() fault.Fault { return &Delay{} }},
	}
}

// onPackets is what the kinds share: all but Plan works from the action alone, which says what kind of rules it is.
type onPackets struct{}

// rules are what one action has the kernel do. They are there under the action's id.
type rules interface {
	asked() string
	put(ctx context.Context) error // returns when they are in force
	look(ctx context.Context) (sight, error)
	clear(ctx context.Context) error
}

// sight is what one look at the rules has shown.
type sight struct {
	there     bool
	amiss     string   // why they are not, or not all, in force as asked, or ""
	delivered string   // what they did so far
	short     []string // in what that falls short of what was asked
	detail    any
}

// before is the process that Arm saw: rules end with it.
type before struct {
	StartedAt time.Time `json:"started_at"`
}

// stater is what these kinds need of a system beside their own capability; target.Signaller satisfies it.
type stater interface {
	State(ctx context.Context, node string) (target.State, error)
}

// place is where one action's rules are.
type place struct{ kind, node, id string }

// errorf is an error that says which fault and where.
func (p place) errorf(format string, a ...any) error {
	return fmt.Errorf("%s on node %s: "+format, append([]any{p.kind, p.node}, a...)...)
}

// victim is an action's node in a running system, with what the action does to it.
type victim struct {
	place
	stater
	rules
	was before
}

// plan makes the one action of a kind.
func plan(kindName, node, undo string, args any, t *target.Topology, c target.Capabilities, verb target.Verb) ([]fault.Action, error) {
	if err := c.Need(kindName, verb, target.VerbSignal); err != nil {
		return nil, err
	}
	if _, ok := t.Node(node); !ok {
		names := make([]string, len(t.Nodes))
		for i, n := range t.Nodes {
			names[i] = n.Name
		}
		return nil, fmt.Errorf("%s: target %s has no node %q; its nodes are %s", kindName, t.Name, node, strings.Join(names, ", "))
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("%s: encode arguments: %w", kindName, err)
	}
	return []fault.Action{{
		Kind: kindName, Place: "node:" + node, Args: raw, Heal: healWithin,
		Undo: fmt.Sprintf("%s node %s of target %s, within %v", undo, node, t.Name, healWithin),
	}}, nil
}

// open reads an action and, unless it is not armed yet, what was there before.
func open(s target.System, a fault.Action, armed bool) (v victim, err error) {
	v.kind, v.id = a.Kind, a.ID
	var args struct {
		Node string `json:"node"`
	}
	if err := json.Unmarshal(a.Args, &args); err != nil || args.Node == "" {
		return v, fmt.Errorf("%s %s: arguments %q name no node: the journal is damaged", a.Kind, a.ID, a.Args)
	}
	v.node = args.Node
	if armed {
		if err := json.Unmarshal(a.Before, &v.was); err != nil || v.was.StartedAt.IsZero() {
			return v, v.errorf("the action was never armed (before: %q), so its old process is not known", a.Before)
		}
	}
	var ok bool
	if v.stater, ok = s.(stater); !ok {
		return v, v.errorf("this target's runtime can't look at nodes (%s)", target.VerbSignal)
	}
	switch a.Kind {
	case kindLoss:
		v.rules, err = openLoss(s, v.place, a.Args)
	case kindDelay:
		v.rules, err = openDelay(s, v.place, a.Args)
	default:
		err = v.errorf("it has nothing to do with packets: the journal is damaged")
	}
	return v, err
}

// Arm implements fault.Fault.
func (onPackets) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	v, err := open(s, a, false)
	if err != nil {
		return a, err
	}
	seen, err := v.see(ctx)
	if err != nil {
		return a, err
	}
	was, err := v.sound(ctx, seen.there)
	if err != nil {
		return a, err
	}
	a.Before = was
	return a, nil
}

// Inject implements fault.Fault. It returns when the rules are in force.
func (onPackets) Inject(ctx context.Context, s target.System, a fault.Action) error {
	v, err := open(s, a, true)
	if err != nil {
		return err
	}
	return v.whole(ctx, v.put)
}

// Confirm implements fault.Fault. Active: the rules are in force as asked in the process that Arm saw. Gone: there
// are none; a node that does not run has none.
func (onPackets) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	v, err := open(s, a, true)
	if err != nil {
		return err
	}
	seen, err := v.see(ctx)
	switch {
	case err != nil:
		return err
	case !active && seen.there:
		return v.errorf("%w", errThere)
	case !active:
		return nil
	}
	why, err := v.amiss(ctx, seen)
	if err == nil && why != "" {
		err = v.errorf("%s", why)
	}
	return err
}

// Measure implements fault.Fault. It bites when the rules are in force as asked and what they did does not fall short
// of it, in the process that Arm saw.
func (onPackets) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	v, err := open(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: v.asked()}
	seen, err := v.see(ctx)
	if err != nil {
		return b, err
	}
	why, err := v.amiss(ctx, seen)
	if err != nil {
		return b, err
	}
	wrong := seen.short
	if why != "" {
		wrong = append([]string{why}, wrong...)
	}
	b.Delivered, b.Bit = seen.delivered, len(wrong) == 0
	if !b.Bit {
		b.Why = "node " + v.node + ": " + strings.Join(wrong, "; ")
	}
	if seen.there {
		b.Detail, err = json.Marshal(seen.detail)
	}
	return b, err
}

// Revert implements fault.Fault. It removes the rules under the action's id. A node that does not run, or runs
// anew, has none; it is left as it is.
func (onPackets) Revert(ctx context.Context, s target.System, a fault.Action) error {
	v, err := open(s, a, true)
	if err != nil {
		return err
	}
	if err := v.clear(ctx); err != nil {
		return v.errorf("remove its rules: %w", err)
	}
	return nil
}

// see looks at the rules.
func (v victim) see(ctx context.Context) (sight, error) {
	seen, err := v.look(ctx)
	if err != nil {
		err = v.errorf("look at its packets: %w", err)
	}
	return seen, err
}

// amiss says why the rules are not, or not all, in force in the process that Arm saw, or "".
func (v victim) amiss(ctx context.Context, seen sight) (string, error) {
	st, err := v.state(ctx)
	if err != nil {
		return "", err
	}
	if why := v.another(st); why != "" {
		return why, nil
	}
	return seen.amiss, nil
}

// sound returns what Arm notes, or why nothing can be done to the node.
func (v victim) sound(ctx context.Context, there bool) (json.RawMessage, error) {
	st, err := v.state(ctx)
	switch {
	case err != nil:
		return nil, err
	case !st.Running:
		return nil, v.errorf("it does not run before the fault: heal it (chaos heal) or look at its log (chaos target status)")
	case there:
		return nil, v.errorf("the rules of an earlier run under the same name (%s) are in force: heal it first (chaos heal)", v.id)
	}
	raw, err := json.Marshal(before{StartedAt: st.StartedAt})
	if err != nil {
		return nil, v.errorf("encode its state: %w", err)
	}
	return raw, nil
}

func (v victim) state(ctx context.Context) (target.State, error) {
	st, err := v.State(ctx, v.node)
	if err != nil {
		err = v.errorf("look at its state: %w", err)
	}
	return st, err
}

// another says why the node is not the process that Arm saw any more, whose rules are gone with it, or "".
func (v victim) another(st target.State) string {
	switch {
	case !st.Exists:
		return "it is gone from the engine: somebody removed it"
	case !st.Running:
		return fmt.Sprintf("its process has ended (exit code %d), and the rules and what they counted with it", st.ExitCode)
	case !st.StartedAt.Equal(v.was.StartedAt):
		return "its process is another one than before the fault: the rules ended with the old one, and what they counted too"
	}
	return ""
}

// whole makes the call that injects: it is not begun on a dead ctx, and once begun its answer is waited for.
func (v victim) whole(ctx context.Context, call func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return v.errorf("not begun: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), injectWithin)
	defer cancel()
	if err := call(ctx); err != nil {
		return v.errorf("%w", err)
	}
	return nil
}

// errThere is what Confirm says of rules that are still there.
var errThere = errors.New("its rules are still in force: remove them (chaos heal)")
