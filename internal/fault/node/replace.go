package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/target"
)

// Replace runs a node from another image or with another environment until reverted, as a bad deployment does.
type Replace struct {
	onNode
	Node     string            `yaml:"node" doc:"name of the node in target.yaml" example:"payments"`
	Env      map[string]string `yaml:"env" doc:"variables of its environment that are set otherwise; values may use the functions that env of target.yaml may use. At least one of env, image, variant" optional:"true" example:"{LOG_LEVEL: debug}"`
	Image    string            `yaml:"image" doc:"another image: a key of images in target.yaml" optional:"true"`
	Variant  string            `yaml:"variant" doc:"a variant of target.yaml whose environment it gets" optional:"true"`
	Strategy string            `yaml:"strategy" doc:"of several nodes (victims): all-at-once; or rolling, one after the other, the next only when the one before is ready" default:"all-at-once" enum:"all-at-once|rolling"`
	Grace    time.Duration     `yaml:"grace" doc:"how long the old process may take to drain: SIGTERM, and SIGKILL after it" default:"2s" range:"0s..1m"`
}

// The strategies.
const (
	atOnce  = "all-at-once"
	rolling = "rolling"
)

// replaceHeal is how much longer than other faults on a node this one may take to heal: the node is made anew.
const replaceHeal = 5 * time.Second

var _ fault.Rolling = (*Replace)(nil)

// Validate implements kind.Validator.
func (f *Replace) Validate() error {
	if err := valid(kindReplace, f.Node, f.Grace); err != nil {
		return err
	}
	switch {
	case len(f.Env) == 0 && f.Image == "" && f.Variant == "":
		return fmt.Errorf("say what to change: at least one of env (such as {LOG_LEVEL: debug}), image and variant")
	case f.Strategy != atOnce && f.Strategy != rolling:
		return fmt.Errorf("strategy %q: want %s or %s", f.Strategy, atOnce, rolling)
	}
	for key, value := range f.Env {
		if strings.Contains(value, journal.Masked) {
			return fmt.Errorf("env %s: %q holds %s, which stands for a secret that was masked: write the value, or {{secret \"name\"}}", key, value, journal.Masked)
		}
	}
	return nil
}

// Plan implements fault.Fault.
func (f *Replace) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	change := target.Change{Image: f.Image, Variant: f.Variant, Env: f.Env}
	a := args{Node: f.Node, Grace: f.Grace, Change: &change, Rolling: f.Strategy == rolling}
	actions, err := plan(kindReplace, undoReplace, a, t, c, target.VerbReplace, target.VerbSignal)
	if err != nil {
		return nil, err
	}
	if err := t.CheckChange(f.Node, change); err != nil {
		return nil, fmt.Errorf("%s: %w", kindReplace, err)
	}
	return actions, nil
}

// InTurn implements fault.Rolling.
func (f *Replace) InTurn() bool { return f.Strategy == rolling }

// Passed implements fault.Rolling: the next node's turn comes when this one is ready.
func (f *Replace) Passed(ctx context.Context, s target.System, a fault.Action) error {
	v, err := open(s, a, false)
	if err != nil {
		return err
	}
	if err := v.NodeReady(ctx, v.Node); err != nil {
		return v.errorf("it was replaced and did not become ready: %w", err)
	}
	return nil
}

// replacer is what node.replace needs beside a signaller; target.Replacer satisfies it.
type replacer interface {
	Made(ctx context.Context, node string) (target.Made, error)
	Prepare(ctx context.Context, node string, c target.Change) (target.Made, error)
	Replace(ctx context.Context, node string, c target.Change, mark string) error
	Restore(ctx context.Context, node string) error
}

// madeBefore is what Arm saw, and what the node is to be.
type madeBefore struct {
	before
	Made target.Made `json:"made"`
	To   target.Made `json:"to"`
}

// deployed is a victim in a system that can replace it.
type deployed struct {
	*victim
	replacer
	logs func(ctx context.Context, node string, w io.Writer) error
	had  madeBefore
}

func deployedOf(v *victim, s target.System, a fault.Action) (wound, error) {
	d := deployed{victim: v, logs: s.Logs}
	var err error
	if !v.was.StartedAt.IsZero() { // armed: open has read it as JSON already
		if err = json.Unmarshal(a.Before, &d.had); err == nil && d.had.Made.Image == "" {
			err = errors.New("it does not say what the node was made of")
		}
	}
	if v.Change == nil || err != nil {
		return nil, v.errorf("arguments %q, before %q: the journal is damaged", a.Args, a.Before)
	}
	var ok bool
	if d.replacer, ok = s.(replacer); !ok {
		return nil, v.errorf("this target's runtime can't replace nodes (%s)", target.VerbReplace)
	}
	return d, nil
}

// asked names what is changed, and no value: a value may be a secret.
func (v deployed) asked() string {
	var all []string
	if c := v.Change; c.Image != "" {
		all = append(all, "image "+c.Image)
	}
	if c := v.Change; c.Variant != "" {
		all = append(all, "variant "+c.Variant)
	}
	if c := v.Change; len(c.Env) > 0 {
		all = append(all, "env "+names(c.Env))
	}
	how := map[bool]string{true: rolling, false: atOnce}[v.Rolling]
	return fmt.Sprintf("replaced with %s, %s, SIGKILL %v after SIGTERM", strings.Join(all, ", "), how, v.Grace)
}

// look sees what the node is made of.
func (v deployed) look(ctx context.Context) (target.Made, error) {
	b, err := v.Made(ctx, v.Node)
	if err != nil {
		err = v.errorf("look at what it is made of: %w", err)
	}
	return b, err
}

// note: a deployment that changes nothing is no fault, and one on top of another could not be told from it.
func (v deployed) note(ctx context.Context, _ target.State) (any, error) {
	had := madeBefore{before: v.was}
	var err error
	if had.Made, err = v.look(ctx); err != nil {
		return nil, err
	}
	if had.Made.Mark != "" || had.Made.Half {
		return nil, v.errorf("it is replaced before the fault (%s): heal it first (chaos heal)", had.Made.Mark)
	}
	if had.To, err = v.Prepare(ctx, v.Node, *v.Change); err != nil {
		return nil, v.errorf("see what it would be: %w", err)
	}
	if had.To.Same(had.Made) {
		return nil, v.errorf("it has that image and environment already: nothing would change")
	}
	return had, nil
}

// inject drains the node and makes it anew. It returns when the new process runs; it need not be ready, and may never be.
func (v deployed) inject(ctx context.Context) error {
	c := *v.Change
	for key, value := range c.Env {
		if strings.Contains(value, journal.Masked) {
			return v.errorf("env %s was a secret, which no journal keeps: it can't be replaced from there, only put back", key)
		}
	}
	if c.Image != "" {
		c.Image = v.had.To.Image
	}
	if err := v.end(ctx); err != nil {
		return err
	}
	return v.whole(ctx, replaceWithin, "replace it", func(ctx context.Context) error { return v.Replace(ctx, v.Node, c, v.mark) })
}

// absent: the node must be what this fault made of it. Whether it runs is the deployment's business.
func (v deployed) absent(ctx context.Context, _ target.State) (seen, why string, err error) {
	b, err := v.look(ctx)
	switch {
	case err != nil:
	case b.Mark == "" || b.Half:
		why = "it is not replaced: it never was, or something else put it back"
	case b.Mark != v.mark:
		why = "it is replaced by another fault, " + b.Mark
	case !b.Same(v.had.To):
		why = "it is made of something else than was asked for"
	}
	return "not replaced at the end", why, err
}

// deployedDetail is the machine-readable part of a bite.
type deployedDetail struct {
	Running  bool          `json:"running"`
	Ready    bool          `json:"ready"`               // at the end
	ExitCode int           `json:"exit_code"`           // of a process that has ended
	Ran      time.Duration `json:"ran_ns"`              // as replaced: until it ended, or was measured
	LastLine string        `json:"last_line,omitempty"` // of its log, when it is not ready
}

// deployedProbe is how long Measure waits to see whether the node is ready as replaced: a health check that runs a command inside
// it takes a while.
const deployedProbe = time.Second

// felt: a deployment that never runs or never becomes ready bites too, and it is said. Whether it was ready in between nobody watched.
func (v deployed) felt(ctx context.Context, st target.State) (said, why string, detail any, err error) {
	d := deployedDetail{Running: st.Running}
	if st.Running {
		d.Ran = max(0, time.Since(st.StartedAt))
		ready := v.ready(ctx, deployedProbe)
		d.Ready = ready == isReady
		said = fmt.Sprintf("ran as replaced for %.1f s, %s at the end", d.Ran.Seconds(), ready)
	} else {
		d.ExitCode = st.ExitCode
		said = fmt.Sprintf("its process as replaced has ended, exit code %d: not ready at the end", st.ExitCode)
		if !st.FinishedAt.IsZero() {
			d.Ran = max(0, st.FinishedAt.Sub(st.StartedAt))
			said = fmt.Sprintf("its process as replaced ended after %.1f s, exit code %d: not ready at the end", d.Ran.Seconds(), st.ExitCode)
		}
	}
	if !d.Ready { // its log may be gone with it when it is put back
		if d.LastLine = v.lastLine(ctx); d.LastLine != "" {
			said += fmt.Sprintf("; the last line of its log: %q", d.LastLine)
		}
	}
	return said, "", d, nil
}

// lastLine is the last line of the node's log, or "" when there is none or it can't be read.
func (v deployed) lastLine(ctx context.Context) string {
	const most = 200
	var end tail
	_ = v.logs(ctx, v.Node, &end) // it only says more of what is seen without it
	lines := strings.Split(strings.TrimSpace(string(end)), "\n")
	last := []rune(strings.ToValidUTF8(strings.TrimSpace(lines[len(lines)-1]), "?"))
	return string(last[:min(len(last), most)])
}

// tail keeps the end of what is written to it.
type tail []byte

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const keep = 4 << 10
	*t = append(*t, p...)
	*t = (*t)[max(0, len(*t)-keep):]
	return len(p), nil
}

func (v deployed) left(ctx context.Context, _ target.State) (now, do string, err error) {
	b, err := v.look(ctx)
	switch {
	case err != nil:
	case b.Mark != "" || b.Half:
		now, do = "is replaced", "put it back as it was"
	case !b.Same(v.had.Made):
		now, do = "is made of something else than before the fault", "bring the target up again"
	}
	return now, do, err
}

// mend, by what it sees:
//
//	replaced, or half ──▶ put it back as it was, stopped
//	replaced by another fault ──▶ error
//	as it was ──▶ as of a node that is down (downed.mend): whether it was drained is not known
func (v deployed) mend(ctx context.Context, st target.State) (target.State, bool, error) {
	b, err := v.look(ctx)
	switch {
	case err != nil:
		return st, false, err
	case b.Mark != "" && b.Mark != v.mark:
		return st, false, v.errorf("another fault, %s, replaced it: heal that first", b.Mark)
	case b.Mark == "" && !b.Half:
		return downed{v.victim}.mend(ctx, st)
	}
	err = v.whole(ctx, replaceWithin, "put it back", func(ctx context.Context) error { return v.Restore(ctx, v.Node) })
	st.Running = false
	return st, false, err
}
