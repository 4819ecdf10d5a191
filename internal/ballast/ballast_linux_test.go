package ballast

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// small is a file system in memory of 8 MiB.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("not run: this user can't mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func said(t *testing.T, args ...string) (a Answer, code int) {
	t.Helper()
	var out bytes.Buffer
	code = Main(t.Context(), args, &out, io.Discard)
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatalf("%v said %q: %v", args, &out, err)
	}
	return a, code
}

// held fills, and returns what was said and how to end it.
func held(t *testing.T, file string, leave int) (a Answer, end func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, []string{"hold", file, strconv.Itoa(leave)}, w, io.Discard)
		_ = w.Close()
	}()
	if err := json.NewDecoder(r).Decode(&a); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return a, func() int { cancel(); return <-code }
}

func TestFull(t *testing.T) {
	dir := small(t)
	file, other := filepath.Join(dir, "ballast"), filepath.Join(dir, "work")
	if err := os.WriteFile(other, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, leave := range []int{0, 1 << 20} {
		a, end := held(t, file, leave)
		if a.Error != "" || a.Size != 8<<20 || a.Free != int64(leave) || a.Ballast != int64(7<<20-leave) {
			t.Fatalf("leave %d: %+v", leave, a)
		}
		if again, _ := said(t, "look", file); again != a {
			t.Errorf("a look says %+v, not %+v", again, a)
		}
		if err := os.WriteFile(other+"2", make([]byte, leave+1<<12), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("leave %d, and %d could be written: %v", leave, leave+1<<12, err)
		}
		if err := os.Remove(other + "2"); err != nil {
			t.Fatal(err)
		}
		if code := end(); code != exitOK {
			t.Errorf("it ended with %d", code)
		}
		if after, _ := said(t, "look", file); after.Ballast != 0 || after.Free != 7<<20 {
			t.Errorf("ended, and %+v", after)
		}
	}
}

// A file that is there is another's.
func TestOnlyOnce(t *testing.T) {
	file := filepath.Join(small(t), "ballast")
	if err := fill(file, 0); err != nil {
		t.Fatal(err)
	}
	if a, code := said(t, "hold", file, "0"); code != exitError || a.Error == "" {
		t.Errorf("filled twice: %+v, %d", a, code)
	}
	if a, _ := said(t, "look", file); a.Ballast != 8<<20 {
		t.Errorf("the first was taken away: %+v", a)
	}
}

// What one that was killed left another takes away, twice.
func TestOff(t *testing.T) {
	file := filepath.Join(small(t), "ballast")
	if err := fill(file, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if a, code := said(t, "off", file); code != exitOK || a.Ballast != 0 || a.Free != 8<<20 {
			t.Errorf("%+v, %d", a, code)
		}
	}
}

// The machine's own disk is never filled.
func TestOnlyInMemory(t *testing.T) {
	var dir string
	for _, on := range []string{".", os.TempDir(), "/var/tmp", "/"} { // the first that is on a disk
		var st unix.Statfs_t
		if err := unix.Statfs(on, &st); err != nil || st.Type == unix.TMPFS_MAGIC {
			continue
		}
		var err error
		if dir, err = os.MkdirTemp(on, "disk-"); err == nil {
			break
		}
	}
	if dir == "" {
		t.Skip("not run: this machine has no disk")
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(dir, "ballast")
	a, code := said(t, "hold", file, "0")
	if code != exitError || !strings.Contains(a.Error, "it is not filled") {
		t.Errorf("%+v, %d", a, code)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left a file: %v", err)
	}
}

func TestWrongWords(t *testing.T) {
	for _, args := range [][]string{{}, {"hold", "x"}, {"look"}, {"fill", "x", "1"}} {
		if code := Main(t.Context(), args, io.Discard, io.Discard); code != exitUsage {
			t.Errorf("%v: %d", args, code)
		}
	}
}
