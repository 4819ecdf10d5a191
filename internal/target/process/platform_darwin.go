package process

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// endedByKernel says whether the kernel ends the nodes when this process dies.
const endedByKernel = false

// dieWithParent can't be had here: the watchdog of chaos run ends the nodes.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// States of a process in sys/proc.h.
const (
	stopped = 4
	zombie  = 5
)

// relatives lists every process there is.
func relatives() (all []relative) {
	procs, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil
	}
	for _, p := range procs {
		all = append(all, from(p))
	}
	return all
}

// look reads one process; ok is false when it is gone.
func look(pid int) (r relative, ok bool) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(p.Proc.P_pid) != pid {
		return r, false
	}
	return from(*p), true
}

func from(p unix.KinfoProc) relative {
	pid := int(p.Proc.P_pid)
	session, err := unix.Getsid(pid)
	if err != nil {
		session = 0 // gone meanwhile
	}
	return relative{pid: pid, parent: int(p.Eproc.Ppid), session: session, stopped: p.Proc.P_stat == stopped, dead: p.Proc.P_stat == zombie}
}

// within would list the processes that work below dir; this system does not tell.
func within(string) []int { return nil }

// holder says who listens on a port of 127.0.0.1, as far as this user may know.
func holder(port int) string {
	out, err := exec.Command("lsof", "-nP", "-iTCP@127.0.0.1:"+strconv.Itoa(port), "-sTCP:LISTEN", "-Fpc").Output()
	if err != nil {
		return "another process"
	}
	who := strings.Fields(string(out)) // p<pid> c<command>
	if len(who) < 2 || len(who[0]) < 2 || len(who[1]) < 2 {
		return "another process"
	}
	return who[1][1:] + " (process " + who[0][1:] + ")"
}
