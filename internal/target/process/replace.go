package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"chaos/internal/target"
)

// A replaced node is one of which the record holds a replacement: it is started from that instead of from target.yaml and the
// run's variant, and taking it out of the record restores it.
//
//	Replace: end ─▶ note it in the record ─▶ start        Restore: end ─▶ take it out of the record
type replacement struct {
	Change target.Change `json:"change"`
	Mark   string        `json:"mark"`
}

var _ target.Replacer = (*System)(nil)

// made is what a node is made of with a replacement.
func (s *System) made(rec record, n target.NodeSpec, r replacement) (target.Made, error) {
	env, err := s.env(rec, n, r.Change)
	return target.Made{Image: imageOf(n, r), Env: target.EnvSum(env, rec.Secrets), Mark: r.Mark}, err
}

func imageOf(n target.NodeSpec, r replacement) string {
	if r.Change.Image != "" {
		return r.Change.Image
	}
	return n.Image
}

// env is a node's environment with a change.
func (s *System) env(rec record, n target.NodeSpec, c target.Change) (map[string]string, error) {
	e := s.expander(rec)
	env, err := e.Env(n, rec.Variant)
	if err != nil {
		return nil, err
	}
	return e.Changed(n, env, c)
}

// Made tells what a node is made of now.
func (s *System) Made(_ context.Context, node string) (target.Made, error) {
	n, rec, err := s.node(node)
	if err != nil {
		return target.Made{}, err
	}
	return s.made(rec, n, rec.Replaced[node])
}

// Prepare tells what Replace would make of a node. The image is one whose program is on the machine.
func (s *System) Prepare(_ context.Context, node string, c target.Change) (target.Made, error) {
	n, rec, err := s.node(node)
	if err != nil {
		return target.Made{}, err
	}
	if p := rec.Programs[c.Image]; c.Image != "" && p.Path == "" {
		_, err := s.runtime.locate(c.Image, s.topology.Image[c.Image])
		if err == nil {
			err = fmt.Errorf("image %s was not there when the target was started: bring it up again", c.Image)
		}
		return target.Made{}, err
	}
	return s.made(rec, n, replacement{Change: c})
}

// Replace ends a node and starts it changed, on the ports and with the folders that it had.
func (s *System) Replace(ctx context.Context, node string, c target.Change, mark string) error {
	if _, err := s.Prepare(ctx, node, c); err != nil {
		return fmt.Errorf("replace node %s: %w", node, err)
	}
	_, rec, err := s.node(node)
	if err != nil {
		return err
	}
	switch now := rec.Replaced[node].Mark; now {
	case mark:
		return s.StartNode(ctx, node)
	case "":
	default:
		return fmt.Errorf("replace node %s: %w (%s)", node, target.ErrReplaced, now)
	}
	if err := end(ctx, rec.Nodes[node], syscall.SIGKILL); err != nil {
		return fmt.Errorf("replace node %s: %w", node, err)
	}
	err = s.update(func(rec *record) {
		if rec.Replaced == nil {
			rec.Replaced = map[string]replacement{}
		}
		rec.Replaced[node] = replacement{Change: c, Mark: mark}
	})
	if err != nil {
		return fmt.Errorf("replace node %s: %w", node, err)
	}
	if err = s.StartNode(ctx, node); errors.Is(err, errNotFound) { // a deployment that is as bad as can be: a shell says it with 127
		const exitNotFound = 127
		now := time.Now()
		err = s.change(node, func(p *proc) {
			*p = proc{PID: p.PID, Ended: true, ExitCode: exitNotFound, StartedAt: now, FinishedAt: now, LogFrom: p.LogFrom}
		})
	}
	return err
}

// Restore makes a node as target.yaml and the variant say again. It is left stopped.
func (s *System) Restore(ctx context.Context, node string) error {
	_, rec, err := s.node(node)
	if err != nil || rec.Replaced[node].Mark == "" {
		return err
	}
	err = end(ctx, rec.Nodes[node], syscall.SIGKILL)
	if err == nil {
		err = s.update(func(rec *record) { delete(rec.Replaced, node) })
	}
	if err != nil {
		return fmt.Errorf("put node %s back: %w", node, err)
	}
	return nil
}

// restoreAll puts back whatever is replaced; of the stateful nodes, which a reset does not start, it starts those. Their steps come next.
func (s *System) restoreAll(ctx context.Context, rec record) error {
	var stateful []target.NodeSpec
	for node := range rec.Replaced {
		if err := s.Restore(ctx, node); err != nil {
			return err
		}
		if n, ok := s.spec(node); ok && n.Stateful {
			stateful = append(stateful, n)
		}
	}
	return s.Bring(ctx, stateful)
}

// replaced says in words what a snapshot tells of what a node is made of.
func (s *System) replaced(ctx context.Context, node string) (string, error) {
	made, err := s.Made(ctx, node)
	if err != nil {
		return "", fmt.Errorf("look at node %s: %w", node, err)
	}
	return made.Word(), nil
}
