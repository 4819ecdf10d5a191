package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

// The test's own binary is the harness that is killed.
const (
	asHarness = "PROCESS_TEST_SCRATCH" // start the small target there, print the suite, wait
	asKeeper  = "PROCESS_TEST_KEEP"    // keep it, and end
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(asHarness); dir != "" {
		os.Exit(harness(dir, os.Getenv(asKeeper) != ""))
	}
	os.Exit(m.Run())
}

func harness(dir string, keep bool) int {
	top, err := readSmall()
	if err == nil {
		_, err = New(Config{Scratch: dir}).Start(context.Background(), top, target.Options{Variant: "polite", Suite: "killed", Keep: keep})
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("up")
	if !keep {
		time.Sleep(10 * time.Minute) // it is killed
	}
	return 0
}

// readSmall is targettest.Small for a process that is no test.
func readSmall() (top *target.Topology, err error) {
	raw, err := os.ReadFile(os.Getenv("PROCESS_TEST_TOPOLOGY"))
	if err != nil {
		return nil, err
	}
	top = &target.Topology{Path: os.Getenv("PROCESS_TEST_PATH")}
	return top, json.Unmarshal(raw, top)
}

// harnessOf is the harness as a process of its own.
func harnessOf(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	top := targettest.Small(t).Topology
	raw, err := json.Marshal(top)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "topology.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asHarness+"="+dir, "PROCESS_TEST_TOPOLOGY="+file, "PROCESS_TEST_PATH="+top.Path)
	return cmd
}

// start runs the harness until the target is up.
func start(t *testing.T, dir string, keep bool) *exec.Cmd {
	t.Helper()
	cmd := harnessOf(t, dir)
	if keep {
		cmd.Env = append(cmd.Env, asKeeper+"=1")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("%s %v", line, err)
	}
	return cmd
}

func running(rec record) (nodes []string) {
	for node, p := range rec.Nodes {
		if p.alive() {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute: " + what)
		}
	}
}

func TestAKilledHarnessTakesItsNodesAlong(t *testing.T) {
	need(t, "redis-server")
	if !endedByKernel {
		t.Skip("not run: here the watchdog of chaos run ends the nodes")
	}
	dir := scratch(t)
	r := New(Config{Scratch: dir})
	cmd := start(t, dir, false)
	rec, err := readRecord(filepath.Join(dir, "killed"))
	if err != nil || len(running(rec)) != 4 {
		t.Fatalf("%v runs: %v", running(rec), err)
	}
	if removed, err := r.Sweep(t.Context(), target.Alive); err != nil || len(removed) > 0 {
		t.Errorf("a living process's target was swept: %v, %v", removed, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it says
	eventually(t, "every node ends with the harness", func() bool { return len(running(rec)) == 0 })
	handle, top := (&System{suite: "killed"}).Handle(), targettest.Small(t).Topology
	if _, err := r.Attach(t.Context(), top, handle); !errors.Is(err, target.ErrGone) {
		t.Errorf("attach to what died: %v", err)
	}
	if removed, err := r.Sweep(t.Context(), target.Alive); err != nil || len(removed) != 1 || !strings.Contains(removed[0], "folder killed") {
		t.Errorf("swept %v, %v", removed, err)
	}
	if removed, err := r.Sweep(t.Context(), target.Alive); err != nil || len(removed) > 0 || exists(filepath.Join(dir, "killed")) {
		t.Errorf("swept twice: %v, %v", removed, err)
	}
}

// TestAKilledHarnessTakesItsBuildAlong: a compiler that went on would make the target's folder anew once it was swept.
func TestAKilledHarnessTakesItsBuildAlong(t *testing.T) {
	need(t, "redis-server")
	if !endedByKernel {
		t.Skip("not run: here nothing ends the compiler")
	}
	fake, file := t.TempDir(), filepath.Join(t.TempDir(), "pid")
	// Two programs are built at once, so each writes a file of its own.
	script := "#!/bin/sh\necho $$ > " + file + ".$$ && mv " + file + ".$$ " + file + " && exec sleep 600\n"
	if err := os.WriteFile(filepath.Join(fake, "go"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := harnessOf(t, scratch(t))
	cmd.Env = append(cmd.Env, "PATH="+fake+string(os.PathListSeparator)+os.Getenv("PATH"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	var p proc
	eventually(t, "the compiler is at work", func() bool {
		select {
		case <-ended:
			t.Fatalf("the harness has ended: %v: %s", cmd.ProcessState, said.String())
		default:
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		p.PID, err = strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil {
			p.Start, err = target.ProcessStart(p.PID)
		}
		return err == nil && p.Start != ""
	})
	t.Cleanup(func() { _ = signalAll([]int{p.PID}, syscall.SIGKILL) })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the compiler ends with the harness", func() bool { return !p.alive() })
}

func TestAKeptTargetOutlivesItsHarness(t *testing.T) {
	need(t, "redis-server")
	dir := scratch(t)
	r := New(Config{Scratch: dir})
	if err := start(t, dir, true).Wait(); err != nil {
		t.Fatal(err)
	}
	if removed, err := r.Sweep(t.Context(), target.Alive); err != nil || len(removed) > 0 {
		t.Errorf("what is kept was swept: %v, %v", removed, err)
	}
	s, err := target.AttachKept(t.Context(), r, targettest.Small(t).Topology)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	victim := s.(*System)
	if err := errors.Join(victim.Signal(t.Context(), "app", "KILL")); err != nil {
		t.Error(err)
	}
	eventually(t, "a node dies whose parent is gone", func() bool {
		st, err := victim.State(t.Context(), "app")
		return err == nil && st.Exists && !st.Running && st.ExitCode == unknownExit
	})
	if err := errors.Join(victim.StartNode(t.Context(), "app"), victim.NodeReady(t.Context(), "app")); err != nil {
		t.Error(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := of(r)(t.Context(), "killed"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := target.AttachKept(t.Context(), r, targettest.Small(t).Topology); !errors.Is(err, target.ErrNotKept) {
		t.Errorf("attach to what was closed: %v", err)
	}
}

func TestATakenPortNamesItsHolder(t *testing.T) {
	need(t, "redis-server")
	r := New(Config{Scratch: scratch(t)})
	sys, err := r.Start(t.Context(), targettest.Small(t).Topology, target.Options{Variant: "polite"})
	if err != nil {
		t.Fatal(err)
	}
	s := sys.(*System)
	defer func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	addr, err := s.Endpoint(t.Context(), "app", "http")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(t.Context(), "app", "KILL"); err != nil {
		t.Fatal(err)
	}
	var l net.Listener
	eventually(t, "its port is free", func() bool { l, err = net.Listen("tcp", addr); return err == nil })
	err = s.StartNode(t.Context(), "app")
	if want := fmt.Sprintf("(process %d)", os.Getpid()); err == nil || !strings.Contains(err.Error(), "port http of node app ("+addr+") is taken by ") || !strings.Contains(err.Error(), want) {
		t.Errorf("starting on a taken port: %v; want %s", err, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.StartNode(t.Context(), "app"), s.NodeReady(t.Context(), "app")); err != nil {
		t.Errorf("the port is free again: %v", err)
	}
	if again, err := s.Endpoint(t.Context(), "app", "http"); err != nil || again != addr {
		t.Errorf("it came back on %s, not on %s: %v", again, addr, err)
	}
}

// sleeper is a node's process with a child in a session of its own that ignores TERM, as PostgreSQL has.
func sleeper(t *testing.T) (p proc, members []int) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `trap "" TERM; setsid sh -c 'trap "" TERM; sleep 600 & wait' & sleep 600 & wait`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	t.Cleanup(func() { _ = signalAll(members, syscall.SIGKILL) })
	var err error
	p.PID = cmd.Process.Pid
	if p.Start, err = target.ProcessStart(p.PID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its children are there", func() bool { members = family(p.PID); return len(members) == 4 })
	return p, members
}

func TestEndTakesTheWholeFamily(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("not run: no setsid here")
	}
	p, members := sleeper(t)
	recycled := p
	recycled.Start += "0"
	if err := end(t.Context(), recycled, syscall.SIGKILL); err != nil || !p.alive() {
		t.Fatalf("a pid with another start time was taken for it: %v", err)
	}
	if err := end(t.Context(), p, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !gone(t.Context(), members, 0) {
		for _, pid := range members {
			if r, ok := look(pid); ok && !r.dead {
				t.Errorf("process %d is left", pid)
			}
		}
	}
}

// TestAStrayGoesWithItsFolder: a process that was started and never written down works in the target's folder.
func TestAStrayGoesWithItsFolder(t *testing.T) {
	dir := filepath.Join(scratch(t), "suite")
	if err := os.MkdirAll(filepath.Join(dir, "nodes", "n"), dirMode); err != nil {
		t.Fatal(err)
	}
	stray, other := exec.Command("sleep", "600"), exec.Command("sleep", "600")
	stray.Dir, other.Dir = filepath.Join(dir, "nodes", "n"), filepath.Dir(dir)
	for _, cmd := range []*exec.Cmd{stray, other} {
		if err := cmd.Start(); err != nil {
			t.Skip("not run: there is no sleep to go astray:", err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	}
	if len(within(dir)) == 0 {
		t.Skip("not run: this system does not tell where processes work")
	}
	if err := endStrays(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if !gone(t.Context(), []int{stray.Process.Pid}, 0) || gone(t.Context(), []int{other.Process.Pid}, 0) {
		t.Error("the stray is left, or somebody else was ended")
	}
}

func TestSubstitute(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	port := strconv.Itoa(firstPort)
	for p := firstPort; free(p) != nil; p++ {
		port = strconv.Itoa(p + 1)
	}
	served := make(chan error, 1)
	go func() {
		served <- Substitute(ctx, []string{"redis-server", "--port", port, "--save", "", "--appendonly", "no"}, nil, io.Discard, io.Discard)
	}()
	cli := func(stdin string, args ...string) (string, error) {
		var out bytes.Buffer
		err := Substitute(ctx, append([]string{"redis-cli", "-p", port}, args...), strings.NewReader(stdin), &out, io.Discard)
		return strings.TrimSpace(out.String()), err
	}
	eventually(t, "it answers", func() bool { got, err := cli("", "PING"); return err == nil && got == "PONG" })
	for _, c := range []struct{ in, args, want string }{
		{"", "SET a 1", "OK"}, {"", "GET a", "1"}, {"", "DBSIZE", "1"}, {"", "FLUSHALL", "OK"}, {"SET b 2\n\nGET b\n", "", "OK\n2"},
	} {
		if got, err := cli(c.in, strings.Fields(c.args)...); err != nil || got != c.want {
			t.Errorf("%s%s: %q, %v; want %q", c.in, c.args, got, err, c.want)
		}
	}
	if _, err := cli("", "NO_SUCH_COMMAND"); err == nil {
		t.Error("a command that there is not was answered")
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := Substitute(t.Context(), []string{"postgres"}, nil, io.Discard, io.Discard); err == nil {
		t.Error("something stands in for postgres")
	}
}
