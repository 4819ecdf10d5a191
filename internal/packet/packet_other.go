//go:build !linux

package packet

import "errors"

// Do does nothing: network namespaces are Linux's.
func Do(Request) (Answer, error) {
	return Answer{}, errors.New("packets are lost and delayed in a network namespace, which only Linux has")
}

func contained() bool { return false }
