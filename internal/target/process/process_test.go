package process

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

// need skips, by name and with the reason, where a program is not on the machine.
func need(t *testing.T, program string, folders ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("not run: -short leaves whole targets out")
	}
	if search(program, folders) == "" {
		t.Skipf("not run: %s is not installed (make setup)", program)
	}
}

// scratch is a folder that nodes of another user can get to, and short enough for a socket's path.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// of is everything of a suite that is left: its folder, and processes that run in it.
func of(r *Runtime) func(context.Context, string) ([]string, error) {
	return func(_ context.Context, suite string) (left []string, err error) {
		dir := filepath.Join(r.scratch(), suite)
		if exists(dir) {
			left = append(left, dir)
		}
		cwds, err := filepath.Glob("/proc/[0-9]*/cwd")
		for _, cwd := range cwds {
			if to, err := os.Readlink(cwd); err == nil && (to == dir || len(to) > len(dir) && to[:len(dir)+1] == dir+"/") {
				left = append(left, cwd+" in "+to)
			}
		}
		return left, err
	}
}

func TestConformance(t *testing.T) {
	need(t, "redis-server")
	dir := scratch(t)
	fresh := func() target.Runtime { return New(Config{Scratch: dir}) }
	subject := targettest.Small(t)
	subject.Left = of(New(Config{Scratch: dir}))
	targettest.Run(t, fresh, subject)
}

func TestPayments(t *testing.T) {
	need(t, "redis-server")
	need(t, "postgres", "/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin")
	binary := filepath.Join(t.TempDir(), "chaos")
	if out, err := exec.Command("go", "build", "-o", binary, "../../../cmd/chaos").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	r := New(Config{Scratch: scratch(t), Binary: binary})
	s, err := r.Start(t.Context(), targettest.Load(t, "../../../targets/payments/target.yaml"),
		target.Options{Variant: "resilient", Progress: func(l string) { t.Log(l) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for _, variant := range []string{"naive", "resilient"} {
		left := filepath.Join(nodeDir(s.(*System).dir, "psp"), "left")
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Reset(t.Context(), variant, "r-"+variant); err != nil {
			t.Fatal(err)
		}
		if exists(left) {
			t.Error("a file of a stateless node outlives a reset")
		}
	}
}
