package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// app answers on the address it is given.
const app = `package main

import ("net/http"; "os")

func main() {
	panic(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("here")) })))
}
`

// kept is a target that is left running, and the command in a folder of its own.
type kept struct {
	t             *testing.T
	binary, dir   string
	name, runtime string
	up            string // what target up printed
	others        others
	env           []string
}

func newKept(t *testing.T, runtime string) *kept {
	t.Helper()
	if testing.Short() {
		t.Skip("not run with -short: starts a whole target")
	}
	k := &kept{t: t, dir: t.TempDir(), name: fmt.Sprintf("kept-%d", os.Getpid()), runtime: runtime, others: networksBefore(t)}
	k.binary = filepath.Join(k.dir, "chaos")
	build := exec.Command("go", "build", "-o", k.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	text, err := os.ReadFile("testdata/e2e/kept/target.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{
		"go.mod": "module kept\n\ngo 1.26\n", "app/main.go": app,
		"tmp/here": "", "targets/kept/target.yaml": strings.Replace(string(text), "name: kept", "name: "+k.name, 1),
	} {
		path := filepath.Join(k.dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if code, out := k.chaos("target", "down", "--runtime", runtime); code != 0 {
			t.Errorf("target down: exit %d\n%s", code, out)
		}
		if _, out := k.chaos("target", "status"); strings.Contains(out, k.name) {
			t.Errorf("left behind:\n%s", out)
		}
	})
	code, out := k.chaos("target", "up", "--runtime", runtime)
	if k.up = out; code != 0 {
		t.Fatalf("target up: exit %d\n%s", code, out)
	}
	return k
}

func (k *kept) command(args ...string) *exec.Cmd {
	c := exec.Command(k.binary, args...)
	c.Dir, c.Env = k.dir, append(os.Environ(), "TMPDIR="+filepath.Join(k.dir, "tmp")) // a lock of its own
	c.Env = append(c.Env, k.env...)
	return c
}

// chaos runs the command and returns its exit code and all it said.
func (k *kept) chaos(args ...string) (int, string) {
	c := k.command(args...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		k.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

func (k *kept) want(code int, text string, args ...string) {
	k.t.Helper()
	got, out := k.chaos(args...)
	if args[0] == "heal" {
		got = k.others.code(got, out)
	}
	if got != code || !strings.Contains(out, text) {
		k.t.Errorf("%v: exit %d, want %d and %q\n%s", args, got, code, text, out)
	}
}

// active starts an injection and returns when its fault is active.
func (k *kept) active(args ...string) *exec.Cmd {
	k.t.Helper()
	c := k.command(args...)
	log, err := os.Create(filepath.Join(k.dir, "log"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer log.Close()
	c.Stderr = log
	if err := c.Start(); err != nil {
		k.t.Fatal(err)
	}
	for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit); <-time.After(20 * time.Millisecond) {
		if said, err := os.ReadFile(log.Name()); err == nil && strings.Contains(string(said), "active") {
			return c
		}
	}
	said, _ := os.ReadFile(log.Name())
	k.t.Fatalf("never active:\n%s%v", said, c.Process.Kill())
	return nil
}

// killed kills an injection, and its watchdog first if it is to be alone.
func (k *kept) killed(p *exec.Cmd, alone bool) {
	k.t.Helper()
	runs, err := filepath.Glob(filepath.Join(k.dir, "reports", "*", "*", journal.FileRun))
	if err != nil {
		k.t.Fatal(err)
	}
	for _, run := range runs {
		info, err := journal.ReadInfo(filepath.Dir(run))
		if err != nil {
			k.t.Fatal(err)
		}
		if alone && info.Owner.PID == p.Process.Pid {
			if err := syscall.Kill(info.Watchdog, syscall.SIGKILL); err != nil {
				k.t.Fatal(err)
			}
		}
	}
	if err := p.Process.Kill(); err != nil {
		k.t.Fatal(err)
	}
	_ = p.Wait() // killed
}

func (k *kept) until(what string, is func() bool) {
	k.t.Helper()
	for limit := time.Now().Add(2 * time.Minute); !is(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(limit) {
			k.t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// TestInject hurts a kept target by hand: healed at the end, after Ctrl-C, by the watchdog after
// kill -9, and by chaos heal when that was killed too, until when nothing more is made on it.
func TestInject(t *testing.T) {
	k := newKept(t, "process")
	process := []string{"--runtime", "process"}
	inject := func(args ...string) []string { return append(append([]string{"inject"}, args...), process...) }

	code, out := k.chaos(inject("node.stop", "cache", "--for", "1s", "--json")...)
	var got struct {
		Outcome string
		Actions []struct{ State, Asked string }
	}
	if err := json.Unmarshal([]byte(out[strings.IndexByte(out, '{'):strings.LastIndexByte(out, '}')+1]), &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if code != 0 || got.Outcome != "bit" || len(got.Actions) != 1 || got.Actions[0].State != "reverted" {
		t.Errorf("exit %d\n%s", code, out)
	}
	k.want(2, "did not bite", inject("toxic.latency", "front->cache", "latency=5ms", "--for", "1s")...)

	p := k.active(inject("node.kill", "cache", "--for", "1h")...)
	k.want(64, "another run uses this engine", inject("node.stop", "front", "--no-wait")...)
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _ = p.Wait(); p.ProcessState.ExitCode() != 130 {
		t.Errorf("Ctrl-C: %v", p.ProcessState)
	}

	k.killed(k.active(inject("node.kill", "cache", "--for", "1h")...), false)
	k.until("the watchdog has healed it", func() bool {
		_, out := k.chaos("target", "status")
		return !strings.Contains(out, "HURT target "+k.name)
	})

	k.killed(k.active(inject("node.kill", "cache", "--for", "1h")...), true)
	k.want(3, "left node.kill on node:cache", inject("node.stop", "front", "--for", "1s")...)
	k.want(0, "HURT target "+k.name, "target", "status")
	k.want(0, "reverted", "heal")
	k.want(0, "bit, held", inject("node.stop", "cache", "--for", "1s")...)

	full := filepath.Join(k.dir, "full")
	there := func() bool { _, err := os.Stat(full); return err == nil }
	exec := inject("exec", "inject=[touch, "+full+"]", "confirm=[test, -e, "+full+"]", "revert=[rm, -f, "+full+"]", "--allow-exec")
	k.want(0, "bit, held", append(exec, "--for", "1s")...)
	k.killed(k.active(append(exec, "--for", "1h")...), false)
	k.until("the watchdog, which was allowed to, has undone it", func() bool { return !there() })
	k.killed(k.active(append(exec, "--for", "1h")...), true)
	k.want(3, "rm -f "+full, "heal")
	if !there() {
		t.Error("heal ran a command of the journal without being allowed to")
	}
	k.want(0, "reverted", "heal", "--allow-exec")
	if there() {
		t.Error("healed, and the file is there")
	}
	if _, out := k.chaos("target", "status"); strings.Contains(out, "HURT target "+k.name) {
		t.Errorf("healed, and still hurt:\n%s", out)
	}
}

// TestInjectWhileTheEngineGoesSilent takes the engine away under a fault made by hand: the command does not wait for the end
// of it, says what is left, and its watchdog heals when the engine answers again.
func TestInjectWhileTheEngineGoesSilent(t *testing.T) {
	api := engine(t)
	to, isSocket := strings.CutPrefix(api.DaemonHost(), "unix://")
	if !isSocket {
		t.Skipf("not run: the engine is at %s, not at a unix socket", api.DaemonHost())
	}
	k, s := newKept(t, "docker"), newSocket(t, to)
	k.env = []string{"DOCKER_HOST=unix://" + s.path}
	p := k.active("inject", "node.pause", "cache", "--for", "1h", "--runtime", "docker")
	k.env = nil
	s.stop()
	if _ = p.Wait(); p.ProcessState.ExitCode() != verdict.ExitResidue {
		t.Errorf("exit %v", p.ProcessState)
	}
	said, err := os.ReadFile(filepath.Join(k.dir, "log"))
	if err != nil || !strings.Contains(string(said), "does not answer") || !strings.Contains(string(said), "something is left") {
		t.Errorf("%v; it said:\n%s", err, said)
	}
	if k.asks("cache") {
		t.Error("nothing is left: the test does not test what it should")
	}
	k.want(3, "left node.pause on node:cache", "inject", "node.stop", "front", "--for", "1s", "--runtime", "docker")
	s.resume()
	k.until("the watchdog has healed it", func() bool {
		_, out := k.chaos("target", "status")
		return !strings.Contains(out, "HURT target "+k.name) && k.asks("cache")
	})
}
