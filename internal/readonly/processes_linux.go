package readonly

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rounds is how often processes are looked for that were forked from one that had not entered yet.
const rounds = 20

// processes are those in the mount namespace of the folder's process. One that ends meanwhile is left out.
func (f folder) processes() (pids []int, err error) {
	mine, err := os.Readlink(f.proc("ns/mnt"))
	if err != nil {
		return nil, err
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink(folder{pid: pid}.proc("ns/mnt")); err == nil && ns == mine {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// enter makes the processes that work in the folder, but not in the mount that is on top there, enter it anew,
// and returns how many there were.
func (f folder) enter() (moved int, err error) {
	for range rounds {
		some, err := f.enterOnce()
		if err != nil || some == 0 {
			return moved, err
		}
		moved += some
	}
	return moved, fmt.Errorf("the processes that work in %s fork faster than they can be made to enter it anew", f.path)
}

func (f folder) enterOnce() (moved int, err error) {
	all, err := f.mounts()
	if err != nil {
		return 0, err
	}
	_, over, err := f.find()
	if err != nil {
		return 0, err
	}
	pids, err := f.processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		path, ok := f.outside(pid, all, over.id)
		if !ok {
			continue
		}
		switch err := chdir(pid, path); {
		case errors.Is(err, unix.ESRCH): // it has ended
		case err != nil:
			return moved, fmt.Errorf("process %d works in %s, and can't be made to enter it anew: %w", pid, path, err)
		default:
			moved++
		}
	}
	return moved, nil
}

// outside tells whether a process works in the folder by another mount than the one on top, and where: the one
// that is covered, or ours, that was unmounted. Only the same folder counts, so that no process is led elsewhere.
func (f folder) outside(pid int, all map[int]mount, over int) (path string, ok bool) {
	p := folder{pid: pid}
	link, err := os.Readlink(p.proc("cwd"))
	if err != nil {
		return "", false
	}
	fd, err := unix.Open(p.proc("cwd"), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return "", false
	}
	id, _ := entry(string(info), "mnt_id:", 10)
	switch m, there := all[int(id)]; {
	case !there: // then its name begins at the root of the mount
		link = filepath.Join(f.path, link)
	case m.point != f.path || over == 0 || m.id == over:
		return "", false
	}
	var here, wanted unix.Stat_t
	if unix.Fstat(fd, &here) != nil || unix.Stat(p.proc("root"+link), &wanted) != nil {
		return "", false
	}
	return link, here.Dev == wanted.Dev && here.Ino == wanted.Ino
}

// writers counts the files that are open for writing by a mount, each once a process.
func (f folder) writers(mount int) (n int, err error) {
	pids, err := f.processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		names, err := filepath.Glob(folder{pid: pid}.proc("fdinfo/*"))
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			info, err := os.ReadFile(name)
			if err != nil {
				continue // closed meanwhile
			}
			id, ok := entry(string(info), "mnt_id:", 10)
			flags, also := entry(string(info), "flags:", 8)
			if ok && also && int(id) == mount && flags&unix.O_PATH == 0 && flags&unix.O_ACCMODE != unix.O_RDONLY {
				n++
			}
		}
	}
	return n, nil
}

// entry is a number of a file like fdinfo.
func entry(text, name string, base int) (n int64, ok bool) {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), base, 64)
			return n, err == nil
		}
	}
	return 0, false
}
