package disk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/target"
)

// slack is the share of the file system that may be free at the end beside what was to be left: what the node
// itself deleted meanwhile.
const slack = 0.05

// Fill takes what is free of a node's folder.
type Fill struct {
	onFolder
	Node   string    `yaml:"node" doc:"name of the node in target.yaml" example:"postgres"`
	Folder string    `yaml:"folder" doc:"which of its folders; may be left out when only one can be filled, or one is a volume" optional:"true" example:"/var/lib/postgresql"`
	Leave  kind.Size `yaml:"leave" doc:"how much stays free" default:"0B" range:"0B.."`
}

// Plan implements fault.Fault.
func (f *Fill) Plan(t *target.Topology, c target.Capabilities, _ *rand.Rand) ([]fault.Action, error) {
	return plan(kindFill, args{Node: f.Node, Leave: int64(f.Leave)}, t, c, target.VerbFill, f.folder, "remove the ballast from %[1]s of node %[2]s of target %[3]s")
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

// filled is the harm of disk.fill.
type filled struct {
	*place
	target.Filler
}

func filledOf(p *place, s target.System) (harm, error) {
	able, ok := s.(target.Filler)
	if !ok {
		return nil, p.errorf("this target's runtime can't fill folders (%s)", target.VerbFill)
	}
	return filled{p, able}, nil
}

func (f filled) words() words {
	return words{inject: "fill it", undo: "give back what was taken", without: "not filled", with: "filled"}
}

func (f filled) asked() string {
	return fmt.Sprintf("%v left free in %s", kind.Size(f.Leave), f.Folder)
}

func (f filled) inject(ctx context.Context) error {
	return f.FillDisk(ctx, f.Node, f.id, f.Folder, f.Leave)
}

func (f filled) undo(ctx context.Context) error { return f.FreeDisk(ctx, f.Node, f.id, f.Folder) }

// look implements harm. That the node has ended is no reason against a fault: that is what a full disk does.
func (f filled) look(ctx context.Context, _ target.State) (now stands, err error) {
	d, err := f.Disk(ctx, f.Node, f.Folder)
	if err != nil {
		return now, err
	}
	now = stands{id: d.ID, missed: d.Missed, before: before{Size: d.Size, Free: d.Free}, detail: d}
	if d.Free <= f.Leave {
		now.unfit = fmt.Sprintf("%s of %s are free before the fault, and %v are to be left: nothing would be filled", kind.Size(d.Free).About(), kind.Size(d.Size).About(), kind.Size(f.Leave))
	}
	switch most := f.Leave + int64(slack*float64(f.was.Size)); {
	case d.Taken == 0 && d.Missed != "":
		now.absent = d.Missed
	case d.Free > most:
		now.absent = fmt.Sprintf("%s are free, more than %s: the node gave back what it had itself", kind.Size(d.Free).About(), kind.Size(most).About())
	}
	now.said = fmt.Sprintf("%s of %s free at the end (%s before), %s taken",
		kind.Size(d.Free).About(), kind.Size(f.was.Size).About(), kind.Size(f.was.Free).About(), kind.Size(d.Taken).About())
	return now, nil
}
