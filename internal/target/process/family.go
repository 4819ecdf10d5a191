package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"chaos/internal/target"
)

// relative is a process as the kernel tells of it.
type relative struct {
	pid, parent, session int
	stopped, dead        bool
}

// family is a node's process and all that it started, as a container would hold them: its descendants
// and whoever is in its session, parents first.
func family(pid int) []int {
	all := relatives()
	members := []int{pid}
	in := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, r := range all {
			if !in[r.pid] && !r.dead && (in[r.parent] || r.session == pid) {
				members, in[r.pid], grown = append(members, r.pid), true, true
			}
		}
	}
	return members
}

// signalAll sends a signal to a node's whole family. Those that are gone meanwhile are no error.
func signalAll(pids []int, sig syscall.Signal) error {
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("send %v to process %d: %w", sig, pid, err))
		}
	}
	return errors.Join(errs...)
}

// endSignals are what may end a node.
func endSignals() map[string]syscall.Signal {
	return map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "KILL": syscall.SIGKILL}
}

func endSignal(n target.NodeSpec) string {
	if n.EndSignal == "" {
		return "KILL"
	}
	return n.EndSignal
}

// Limits of ending a process.
const (
	endGrace = 5 * time.Second // for a node's own end signal
	killWait = 5 * time.Second // after SIGKILL
	endPoll  = 5 * time.Millisecond
)

// end ends a node's process and all that it started: by its own signal first, then by SIGKILL. It
// returns when all are gone.
func end(ctx context.Context, p proc, sig syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	members := family(p.PID)
	if sig != syscall.SIGKILL {
		// A stopped process obeys no other signal before it runs again.
		err := errors.Join(signalAll(members[:1], sig), signalAll(members, syscall.SIGCONT))
		if err != nil {
			return err
		}
		if gone(ctx, members, endGrace) {
			return nil
		}
	}
	if err := signalAll(members, syscall.SIGKILL); err != nil {
		return err
	}
	if !gone(ctx, members, killWait) {
		return fmt.Errorf("process %d and what it started still run %v after SIGKILL", p.PID, killWait)
	}
	return nil
}

// endStrays ends what works in a target's folder and is in no record.
func endStrays(ctx context.Context, dir string) error {
	pids := within(dir)
	if err := signalAll(pids, syscall.SIGKILL); err != nil {
		return err
	}
	if !gone(ctx, pids, killWait) {
		return fmt.Errorf("processes %v work in %s and still run %v after SIGKILL", pids, dir, killWait)
	}
	return nil
}

// gone waits until none of the processes runs any more. The pids can't have been given to others
// within so short a time, as they are given in turn.
func gone(ctx context.Context, pids []int, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		left := false
		for _, pid := range pids {
			r, ok := look(pid)
			left = left || ok && !r.dead
		}
		if !left {
			return true
		}
		if target.Pause(ctx, endPoll) != nil {
			return false
		}
	}
}
