package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"chaos/internal/target"
)

// forker starts processes from one thread that lives as long as they may: where the kernel ends a child
// with its parent, it goes by the thread that made it.
type forker chan func()

func newForker() forker {
	f := make(forker)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for job := range f {
			job()
		}
	}()
	return f
}

// start is cmd.Start on the forker's thread.
func (f forker) start(cmd *exec.Cmd) error {
	done := make(chan error)
	f <- func() { done <- cmd.Start() }
	return <-done
}

// command is a program in a node's surroundings: its user, folder and environment, and nothing of ours.
func (s *System) command(rec record, n target.NodeSpec, args []string) (*exec.Cmd, error) {
	now := rec.Replaced[n.Name]
	n.Image = imageOf(n, now)
	env, err := s.env(rec, n, now.Change)
	if err != nil {
		return nil, err
	}
	dir := nodeDir(s.dir, n.Name)
	env["PATH"] = strings.Join([]string{filepath.Dir(rec.Programs[n.Image].Path), os.Getenv("PATH")}, string(os.PathListSeparator))
	env["HOME"], env["TMPDIR"] = dir, dir
	if env["LC_ALL"] == "" {
		env["LC_ALL"] = "C" // without any locale PostgreSQL does not start on macOS
	}
	path, err := lookPath(args[0], env["PATH"])
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: args, Dir: dir, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, key+"="+env[key])
	}
	if n.Name != target.ProxyNode {
		cmd.SysProcAttr.Credential, err = unprivileged()
	}
	return cmd, err
}

// lookPath finds a program as the node would.
func lookPath(program, path string) (string, error) {
	if strings.ContainsRune(program, filepath.Separator) {
		return program, nil
	}
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, program)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("%s was %w in %s", program, errNotFound, path)
}

// errNotFound is wrapped when a node's program is not there.
var errNotFound = errors.New("not found")

// unprivileged is who nodes run as when this process is root; nil, its own user, when it is not.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("as root, nodes run as nobody, who does not exist here: %w", err)
	}
	uid, errUID := strconv.ParseInt(who.Uid, 10, 64)
	gid, errGID := strconv.ParseInt(who.Gid, 10, 64)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, fmt.Errorf("read the ids of nobody: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// launch starts a node that does not run. Its folders are made when they are missing and stay when they
// are not: data outlives a kill.
func (s *System) launch(n target.NodeSpec) error {
	rec, err := s.read()
	if err != nil {
		return err
	}
	if err := s.vacate(n, rec); err != nil {
		return err
	}
	cmd, err := s.prepare(rec, n)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	log, err := os.OpenFile(logFile(s.dir, n.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, secretMode)
	if err != nil {
		return fmt.Errorf("open the log of node %s: %w", n.Name, err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if !rec.Keep {
		dieWithParent(cmd.SysProcAttr, endSignals()[endSignal(n)])
	}
	if s.forker == nil {
		s.forker = newForker()
	}
	if err := s.forker.start(cmd); err != nil {
		return fmt.Errorf("start node %s: %w", n.Name, err)
	}
	p := proc{PID: cmd.Process.Pid, StartedAt: time.Now(), LogFrom: rec.Nodes[n.Name].LogFrom, FinishedAt: rec.Nodes[n.Name].FinishedAt}
	p.Start, err = target.ProcessStart(p.PID)
	err = errors.Join(err, s.change(n.Name, func(old *proc) { *old = p }))
	if err != nil { // nobody would find it again
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("note that node %s runs: %w", n.Name, err)
	}
	go s.reap(n.Name, p.PID, cmd)
	return nil
}

// prepare makes a node's folders and its command.
func (s *System) prepare(rec record, n target.NodeSpec) (*exec.Cmd, error) {
	e := s.expander(rec)
	args, err := e.ExpandAll(n.Name, slices.Concat(n.Entrypoint, n.Command))
	if err != nil {
		return nil, err
	}
	if len(n.Entrypoint) == 0 {
		args = append([]string{rec.Programs[imageOf(n, rec.Replaced[n.Name])].Path}, args...)
	}
	cmd, err := s.command(rec, n, args)
	if err != nil {
		return nil, err
	}
	dirs := []string{nodeDir(s.dir, n.Name)}
	for path := range n.Tmpfs {
		dirs = append(dirs, e.Places.Dir(n.Name, path))
	}
	for _, path := range n.Volumes {
		dirs = append(dirs, e.Places.Dir(n.Name, path))
	}
	for _, dir := range dirs {
		if err := makeFor(cmd.SysProcAttr.Credential, dirs[0], dir); err != nil {
			return nil, err
		}
	}
	return cmd, nil
}

// makeFor makes a folder below root, and gives all that it makes to who.
func makeFor(who *syscall.Credential, root, dir string) error {
	if err := os.MkdirAll(dir, privateDir); err != nil {
		return fmt.Errorf("make a folder of the node: %w", err)
	}
	for ; who != nil; dir = filepath.Dir(dir) {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return fmt.Errorf("give a folder to the node: %w", err)
		}
		if dir == root {
			break
		}
	}
	return nil
}

// reap waits for a child and notes how it ended.
func (s *System) reap(node string, pid int, cmd *exec.Cmd) {
	_ = cmd.Wait() // how it ended is in ProcessState
	code := cmd.ProcessState.ExitCode()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	// A target that is being removed has no record any more: then nobody asks.
	_ = s.change(node, func(p *proc) {
		if p.PID == pid {
			p.Ended, p.ExitCode, p.FinishedAt = true, code, time.Now()
		}
	})
}

// execGrace is how long a command that was cancelled may take to close its output.
const execGrace = 2 * time.Second

// exec runs a command in a node's surroundings within a limit and waits for its end.
func (s *System) exec(ctx context.Context, node string, limit time.Duration, args []string, stdin *os.File) (target.ExecResult, error) {
	rec, err := s.read()
	if err != nil {
		return target.ExecResult{}, err
	}
	n, ok := s.spec(node)
	if !ok {
		return target.ExecResult{}, fmt.Errorf("there is no node %q", node)
	}
	made, err := s.command(rec, n, args)
	if err != nil {
		return target.ExecResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, made.Path)
	cmd.Args, cmd.Env, cmd.Dir, cmd.SysProcAttr = made.Args, made.Env, made.Dir, made.SysProcAttr
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = execGrace
	err = cmd.Run()
	res := target.ExecResult{Stdout: out.String(), Stderr: errs.String()}
	var exit *exec.ExitError
	if ctx.Err() == nil && errors.As(err, &exit) {
		res.Code, err = exit.ExitCode(), nil
	}
	if err != nil {
		err = fmt.Errorf("run %s for node %s: %w", args[0], node, errors.Join(context.Cause(ctx), err))
	}
	return res, err
}
