package disk

import (
	"context"
	"fmt"
	"math/rand/v2"

	"chaos/internal/fault"
	"chaos/internal/target"
)

// ReadOnly makes a node's folder read-only.
type ReadOnly struct {
	onFolder
	Node   string `yaml:"node" doc:"name of the node in target.yaml" example:"postgres"`
	Folder string `yaml:"folder" doc:"which of its volumes and tmpfs; may be left out when it has only one, or one is a volume" optional:"true" example:"/var/lib/postgresql"`
}

// Plan implements fault.Fault.
func (r *ReadOnly) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	pick := func(spec target.NodeSpec) (string, error) { return folderOf(kindReadOnly, r.Folder, spec) }
	return plan(kindReadOnly, args{Node: r.Node}, t, c, target.VerbReadOnly, pick, "make %[1]s of node %[2]s of target %[3]s writable")
}

// protected is the harm of disk.read_only.
type protected struct {
	*place
	target.Protector
}

func protectedOf(p *place, s target.System) (harm, error) {
	able, ok := s.(target.Protector)
	if !ok {
		return nil, p.errorf("this target's runtime can't make folders read-only (%s)", target.VerbReadOnly)
	}
	return protected{p, able}, nil
}

func (f protected) words() words {
	return words{inject: "make it read-only", undo: "make it writable", without: "not read-only", with: "read-only"}
}

func (f protected) asked() string { return f.Folder + " read-only" }

func (f protected) inject(ctx context.Context) error {
	return f.ProtectDisk(ctx, f.Node, f.id, f.Folder)
}

func (f protected) undo(ctx context.Context) error {
	return f.UnprotectDisk(ctx, f.Node, f.id, f.Folder)
}

// look implements harm. A folder in which no file can be made before the fault would not be hurt by it. A process that
// has ended had it read-only to its end.
func (f protected) look(ctx context.Context, st target.State) (now stands, err error) {
	p, err := f.Protection(ctx, f.Node, f.Folder)
	if err != nil {
		return now, err
	}
	now = stands{id: p.ID, missed: p.Missed, detail: p}
	if p.Attempt != "" {
		now.unfit = "no file can be made in it before the fault: " + p.Attempt
	}
	switch {
	case !st.Running && st.StartedAt.Equal(f.was.StartedAt):
	case p.Missed != "":
		now.absent = p.Missed
	case p.Attempt == "":
		now.absent = "a file could be made in it"
	}
	switch {
	case p.Attempt != "":
		now.said = "making a file in it at the end: " + p.Attempt
	case st.Running:
		now.said = "a file could be made in it at the end"
	default:
		now.said = "nobody could make a file in it at the end"
	}
	switch {
	case p.Writers == 1:
		now.said += "; 1 file open for writing since before the fault stayed writable"
	case p.Writers > 1:
		now.said += fmt.Sprintf("; %d files open for writing since before the fault stayed writable", p.Writers)
	}
	return now, nil
}
