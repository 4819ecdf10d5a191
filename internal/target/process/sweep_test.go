package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chaos/internal/target"
)

// A folder without a record is nobody's, and goes with what works in it; one that is being made has its
// maker's lock, and is spared.
func TestFoldersWithoutARecord(t *testing.T) {
	r := New(Config{Scratch: scratch(t)})
	if err := r.base(); err != nil {
		t.Fatal(err)
	}
	orphan := filepath.Join(r.scratch(), "orphan")
	if err := os.MkdirAll(filepath.Join(orphan, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	stray := exec.Command("sleep", "600")
	stray.Dir = orphan
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stray.Wait() }()
	removed, err := r.Sweep(t.Context(), target.Alive)
	if err != nil || len(removed) != 1 || !strings.Contains(removed[0], "orphan") || exists(orphan) {
		t.Errorf("swept %v, %v; there: %v", removed, err, exists(orphan))
	}
	if !endedByKernel {
		_ = stray.Process.Kill() // on such a machine strays are not seen
	}
	<-ended

	made := filepath.Join(r.scratch(), "made")
	unlock, err := lock(r.scratch())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(made, dirMode); err != nil {
		t.Fatal(err)
	}
	swept := make(chan []string, 1)
	go func() {
		removed, err := r.Sweep(t.Context(), target.Alive)
		if err != nil {
			t.Error(err)
		}
		swept <- removed
	}()
	owner, err := self()
	if err != nil {
		t.Fatal(err)
	}
	s := &System{runtime: r, suite: "made", dir: made}
	if err := s.save(record{Version: recordVersion, Suite: "made", Owner: owner}); err != nil {
		t.Fatal(err)
	}
	unlock()
	if removed := <-swept; len(removed) > 0 || !exists(made) {
		t.Errorf("what was being made was swept: %v", removed)
	}
}
