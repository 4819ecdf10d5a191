package vegeta

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"chaos/internal/journal"
)

// closedIdle is net/http's unexported error for a server that closed a reused connection before it
// answered.
const closedIdle = "server closed idle connection"

// classify names a transport error by its kind: its text would be unbounded.
func classify(err error) journal.ErrClass {
	var netErr net.Error
	switch {
	case err == nil:
		return journal.ErrNone
	case errors.Is(err, context.Canceled):
		return journal.ErrCanceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return journal.ErrTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return journal.ErrRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return journal.ErrReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), closedIdle):
		return journal.ErrEOF
	}
	return journal.ErrOther
}
