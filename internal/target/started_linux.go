package target

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// startField is the place of the start time in /proc/<pid>/stat after the name's closing bracket:
// field 22 of proc(5), in clock ticks since boot.
const startField = 22 - 3

// ProcessStart is when a process started, in a form that is only compared. It is empty for a
// process that is gone or only waits to be reaped.
func ProcessStart(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read when process %d started: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(rest)
	if len(fields) <= startField {
		return "", fmt.Errorf("read when process %d started: unexpected form", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", nil // dead, only not yet waited for
	}
	return fields[startField], nil
}

// BootID tells one boot of the machine from another: pids and start times mean nothing beyond it.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("tell this boot from others: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// dieWithParent makes the kernel send sig to a child when the thread that made it ends.
func dieWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
