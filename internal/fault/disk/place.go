package disk

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"chaos/internal/fault"
	"chaos/internal/target"
)

const (
	// defaultHeal is the heal deadline of a node whose target.yaml states none.
	defaultHeal = 10 * time.Second
	// changeWithin bounds one change. Once begun it is waited for even when the run is cancelled, so that
	// nothing can come to be after the revert.
	changeWithin = 15 * time.Second
)

func healWithin(n target.NodeSpec) time.Duration {
	if n.HealWithin > 0 {
		return n.HealWithin
	}
	return defaultHeal
}

// args is what an action carries.
type args struct {
	Node   string `json:"node"`
	Folder string `json:"folder"`
	Leave  int64  `json:"leave,omitempty"` // disk.fill
}

// before is the process that Arm saw, and of disk.fill how much was free.
type before struct {
	StartedAt time.Time `json:"started_at"`
	Size      int64     `json:"size,omitempty"`
	Free      int64     `json:"free,omitempty"`
}

// place is the folder that an action is on.
type place struct {
	kind, id string
	args
	was before
}

// placed reads an action.
func placed(kind string, a fault.Action, armed bool) (p place, err error) {
	p.kind, p.id = kind, a.ID
	if err := json.Unmarshal(a.Args, &p.args); err != nil || p.Node == "" || p.Folder == "" || a.ID == "" {
		return p, fmt.Errorf("%s %s: arguments %q name no folder: the journal is damaged", kind, a.ID, a.Args)
	}
	if armed {
		if err := json.Unmarshal(a.Before, &p.was); err != nil || p.was.StartedAt.IsZero() {
			return p, p.errorf("the action was never armed (before: %q)", a.Before)
		}
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

// start starts the node if its process has ended, and waits until it is ready.
func (p *place) start(ctx context.Context, s target.Signaller) error {
	st, err := s.State(ctx, p.Node)
	switch {
	case err != nil:
		return p.errorf("look at its state: %w", err)
	case !st.Exists:
		return p.errorf("the node is gone from the engine, nothing is left to start: bring the target up again (chaos target up)")
	case !st.Running:
		if err := p.change(ctx, "start the node, because its process has ended", func(ctx context.Context) error { return s.StartNode(ctx, p.Node) }); err != nil {
			return err
		}
	}
	if err := s.NodeReady(ctx, p.Node); err != nil {
		return p.errorf("the fault is undone, and the node is not ready: %w", err)
	}
	return nil
}
