package readonly

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// attempts is how often the mount is made anew because somebody opened a file in it before it was read-only.
const attempts = 5

// attempt is the file that a look tries to make.
const attempt = ".chaos-attempt"

// inside runs do on a thread in the mount namespace of the folder's process.
func (f folder) inside(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- func() error {
			ns, err := os.Open(f.proc("ns/mnt"))
			if err != nil {
				return err
			}
			defer ns.Close() //nolint:errcheck // nothing was written
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("leave the file system of this process: %w", err)
			}
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("enter the mount namespace of process %d: %w", f.pid, err)
			}
			return do()
		}()
	}()
	return <-done
}

func (f folder) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", f.pid, name) }

// mount is a line of mountinfo.
type mount struct {
	id, parent    int
	device, root  string
	point, option string
}

func (f folder) mounts() (map[int]mount, error) {
	raw, err := os.ReadFile(f.proc("mountinfo"))
	if err != nil {
		return nil, err
	}
	all := map[int]mount{}
	for line := range strings.Lines(string(raw)) {
		w := strings.Fields(line)
		if len(w) < 6 {
			return nil, fmt.Errorf("mountinfo has the line %q", line)
		}
		m := mount{device: w[2], root: w[3], point: unescaped(w[4]), option: w[5]}
		var errs [2]error
		m.id, errs[0] = strconv.Atoi(w[0])
		m.parent, errs[1] = strconv.Atoi(w[1])
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("mountinfo has the line %q: %w", line, err)
		}
		all[m.id] = m
	}
	return all, nil
}

// unescaped undoes mountinfo's \040 and the like.
func unescaped(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}

// find returns the mount at the folder and, if it is there, ours over it: the same part of the same file system,
// over itself.
func (f folder) find() (base, over mount, err error) {
	all, err := f.mounts()
	if err != nil {
		return base, over, err
	}
	for _, m := range all {
		if m.point != f.path {
			continue
		}
		if p := all[m.parent]; p.point == f.path && p.device == m.device && p.root == m.root {
			over = m
		} else {
			base = m
		}
	}
	if base.id == 0 {
		return base, over, fmt.Errorf("%s is no mount of its own", f.path)
	}
	return base, over, nil
}

// put makes it read-only; when it fails nothing is left.
func (f folder) put() (a Answer, err error) {
	_, over, err := f.find()
	if err == nil && over.id != 0 {
		err = fmt.Errorf("%s is read-only already", f.path)
	}
	if err != nil {
		return a, err
	}
	if err := f.inside(f.cover); err != nil {
		return a, err
	}
	moved, err := f.enter()
	if err == nil {
		a, err = f.look()
		a.Moved = moved
	}
	if err == nil && a.Attempt == "" {
		err = fmt.Errorf("%s is mounted read-only, and a file could be made in it", f.path)
	}
	if err != nil {
		return a, errors.Join(err, f.off())
	}
	return a, nil
}

// cover mounts it over itself; mounts below it stay as they are.
func (f folder) cover() error {
	flags, err := f.flags()
	if err != nil {
		return err
	}
	for range attempts {
		if err = unix.Mount(f.path, f.path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s over itself: %w", f.path, err)
		}
		if err = unix.Mount("", f.path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|flags, ""); err == nil {
			return nil
		}
		err = fmt.Errorf("make the mount of %s read-only: %w", f.path, err)
		if undo := unix.Unmount(f.path, unix.MNT_DETACH); undo != nil || !errors.Is(err, unix.EBUSY) {
			return errors.Join(err, undo)
		}
	}
	return err
}

// flags are the mount's own, which making it read-only must not take away.
func (f folder) flags() (flags uintptr, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(f.path, &st); err != nil {
		return 0, fmt.Errorf("look at %s: %w", f.path, err)
	}
	for _, flag := range []struct{ have, want uintptr }{
		{unix.ST_NOSUID, unix.MS_NOSUID}, {unix.ST_NODEV, unix.MS_NODEV}, {unix.ST_NOEXEC, unix.MS_NOEXEC},
		{unix.ST_NOATIME, unix.MS_NOATIME}, {unix.ST_NODIRATIME, unix.MS_NODIRATIME}, {unix.ST_RELATIME, unix.MS_RELATIME},
	} {
		if uintptr(st.Flags)&flag.have != 0 {
			flags |= flag.want
		}
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return 0, fmt.Errorf("%s is read-only", f.path)
	}
	return flags, nil
}

// off undoes it, also after half of it. What was opened through the mount becomes writable by it.
func (f folder) off() error {
	_, over, err := f.find()
	if errors.Is(err, os.ErrNotExist) { // the process has ended, and its mounts with it
		return nil
	}
	if err != nil {
		return err
	}
	if over.id != 0 {
		if err := f.inside(f.uncover); err != nil {
			return err
		}
	}
	_, err = f.enter()
	return err
}

func (f folder) uncover() error {
	flags := uintptr(0)
	var st unix.Statfs_t
	if err := unix.Statfs(f.path, &st); err != nil {
		return fmt.Errorf("look at %s: %w", f.path, err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		for _, flag := range []struct{ have, want uintptr }{{unix.ST_NOSUID, unix.MS_NOSUID}, {unix.ST_NODEV, unix.MS_NODEV}, {unix.ST_NOEXEC, unix.MS_NOEXEC}} {
			if uintptr(st.Flags)&flag.have != 0 {
				flags |= flag.want
			}
		}
		if err := unix.Mount("", f.path, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""); err != nil {
			return fmt.Errorf("make the mount of %s writable: %w", f.path, err)
		}
	}
	if err := unix.Unmount(f.path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", f.path, err)
	}
	return nil
}

// look tells how it stands.
func (f folder) look() (a Answer, err error) {
	base, over, err := f.find()
	if err != nil {
		return a, err
	}
	a.Mounted = over.id != 0
	err = f.inside(func() error {
		name := filepath.Join(f.path, attempt)
		file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			var errno unix.Errno
			if !errors.As(err, &errno) {
				return err
			}
			a.Attempt = errno.Error()
			return nil
		}
		return errors.Join(file.Close(), os.Remove(name))
	})
	if err != nil {
		return a, fmt.Errorf("try to make a file in %s: %w", f.path, err)
	}
	if a.Mounted {
		a.Writers, err = f.writers(base.id)
	}
	return a, err
}
