package readonly

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// node is a shell with a mount namespace of its own, that works in a folder and holds a file there open.
type node struct {
	t   *testing.T
	dir string
	pid string
	in  io.Writer
	out *bufio.Reader
}

func start(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "size=8m"); err != nil {
		t.Skipf("not run: this user can't mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	c := exec.Command("/bin/sh", "-c", `exec 3>held; while read line; do eval "$line" 2>&1; echo "-- $?"; done`)
	c.Dir, c.SysProcAttr = dir, &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("the shell: %v", err)
		}
	})
	n := &node{t: t, dir: dir, pid: strconv.Itoa(c.Process.Pid), in: in, out: bufio.NewReader(out)}
	n.does("true", "")
	return n
}

// does lets the shell do something; it must go well, or fail with the words wanted.
func (n *node) does(what, fails string) (said string) {
	n.t.Helper()
	if _, err := fmt.Fprintln(n.in, what); err != nil {
		n.t.Fatal(err)
	}
	for {
		line, err := n.out.ReadString('\n')
		if err != nil {
			n.t.Fatal(err)
		}
		if code, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok {
			if (code != "0") != (fails != "") || !strings.Contains(said, fails) {
				n.t.Errorf("%s: %q, exit code %s; want %q", what, said, code, fails)
			}
			return strings.TrimSpace(said)
		}
		said += line
	}
}

const refused = "Read-only file system"

func said(t *testing.T, args ...string) (a Answer, code int) {
	t.Helper()
	var out bytes.Buffer
	code = Main(t.Context(), args, &out, io.Discard)
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatalf("%v said %q: %v", args, &out, err)
	}
	return a, code
}

// held makes it read-only, and returns how to end that.
func (n *node) held() (a Answer, end func() int) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, []string{"hold", n.pid, n.dir}, w, io.Discard)
		_ = w.Close()
	}()
	if err := json.NewDecoder(r).Decode(&a); err != nil {
		n.t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return a, func() int { cancel(); return <-code }
}

// writable is how it is before and after: no mount of ours, and the shell finds where it works.
func (n *node) writable() {
	n.t.Helper()
	n.does("echo x > fresh && rm fresh", "")
	n.does("echo x > "+n.dir+"/fresh && rm fresh", "")
	if where := n.does("/bin/pwd", ""); where != n.dir {
		n.t.Errorf("the shell works in %s, not %s", where, n.dir)
	}
	if a, code := said(n.t, "look", n.pid, n.dir); code != exitOK || a.Mounted || a.Attempt != "" {
		n.t.Errorf("%+v, %d", a, code)
	}
	flags := n.does("while read line; do case $line in *"+n.dir+"*) echo $line;; esac; done < /proc/$$/mountinfo", "")
	if strings.Count(flags, "\n") != 0 || !strings.Contains(flags, "rw,nosuid,noexec") {
		n.t.Errorf("its mounts are %s", flags)
	}
}

func (n *node) readOnly() {
	n.t.Helper()
	n.does("( echo x > "+n.dir+"/fresh )", refused)
	n.does("( echo x > fresh )", refused)
	n.does("( /bin/sh -c 'echo x > fresh' )", refused)
	n.does("cat held", "")
	n.does("echo more >&3", "") // what was open stays so
	if err := os.WriteFile(n.dir+"/outside", nil, 0o600); err != nil {
		n.t.Errorf("the folder of others is read-only: %v", err)
	}
	a, code := said(n.t, "look", n.pid, n.dir)
	if code != exitOK || !a.Mounted || a.Attempt != "read-only file system" || a.Writers != 1 {
		n.t.Errorf("%+v, %d", a, code)
	}
}

func TestReadOnly(t *testing.T) {
	n := start(t)
	n.writable()
	for range 2 {
		a, end := n.held()
		if a.Error != "" || !a.Mounted || a.Moved == 0 || a.Writers != 1 {
			t.Fatalf("%+v", a)
		}
		n.readOnly()
		if again, code := said(t, "hold", n.pid, n.dir); code != exitError || !strings.Contains(again.Error, "already") {
			t.Errorf("a second time: %+v, %d", again, code)
		}
		n.readOnly()
		if code := end(); code != exitOK {
			t.Errorf("it ended with %d", code)
		}
		n.writable()
	}
}

// What one that was killed left another undoes, twice, and after half of it.
func TestOff(t *testing.T) {
	n := start(t)
	pid, err := strconv.Atoi(n.pid)
	if err != nil {
		t.Fatal(err)
	}
	f := folder{pid: pid, path: n.dir}
	for name, half := range map[string]func() error{
		"nothing":                   func() error { return nil },
		"mounted":                   func() error { return f.inside(f.cover) },
		"not read-only yet":         func() error { return f.inside(func() error { return unix.Mount(n.dir, n.dir, "", unix.MS_BIND, "") }) },
		"all":                       func() error { _, err := f.put(); return err },
		"unmounted, not gone there": func() error { _, err := f.put(); return errorsOr(err, f.inside(f.uncover)) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := half(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if a, code := said(t, "off", n.pid, n.dir); code != exitOK || a.Mounted || a.Attempt != "" {
					t.Errorf("%+v, %d", a, code)
				}
			}
			n.writable()
		})
	}
}

func errorsOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func TestWrong(t *testing.T) {
	for _, args := range [][]string{{}, {"hold", "1"}, {"look", "x", "/"}, {"fill", "1", "/"}, {"off", "0", "/"}} {
		if code := Main(t.Context(), args, io.Discard, io.Discard); code != exitUsage {
			t.Errorf("%v: %d", args, code)
		}
	}
	n := start(t)
	if a, code := said(t, "hold", n.pid, n.dir+"/no"); code != exitError || !strings.Contains(a.Error, "no mount of its own") {
		t.Errorf("%+v, %d", a, code)
	}
}
