package pgtest

import "syscall"

// DieWithParent ends the server when the test's process is killed.
func DieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
