//go:build !linux

package proxy

import "errors"

func newKernelTimer() (kernelTimer, error) {
	return nil, errors.New("only Linux has timers that are read as files")
}
