// Package disk holds the fault kinds on a node's folders. disk.fill takes what is free of one. Only folders that lie
// on file systems of their own that are bounded are ever filled, as target.yaml declares them: any other is the
// disk of the machine, which others use too. disk.read_only makes one read-only for the node alone.
//
//	            Inject              Measure              Revert
//	as before ─────────▶ full ─────────────▶ still full? ─────▶ given back ─▶ start, if it has ended ─▶ ready
package disk

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

const (
	kindFill = "disk.fill"
	// slack is the share of the file system that may be free at the end beside what was to be left: what the
	// node itself deleted meanwhile.
	slack = 0.05
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindFill, Doc: "fills a node's folder, which lies on a bounded file system of its own, until reverted: no space left on device", Bites: "no more than leave and 5 % of the file system is free at the end", New: func() fault.Fault { return &Fill{} }},
		{Name: kindReadOnly, Doc: "makes a node's folder read-only until reverted, for what the node opens in it from then on: read-only file system", Bites: "an attempt to make a file in it fails at the end, or the node's process has ended", New: func() fault.Fault { return &ReadOnly{} }},
	}
}

// Fill takes what is free of a node's folder.
type Fill struct {
	Node   string    `yaml:"node" doc:"name of the node in target.yaml" example:"postgres"`
	Folder string    `yaml:"folder" doc:"which of its folders; may be left out when only one can be filled, or one is a volume" optional:"true" example:"/var/lib/postgresql"`
	Leave  kind.Size `yaml:"leave" doc:"how much stays free" default:"0B" range:"0B.."`
}

// Plan implements fault.Fault.
func (f *Fill) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := c.Need(kindFill, target.VerbFill, target.VerbSignal); err != nil {
		return nil, err
	}
	spec, ok := t.Node(f.Node)
	if !ok {
		return nil, fmt.Errorf("%s: target %s has no node %q", kindFill, t.Name, f.Node)
	}
	folder, err := f.folder(spec)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(args{Node: f.Node, Folder: folder, Leave: int64(f.Leave)})
	if err != nil {
		return nil, fmt.Errorf("%s: encode arguments: %w", kindFill, err)
	}
	heal := healWithin(spec)
	return []fault.Action{{
		Kind: kindFill, Place: "node:" + f.Node, Args: raw, Heal: heal,
		Undo: fmt.Sprintf("remove the ballast from %s of node %s of target %s, start the node if it has ended, and wait until it is ready, within %v", folder, f.Node, t.Name, heal),
	}}, nil
}

// folder is the one to fill.
func (f *Fill) folder(spec target.NodeSpec) (string, error) {
	able := spec.Bounded()
	switch {
	case f.Folder != "" && slices.Contains(able, f.Folder):
		return f.Folder, nil
	case f.Folder == "" && len(able) == 1:
		return able[0], nil
	case f.Folder == "" && spec.VolumeSize != "" && len(spec.Volumes) == 1: // where its data is
		return spec.Volumes[0], nil
	case len(able) == 0:
		return "", fmt.Errorf("%s: no folder of node %s can be filled: what it writes goes to the machine's own disk, which is never filled. "+
			"In target.yaml give its volumes a bound (volume_size: 512MiB), or a tmpfs a size (/data: \"size=64m\")", kindFill, spec.Name)
	case f.Folder == "":
		return "", fmt.Errorf("%s: node %s has several folders that can be filled: name one under folder: %s", kindFill, spec.Name, strings.Join(able, ", "))
	}
	return "", fmt.Errorf("%s: folder %s of node %s has no file system of its own with a bound, so it is not filled; those that can be: %s",
		kindFill, f.Folder, spec.Name, strings.Join(able, ", "))
}

// filled is an action's folder in a running system.
type filled struct {
	place
	system
}

// system is what this kind needs of one.
type system interface {
	target.Filler
	target.Signaller
}

func open(s target.System, a fault.Action, armed bool) (*filled, error) {
	p, err := placed(kindFill, a, armed)
	if err != nil {
		return nil, err
	}
	f := &filled{place: p}
	var ok bool
	if f.system, ok = s.(system); !ok {
		return nil, f.errorf("this target's runtime can't fill folders (%s)", target.VerbFill)
	}
	return f, nil
}

// look sees the process and its disk; a node that is gone is told by the state alone.
func (f *filled) look(ctx context.Context) (st target.State, d target.DiskState, err error) {
	if st, err = f.State(ctx, f.Node); err != nil {
		return st, d, f.errorf("look at its state: %w", err)
	}
	if !st.Exists {
		return st, d, nil
	}
	if d, err = f.Disk(ctx, f.Node, f.Folder); err != nil {
		return st, d, f.errorf("look at it: %w", err)
	}
	return st, d, nil
}

// Arm implements fault.Fault. A folder that has no more free than is to be left would not be filled.
func (*Fill) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	f, err := open(s, a, false)
	if err != nil {
		return a, err
	}
	st, d, err := f.look(ctx)
	switch {
	case err != nil:
		return a, err
	case !st.Running || st.Paused || st.StartedAt.IsZero():
		return a, f.errorf("the node is %s before the fault: heal it first (chaos heal)", st.Word())
	case d.ID != "":
		return a, f.errorf("fault %s is on it: one at a time (chaos heal ends what an earlier run left)", d.ID)
	case d.Free <= f.Leave:
		return a, f.errorf("%s of %s are free before the fault, and %v are to be left: nothing would be filled", kind.Size(d.Free).About(), kind.Size(d.Size).About(), kind.Size(f.Leave))
	}
	a.Before, err = json.Marshal(before{StartedAt: st.StartedAt, Size: d.Size, Free: d.Free})
	if err != nil {
		return a, f.errorf("encode how it is: %w", err)
	}
	return a, nil
}

// Inject implements fault.Fault. It returns when the folder is full.
func (*Fill) Inject(ctx context.Context, s target.System, a fault.Action) error {
	f, err := open(s, a, true)
	if err != nil {
		return err
	}
	return f.change(ctx, "fill it", func(ctx context.Context) error { return f.FillDisk(ctx, f.Node, f.id, f.Folder, f.Leave) })
}

// empty says why the folder is not full, or "". That the node has ended is no reason: that is what a full disk does.
func (f *filled) empty(st target.State, d target.DiskState) string {
	switch most := f.Leave + int64(slack*float64(f.was.Size)); {
	case !st.Exists:
		return "the node is gone from the engine: somebody removed it"
	case d.ID == "":
		return "it is not filled: it never was, or something else gave back what was taken"
	case d.ID != f.id:
		return "another fault is on it: " + d.ID
	case d.Taken == 0 && d.Missed != "":
		return d.Missed
	case d.Free > most:
		return fmt.Sprintf("%s are free, more than %s: the node gave back what it had itself", kind.Size(d.Free).About(), kind.Size(most).About())
	}
	return ""
}

// Confirm implements fault.Fault.
func (*Fill) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	f, err := open(s, a, true)
	if err != nil {
		return err
	}
	st, d, err := f.look(ctx)
	if err != nil {
		return err
	}
	if active {
		if why := f.empty(st, d); why != "" {
			return f.errorf("%s", why)
		}
		return nil
	}
	switch {
	case !st.Exists:
		return f.errorf("the node is gone from the engine: bring the target up again (chaos target up)")
	case d.ID != "" && (d.ID == f.id || d.Missed != ""):
		return f.errorf("%s of it are taken still (chaos heal gives them back): %s", kind.Size(d.Taken).About(), d.ID)
	case !st.Running:
		return f.errorf("the node does not run (exit code %d): start it (chaos heal)", st.ExitCode)
	}
	if err := f.NodeReady(ctx, f.Node); err != nil {
		return f.errorf("it has its space, and the node is not ready: %w", err)
	}
	return nil
}

// Measure implements fault.Fault. It bites when the folder is still full at the end.
func (*Fill) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	f, err := open(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: fmt.Sprintf("%v left free in %s", kind.Size(f.Leave), f.Folder)}
	st, d, err := f.look(ctx)
	if err != nil {
		return b, err
	}
	b.Delivered = fmt.Sprintf("%s of %s free at the end (%s before), %s taken",
		kind.Size(d.Free).About(), kind.Size(f.was.Size).About(), kind.Size(f.was.Free).About(), kind.Size(d.Taken).About())
	switch {
	case st.Exists && !st.Running:
		b.Delivered += fmt.Sprintf(", and the node has ended with exit code %d", st.ExitCode)
	case !st.StartedAt.Equal(f.was.StartedAt):
		b.Delivered += ", and the node was started anew meanwhile"
	}
	if b.Why = f.empty(st, d); b.Why != "" {
		b.Why = "node " + f.Node + ": " + b.Why
	}
	b.Bit = b.Why == ""
	b.Detail, err = json.Marshal(d)
	return b, err
}

// Revert implements fault.Fault. It gives back what was taken, and starts a node that has ended meanwhile.
func (*Fill) Revert(ctx context.Context, s target.System, a fault.Action) error {
	f, err := open(s, a, true)
	if err != nil {
		return err
	}
	if err := f.change(ctx, "give back what was taken", func(ctx context.Context) error { return f.FreeDisk(ctx, f.Node, f.id, f.Folder) }); err != nil {
		return err
	}
	return f.start(ctx, f)
}
