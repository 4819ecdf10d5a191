//go:build !linux

package pgtest

import "syscall"

// DieWithParent can't be had here: the test's own clean-up ends the server.
func DieWithParent(*syscall.SysProcAttr) {}
