package target

import (
	"os/exec"
	"runtime"
	"syscall"
)

// RunTied runs a command to its end. Where the kernel can, it sends sig to the command when this process dies: a
// build that went on alone would put its result where everything was removed already.
func RunTied(cmd *exec.Cmd, sig syscall.Signal) error {
	runtime.LockOSThread() // the kernel tells by the thread that made the command
	defer runtime.UnlockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	dieWithParent(cmd.SysProcAttr, sig)
	return cmd.Run()
}
