package disk

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"chaos/internal/fault"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

const kindReadOnly = "disk.read_only"

// ReadOnly makes a node's folder read-only.
type ReadOnly struct {
	Node   string `yaml:"node" doc:"name of the node in target.yaml" example:"postgres"`
	Folder string `yaml:"folder" doc:"which of its volumes and tmpfs; may be left out when it has only one, or one is a volume" optional:"true" example:"/var/lib/postgresql"`
}

// Plan implements fault.Fault.
func (r *ReadOnly) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	if err := c.Need(kindReadOnly, target.VerbReadOnly, target.VerbSignal); err != nil {
		return nil, err
	}
	spec, ok := t.Node(r.Node)
	if !ok {
		return nil, fmt.Errorf("%s: target %s has no node %q", kindReadOnly, t.Name, r.Node)
	}
	folder, err := r.folder(spec)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(args{Node: r.Node, Folder: folder})
	if err != nil {
		return nil, fmt.Errorf("%s: encode arguments: %w", kindReadOnly, err)
	}
	heal := healWithin(spec)
	return []fault.Action{{
		Kind: kindReadOnly, Place: "node:" + r.Node, Args: raw, Heal: heal,
		Undo: fmt.Sprintf("make %s of node %s of target %s writable, start the node if it has ended, and wait until it is ready, within %v", folder, r.Node, t.Name, heal),
	}}, nil
}

// folder is the one to make read-only.
func (r *ReadOnly) folder(spec target.NodeSpec) (string, error) {
	able := spec.Folders()
	switch {
	case len(able) == 0:
		return "", fmt.Errorf("%s: node %s has no folder that it can write (volumes, tmpfs)", kindReadOnly, spec.Name)
	case slices.Contains(able, r.Folder):
		return r.Folder, nil
	case r.Folder != "":
		return "", fmt.Errorf("%s: folder %s of node %s is none of its volumes and tmpfs: %s", kindReadOnly, r.Folder, spec.Name, strings.Join(able, ", "))
	case len(able) == 1:
		return able[0], nil
	case len(spec.Volumes) == 1: // where its data is
		return spec.Volumes[0], nil
	}
	return "", fmt.Errorf("%s: node %s has several folders that it can write: name one under folder: %s", kindReadOnly, spec.Name, strings.Join(able, ", "))
}

// protected is an action's folder in a running system.
type protected struct {
	place
	protector
}

// protector is what this kind needs of a system.
type protector interface {
	target.Protector
	target.Signaller
}

func openReadOnly(s target.System, a fault.Action, armed bool) (*protected, error) {
	p, err := placed(kindReadOnly, a, armed)
	if err != nil {
		return nil, err
	}
	f := &protected{place: p}
	var ok bool
	if f.protector, ok = s.(protector); !ok {
		return nil, f.errorf("this target's runtime can't make folders read-only (%s)", target.VerbReadOnly)
	}
	return f, nil
}

// look sees the process and its folder; a node that is gone is told by the state alone.
func (f *protected) look(ctx context.Context) (st target.State, p target.Protection, err error) {
	if st, err = f.State(ctx, f.Node); err != nil {
		return st, p, f.errorf("look at its state: %w", err)
	}
	if !st.Exists {
		return st, p, nil
	}
	if p, err = f.Protection(ctx, f.Node, f.Folder); err != nil {
		return st, p, f.errorf("look at it: %w", err)
	}
	return st, p, nil
}

// Arm implements fault.Fault. A folder in which no file can be made before the fault would not be hurt by it.
func (*ReadOnly) Arm(ctx context.Context, s target.System, a fault.Action) (fault.Action, error) {
	f, err := openReadOnly(s, a, false)
	if err != nil {
		return a, err
	}
	st, p, err := f.look(ctx)
	switch {
	case err != nil:
		return a, err
	case !st.Running || st.Paused || st.StartedAt.IsZero():
		return a, f.errorf("the node is %s before the fault: heal it first (chaos heal)", st.Word())
	case p.ID != "":
		return a, f.errorf("fault %s is on its disk: one at a time (chaos heal ends what an earlier run left)", p.ID)
	case p.Attempt != "":
		return a, f.errorf("no file can be made in it before the fault: %s", p.Attempt)
	}
	a.Before, err = json.Marshal(before{StartedAt: st.StartedAt})
	if err != nil {
		return a, f.errorf("encode how it is: %w", err)
	}
	return a, nil
}

// Inject implements fault.Fault. It returns when the folder is read-only.
func (*ReadOnly) Inject(ctx context.Context, s target.System, a fault.Action) error {
	f, err := openReadOnly(s, a, true)
	if err != nil {
		return err
	}
	return f.change(ctx, "make it read-only", func(ctx context.Context) error { return f.ProtectDisk(ctx, f.Node, f.id, f.Folder) })
}

// writable says why the folder is not read-only, or "". A process that has ended had it so to its end.
func (f *protected) writable(st target.State, p target.Protection) string {
	switch {
	case !st.Exists:
		return "the node is gone from the engine: somebody removed it"
	case p.ID == "":
		return "it is not read-only: it never was, or something else made it writable"
	case p.ID != f.id:
		return "another fault is on its disk: " + p.ID
	case !st.Running && st.StartedAt.Equal(f.was.StartedAt):
		return ""
	case p.Missed != "":
		return p.Missed
	case p.Attempt == "":
		return "a file could be made in it"
	}
	return ""
}

// Confirm implements fault.Fault.
func (*ReadOnly) Confirm(ctx context.Context, s target.System, a fault.Action, active bool) error {
	f, err := openReadOnly(s, a, true)
	if err != nil {
		return err
	}
	st, p, err := f.look(ctx)
	if err != nil {
		return err
	}
	if active {
		if why := f.writable(st, p); why != "" {
			return f.errorf("%s", why)
		}
		return nil
	}
	switch {
	case !st.Exists:
		return f.errorf("the node is gone from the engine: bring the target up again (chaos target up)")
	case p.ID != "" && (p.ID == f.id || p.Missed != ""):
		return f.errorf("it is read-only still (chaos heal makes it writable): %s", p.ID)
	case !st.Running:
		return f.errorf("the node does not run (exit code %d): start it (chaos heal)", st.ExitCode)
	}
	if err := f.NodeReady(ctx, f.Node); err != nil {
		return f.errorf("it is writable, and the node is not ready: %w", err)
	}
	return nil
}

// Measure implements fault.Fault. It bites when the folder is still read-only at the end, or the node has ended.
func (*ReadOnly) Measure(ctx context.Context, s target.System, a fault.Action) (verdict.Bite, error) {
	f, err := openReadOnly(s, a, true)
	if err != nil {
		return verdict.Bite{}, err
	}
	b := verdict.Bite{Fault: a.Fault, Action: a.ID, Kind: a.Kind, Place: a.Place, Asked: f.Folder + " read-only"}
	st, p, err := f.look(ctx)
	if err != nil {
		return b, err
	}
	switch {
	case st.Exists && !st.Running:
		b.Delivered = fmt.Sprintf("the node has ended with exit code %d", st.ExitCode)
	case p.Attempt != "":
		b.Delivered = "making a file in it at the end: " + p.Attempt
	default:
		b.Delivered = "a file could be made in it at the end"
	}
	switch {
	case p.Writers == 1:
		b.Delivered += "; 1 file open for writing since before the fault stayed writable"
	case p.Writers > 1:
		b.Delivered += fmt.Sprintf("; %d files open for writing since before the fault stayed writable", p.Writers)
	}
	if !st.StartedAt.Equal(f.was.StartedAt) {
		b.Delivered += "; the node was started anew meanwhile"
	}
	if b.Why = f.writable(st, p); b.Why != "" {
		b.Why = "node " + f.Node + ": " + b.Why
	}
	b.Bit = b.Why == ""
	b.Detail, err = json.Marshal(p)
	return b, err
}

// Revert implements fault.Fault. It makes the folder writable, and starts a node that has ended meanwhile.
func (*ReadOnly) Revert(ctx context.Context, s target.System, a fault.Action) error {
	f, err := openReadOnly(s, a, true)
	if err != nil {
		return err
	}
	if err := f.change(ctx, "make it writable", func(ctx context.Context) error { return f.UnprotectDisk(ctx, f.Node, f.id, f.Folder) }); err != nil {
		return err
	}
	return f.start(ctx, f)
}
