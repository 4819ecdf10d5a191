//go:build amd64 || arm64

package slowdisk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tryLatency = 20 * time.Millisecond
	tryWithin  = 5 * time.Second
)

// helper is a `chaos slowdisk` of ours: what it is told and what it says.
type helper struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func start(ctx context.Context, args ...string) (h *helper, err error) {
	itself, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h = &helper{cmd: exec.CommandContext(ctx, itself, append([]string{"slowdisk"}, args...)...)}
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.lines = bufio.NewScanner(out)
	return h, h.cmd.Start()
}

func (h *helper) line() (string, error) {
	if !h.lines.Scan() {
		return "", errors.Join(errors.New("it said nothing"), h.lines.Err())
	}
	return h.lines.Text(), nil
}

// end tells it to end.
func (h *helper) end() error {
	err := errors.Join(h.in.Close(), h.cmd.Process.Signal(unix.SIGTERM))
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	_ = h.cmd.Wait() // by SIGTERM, most likely
	return err
}

// took is how long a `touch` takes to write now.
func (h *helper) took() (time.Duration, error) {
	if _, err := io.WriteString(h.in, "\n"); err != nil {
		return 0, err
	}
	text, err := h.line()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, err
	}
	_, err = h.line() // ready again
	return time.Duration(n), err
}

// try does it to a process that writes in the folder, from one that did not start it, as it will be.
func try(ctx context.Context, folder string) (a Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	dir, err := os.MkdirTemp(folder, "slow-")
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	victim, err := start(ctx, "touch", filepath.Join(dir, "file"))
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, victim.end()) }()
	if _, err := victim.line(); err != nil {
		return a, err
	}
	slow, err := json.Marshal(Slow{Latency: tryLatency, Ops: []string{Write}})
	if err != nil {
		return a, err
	}
	pid := strconv.Itoa(victim.cmd.Process.Pid)
	holder, err := start(ctx, "hold", pid, dir, "@chaos-slowdisk-try-"+pid, string(slow))
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, holder.end()) }()
	text, err := holder.line()
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, fmt.Errorf("it said %q", strings.TrimSpace(text))
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	took, err := victim.took()
	if err == nil && took < tryLatency {
		err = fmt.Errorf("a write that was to take %v longer took %v: system calls can't be held here", tryLatency, took)
	}
	return a, err
}
