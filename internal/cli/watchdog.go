package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// The watchdog is a process of its own, in a session of its own, that outlives the harness by as long as
// something is left:
//
//	chaos run ──pipe──▶ chaos watchdog
//	   │ ends healed:         "healed" ──▶ leaves
//	   │ ends with residue:   "left"  ──┐
//	   ╳ dies (kill -9):      (nothing)─┴▶ heals by the journals and sweeps, until nothing is left ──▶ leaves
//
// However the harness dies, the kernel closes its end of the pipe.

// What the harness says to its watchdog before it ends.
const (
	wordHealed = "healed"
	wordLeft   = "left"
)

const (
	watchdogLog = "watchdog.log"
	// watchdogTries is the pause between two tries to heal; the first comes at once.
	watchdogTries = time.Second
	// deathPoll is the pause between two looks whether the harness is dead yet.
	deathPoll = 2 * time.Millisecond
	// watchdogLimit is for how long it tries: an engine that does not answer within that is for people.
	watchdogLimit = 10 * time.Minute
	// watchdogLeaves is how long the harness waits for a watchdog that has nothing to do.
	watchdogLeaves = 2 * time.Second
)

// watchdog is the harness's end.
type watchdog struct {
	mu       sync.Mutex
	cmd      *exec.Cmd
	lifeline io.WriteCloser
	ended    chan error
}

// watched starts the watchdog of what owner will write below reports. Without one nothing is started: what is promised after
// kill -9 would not hold.
func (a *app) watched(reports string, owner journal.Owner) (*watchdog, error) {
	name, err := json.Marshal(owner)
	if err != nil {
		return nil, fmt.Errorf("naming the owner to the watchdog: %w", err)
	}
	args := []string{"watchdog", "--reports", reports, "--owner", string(name)}
	if a.allowExec { // what the user allowed this process, it may undo
		args = append(args, "--allow-exec")
	}
	w := &watchdog{cmd: exec.Command(a.Binary, args...), ended: make(chan error, 1)}
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for the harness alone
	w.cmd.Dir = a.Dir
	if w.lifeline, err = w.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the watchdog: %w", err)
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the watchdog: %w", err)
	}
	go func() { w.ended <- w.cmd.Wait() }()
	return w, nil
}

// release tells the watchdog how the harness ends. One that has nothing to do is waited for, so that
// nothing of ours is left when the harness is gone; one that has is not.
func (w *watchdog) release(left bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	word := map[bool]string{true: wordLeft, false: wordHealed}[left]
	_, err := io.WriteString(w.lifeline, word)
	if err = errors.Join(err, w.lifeline.Close()); left || errors.Is(err, syscall.EPIPE) {
		return nil // it is at work, or was killed: then chaos heal is what is left
	}
	select {
	case err := <-w.ended:
		return err
	case <-time.After(watchdogLeaves):
		return errors.Join(err, w.cmd.Process.Kill())
	}
}

// watchdogCommand is the watchdog's end.
func (a *app) watchdogCommand() *cobra.Command {
	var reports, owner string
	c := &cobra.Command{
		Use:    "watchdog",
		Short:  "Heal what a run leaves when its process dies",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var of journal.Owner
			if err := json.Unmarshal([]byte(owner), &of); err != nil {
				return usage("--owner: %w", err)
			}
			word, err := io.ReadAll(a.Stdin)
			if err != nil || string(word) == wordHealed {
				return harness(err)
			}
			return harness(a.guard(c.Context(), a.path(reports), of, string(word)))
		},
	}
	c.Flags().StringVar(&reports, "reports", reportsFolder, "folder with the runs")
	a.permitFlag(c)
	c.Flags().StringVar(&owner, "owner", "{}", "the process whose runs are watched, as JSON")
	return c
}

// guard heals what the owner's runs left, until nothing is, or their folders are gone, or its time is over. What others
// left is not its business, nor a reason to stay: it may be such that nobody can remove it.
func (a *app) guard(ctx context.Context, reports string, owner journal.Owner, word string) error {
	ctx, cancel := context.WithTimeout(ctx, watchdogLimit)
	defer cancel()
	began, seen := time.Now(), false
	alive := func(c target.Custodian, o journal.Owner) bool {
		of := o
		of.Engine = owner.Engine // whichever runtime it is on
		return of != owner || lives(false)(c, o)
	}
	// The kernel closes the pipe a moment before the process counts as dead, and what the living own is spared.
	for target.Alive(owner) {
		if err := target.Pause(ctx, deathPoll); err != nil {
			return fmt.Errorf("process %d gave up its watchdog and lives on: %w", owner.PID, err)
		}
	}
	for {
		dirs, err := a.ownedBy(reports, owner)
		if err != nil || seen && len(dirs) == 0 {
			return err
		}
		seen = seen || len(dirs) > 0
		result := healResult{}
		a.healAll(ctx, dirs, alive, &result)
		done := len(result.Left) == 0 && !spares(result, dirs, a.short)
		a.bark(dirs, watchdogLines(owner, word, began, result, done))
		if done {
			late := healResult{}
			a.healLate(ctx, dirs, alive, &late)
			if len(late.Reverted)+len(late.Removed)+len(late.Left) > 0 {
				a.bark(dirs, watchdogLines(owner, word, began, late, len(late.Left) == 0))
			}
			if len(late.Left) == 0 {
				return nil
			}
		}
		if err := target.Pause(ctx, watchdogTries); err != nil {
			return fmt.Errorf("giving up after %v: %w", time.Since(began).Round(time.Second), err)
		}
	}
}

// ownedBy are the folders of the owner's runs.
func (a *app) ownedBy(reports string, owner journal.Owner) (dirs []string, err error) {
	all, err := a.runDirs(nil, reports)
	for _, dir := range all {
		if info, err := journal.ReadInfo(dir); err == nil && info.Owner == owner {
			dirs = append(dirs, dir)
		}
	}
	return dirs, err
}

// spares tells whether one of the owner's own runs was spared: the harness is about to be gone.
func spares(r healResult, dirs []string, short func(string) string) bool {
	for _, line := range r.Spared {
		for _, dir := range dirs {
			if strings.HasPrefix(line, short(dir)) {
				return true
			}
		}
	}
	return false
}

// watchdogLines say what was done, a line each.
func watchdogLines(owner journal.Owner, word string, began time.Time, r healResult, done bool) []string {
	what := "was killed or crashed"
	if word == wordLeft {
		what = "ended and left something"
	}
	lines := []string{fmt.Sprintf("the harness, process %d, %s", owner.PID, what)}
	for _, group := range []struct {
		word  string
		lines []string
	}{{"reverted", r.Reverted}, {"removed", r.Removed}, {"LEFT", r.Left}} {
		for _, line := range group.lines {
			lines = append(lines, group.word+" "+line)
		}
	}
	if done {
		lines = append(lines, fmt.Sprintf("nothing is left, %v after the harness was gone", time.Since(began).Round(time.Millisecond)))
	}
	return lines
}

// bark writes lines into the log of each run's folder. What can't be written is not worth dying for.
func (a *app) bark(dirs []string, lines []string) {
	for _, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, watchdogLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			continue
		}
		for _, line := range lines {
			fmt.Fprintln(f, a.Now().UTC().Format(time.RFC3339Nano), line)
		}
		_ = f.Close()
	}
}
