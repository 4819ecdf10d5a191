//go:build !unix

package proxy

import (
	"io"
	"net"
)

// holdPort holds nothing here: between shut and open another process could take addr.
func holdPort(net.Addr) (io.Closer, error) { return nil, nil }
