package readonly

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	stopsWithin = 2 * time.Second // a process that is frozen, or waits for its disk, does not
	stopsEvery  = time.Millisecond
	redZone     = 256 // below a stack pointer that a process may use; the ABI says 128
)

// chdir lets another process call chdir: it is stopped, made to run one system call, and goes on where it was. The kernel
// restarts the call that it was in.
func chdir(pid int, path string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // a process is traced by a thread; it lets go when the thread ends
		done <- (&traced{pid}).chdir(path)
	}()
	return <-done
}

type traced struct{ pid int }

func (t *traced) chdir(path string) (err error) {
	call, err := t.instruction()
	if err != nil {
		return err
	}
	if err := unix.PtraceSeize(t.pid); err != nil {
		return fmt.Errorf("trace it: %w", err)
	}
	if err := t.stop(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.PtraceDetach(t.pid)) }()
	var was, now unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.pid, &was); err != nil {
		return err
	}
	mask, err := t.mask(unix.PTRACE_GETSIGMASK, 0)
	if err != nil {
		return err
	}
	// No signal may be handled meanwhile; but the one that ends the step must come.
	if _, err := t.mask(unix.PTRACE_SETSIGMASK, ^uint64(0)&^(1<<(unix.SIGTRAP-1))); err != nil {
		return err
	}
	defer func() {
		_, masked := t.mask(unix.PTRACE_SETSIGMASK, mask)
		err = errors.Join(err, unix.PtraceSetRegs(t.pid, &was), masked)
	}()
	text := append([]byte(path), 0)
	at := (was.Rsp - redZone - uint64(len(text))) &^ 15
	if _, err := unix.PtracePokeData(t.pid, uintptr(at), text); err != nil {
		return fmt.Errorf("write to its stack: %w", err)
	}
	now = was
	now.Rip, now.Rax, now.Orig_rax, now.Rdi = call, unix.SYS_CHDIR, ^uint64(0), at
	if err := unix.PtraceSetRegs(t.pid, &now); err != nil {
		return err
	}
	if err := unix.PtraceSingleStep(t.pid); err != nil {
		return err
	}
	if err := t.wait(); err != nil {
		return err
	}
	if err := unix.PtraceGetRegs(t.pid, &now); err != nil {
		return err
	}
	if res := int64(now.Rax); res != 0 {
		return fmt.Errorf("its chdir: %w", unix.Errno(-res))
	}
	return nil
}

// instruction finds a system call instruction that the process has: the kernel's own page has one.
func (t *traced) instruction() (uint64, error) {
	maps, err := os.ReadFile(folder{pid: t.pid}.proc("maps"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		from, rest, _ := strings.Cut(line, "-")
		to, _, _ := strings.Cut(rest, " ")
		low, err1 := strconv.ParseUint(from, 16, 64)
		high, err2 := strconv.ParseUint(to, 16, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		mem, err := os.Open(folder{pid: t.pid}.proc("mem"))
		if err != nil {
			return 0, err
		}
		code := make([]byte, high-low)
		n, err := mem.ReadAt(code, int64(low))
		if err := errors.Join(err, mem.Close()); err != nil {
			return 0, err
		}
		if i := bytes.Index(code[:n], []byte{0x0f, 0x05}); i >= 0 {
			return low + uint64(i), nil
		}
	}
	return 0, errors.New("it has no system call instruction in its vdso")
}

// stop stops it between two instructions; a signal that it gets meanwhile is passed on.
func (t *traced) stop() error {
	if err := unix.PtraceInterrupt(t.pid); err != nil {
		return err
	}
	return t.wait()
}

// wait waits until it is stopped by what we did.
func (t *traced) wait() error {
	for limit := time.Now().Add(stopsWithin); time.Now().Before(limit); {
		var st unix.WaitStatus
		switch got, err := unix.Wait4(t.pid, &st, unix.WALL|unix.WNOHANG, nil); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case got == 0:
			<-time.After(stopsEvery)
		case st.Exited() || st.Signaled():
			return unix.ESRCH
		case st.StopSignal() == unix.SIGTRAP || st>>16 != 0: // the step's end, or the stop that was asked for
			return nil
		default:
			if err := unix.PtraceCont(t.pid, int(st.StopSignal())); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("it does not stop within %v", stopsWithin)
}

// mask gets or sets the signals that are blocked in it.
func (t *traced) mask(request uintptr, mask uint64) (uint64, error) {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, request, uintptr(t.pid), 8, uintptr(unsafe.Pointer(&mask)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return mask, nil
}
