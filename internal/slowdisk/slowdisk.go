// Package slowdisk lets what running processes read, write and sync in a folder take longer. `chaos slowdisk` runs
// beside a node, where its processes can be seen:
//
//	hold <pids> <folder> <socket> '{slow}'   holds their system calls on the folder's files, says so, and ends when it is told to
//	look <socket>                            asks the one that holds what came of it
//	try <folder>                             tells whether this machine can: it slows a process of its own that writes there
//	touch <file>                             is that process: it writes a byte for each line that it reads, and says how long that took
//
// The processes are traced (ptrace) and what they start is too. A call is held where it enters the kernel, so a file
// that was open long before is slow as well. There is nothing to undo: when the one that holds ends, however it
// does, the kernel lets the processes go on, and what was held is done at once.
package slowdisk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The operations that can be slow.
const (
	Read  = "read"
	Write = "write"
	Sync  = "sync"
)

// Ops are all of them.
func Ops() []string { return []string{Read, Write, Sync} }

// Slow is what is asked.
type Slow struct {
	Latency time.Duration `json:"latency_ns"`
	Jitter  time.Duration `json:"jitter_ns,omitempty"` // each is drawn uniformly from latency ± jitter
	Ops     []string      `json:"ops"`
}

// Check says what is wrong with it.
func (s Slow) Check() error {
	if s.Latency <= 0 || s.Jitter < 0 || s.Jitter > s.Latency || len(s.Ops) == 0 {
		return fmt.Errorf("latency %v, jitter %v, operations %v: want a latency, a jitter up to it, and operations", s.Latency, s.Jitter, s.Ops)
	}
	for _, op := range s.Ops {
		if !slices.Contains(Ops(), op) {
			return fmt.Errorf("operation %q: want %s", op, strings.Join(Ops(), ", "))
		}
	}
	return nil
}

// Count is what came of one operation.
type Count struct {
	N     uint64        `json:"n"`        // held and let go again
	Asked time.Duration `json:"asked_ns"` // by which they were to be later, in all
	Added time.Duration `json:"added_ns"` // by which they were
}

// Answer is what `chaos slowdisk` prints, one JSON object a line.
type Answer struct {
	Slow   Slow             `json:"slow"`
	Folder string           `json:"folder,omitempty"`
	Counts map[string]Count `json:"counts,omitempty"` // by operation
	Held   int              `json:"held"`             // now
	Passed uint64           `json:"passed"`           // system calls of the processes that were looked at and not held
	Traced int              `json:"traced"`           // processes and threads in the beginning
	Error  string           `json:"error,omitempty"`
}

// Exit codes of Main.
const (
	exitOK    = 0
	exitUsage = 64
	exitError = 70
)

// lookWithin bounds `look`.
const lookWithin = time.Second

// Main runs `chaos slowdisk`; exit 0 means that it was done.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var a Answer
	var err error
	switch {
	case len(args) == 5 && args[0] == "hold":
		err = hold(ctx, args[1:], stdout)
	case len(args) == 2 && args[0] == "look":
		a, err = Look(ctx, args[1])
	case len(args) == 2 && args[0] == "try":
		a, err = try(ctx, args[1])
	case len(args) == 2 && args[0] == "touch":
		err = touch(args[1], stdin, stdout)
	default:
		fmt.Fprintln(stderr, "chaos slowdisk runs beside a node: hold <pids> <folder> <socket> '{slow}', look <socket> or try <folder>")
		return exitUsage
	}
	if err == nil && (args[0] == "hold" || args[0] == "touch") {
		return exitOK
	}
	if err != nil {
		a.Error = err.Error()
	}
	if told := json.NewEncoder(stdout).Encode(a); told != nil || err != nil {
		return exitError
	}
	return exitOK
}

// hold traces until ctx ends or the last process has. It does not let go of them: the end of this process does.
func hold(ctx context.Context, args []string, stdout io.Writer) error {
	var pids []int
	for text := range strings.SplitSeq(args[0], ",") {
		pid, err := strconv.Atoi(text)
		if err != nil || pid <= 0 {
			return fmt.Errorf("%q are not process ids", args[0])
		}
		pids = append(pids, pid)
	}
	var slow Slow
	err := json.Unmarshal([]byte(args[3]), &slow)
	if err == nil {
		err = slow.Check()
	}
	if err != nil {
		return fmt.Errorf("read what is asked: %w", err)
	}
	if !strings.HasPrefix(args[2], "@") {
		_ = os.Remove(args[2]) // of one that was killed; Listen says what is wrong
	}
	var l net.ListenConfig
	mouth, err := l.Listen(ctx, "unix", args[2])
	if err != nil {
		return err
	}
	defer mouth.Close()
	t := &tally{Answer: Answer{Slow: slow, Folder: args[1], Counts: map[string]Count{}}}
	traced, ended := trace(pids, args[1], t)
	select {
	case err = <-traced:
	case <-ctx.Done():
		return nil
	}
	if err == nil {
		err = json.NewEncoder(stdout).Encode(t.now())
	}
	if err != nil {
		return err
	}
	go t.answer(mouth)
	select {
	case err = <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// answer tells everybody who connects how it stands.
func (t *tally) answer(mouth net.Listener) {
	for {
		conn, err := mouth.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(lookWithin))
		_ = json.NewEncoder(conn).Encode(t.now()) // who does not listen has asked for nothing
		_ = conn.Close()
	}
}

// Look asks the one that holds, by its socket.
func Look(ctx context.Context, socket string) (a Answer, err error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(lookWithin)); err != nil {
		return a, err
	}
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return a, fmt.Errorf("read what it says: %w", err)
	}
	return a, nil
}

// touch writes to a file that it keeps open, as a database does.
func touch(file string, stdin io.Reader, stdout io.Writer) (err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for lines := bufio.NewScanner(stdin); ; {
		if _, err := fmt.Fprintln(stdout, "ready"); err != nil {
			return err
		}
		if !lines.Scan() {
			return lines.Err()
		}
		began := time.Now()
		if _, err := f.WriteAt([]byte("."), 0); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(stdout, int64(time.Since(began))); err != nil {
			return err
		}
	}
}
