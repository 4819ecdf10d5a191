package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// Modes of what lies in the scratch folder. Nodes may run as another user, who has to get through the
// folders above its own, but reads nothing there.
const (
	dirMode    = 0o711
	secretMode = 0o600
	privateDir = 0o700
)

const (
	recordFile    = "target.json"
	lockFile      = "lock"
	recordVersion = 1
)

// record is all that is known of a target; it is the only memory that processes share, and is replaced
// as a whole under the folder's lock.
type record struct {
	Version  int                `json:"version"`
	Suite    string             `json:"suite"`
	Target   string             `json:"target"`
	Keep     bool               `json:"keep"`
	Owner    journal.Owner      `json:"owner"`
	Boot     string             `json:"boot"` // of the machine: after another boot no pid means anything
	Secrets  map[string]string  `json:"secrets"`
	Ports    map[string]int     `json:"ports"` // see portKey
	Programs map[string]program `json:"programs"`
	Variant  string             `json:"variant"`
	Run      string             `json:"run"`
	Nodes    map[string]proc    `json:"nodes"`

	Replaced map[string]replacement `json:"replaced,omitempty"` // nodes that run as something else; see replace.go
	Slow     map[string]slowing     `json:"slow,omitempty"`     // nodes whose disk is slow; see slow.go
}

// proc is a node's process. A pid alone proves nothing: Start must be what the kernel says of it.
type proc struct {
	PID        int       `json:"pid"`
	Start      string    `json:"start"` // target.ProcessStart
	StartedAt  time.Time `json:"started_at"`
	Ended      bool      `json:"ended,omitempty"`      // its parent saw it end
	FinishedAt time.Time `json:"finished_at,omitzero"` // while it runs: of the one before
	ExitCode   int       `json:"exit_code,omitempty"`  // 128 + the signal's number when one ended it
	LogFrom    int64     `json:"log_from,omitempty"`   // where its log begins since the last reset
}

// alive tells whether the process still runs.
func (p proc) alive() bool {
	if p.PID <= 0 || p.Ended {
		return false
	}
	start, err := target.ProcessStart(p.PID)
	return err == nil && start != "" && start == p.Start
}

// lock takes the lock of a folder; the kernel gives it back when this process dies.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, secretMode)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX) // held for the time of a small write only
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing gives the lock back
}

// read returns the record; errors.Is(err, os.ErrNotExist) when the target is gone.
func (s *System) read() (record, error) { return readRecord(s.dir) }

func readRecord(dir string) (record, error) {
	var rec record
	raw, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return rec, fmt.Errorf("read the target's record: %w", err)
	}
	if err := json.Unmarshal(raw, &rec); err != nil || rec.Version != recordVersion {
		return rec, fmt.Errorf("read the target's record in %s: not one of version %d (%v)", dir, recordVersion, err)
	}
	if boot, err := target.BootID(); err != nil {
		return rec, err
	} else if boot != rec.Boot {
		for name, p := range rec.Nodes {
			p.Ended = true
			rec.Nodes[name] = p
		}
		for name, now := range rec.Slow {
			now.Proc.Ended = true
			rec.Slow[name] = now
		}
	}
	return rec, nil
}

// save replaces the record.
func (s *System) save(rec record) error {
	raw, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encode the target's record: %w", err)
	}
	path := filepath.Join(s.dir, recordFile)
	if err := os.WriteFile(path+".new", raw, secretMode); err != nil {
		return fmt.Errorf("write the target's record: %w", err)
	}
	return os.Rename(path+".new", path)
}

// update changes the record under the lock.
func (s *System) update(change func(*record)) error {
	unlock, err := lock(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := s.read()
	if err != nil {
		return err
	}
	change(&rec)
	return s.save(rec)
}

// change changes what the record says of one node.
func (s *System) change(node string, change func(*proc)) error {
	return s.update(func(rec *record) {
		p := rec.Nodes[node]
		change(&p)
		rec.Nodes[node] = p
	})
}

// owned tells whether dir is a folder, not a link, of this user's.
func owned(dir string) (bool, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(stat.Uid) == os.Getuid(), nil
}
