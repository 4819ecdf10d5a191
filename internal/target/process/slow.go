package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"chaos/internal/slowdisk"
	"chaos/internal/target"
)

// slowing is what the record says of a node whose folder is slow: a process beside it traces it and what it started
// (chaos slowdisk hold <pids> <folder> <socket> '{slow}'). That ends with the process that asked for it, and with the
// node; when it ends, in whatever way, the kernel lets them go on.
type slowing struct {
	ID   string `json:"id"`
	Proc proc   `json:"proc"`
}

const (
	slowWithin = 8 * time.Second // from its start to its first word: a busy machine takes a second
	tryWithin  = 10 * time.Second
)

var _ target.Slower = (*System)(nil)

// lacking returns what Capabilities.Lacking is: this machine is tried at most once, when a slow disk is planned. What
// can't be tried is taken to be there; then the fault itself fails, by name.
func (r *Runtime) lacking(ctx context.Context) func(target.Verb) string {
	tried := sync.OnceValue(func() string {
		if r.config.Binary == "" {
			return ""
		}
		return r.TryTracing(context.WithoutCancel(ctx))
	})
	return func(v target.Verb) string {
		if v != target.VerbSlow {
			return ""
		}
		return tried()
	}
}

// TryTracing does to a process of its own what makes a disk slow, and returns why this machine can't, or "".
func (r *Runtime) TryTracing(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, r.config.Binary, "slowdisk", "try", os.TempDir()).Output()
	var a slowdisk.Answer
	if told := json.Unmarshal(out, &a); told == nil && a.Error != "" {
		return a.Error
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func (s *System) slowSocket(node string) string { return filepath.Join(s.dir, "slow-"+node) }

// SlowDisk starts the process that makes it slow.
func (s *System) SlowDisk(ctx context.Context, node, id, folder string, slow slowdisk.Slow) error {
	s.starting.Lock()
	defer s.starting.Unlock()
	n, rec, err := s.node(node)
	if err != nil {
		return err
	}
	p := rec.Nodes[node]
	switch other, found := rec.Slow[node]; {
	case !p.alive():
		return fmt.Errorf("node %s does not run", node)
	case !slices.Contains(n.Folders(), folder):
		return fmt.Errorf("node %s has no folder %s", node, folder)
	case found:
		return fmt.Errorf("a fault is on the disk of node %s: %s", node, other.ID)
	}
	asked, err := json.Marshal(slow)
	if err != nil {
		return err
	}
	var pids []string
	for _, pid := range family(p.PID) {
		pids = append(pids, strconv.Itoa(pid))
	}
	cmd := &exec.Cmd{
		Path: rec.Programs[proxyImage].Path, Dir: s.dir, Env: []string{}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		Args: []string{"chaos", "slowdisk", "hold", strings.Join(pids, ","), places{rec, s.dir}.Dir(node, folder), s.slowSocket(node), string(asked)},
	}
	dieWithParent(cmd.SysProcAttr, syscall.SIGTERM) // of a target that is kept, too: who asked for it undoes it
	if err := s.beside(ctx, node, id, cmd); err != nil {
		return errors.Join(fmt.Errorf("make %s of node %s slow: %w", folder, node, err), s.UnslowDisk(context.WithoutCancel(ctx), node, id))
	}
	return nil
}

// beside starts a process that stands beside a node for a fault, notes it, and waits for its first word.
func (s *System) beside(ctx context.Context, node, id string, cmd *exec.Cmd) error {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if s.forker == nil {
		s.forker = newForker()
	}
	if err := s.forker.start(cmd); err != nil {
		return err
	}
	p := proc{PID: cmd.Process.Pid, StartedAt: time.Now()}
	p.Start, err = target.ProcessStart(p.PID)
	if err == nil {
		err = s.update(func(rec *record) {
			if rec.Slow == nil {
				rec.Slow = map[string]slowing{}
			}
			rec.Slow[node] = slowing{ID: id, Proc: p}
		})
	}
	if err != nil { // nobody would find it again
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("note what stands beside it: %w", err)
	}
	type word struct {
		line string
		err  error
	}
	said := make(chan word, 1)
	go func() {
		lines := bufio.NewReader(out)
		line, err := lines.ReadString('\n')
		said <- word{line, err}
		_, _ = io.Copy(io.Discard, lines) // what it says at its end is of no use
		_ = cmd.Wait()                    // nor is how it ended
	}()
	ctx, cancel := context.WithTimeout(ctx, slowWithin)
	defer cancel()
	select {
	case w := <-said:
		var a slowdisk.Answer
		if err := errors.Join(w.err, json.Unmarshal([]byte(w.line), &a)); err != nil {
			return fmt.Errorf("it said %q: %w", target.OneLine(w.line), err)
		}
		if a.Error != "" {
			return errors.New(a.Error)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("it said nothing: %w", ctx.Err())
	}
}

// Slowness asks the process beside the node.
func (s *System) Slowness(ctx context.Context, node string) (st target.Slowness, err error) {
	_, rec, err := s.node(node)
	if err != nil {
		return st, err
	}
	now, found := rec.Slow[node]
	if !found {
		return st, nil
	}
	st.ID = now.ID
	if !rec.Nodes[node].alive() || !now.Proc.alive() {
		st.Missed = "what made it slow has ended: the node has ended, or something else ended it"
		return st, nil
	}
	a, err := slowdisk.Look(ctx, s.slowSocket(node))
	if err != nil {
		return st, fmt.Errorf("ask what is held on the disk of node %s: %w", node, err)
	}
	st.Counts, st.Held, st.Passed = a.Counts, a.Held, a.Passed
	return st, nil
}

// UnslowDisk ends the process beside the node, and with it all.
func (s *System) UnslowDisk(ctx context.Context, node, id string) error {
	_, rec, err := s.node(node)
	if err != nil {
		return err
	}
	now, found := rec.Slow[node]
	if !found || now.ID != id {
		return nil
	}
	if err := end(ctx, now.Proc, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end what makes the disk of node %s slow: %w", node, err)
	}
	return s.update(func(rec *record) {
		if rec.Slow[node].Proc.PID == now.Proc.PID {
			delete(rec.Slow, node)
		}
	})
}

// besides says in words what stands beside a node for a fault.
func besides(rec record, node string) string {
	if now, found := rec.Slow[node]; found {
		return "disk of fault " + now.ID
	}
	return "nothing"
}
