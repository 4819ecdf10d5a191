//go:build unix

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// lockEvery is the pause between two tries for the lock.
const lockEvery = 200 * time.Millisecond

// lock keeps two runs of one user from using one engine at once: each would measure the other's load.
// The kernel gives it back when the process dies, however it dies.
func (a *app) lock(ctx context.Context, owner journal.Owner, noWait bool) (unlock func(), err error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("chaos-%d-%.12s.lock", owner.UID, lockName(owner.Engine)))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, harness(fmt.Errorf("locking the engine: %w", err))
	}
	told := false
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing gives the lock back
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, harness(errors.Join(fmt.Errorf("locking the engine (%s): %w", path, err), f.Close()))
		}
		if noWait {
			return nil, errors.Join(usage("another run uses this engine (lock %s); leave out --no-wait to wait for it", path), f.Close())
		}
		if !told {
			fmt.Fprintln(a.Stderr, "another run uses this engine: waiting for it to end (--no-wait exits instead)")
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, exit(verdict.ExitInterrupted, errors.Join(ctx.Err(), f.Close()))
		case <-time.After(lockEvery):
		}
	}
}

// lockName is an engine's id as it may stand in a file's name.
func lockName(engine string) string {
	name := []rune{}
	for _, r := range engine {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			name = append(name, r)
		}
	}
	return string(name)
}
