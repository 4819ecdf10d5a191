package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/target/docker"
	"chaos/internal/verdict"
)

// bench runs the built command against the payment system in containers, as a user would.
type bench struct {
	t      *testing.T
	binary string
	dir    string // holds reports/
	root   string // of the module
	api    *client.Client
	others others
}

// engine is the Docker engine, or says why the test can't run. (.ci/run fails on a test that was not run.)
func engine(t *testing.T) *client.Client {
	t.Helper()
	if testing.Short() {
		t.Skip("not run with -short: drives real containers")
	}
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = api.Ping(ctx)
	}
	if err != nil {
		t.Skipf("not run: no Docker engine answers: %v", err)
	}
	t.Cleanup(func() { api.Close() })
	return api
}

// newBench builds the command once a test, or says why the test can't run.
func newBench(t *testing.T) *bench {
	t.Helper()
	api := engine(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: t.TempDir(), root: root, api: api, others: networksBefore(t)}
	b.binary = filepath.Join(b.dir, "chaos")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return b
}

// process is a running chaos command.
type process struct {
	*exec.Cmd
	stdout bytes.Buffer
	mu     sync.Mutex
	stderr bytes.Buffer
	ended  chan struct{}
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// start runs chaos in the module's root, with reports in the test's folder. Whatever happens, its
// containers are gone when the test ends.
func (b *bench) start(args ...string) *process {
	b.t.Helper()
	return b.startWith(nil, args...)
}

// startWith is start with more environment.
func (b *bench) startWith(env []string, args ...string) *process {
	b.t.Helper()
	command, words := first(b.binary, args)
	p := &process{Cmd: exec.Command(command, words...), ended: make(chan struct{})}
	p.Env = append(os.Environ(), env...)
	p.Dir, p.Cmd.Stdout, p.Cmd.Stderr = b.root, &p.stdout, p
	if err := p.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.attend(p)
	return p
}

// attend waits for a process and makes sure that nothing of it outlives the test.
func (b *bench) attend(p *process) {
	go func() { _ = p.Wait(); close(p.ended) }()
	b.t.Cleanup(func() {
		select {
		case <-p.ended:
		default:
			_ = p.Process.Kill()
			<-p.ended
		}
		b.sweep(p)
	})
}

// sweep removes what a failed test left.
func (b *bench) sweep(p *process) {
	for _, f := range b.left(p) {
		b.t.Errorf("left behind: %s", f)
		if f.Kind == "container" {
			_ = b.api.ContainerRemove(context.Background(), f.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		} else {
			_ = b.api.NetworkRemove(context.Background(), f.ID)
		}
	}
}

// left is what the engine still has of a process.
func (b *bench) left(p *process) []target.Found {
	b.t.Helper()
	all, err := docker.List(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f target.Found) bool { return f.Owner.PID != p.Process.Pid })
}

// waitFor waits until stderr has said something, or fails with all of it.
func (b *bench) waitFor(p *process, text string) {
	b.t.Helper()
	if !b.says(p, text) {
		b.t.Fatalf("ended (%v) before it said %q:\n%s%s", p.ProcessState, text, p.said(), p.stdout.String())
	}
}

// reach starts a run and waits until it has said something. One that ended before, because the machine stood still, is
// started again.
func (b *bench) reach(start func() *process, text string) (p *process) {
	b.t.Helper()
	b.undisturbed(func() string {
		if p = start(); !b.says(p, text) {
			return fmt.Sprintf("ended (%v) before it said %q:\n%s%s", p.ProcessState, text, p.said(), p.stdout.String())
		}
		return ""
	})
	return p
}

// says waits until stderr has said something. False: it ended without.
func (b *bench) says(p *process, text string) bool {
	b.t.Helper()
	for limit := time.Now().Add(10 * time.Minute); time.Now().Before(limit); {
		if strings.Contains(p.said(), text) {
			return true
		}
		select {
		case <-p.ended:
			return strings.Contains(p.said(), text)
		case <-time.After(20 * time.Millisecond):
		}
	}
	b.t.Fatalf("did not say %q:\n%s", text, p.said())
	return false
}

// exit waits for the end and returns the exit code.
func (b *bench) exit(p *process, within time.Duration) int {
	b.t.Helper()
	select {
	case <-p.ended:
		return p.ProcessState.ExitCode()
	case <-time.After(within):
		b.t.Fatalf("still running after %v:\n%s", within, p.said())
		return -1
	}
}

// healed is the exit code of chaos heal, but for what others left.
func (b *bench) healed(heal *process) int {
	b.t.Helper()
	return b.others.code(b.exit(heal, 2*time.Minute), heal.stdout.String())
}

func (b *bench) reports() string { return filepath.Join(b.dir, "reports") }

func (b *bench) run(experiment string) *process {
	return b.start("run", "--reports", b.reports(), experiment)
}

const outage = "cmd/chaos/testdata/e2e/outage.yaml"

// variantDir is the only run's folder.
func (b *bench) variantDir() string {
	b.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(b.reports(), "*", "*", journal.FileRun))
	if err != nil || len(dirs) != 1 {
		b.t.Fatalf("runs %v, %v: want one", dirs, err)
	}
	return filepath.Dir(dirs[0])
}

func (b *bench) events(dir string) []journal.Event {
	b.t.Helper()
	events, _, err := journal.ReadEvents(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	return events
}

func count(events []journal.Event, typ string) int {
	n := 0
	for _, e := range events {
		if e.Type == typ {
			n++
		}
	}
	return n
}

// TestInterruptedRunsHeal ends a run in the middle of its fault, by Ctrl-C and by SIGTERM: it heals,
// exits 130 and leaves nothing.
func TestInterruptedRunsHeal(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			b := newBench(t)
			p := b.reach(func() *process { return b.run(outage) }, "redis-down#1 active")
			began := time.Now()
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = p.Process.Signal(signal) // impatience changes nothing; it is answered unless all is over already
			if code := b.exit(p, 2*time.Minute); code != verdict.ExitInterrupted {
				t.Errorf("exit %d, want 130:\n%s", code, p.said())
			}
			t.Logf("gone %v after %v", time.Since(began).Round(time.Millisecond), signal)
			events := b.events(b.variantDir())
			if count(events, journal.EventReverted) != 1 || count(events, journal.EventInterrupted) != 1 {
				t.Errorf("events %v", events)
			}
			if left := b.left(p); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// info is what the only run's folder says of it.
func (b *bench) info() journal.RunInfo {
	b.t.Helper()
	info, err := journal.ReadInfo(b.variantDir())
	if err != nil {
		b.t.Fatal(err)
	}
	return info
}

// healedByItself waits until nothing of a process is left and its watchdog is gone.
func (b *bench) healedByItself(p *process, within time.Duration) {
	b.t.Helper()
	began, dog := time.Now(), b.info().Watchdog
	for len(b.left(p)) > 0 || syscall.Kill(dog, 0) == nil {
		if time.Since(began) > within {
			said, _ := os.ReadFile(filepath.Join(b.variantDir(), "watchdog.log"))
			b.t.Fatalf("after %v there is still %v; watchdog %d said:\n%s", within, b.left(p), dog, said)
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.t.Logf("the watchdog was done %v later", time.Since(began).Round(time.Millisecond))
}

// TestTheWatchdogHealsAfterKill kills a run with SIGKILL in the middle of its fault and does nothing
// more: what it made is gone, and its journal says that the fault is reverted.
func TestTheWatchdogHealsAfterKill(t *testing.T) {
	b := newBench(t)
	p := b.reach(func() *process { return b.run(outage) }, "redis-down#1 active")
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	b.healedByItself(p, 2*time.Minute)
	if events := b.events(b.variantDir()); count(events, journal.EventReverted) != 1 {
		t.Errorf("the dead run's journal does not say that it was healed: %v", events)
	}
	said, err := os.ReadFile(filepath.Join(b.variantDir(), "watchdog.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"was killed or crashed", "reverted ", "redis-down#1", "removed container", "nothing is left"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("the watchdog's log lacks %q:\n%s", want, said)
		}
	}
	heal := b.start("heal", "--reports", b.reports())
	if code := b.healed(heal); code != 0 || strings.Contains(heal.stdout.String(), "reverted") {
		t.Errorf("heal: exit %d\n%s", code, heal.stdout.String())
	}
}

// TestHealAfterKill kills the watchdog and then the run with SIGKILL in the middle of its fault. Its
// journal and labels are enough for chaos heal to undo everything, once.
func TestHealAfterKill(t *testing.T) {
	b := newBench(t)
	p := b.reach(func() *process { return b.run(outage) }, "redis-down#1 active")
	if err := syscall.Kill(b.info().Watchdog, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if left := b.left(p); len(left) < 6 {
		t.Fatalf("only %v is left after SIGKILL: the test does not test what it should", left)
	}
	heal := b.start("heal", "--reports", b.reports())
	if code := b.healed(heal); code != 0 {
		t.Fatalf("heal: exit %d\n%s%s", code, heal.said(), heal.stdout.String())
	}
	out := heal.stdout.String()
	if !strings.Contains(out, "reverted") || !strings.Contains(out, "redis-down#1") || !strings.Contains(out, "removed container") {
		t.Errorf("heal said:\n%s", out)
	}
	if left := b.left(p); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if events := b.events(b.variantDir()); count(events, journal.EventReverted) != 1 {
		t.Errorf("the dead run's journal does not say that it was healed: %v", events)
	}
	again := b.start("heal", "--reports", b.reports())
	if code := b.healed(again); code != 0 || strings.Contains(again.stdout.String(), "reverted") {
		t.Errorf("healing twice: exit %d\n%s", code, again.stdout.String())
	}
	// What the run saw until it died can be judged, and is never a pass.
	judged := b.start("judge", b.variantDir())
	if code := b.exit(judged, 2*time.Minute); code != verdict.ExitHarness || !strings.Contains(judged.stdout.String(), "ERROR") {
		t.Errorf("judging a killed run: exit %d\n%s", code, judged.stdout.String())
	}
}

// TestABrokenPipeHeals takes the reader of stderr away in the middle of a fault, as `| head` or a pager
// that is quit does, and then interrupts: the process must not die of SIGPIPE before it healed.
func TestABrokenPipeHeals(t *testing.T) {
	b := newBench(t)
	var p *process
	b.undisturbed(func() string {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		command, words := first(b.binary, []string{"run", "--reports", b.reports(), outage})
		p = &process{Cmd: exec.Command(command, words...), ended: make(chan struct{})}
		p.Dir, p.Cmd.Stdout, p.Cmd.Stderr = b.root, write, write
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		write.Close()
		b.attend(p)
		said, active := bufio.NewScanner(read), false
		for !active && said.Scan() {
			active = strings.Contains(said.Text(), "redis-down#1 active")
		}
		if err := errors.Join(said.Err(), read.Close()); err != nil {
			t.Fatal(err)
		}
		if !active {
			<-p.ended
			return "it ended before its fault was active"
		}
		return ""
	})
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := b.exit(p, 2*time.Minute); code != verdict.ExitInterrupted {
		t.Errorf("exit %d (%v), want 130", code, p.ProcessState)
	}
	if events := b.events(b.variantDir()); count(events, journal.EventReverted) != 1 {
		t.Errorf("not healed: %v", events)
	}
	if left := b.left(p); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
