package proxy

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerfd is a timer that is read as a file: the runtime waits for it as for a connection.
type timerfd struct {
	fd   int
	file *os.File
}

func newKernelTimer() (kernelTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &timerfd{fd, os.NewFile(uintptr(fd), "alarm")}, nil
}

func (t *timerfd) set(d time.Duration) error {
	return unix.TimerfdSettime(t.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
}

func (t *timerfd) wait() bool {
	var times [8]byte
	_, err := t.file.Read(times[:])
	return err == nil
}

func (t *timerfd) close() { _ = t.file.Close() } // it has nothing to lose
