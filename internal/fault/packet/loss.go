package packet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// The directions, as the node sees them.
const (
	in   = "in"
	out  = "out"
	both = "both"
)

// Loss loses a share of a node's packets until reverted, each drawn by itself.
type Loss struct {
	Node      string       `yaml:"node" doc:"name of the node in target.yaml" example:"redis"`
	Loss      kind.Percent `yaml:"loss" doc:"share of the packets that is lost, over 0% up to 100%" example:"30%"`
	Direction string       `yaml:"direction" doc:"in: what the node receives; out: what it sends" default:"both" enum:"in|out|both"`
	Peer      string       `yaml:"peer" doc:"only packets from and to this node, or the proxy; default: all" optional:"true" example:"payments"`
}

// lossArgs is what an action carries.
type lossArgs struct {
	Node      string  `json:"node"`
	Share     float64 `json:"share"`
	Direction string  `json:"direction"`
	Peer      string  `json:"peer,omitempty"`
}

// Validate implements kind.Validator.
func (f *Loss) Validate() error {
	switch {
	case f.Node == "":
		return fmt.Errorf("%s: name the node, such as node: redis", kindLoss)
	case !(f.Loss > 0) || f.Loss > 1:
		return fmt.Errorf("%s: loss %v is not over 0%% up to 100%%", kindLoss, f.Loss)
	case f.Direction != in && f.Direction != out && f.Direction != both:
		return fmt.Errorf("%s: direction %q is not in, out or both", kindLoss, f.Direction)
	}
	return nil
}

// Plan implements fault.Fault.
func (f *Loss) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	a := lossArgs{Node: f.Node, Share: float64(f.Loss), Direction: f.Direction, Peer: f.Peer}
	actions, err := plan(kindLoss, f.Node, "remove the loss from the packets of", a, t, c, target.VerbLoss)
	if err == nil && f.Peer != "" {
		if _, err = target.Paths(t, f.Node, f.Peer); err != nil {
			err = fmt.Errorf("%s: %w", kindLoss, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return actions, nil
}

// loser is what packet.loss needs of a system; target.Lossy satisfies it.
type loser interface {
	SetLoss(ctx context.Context, node, id string, l target.Loss) error
	Loss(ctx context.Context, node, id string, l target.Loss) (target.LossState, error)
	ClearLoss(ctx context.Context, node, id string) error
}

// lossy is a victim in a system that can lose its packets.
type lossy struct {
	victim
	loser
	args lossArgs
}

func openLoss(s target.System, a fault.Action, armed bool) (v lossy, err error) {
	if v.victim, err = open(s, a, armed); err != nil {
		return v, err
	}
	if err := json.Unmarshal(a.Args, &v.args); err != nil {
		return v, v.errorf("arguments %q: the journal is damaged", a.Args)
	}
	var ok bool
	if v.loser, ok = s.(loser); !ok {
		return v, v.errorf("this target's runtime can't lose packets (%s)", target.VerbLoss)
	}
	return v, nil
}

func (v lossy) loss() target.Loss {
	return target.Loss{Share: v.args.Share, In: v.args.Direction != out, Out: v.args.Direction != in, Peer: v.args.Peer}
}

// look sees the rules.
func (v lossy) look(ctx context.Context) (target.LossState, error) {
	l, err := v.Loss(ctx, v.node, v.id, v.loss())
	if err != nil {
		err = v.errorf("look at its packets: %w", err)
	}
	return l, err
}

// Arm implements fault.Fault.
func (f *Loss) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	v, err := openLoss(s, a, false)
	if err != nil {
		return a, err
	}
	l, err := v.look(ctx)
	if err != nil {
		return a, err
	}
	was, err := v.sound(ctx, l.There)
	if err != nil {
		return a, err
	}
	a.Before = was
	return a, nil
}

// Inject implements fault.Fault. It returns when the rules are in force.
func (f *Loss) Inject(ctx context.Context, s target.System, a fault.Action) error {
	v, err := openLoss(s, a, true)
	if err != nil {
		return err
	}
	return v.whole(ctx, func(ctx context.Context) error { return v.SetLoss(ctx, v.node, v.id, v.loss()) })
}

// Confirm implements fault.Fault. Active: the rules are in force in the process that Arm saw, for the peer as it
// is now. Gone: there are none; a node that does not run has none.
func (f *Loss) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	v, err := openLoss(s, a, true)
	if err != nil {
		return err
	}
	l, err := v.look(ctx)
	switch {
	case err != nil:
		return err
	case !active && l.There:
		return v.errorf("%w", errThere)
	case !active:
		return nil
	}
	st, err := v.state(ctx)
	if err != nil {
		return err
	}
	if why := v.amiss(st, l); why != "" {
		return v.errorf("%s", why)
	}
	return nil
}

// amiss says why the rules are not, or not all, in force in the process that Arm saw, or "".
func (v lossy) amiss(st target.State, l target.LossState) string {
	if why := v.another(st); why != "" {
		return why
	}
	if !l.There {
		return "its rules are gone, or never were there: something else removed them"
	}
	return l.Missed
}

// Measure implements fault.Fault. It bites when, in each direction that was asked for, packets passed and the
// share of them that was lost may be a draw of a share within fault.ShareTolerance of the one asked.
func (f *Loss) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	v, err := openLoss(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: v.asked()}
	l, err := v.look(ctx)
	if err != nil {
		return b, err
	}
	st, err := v.state(ctx)
	if err != nil {
		return b, err
	}
	var said, wrong []string
	if why := v.amiss(st, l); why != "" {
		wrong = append(wrong, why)
	}
	if !l.There {
		b.Delivered, b.Why = "no loss at the end", "node "+v.node+": "+strings.Join(wrong, "; ")
		return b, nil
	}
	for _, d := range v.counts(l) {
		said = append(said, d.String())
		if why := d.why(v.args.Share); why != "" {
			wrong = append(wrong, why)
		}
	}
	b.Delivered, b.Bit = strings.Join(said, "; "), len(wrong) == 0
	if !b.Bit {
		b.Why = "node " + v.node + ": " + strings.Join(wrong, "; ")
	}
	b.Detail, err = json.Marshal(l)
	return b, err
}

func (v lossy) asked() string {
	words := fmt.Sprintf("%v of the packets lost", kind.Percent(v.args.Share))
	words += map[string]string{in: ", in", out: ", out", both: ", in and out"}[v.args.Direction]
	if v.args.Peer != "" {
		words += ", peer " + v.args.Peer
	}
	return words
}

// passed is what was counted in one direction.
type passed struct {
	way string
	target.PacketCount
}

func (v lossy) counts(l target.LossState) (all []passed) {
	if v.args.Direction != out {
		all = append(all, passed{in, l.In})
	}
	if v.args.Direction != in {
		all = append(all, passed{out, l.Out})
	}
	return all
}

// String says what was delivered.
func (p passed) String() string {
	return fmt.Sprintf("%d of %d packets %s lost (%.1f %%)", p.Lost, p.Seen, p.way, 100*float64(p.Lost)/float64(max(1, p.Seen)))
}

// why says why a direction did not bite, or "".
func (p passed) why(share float64) string {
	switch {
	case p.Seen == 0:
		return "no packet passed " + p.way + " that the loss could have hit"
	case p.Lost == 0:
		return fmt.Sprintf("none of the %d packets that passed %s was drawn: too few for so small a share", p.Seen, p.way)
	case !fault.LikelyShare(float64(p.Lost), float64(p.Seen), share):
		return fmt.Sprintf("%.3g %% of the packets were to be lost %s, and %d of %d were: not within %.0f %% of it, and no luck of the draw",
			100*share, p.way, p.Lost, p.Seen, 100*fault.ShareTolerance)
	}
	return ""
}

// Revert implements fault.Fault. It removes the rules under the action's id. A node that does not run, or runs
// anew, has none; it is left as it is.
func (f *Loss) Revert(ctx context.Context, s target.System, a fault.Action) error {
	v, err := openLoss(s, a, true)
	if err != nil {
		return err
	}
	if err := v.ClearLoss(ctx, v.node, v.id); err != nil {
		return v.errorf("remove its rules: %w", err)
	}
	return nil
}
