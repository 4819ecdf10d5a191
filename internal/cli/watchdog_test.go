package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// TestTheWatchdogWaitsForTheDeath: the pipe of a process that dies is closed before it counts as dead; what
// was found alive then would be spared, and left.
func TestTheWatchdogWaitsForTheDeath(t *testing.T) {
	harness := exec.Command("sleep", "600")
	if err := harness.Start(); err != nil {
		t.Skip("not run: there is no sleep to be the harness:", err)
	}
	reaped := make(chan struct{})
	go func() { _ = harness.Wait(); close(reaped) }()
	defer func() { _ = harness.Process.Kill(); <-reaped }()
	owner, err := target.Self("process")
	if err != nil {
		t.Fatal(err)
	}
	owner.PID = harness.Process.Pid
	if owner.PIDTime, err = target.ProcessStart(owner.PID); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/engine.sock") // what others left on an engine is not this test's
	dir := t.TempDir()
	run := filepath.Join(dir, "reports", "x", "only")
	j, err := journal.Create(run, journal.RunInfo{ID: "0123456789ab", Runtime: "process", Owner: owner}, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	name, err := json.Marshal(owner)
	if err != nil {
		t.Fatal(err)
	}
	code := make(chan int, 1)
	var out bytes.Buffer
	go func() {
		code <- Main(context.Background(), Env{
			Args: []string{"watchdog", "--reports", filepath.Join(dir, "reports"), "--owner", string(name)}, Stdin: strings.NewReader(""),
			Stdout: &out, Stderr: &out, Dir: dir, Now: time.Now, Getenv: func(key string) string { return map[string]string{"DOCKER_HOST": os.DevNull}[key] },
		})
	}()
	select {
	case c := <-code:
		t.Fatalf("it left (%d) while the harness lived: %s", c, &out)
	case <-time.After(200 * time.Millisecond):
	}
	if err := harness.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case c := <-code:
		said, err := os.ReadFile(filepath.Join(run, watchdogLog))
		if c != 0 || err != nil || !strings.Contains(string(said), "nothing is left") {
			t.Errorf("exit %d, %v: %s%s", c, err, &out, said)
		}
	case <-time.After(time.Minute):
		said, _ := os.ReadFile(filepath.Join(run, watchdogLog))
		t.Fatalf("it did not leave after the harness's death: %s", said)
	}
}
