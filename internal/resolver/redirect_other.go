//go:build !linux

package resolver

import "errors"

var errLinux = errors.New("questions can only be redirected on Linux")

func redirect([4]byte, [4]byte, uint16) error { return errLinux }
func redirected() (bool, error)               { return false, errLinux }
func restore() error                          { return errLinux }
