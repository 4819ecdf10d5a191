package command

import "syscall"

// dieWithUs makes the kernel kill the command when we die, so that no inject goes on after chaos heal.
func dieWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
