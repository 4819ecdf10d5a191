package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// TestADeathNobodyMeantIsInvalid kills a node that no fault is on: the run names it and proves nothing.
func TestADeathNobodyMeantIsInvalid(t *testing.T) {
	b := newBench(t)
	p := b.reach(func() *process { return b.run(outage) }, "phase recovery")
	id, err := b.node(p, "psp")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.api.ContainerKill(t.Context(), id, "KILL"); err != nil {
		t.Fatal(err)
	}
	if code := b.exit(p, 4*time.Minute); code != verdict.ExitNoEvidence && code != verdict.ExitUnmet {
		t.Errorf("exit %d", code)
	}
	if out := p.stdout.String(); !strings.Contains(out, "INVALID") || !strings.Contains(out, "node psp died, and no fault was on it") {
		t.Errorf("it said:\n%s", out)
	}
}

// TestASecondRunWaitsOrRefuses starts a run while another one uses the engine.
func TestASecondRunWaitsOrRefuses(t *testing.T) {
	b := newBench(t)
	first := b.run(outage)
	b.waitFor(first, "runtime docker")
	second := b.start("run", "--reports", b.reports(), "--no-wait", outage)
	if code := b.exit(second, 2*time.Minute); code != verdict.ExitUsage || !strings.Contains(second.said(), "another run uses this engine") {
		t.Errorf("--no-wait: exit %d\n%s", code, second.said())
	}
	third := b.start("run", "--reports", b.reports(), outage)
	b.waitFor(third, "waiting for it to end")
	for _, p := range []*process{third, first} {
		if err := p.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		b.exit(p, 4*time.Minute)
	}
	if left := b.left(first); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestReportsThatCantBeWritten start nothing.
func TestReportsThatCantBeWritten(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := b.start("run", "--reports", filepath.Join(file, "reports"), outage)
	if code := b.exit(p, 4*time.Minute); code != verdict.ExitHarness || !strings.Contains(p.said(), file) {
		t.Errorf("exit %d\n%s", code, p.said())
	}
	if left := b.left(p); len(left) > 0 {
		t.Errorf("started %v", left)
	}
}

// TestADiskThatFillsUp gives a run 300 KiB for its journal: it ends as ERROR, healed, and says why.
func TestADiskThatFillsUp(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(b.reports(), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", b.reports()).CombinedOutput(); err != nil {
		t.Skipf("not run: a small file system can't be mounted here: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", b.reports()).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	p := b.run(outage)
	if code := b.exit(p, 5*time.Minute); code != verdict.ExitHarness {
		t.Errorf("exit %d\n%s%s", code, p.said(), p.stdout.String())
	}
	if !strings.Contains(p.said(), "no space left") {
		t.Errorf("it does not say why:\n%s", p.said())
	}
	if left := b.left(p); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// socket forwards a unix socket to the engine's until it is cut: a daemon that stops answering.
type socket struct {
	path string
	mu   sync.Mutex
	cut  bool
	open []net.Conn
}

func newSocket(t *testing.T, to string) *socket {
	t.Helper()
	s := &socket{path: filepath.Join(t.TempDir(), "e.sock")}
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); s.stop() })
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go s.serve(c, to)
			}
		}
	}()
	return s
}

func (s *socket) serve(c net.Conn, to string) {
	s.mu.Lock()
	s.open = append(s.open, c)
	cut := s.cut
	s.mu.Unlock()
	if cut {
		return // accepted and never answered: a daemon that hangs
	}
	up, err := net.Dial("unix", to)
	if err != nil {
		c.Close()
		return
	}
	go func() {
		_, _ = io.Copy(up, c)
		// Only this half: what the engine still has to say must come back, and a full close would cut the
		// standard input of a command that has not read it yet.
		_ = up.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(c, up)
	c.Close()
	up.Close()
}

func (s *socket) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
	for _, c := range s.open {
		c.Close()
	}
}

// resume lets the daemon answer again.
func (s *socket) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = false
}

// endedAtOnce: a run whose engine went silent waits for no phase that is still to come, and asks nothing more.
func endedAtOnce(t *testing.T, events []journal.Event) {
	t.Helper()
	lost := slices.IndexFunc(events, func(e journal.Event) bool { return e.Type == journal.EventStuck })
	if lost < 0 {
		t.Error("nothing is stuck")
		return
	}
	var after []string
	for _, e := range events[lost:] {
		after = append(after, e.Type)
		switch {
		case e.Type == journal.EventPhase, e.Type == journal.EventSettled, e.Type == journal.EventAudit, e.Type == journal.EventStateAfter:
			t.Errorf("%s %s came after the engine was silent", e.Type, e.Phase)
		}
	}
	if !slices.Contains(after, journal.EventLoadStop) || !slices.Contains(after, journal.EventRunEnd) || !slices.Contains(after, journal.EventError) {
		t.Errorf("after the engine was silent: %v", after)
	}
}

// TestADaemonThatDiesMidFault takes the engine away while Redis is stopped. What can't be healed is
// named, the run says RESIDUE, and its watchdog heals when the engine answers again.
func TestADaemonThatDiesMidFault(t *testing.T) {
	b := newBench(t)
	host := b.api.DaemonHost()
	if !strings.HasPrefix(host, "unix://") {
		t.Skipf("not run: the engine is at %s, not at a unix socket", host)
	}
	s := newSocket(t, strings.TrimPrefix(host, "unix://"))
	p := b.reach(func() *process {
		return b.startWith([]string{"DOCKER_HOST=unix://" + s.path}, "run", "--reports", b.reports(), outage)
	}, "redis-down#1 active")
	s.stop()
	if code := b.exit(p, 4*time.Minute); code != verdict.ExitResidue {
		t.Errorf("exit %d\n%s%s", code, p.said(), p.stdout.String())
	}
	if out := p.stdout.String(); !strings.Contains(out, "RESIDUE") || !strings.Contains(out, "redis") || !strings.Contains(out, "undo: ") {
		t.Errorf("it said:\n%s", out)
	}
	endedAtOnce(t, b.events(b.variantDir()))
	if len(b.left(p)) == 0 {
		t.Fatal("nothing is left: the test does not test what it should")
	}
	s.resume()
	b.healedByItself(p, 3*time.Minute)
	// What answers first decides: the revert, or the sweep, with which the fault goes too.
	events := b.events(b.variantDir())
	if count(events, journal.EventStuck) == 0 || count(events, journal.EventReverted)+count(events, journal.EventHealed) == 0 {
		t.Errorf("the journal lacks stuck, or that it was healed: %d events", len(events))
	}
	judged := b.start("judge", b.variantDir())
	if code := b.exit(judged, 2*time.Minute); code != verdict.ExitResidue || !strings.Contains(judged.stdout.String(), "RESIDUE") {
		t.Errorf("healed later, and judged again: exit %d\n%s", code, judged.stdout.String())
	}
}
