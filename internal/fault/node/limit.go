package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
)

// Limit gives a node less than it has until reverted: of the CPU, of memory, of processes. It may name
// several; what it does not name stays as it is.
type Limit struct {
	onNode
	Node   string    `yaml:"node" doc:"name of the node in target.yaml" example:"redis"`
	CPU    float64   `yaml:"cpu" doc:"share of one CPU that it gets in each 100 ms; at least one of cpu, memory, pids" optional:"true" range:"0.01..64" example:"0.25"`
	Memory kind.Size `yaml:"memory" doc:"memory that it may use, what the kernel caches for it included" optional:"true" range:"6MiB..900GiB"`
	Pids   int64     `yaml:"pids" doc:"processes and threads that it may have" optional:"true" range:"1..4194304"`
}

// cpuGrain is the grain of a CPU share: the kernel counts microseconds of 100 ms.
const cpuGrain = 1e5

// Validate implements kind.Validator.
func (f *Limit) Validate() error {
	if err := valid(kindLimit, f.Node, 0); err != nil {
		return err
	}
	switch {
	case f.CPU == 0 && f.Memory == 0 && f.Pids == 0:
		return errors.New("say what to limit: at least one of cpu (such as 0.25), memory (such as 64MiB) and pids (such as 32)")
	case f.CPU < 0 || f.CPU > 0 && f.CPU < 0.01 || f.Memory < 0 || f.Memory > 0 && f.Memory < 6<<20 || f.Pids < 0:
		return fmt.Errorf("%s is too little to run on: the least is 0.01 CPU, 6MiB, 1 process", inWords(f.asked()))
	}
	return nil
}

func (f *Limit) asked() target.Limits {
	return target.Limits{CPU: math.Round(f.CPU*cpuGrain) / cpuGrain, Memory: int64(f.Memory), Pids: f.Pids}
}

// inWords names the limits that there are.
func inWords(l target.Limits) string {
	var all []string
	if l.CPU != 0 {
		all = append(all, fmt.Sprintf("%v CPU", l.CPU))
	}
	if l.Memory != 0 {
		all = append(all, fmt.Sprintf("%v of memory", kind.Size(l.Memory)))
	}
	if l.Pids != 0 {
		all = append(all, fmt.Sprintf("%d processes", l.Pids))
	}
	if all == nil {
		return "no limit"
	}
	return strings.Join(all, ", ")
}

// Plan implements fault.Fault.
func (f *Limit) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	asked := f.asked()
	return plan(kindLimit, undoLimit, args{Node: f.Node, Limits: &asked}, t, c, target.VerbLimit, target.VerbSignal)
}

// limiter is what node.limit needs beside a signaller; target.Limiter satisfies it.
type limiter interface {
	Limits(ctx context.Context, node string) (target.Limits, error)
	SetLimits(ctx context.Context, node string, l target.Limits) error
	Usage(ctx context.Context, node string) (target.Usage, error)
}

// limitBefore is what Arm saw.
type limitBefore struct {
	before
	Limits    target.Limits `json:"limits"`
	Usage     target.Usage  `json:"usage"`
	OOMKilled bool          `json:"oom_killed,omitempty"` // engines go on saying so of a node that was started again
}

// capped is a victim in a system that can limit it.
type capped struct {
	*victim
	limiter
	had limitBefore
}

func cappedOf(v *victim, s target.System, a fault.Action) (wound, error) {
	c := capped{victim: v}
	var err error
	if !v.was.StartedAt.IsZero() { // armed: open has read it as JSON already
		err = json.Unmarshal(a.Before, &c.had)
	}
	if v.Limits == nil || err != nil {
		return nil, v.errorf("arguments %q, before %q: the journal is damaged", a.Args, a.Before)
	}
	var ok bool
	if c.limiter, ok = s.(limiter); !ok {
		return nil, v.errorf("this target's runtime can't limit nodes (%s)", target.VerbLimit)
	}
	return c, nil
}

func (v capped) asked() string { return inWords(*v.args.Limits) }

// look sees the limits of the node.
func (v capped) look(ctx context.Context) (target.Limits, error) {
	l, err := v.limiter.Limits(ctx, v.Node)
	if err != nil {
		err = v.errorf("look at its limits: %w", err)
	}
	return l, err
}

// note: a limit that is not under the present one limits nothing.
func (v capped) note(ctx context.Context, st target.State) (any, error) {
	had := limitBefore{before: v.was, OOMKilled: st.OOMKilled}
	var err error
	if had.Limits, err = v.look(ctx); err != nil {
		return nil, err
	}
	if had.Usage, err = v.Usage(ctx, v.Node); err != nil {
		return nil, v.errorf("look at its usage: %w", err)
	}
	asked, has := *v.args.Limits, had.Limits
	if has.CPU > 0 && asked.CPU >= has.CPU || has.Memory > 0 && asked.Memory >= has.Memory || has.Pids > 0 && asked.Pids >= has.Pids {
		return nil, v.errorf("asked for %s, and it has %s already: that would not limit it", inWords(asked), inWords(has))
	}
	return had, nil
}

// put returns now with what was asked for taken from other limits: another fault may limit the rest.
func (v capped) put(now, from target.Limits) target.Limits {
	asked := v.args.Limits
	if asked.CPU > 0 {
		now.CPU = from.CPU
	}
	if asked.Memory > 0 {
		now.Memory = from.Memory
	}
	if asked.Pids > 0 {
		now.Pids = from.Pids
	}
	return now
}

// set puts limits in force and waits for the engine's answer.
func (v capped) set(ctx context.Context, doing string, from target.Limits) error {
	return v.whole(ctx, signalWithin, doing, func(ctx context.Context) error {
		now, err := v.limiter.Limits(ctx, v.Node)
		if err != nil {
			return err
		}
		return v.SetLimits(ctx, v.Node, v.put(now, from))
	})
}

// inject returns when the limits are in force.
func (v capped) inject(ctx context.Context) error { return v.set(ctx, "limit it", *v.args.Limits) }

// absent: the limits must be in force on the process that Arm saw, which they may have ended.
func (v capped) absent(ctx context.Context, st target.State) (seen, why string, err error) {
	l, err := v.look(ctx)
	switch {
	case err != nil:
	case !v.old(st):
		why = "its process is another one than before the fault: something else ended and started it"
	case l != v.put(l, *v.args.Limits):
		why = fmt.Sprintf("it has %s: it never was limited as asked, or something else changed it", inWords(l))
	}
	return "not limited at the end", why, err
}

// felt: each limit that was asked for must have been reached (see reached).
func (v capped) felt(ctx context.Context, st target.State) (said, why string, detail any, err error) {
	var u target.Usage
	if st.Running {
		if u, err = v.Usage(ctx, v.Node); err != nil {
			return "", "", nil, v.errorf("look at its usage: %w", err)
		}
	}
	all, not := v.reached(st, u)
	if in := u.InForce; in.Memory > v.put(in, *v.args.Limits).Memory || in.Pids > v.put(in, *v.args.Limits).Pids {
		not = append(not, "the kernel holds it to "+inWords(in))
	}
	return strings.Join(all, "; "), strings.Join(not, "; "), u, nil
}

func (v capped) left(ctx context.Context, _ target.State) (now, do string, err error) {
	l, err := v.look(ctx)
	if err == nil && l != v.put(l, v.had.Limits) {
		now, do = "has "+inWords(l), "give it back what it had before the fault, "+inWords(v.had.Limits)
	}
	return now, do, err
}

// mend gives back what Arm saw, whatever is in force. With that in force on the process of Arm already it is unclear.
func (v capped) mend(ctx context.Context, st target.State) (target.State, bool, error) {
	l, err := v.look(ctx)
	if err != nil {
		return st, false, err
	}
	return st, st.Running && v.old(st) && l == v.put(l, v.had.Limits), v.set(ctx, "give back what it had", v.had.Limits)
}
