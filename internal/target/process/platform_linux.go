package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// endedByKernel says whether the kernel ends the nodes when this process dies.
const endedByKernel = true

// dieWithParent makes the kernel send sig to the child when the thread that made it ends.
func dieWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// Fields of /proc/<pid>/stat after the name's closing bracket, proc(5).
const (
	fieldState = 0
	fieldPPID  = 1
	fieldSID   = 3
	fieldCount = 4
)

// relatives lists every process there is, as far as it may be looked at.
func relatives() (all []relative) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if r, ok := look(pid); ok {
			all = append(all, r)
		}
	}
	return all
}

// look reads one process; ok is false when it is gone.
func look(pid int) (r relative, ok bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return r, false
	}
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	f := strings.Fields(rest)
	if len(f) < fieldCount {
		return r, false
	}
	r.pid, r.stopped, r.dead = pid, f[fieldState] == "T", f[fieldState] == "Z" || f[fieldState] == "X"
	r.parent, _ = strconv.Atoi(f[fieldPPID]) // the kernel writes numbers
	r.session, _ = strconv.Atoi(f[fieldSID])
	return r, true
}

// within lists the processes whose working directory is dir or below: what was started for a target whose
// harness died before it could be written down. Nobody else has business there.
func within(dir string) (pids []int) {
	cwds, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil
	}
	for _, cwd := range cwds {
		to, err := os.Readlink(cwd)
		if err != nil || to != dir && !strings.HasPrefix(to, dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(cwd, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holder says who listens on a port of 127.0.0.1, as far as this user may know.
func holder(port int) string {
	inode := listener(port)
	if inode == "" {
		return "another process"
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "another process"
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil && link == "socket:["+inode+"]" {
			pid := strings.Split(fd, "/")[2]
			comm, err := os.ReadFile("/proc/" + pid + "/comm")
			if err != nil {
				return "process " + pid
			}
			return strings.TrimSpace(string(comm)) + " (process " + pid + ")"
		}
	}
	return "a process of another user"
}

// listener returns the inode of the socket that listens on a port, from /proc/net/tcp.
func listener(port int) string {
	const (
		local, state, inode = 1, 3, 9
		listening           = "0A"
	)
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > inode && f[state] == listening && strings.HasSuffix(f[local], fmt.Sprintf(":%04X", port)) {
			return f[inode]
		}
	}
	return ""
}
