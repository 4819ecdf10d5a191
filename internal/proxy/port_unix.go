//go:build unix

package proxy

import (
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// holdPort binds a socket to addr without listening: dials are refused by the kernel,
// and no other socket, nor the kernel's choice of an ephemeral port, can take addr
// until it is closed. A listener with SO_REUSEADDR (net.Listen sets it) still can.
func holdPort(addr net.Addr) (io.Closer, error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("hold port: %v is no TCP address", addr)
	}
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(tcp.IP.To16())})
	if ip4 := tcp.IP.To4(); ip4 != nil {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(ip4)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("hold port: %w", err)
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "port "+addr.String())
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, fmt.Errorf("hold port: %w", closeAfter(f, err))
	}
	if err := unix.Bind(fd, to); err != nil {
		return nil, fmt.Errorf("hold port: %w", closeAfter(f, err))
	}
	return f, nil
}

func closeAfter(f io.Closer, err error) error {
	if cerr := f.Close(); cerr != nil {
		return fmt.Errorf("%w (close: %v)", err, cerr)
	}
	return err
}
