package target

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// zombie is SZOMB of sys/proc.h: dead, only not yet waited for.
const zombie = 5

// ProcessStart is when a process started, in a form that is only compared. It is empty for a
// process that is gone or only waits to be reaped.
func ProcessStart(pid int) (string, error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(info.Proc.P_pid) != pid || info.Proc.P_stat == zombie {
		return "", nil // the kernel answers nothing, or another length, for a process that is not there
	}
	return fmt.Sprintf("%d.%06d", info.Proc.P_starttime.Sec, info.Proc.P_starttime.Usec), nil
}

// BootID tells one boot of the machine from another: pids and start times mean nothing beyond it.
func BootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("tell this boot from others: %w", err)
	}
	return id, nil
}

// dieWithParent does nothing: this kernel can't.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
