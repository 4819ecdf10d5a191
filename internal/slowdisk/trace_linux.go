//go:build amd64 || arm64

package slowdisk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// follow is what is told of those that are traced, and that what they start is traced too. A stop at a system
	// call must be told by its own number (SYSGOOD): were it SIGTRAP, it would be sent to them as a signal if this
	// process ended right then.
	follow = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

	atCall = int32(unix.SIGTRAP) | 0x80

	wakeEvery   = time.Millisecond // while calls are held: the longest that another may wait by ill luck
	stopsWithin = 2 * time.Second  // a thread that waits for its disk may take longer, and is slow from then on
)

// held is a thread at the entry of a system call.
type held struct {
	tid        int
	op         string
	since, due time.Time
	asked      time.Duration
}

// tracer traces from one thread, which does nothing else:
//
//	                ┌───────────── nothing is held: wait for the next stop
//	stop ──▶ a call on a file of the folder? ──no──▶ go on
//	                └──yes──▶ held until it is due ──▶ go on, and count
type tracer struct {
	*tally
	folder string
	calls  map[uint64]call
	queue  []held // by due
	fresh  map[int]bool
	random *rand.Rand
}

// trace begins to trace processes and what they started. The first channel tells when all are, the second why it
// ended.
func trace(pids []int, folder string, t *tally) (traced, ended <-chan error) {
	begun, over := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // a process is traced by a thread; it lets go when the thread ends
		tr := &tracer{tally: t, calls: calls(), fresh: map[int]bool{}, random: rand.New(rand.NewPCG(uint64(t.Slow.Latency), uint64(t.Slow.Jitter)))}
		for n, c := range tr.calls {
			if !slices.Contains(t.Slow.Ops, c.op) {
				delete(tr.calls, n)
			}
		}
		if err := tr.begin(pids, folder); err != nil {
			begun <- err
			return
		}
		begun <- nil
		for {
			if _, err := tr.next(len(tr.queue) == 0); err != nil {
				over <- err
				return
			}
		}
	}()
	return begun, over
}

func proc(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// begin seizes all, and sees them stop once: only then do they stop at system calls.
func (t *tracer) begin(pids []int, folder string) (err error) {
	if t.folder, err = inKernel(pids[0], folder); err != nil {
		return err
	}
	for seized := -1; seized != 0; {
		if seized, err = t.seize(family(pids)); err != nil {
			return err
		}
		t.Traced += seized
	}
	if t.Traced == 0 {
		return errEnded
	}
	for limit := time.Now().Add(stopsWithin); len(t.fresh) > 0 && time.Now().Before(limit); {
		stopped, err := t.next(false)
		if err != nil {
			return err
		}
		if !stopped {
			t.rest(wakeEvery)
		}
	}
	return nil
}

// inKernel is a folder's name as the links of the process's open files have it.
func inKernel(pid int, folder string) (string, error) {
	fd, err := unix.Open(proc(pid, "root")+folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("look at %s of process %d: %w", folder, pid, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
}

// family are processes and their descendants.
func family(pids []int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return pids
	}
	parents := map[int]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(proc(pid, "stat"))
		if err != nil {
			continue
		}
		// pid (name) state parent …, and a name may hold brackets
		if f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(f) > 1 {
			parents[pid], _ = strconv.Atoi(f[1]) // the kernel writes numbers
		}
	}
	all := slices.Clone(pids)
	for i := 0; i < len(all); i++ {
		for pid, parent := range parents {
			if parent == all[i] && !slices.Contains(all, pid) {
				all = append(all, pid)
			}
		}
	}
	return all
}

// seize begins to trace the threads of processes that are not traced yet.
func (t *tracer) seize(pids []int) (n int, err error) {
	for _, pid := range pids {
		threads, err := os.ReadDir(proc(pid, "task"))
		if err != nil {
			continue // it has ended
		}
		for _, e := range threads {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				return n, err
			}
			who, err := tracedBy(tid)
			if err != nil || who == unix.Gettid() {
				continue
			}
			if who != 0 {
				return n, fmt.Errorf("process %d is traced already, by thread %d", pid, who)
			}
			switch err := ptrace(unix.PTRACE_SEIZE, tid, 0, follow); {
			case errors.Is(err, unix.ESRCH):
			case err != nil:
				return n, fmt.Errorf("trace process %d: %w", pid, err)
			default:
				n++
				t.fresh[tid] = true
				if err := ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0); err != nil && !errors.Is(err, unix.ESRCH) {
					return n, fmt.Errorf("stop process %d: %w", pid, err)
				}
			}
		}
	}
	return n, nil
}

// tracedBy is the thread that traces another one, or 0.
func tracedBy(tid int) (int, error) {
	status, err := os.ReadFile(proc(tid, "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if who, ok := strings.CutPrefix(line, "TracerPid:"); ok {
			return strconv.Atoi(strings.TrimSpace(who))
		}
	}
	return 0, errors.New("its status does not say who traces it")
}

func ptrace(request, tid int, addr, data uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, data, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// child is the siginfo of a stop or an end.
type child struct {
	_, _, code, _  int32
	pid, _, status int32
	_              [100]byte
}

// Codes of a child's siginfo.
const (
	exited  = 1
	dumped  = 3
	trapped = 4
)

var errEnded = errors.New("the processes have ended")

// next lets go what is due and deals with one stop, if there is one; else it waits for one, or for what is due.
// It only looks at the stop, without taking it: should this process end before it is dealt with, a signal that it
// is about still arrives.
func (t *tracer) next(block bool) (stopped bool, err error) {
	t.release(time.Now())
	options := unix.WEXITED | unix.WSTOPPED | unix.WALL | unix.WNOWAIT
	if !block {
		options |= unix.WNOHANG
	}
	var c child
	switch err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&c)), options, nil); {
	case errors.Is(err, unix.ECHILD):
		return false, errEnded
	case errors.Is(err, unix.EINTR):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("wait for the processes: %w", err)
	case c.pid == 0:
		if len(t.queue) > 0 {
			t.rest(min(time.Until(t.queue[0].due), wakeEvery))
		}
		return false, nil
	}
	delete(t.fresh, int(c.pid))
	if c.code >= exited && c.code <= dumped {
		t.gone(int(c.pid))
		return true, take(int(c.pid))
	}
	return true, t.stop(int(c.pid), c.code, c.status)
}

// rest waits; a stop ends it, by SIGCHLD, unless it came a moment before.
func (t *tracer) rest(d time.Duration) {
	if d > 0 {
		at := unix.NsecToTimespec(int64(d))
		_, _ = unix.Ppoll(nil, &at, nil) // how it ended does not matter
	}
}

// take takes a stop or an end that was looked at.
func take(tid int) error {
	for {
		_, err := unix.Wait4(tid, nil, unix.WALL|unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return nil
		default:
			return err
		}
	}
}

// stop deals with a stop. Whose thread is gone by now needs nothing.
func (t *tracer) stop(tid int, code, status int32) error {
	event, signal := status>>8, status&0xff
	var err error
	switch {
	case code != trapped:
		return take(tid)
	case status == atCall:
		if t.hold(tid) {
			return take(tid)
		}
		t.passed.Add(1)
		err = ptrace(unix.PTRACE_SYSCALL, tid, 0, 0)
	case event == unix.PTRACE_EVENT_STOP && signal != int32(unix.SIGTRAP): // it is paused, and stays so
		err = ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
	case event != 0:
		err = ptrace(unix.PTRACE_SYSCALL, tid, 0, 0)
	default:
		err = ptrace(unix.PTRACE_SYSCALL, tid, 0, uintptr(signal))
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("let thread %d go on: %w", tid, err)
	}
	return nil
}

// callInfo is struct ptrace_syscall_info, at an entry.
type callInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	_, _ uint64
	nr   uint64
	args [6]uint64
	_    uint64
}

const opEntry = 1

// hold holds a thread that is at the entry of a call on a file of the folder.
func (t *tracer) hold(tid int) bool {
	var info callInfo
	if ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info))) != nil || info.op != opEntry || info.arch != native {
		return false
	}
	c, ok := t.calls[info.nr]
	if !ok || !t.inside(tid, int(int32(info.args[c.fd]))) {
		return false
	}
	asked := t.Slow.Latency
	if t.Slow.Jitter > 0 {
		asked += time.Duration((2*t.random.Float64() - 1) * float64(t.Slow.Jitter))
	}
	h := held{tid: tid, op: c.op, since: time.Now(), asked: asked}
	h.due = h.since.Add(asked)
	i, _ := slices.BinarySearchFunc(t.queue, h, func(a, b held) int { return a.due.Compare(b.due) })
	t.queue = slices.Insert(t.queue, i, h)
	t.began()
	return true
}

// inside tells whether a thread's open file lies in the folder; one that was deleted there does too.
func (t *tracer) inside(tid, fd int) bool {
	name, err := os.Readlink(proc(tid, "fd/") + strconv.Itoa(fd))
	rest, ok := strings.CutPrefix(name, t.folder)
	return err == nil && ok && (rest == "" || rest[0] == '/')
}

// release lets go whose time has come.
func (t *tracer) release(now time.Time) {
	for len(t.queue) > 0 && !t.queue[0].due.After(now) {
		h := t.queue[0]
		t.queue = t.queue[1:]
		added := time.Since(h.since)                         // no more than the process itself sees
		if ptrace(unix.PTRACE_SYSCALL, h.tid, 0, 0) != nil { // it was killed
			t.lost()
			continue
		}
		t.done(h.op, h.asked, added)
	}
}

// gone forgets a thread that has ended while it was held.
func (t *tracer) gone(tid int) {
	before := len(t.queue)
	t.queue = slices.DeleteFunc(t.queue, func(h held) bool { return h.tid == tid })
	if len(t.queue) < before {
		t.lost()
	}
}
