package ballast

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// grain is the least that is allocated at once near the end.
const grain = 4 << 10

// fill allocates all of the file system but leave bytes in a new file; when it fails there is none. It is refused where the folder is not a file system in
// memory: another one may be the machine's own disk.
func fill(file string, leave int64) (err error) {
	st, err := stat(file)
	if err != nil {
		return err
	}
	size := int64(st.Blocks) * st.Bsize
	switch {
	case st.Type != unix.TMPFS_MAGIC || size > MaxSize:
		return fmt.Errorf("%s is on a file system that is not in memory, or has no bound: it is not filled", filepath.Dir(file))
	case leave >= size:
		return fmt.Errorf("its file system has %d bytes, and %d are to be left", size, leave)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, remove(file))
		}
	}()
	var have int64
	for step := size; ; {
		if st, err = stat(file); err != nil {
			return err
		}
		want := min(int64(st.Bavail)*st.Bsize-leave, step)
		if want <= 0 {
			return nil
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, have, want); {
		case err == nil:
			have += want
		case errors.Is(err, unix.ENOSPC) && want > grain: // the node was faster
			step = want / 2
		case errors.Is(err, unix.ENOSPC):
			return nil
		case errors.Is(err, unix.EINTR):
		default:
			return fmt.Errorf("allocate %d bytes in %s: %w", want, file, err)
		}
	}
}

func stat(file string) (st unix.Statfs_t, err error) {
	if err := unix.Statfs(filepath.Dir(file), &st); err != nil {
		return st, fmt.Errorf("look at the file system of %s: %w", filepath.Dir(file), err)
	}
	return st, nil
}

func look(file string) (a Answer, err error) {
	st, err := stat(file)
	if err != nil {
		return a, err
	}
	a.Size, a.Free = int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize
	switch info, err := os.Stat(file); {
	case err == nil:
		a.Ballast = info.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return a, err
	}
	return a, nil
}

// remove gives the space back; a file that is not there is not an error.
func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the ballast: %w", err)
	}
	return nil
}
