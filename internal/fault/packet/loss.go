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
)

// The directions, as the node sees them.
const (
	in   = "in"
	out  = "out"
	both = "both"
)

// Loss loses a share of a node's packets until reverted, each drawn by itself.
type Loss struct {
	onPackets
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

// lossy is one loss in a system that can lose packets.
type lossy struct {
	place
	loser
	args lossArgs
}

func openLoss(s target.System, p place, args json.RawMessage) (rules, error) {
	l := lossy{place: p}
	if err := json.Unmarshal(args, &l.args); err != nil {
		return nil, p.errorf("arguments %q: the journal is damaged", args)
	}
	var ok bool
	if l.loser, ok = s.(loser); !ok {
		return nil, p.errorf("this target's runtime can't lose packets (%s)", target.VerbLoss)
	}
	return l, nil
}

func (l lossy) loss() target.Loss {
	return target.Loss{Share: l.args.Share, In: l.args.Direction != out, Out: l.args.Direction != in, Peer: l.args.Peer}
}

func (l lossy) put(ctx context.Context) error   { return l.SetLoss(ctx, l.node, l.id, l.loss()) }
func (l lossy) clear(ctx context.Context) error { return l.ClearLoss(ctx, l.node, l.id) }

// look sees the rules. They fall short unless, in each direction that was asked for, packets passed and the
// share of them that was lost may be a draw of a share within fault.ShareTolerance of the one asked.
func (l lossy) look(ctx context.Context) (sight, error) {
	st, err := l.Loss(ctx, l.node, l.id, l.loss())
	if err != nil {
		return sight{}, err
	}
	if !st.There {
		return sight{amiss: "its rules are gone, or never were there: something else removed them", delivered: "no loss at the end"}, nil
	}
	seen := sight{there: true, amiss: st.Missed, detail: st}
	var said []string
	for _, d := range l.counts(st) {
		said = append(said, d.String())
		if why := d.why(l.args.Share); why != "" {
			seen.short = append(seen.short, why)
		}
	}
	seen.delivered = strings.Join(said, "; ")
	return seen, nil
}

func (l lossy) asked() string {
	words := fmt.Sprintf("%v of the packets lost", kind.Percent(l.args.Share))
	words += map[string]string{in: ", in", out: ", out", both: ", in and out"}[l.args.Direction]
	if l.args.Peer != "" {
		words += ", peer " + l.args.Peer
	}
	return words
}

// passed is what was counted in one direction.
type passed struct {
	way string
	target.PacketCount
}

func (l lossy) counts(st target.LossState) (all []passed) {
	if l.args.Direction != out {
		all = append(all, passed{in, st.In})
	}
	if l.args.Direction != in {
		all = append(all, passed{out, st.Out})
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
