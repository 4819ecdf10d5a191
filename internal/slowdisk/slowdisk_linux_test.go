//go:build amd64 || arm64

package slowdisk

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is the helper too, and what is held: they are processes of their own.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "slowdisk" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	var code int
	switch os.Args[2] {
	case "busy":
		busy(ctx, os.Args[3])
	case "spawn":
		spawn(os.Args[3])
	default:
		code = Main(ctx, os.Args[2:], os.Stdin, os.Stdout, os.Stderr)
	}
	stop()
	os.Exit(code)
}

// busy has threads that write and sync, and get signals, all the time, and says on each line how often they did.
func busy(ctx context.Context, dir string) {
	var did atomic.Uint64
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR1)
	for i := range 4 {
		go func() {
			runtime.LockOSThread()
			f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
			for n := 0; err == nil; n++ {
				if _, err = f.WriteAt([]byte("."), 0); err == nil && n%100 == 0 {
					err = f.Sync()
				}
				did.Add(1)
				_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			}
			os.Exit(9)
		}()
	}
	lines := json.NewEncoder(os.Stdout)
	for line := make([]byte, 1); ctx.Err() == nil; {
		if _, err := os.Stdin.Read(line); err != nil {
			return
		}
		if lines.Encode(did.Load()) != nil {
			return
		}
	}
}

// spawn lets another process write, for each line that it reads, and says so.
func spawn(dir string) {
	for line := make([]byte, 1); ; {
		if _, err := os.Stdin.Read(line); err != nil {
			return
		}
		child := exec.Command("/bin/sh", "-c", `echo . > "$0"`, filepath.Join(dir, "file"))
		if err := child.Run(); err != nil {
			os.Exit(9)
		}
		_, _ = os.Stdout.WriteString("done\n")
	}
}

// started is a process of ours that is ended with the test.
func started(t *testing.T, args ...string) *helper {
	t.Helper()
	h, err := start(context.WithoutCancel(t.Context()), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = h.cmd.Process.Kill(), h.cmd.Wait() })
	return h
}

// holding holds a process, and returns who does and where it is asked.
func holding(t *testing.T, h *helper, dir string, s Slow) (holder *helper, socket string) {
	t.Helper()
	asked, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(h.cmd.Process.Pid)
	socket = "@chaos-slowdisk-test-" + pid
	holder = started(t, "hold", pid, dir, socket, string(asked))
	if a := said(t, holder); a.Error != "" || a.Traced == 0 {
		t.Fatalf("%+v", a)
	}
	return holder, socket
}

func said(t *testing.T, h *helper) (a Answer) {
	t.Helper()
	text, err := h.line()
	if err == nil {
		err = json.Unmarshal([]byte(text), &a)
	}
	if err != nil {
		t.Fatalf("it said %q: %v", text, err)
	}
	return a
}

func looked(t *testing.T, socket string) Answer {
	t.Helper()
	a, err := Look(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// free waits until no thread of a process is traced.
func free(t *testing.T, h *helper) {
	t.Helper()
	eventually(t, "nobody traces it", func() bool {
		threads, err := os.ReadDir(proc(h.cmd.Process.Pid, "task"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range threads {
			tid, _ := strconv.Atoi(e.Name())
			if who, err := tracedBy(tid); err == nil && who != 0 {
				return false
			}
		}
		return true
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func touching(t *testing.T, file string) *helper {
	t.Helper()
	h := started(t, "touch", file)
	if _, err := h.line(); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTry(t *testing.T) {
	if a, err := try(t.Context(), t.TempDir()); err != nil || a.Traced == 0 {
		t.Fatalf("%+v, %v", a, err)
	}
}

// A file that was open before is slow, by what was asked, and only for what was asked.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	victim := touching(t, filepath.Join(dir, "file"))
	const latency, jitter, writes = 30 * time.Millisecond, 10 * time.Millisecond, 5
	holder, socket := holding(t, victim, dir, Slow{Latency: latency, Jitter: jitter, Ops: []string{Write, Sync}})
	var sum time.Duration
	for range writes {
		took, err := victim.took()
		if err != nil || took < latency-jitter {
			t.Errorf("a write took %v, %v", took, err)
		}
		sum += took
	}
	a := looked(t, socket)
	c := a.Counts[Write]
	if c.N != writes || c.Added < c.Asked || c.Added > sum || len(a.Counts) != 1 || a.Passed == 0 {
		t.Errorf("%d writes took %v, and %+v", writes, sum, a)
	}
	if c.Asked < writes*(latency-jitter) || c.Asked > writes*(latency+jitter) || c.Asked == writes*latency {
		t.Errorf("%v ± %v, %d times, came to %v", latency, jitter, writes, c.Asked)
	}
	if err := holder.end(); err != nil || holder.cmd.ProcessState.ExitCode() != exitOK {
		t.Errorf("it ended with %v, %v", holder.cmd.ProcessState, err)
	}
	free(t, victim)
	if _, err := victim.took(); err != nil {
		t.Error(err)
	}
}

// A file elsewhere is not slow, even if its folder's name begins the same.
func TestElsewhere(t *testing.T) {
	dir := t.TempDir()
	victim := touching(t, dir+".other")
	t.Cleanup(func() { _ = os.Remove(dir + ".other") })
	_, socket := holding(t, victim, dir, Slow{Latency: time.Hour, Ops: Ops()})
	if _, err := victim.took(); err != nil {
		t.Error(err)
	}
	if a := looked(t, socket); len(a.Counts) > 0 || a.Held > 0 {
		t.Errorf("%+v", a)
	}
}

// What a process starts later is held too, and so is a file that was deleted.
func TestFollows(t *testing.T) {
	dir := t.TempDir()
	victim := started(t, "spawn", dir)
	eventually(t, "it runs", func() bool { _, err := os.Stat(proc(victim.cmd.Process.Pid, "exe")); return err == nil })
	_, socket := holding(t, victim, dir, Slow{Latency: 20 * time.Millisecond, Ops: []string{Write}})
	for want := range uint64(3) {
		if _, err := io.WriteString(victim.in, "\n"); err != nil {
			t.Fatal(err)
		}
		if text, err := victim.line(); err != nil || text != "done" {
			t.Fatalf("%q, %v", text, err)
		}
		if c := looked(t, socket).Counts[Write]; c.N != want+1 {
			t.Errorf("%d children wrote, and %+v", want+1, c)
		}
	}
	gone := filepath.Join(t.TempDir(), "gone")
	victim = touching(t, gone)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	_, socket = holding(t, victim, filepath.Dir(gone), Slow{Latency: time.Millisecond, Ops: []string{Write}})
	if _, err := victim.took(); err != nil {
		t.Error(err)
	}
	if c := looked(t, socket).Counts[Write]; c.N != 1 {
		t.Errorf("a file that was deleted: %+v", c)
	}
}

// However it ends, those whom it traced go on as if nothing had been: no call fails and no signal is sent to them.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	victim := started(t, "busy", dir)
	did := func() (n uint64) {
		_, err := io.WriteString(victim.in, "\n")
		var text string
		if err == nil {
			text, err = victim.line()
		}
		if err == nil {
			n, err = strconv.ParseUint(text, 10, 64)
		}
		if err != nil {
			t.Fatalf("the process has ended: %v", err)
		}
		return n
	}
	eventually(t, "it writes", func() bool { return did() > 0 })
	for i := range 20 {
		holder, socket := holding(t, victim, dir, Slow{Latency: time.Millisecond, Ops: []string{Write}})
		eventually(t, "it is held", func() bool { return looked(t, socket).Counts[Write].N > uint64(i) })
		if err := holder.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = holder.cmd.Wait()
		free(t, victim)
		before := did()
		eventually(t, "it goes on", func() bool { return did() > before+100 })
	}
}

// Who is paused stays so, and goes on when it is told to.
func TestPaused(t *testing.T) {
	victim := started(t, "busy", t.TempDir())
	_, socket := holding(t, victim, t.TempDir(), Slow{Latency: time.Millisecond, Ops: Ops()})
	passed := func() uint64 { return looked(t, socket).Passed }
	moves := func() bool {
		before := passed()
		time.Sleep(300 * time.Millisecond)
		return passed() != before
	}
	eventually(t, "it moves", moves)
	if err := victim.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it stands still", func() bool { return !moves() })
	if err := victim.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it moves again", moves)
}

// It ends with the last process that it traces, and a held call does not keep that alive.
func TestEnds(t *testing.T) {
	dir := t.TempDir()
	victim := touching(t, filepath.Join(dir, "file"))
	holder, socket := holding(t, victim, dir, Slow{Latency: time.Hour, Ops: []string{Write}})
	if _, err := io.WriteString(victim.in, "\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is held", func() bool { return looked(t, socket).Held == 1 })
	again := started(t, "hold", strconv.Itoa(victim.cmd.Process.Pid), dir, "@chaos-slowdisk-test-again", `{"latency_ns":1000000,"ops":["read"]}`)
	if a := said(t, again); !strings.Contains(a.Error, "is traced already, by thread") {
		t.Errorf("held twice: %+v", a)
	}
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if a := said(t, holder); a.Error != errEnded.Error() {
		t.Errorf("it ended with %+v", a)
	}
	if err := victim.cmd.Wait(); err == nil {
		t.Error("who was killed ended well")
	}
}

func TestWrongWords(t *testing.T) {
	for _, args := range [][]string{{}, {"hold", "1"}, {"look"}, {"slow", "x"}} {
		if code := Main(t.Context(), args, nil, io.Discard, io.Discard); code != exitUsage {
			t.Errorf("%v: %d", args, code)
		}
	}
	for _, c := range []struct{ pids, folder, slow, why string }{
		{"x", "/", `{}`, "are not process ids"},
		{"1", "/", `{"latency_ns":1}`, "want a latency"},
		{"1", "/", `{"latency_ns":1,"ops":["raed"]}`, "want read, write, sync"},
		{strconv.Itoa(os.Getpid()), "/no/such/folder", `{"latency_ns":1,"ops":["read"]}`, "look at /no/such/folder"},
	} {
		var out strings.Builder
		code := Main(t.Context(), []string{"hold", c.pids, c.folder, "@chaos-slowdisk-test-wrong", c.slow}, nil, &out, io.Discard)
		if code != exitError || !strings.Contains(out.String(), c.why) {
			t.Errorf("%+v: %d, %s", c, code, out.String())
		}
	}
	if _, err := Look(t.Context(), "@chaos-slowdisk-test-nobody"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody answered with %v", err)
	}
}
