package disk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"chaos/internal/fault"
	"chaos/internal/slowdisk"
	"chaos/internal/target"
)

const (
	// defaultHeal is the heal deadline of a node whose target.yaml states none.
	defaultHeal = 10 * time.Second
	// changeWithin bounds one change. Once begun it is waited for even when the run is cancelled, so that
	// nothing can come to be after the revert.
	changeWithin = 15 * time.Second
)

// args is what an action carries.
type args struct {
	Node   string `json:"node"`
	Folder string `json:"folder"`
	Leave  int64  `json:"leave,omitempty"` // disk.fill
	// Slow is of disk.slow.
	Slow *slowdisk.Slow `json:"slow,omitempty"`
}

// before is the process that Arm saw, and of disk.fill how much was free.
type before struct {
	StartedAt time.Time `json:"started_at"`
	Size      int64     `json:"size,omitempty"`
	Free      int64     `json:"free,omitempty"`
}

// plan makes the one action of a kind. pick says which folder of the node is meant; undo is in words, with %[1]s for the
// folder, %[2]s for the node and %[3]s for the target.
func plan(kindName string, a args, t *target.Topology, c target.Capabilities, verb target.Verb, pick func(target.NodeSpec) (string, error), undo string) ([]fault.Action, error) {
	if err := c.Need(kindName, verb, target.VerbSignal); err != nil {
		return nil, err
	}
	spec, ok := t.Node(a.Node)
	if !ok {
		return nil, fmt.Errorf("%s: target %s has no node %q", kindName, t.Name, a.Node)
	}
	var err error
	if a.Folder, err = pick(spec); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("%s: encode arguments: %w", kindName, err)
	}
	heal := spec.HealWithin
	if heal <= 0 {
		heal = defaultHeal
	}
	return []fault.Action{{
		Kind: kindName, Place: "node:" + a.Node, Args: raw, Heal: heal,
		Undo: fmt.Sprintf(undo+", start the node if it has ended, and wait until it is ready, within %[4]v", a.Folder, a.Node, t.Name, heal),
	}}, nil
}

// folderOf picks among all folders that a node can write the one that is named, or the one that is meant when none is.
func folderOf(kindName, folder string, spec target.NodeSpec) (string, error) {
	able := spec.Folders()
	switch {
	case len(able) == 0:
		return "", fmt.Errorf("%s: node %s has no folder that it can write (volumes, tmpfs)", kindName, spec.Name)
	case slices.Contains(able, folder):
		return folder, nil
	case folder != "":
		return "", fmt.Errorf("%s: folder %s of node %s is none of its volumes and tmpfs: %s", kindName, folder, spec.Name, strings.Join(able, ", "))
	case len(able) == 1:
		return able[0], nil
	case len(spec.Volumes) == 1: // where its data is
		return spec.Volumes[0], nil
	}
	return "", fmt.Errorf("%s: node %s has several folders that it can write: name one under folder: %s", kindName, spec.Name, strings.Join(able, ", "))
}

// place is the folder that an action is on, in a running system.
type place struct {
	kind, id string
	args
	was before
	target.Signaller
}

// placed reads an action.
func placed(s target.System, a fault.Action, armed bool) (*place, error) {
	p := &place{kind: a.Kind, id: a.ID}
	if err := json.Unmarshal(a.Args, &p.args); err != nil || p.Node == "" || p.Folder == "" || a.ID == "" {
		return nil, fmt.Errorf("%s %s: arguments %q name no folder: the journal is damaged", a.Kind, a.ID, a.Args)
	}
	if armed {
		if err := json.Unmarshal(a.Before, &p.was); err != nil || p.was.StartedAt.IsZero() {
			return nil, p.errorf("the action was never armed (before: %q)", a.Before)
		}
	}
	var ok bool
	if p.Signaller, ok = s.(target.Signaller); !ok {
		return nil, p.errorf("this target's runtime can't signal nodes (%s)", target.VerbSignal)
	}
	return p, nil
}

func (p *place) errorf(format string, a ...any) error {
	return fmt.Errorf("%s on %s of node %s: "+format, append([]any{p.kind, p.Folder, p.Node}, a...)...)
}

// change makes one call that changes something: it is not begun on a dead ctx, and once begun its answer is
// waited for.
func (p *place) change(ctx context.Context, doing string, call func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return p.errorf("%s: not begun: %w", doing, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeWithin)
	defer cancel()
	if err := call(ctx); err != nil {
		return p.errorf("%s: %w", doing, err)
	}
	return nil
}
