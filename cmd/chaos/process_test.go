package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"chaos/internal/spec"
	local "chaos/internal/target/process"
)

// TestProcessScripts runs testdata/process/*.txtar: whole experiments on targets of local processes.
// $PAYMENTS is the payment system's target.yaml; experiment.yaml and target.yaml are a small one.
func TestProcessScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("not run: -short leaves whole experiments out")
	}
	payments, err := filepath.Abs("../../targets/payments/target.yaml")
	if err != nil {
		t.Fatal(err)
	}
	topology, err := spec.LoadTarget(payments)
	if err != nil {
		t.Fatal(err)
	}
	if missing := local.New(local.Config{}).Missing(topology); len(missing) > 0 {
		t.Skipf("not run (make setup installs what is missing): %s", strings.Join(missing, "; "))
	}
	app := buildApp(t)
	goEnv := goEnvironment(t)
	scripts(t, "testdata/process", testscript.Params{
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, goEnv...)
			env.Setenv("DOCKER_HOST", "unix:///nonexistent/engine.sock")
			env.Setenv("PAYMENTS", payments)
			return furnish(env, app)
		},
		Condition: func(name string) (bool, error) {
			if name != "hup" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return !signal.Ignored(syscall.SIGHUP), nil // under nohup a closed terminal means nothing
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"edit": edit, "code": code, "start": start, "signal": signalTo, "ended": ended, "await": await,
			"nodes": nodes, "dead": dead, "alive": alive, "killnode": killNode, "nothingleft": nothingLeft, "watchdog": watchdog,
			"find": find, "copy": copyTo, "shorten": shorten, "before": before, "sameverdicts": sameVerdicts, "shortpath": shortPath, "traceid": traceID,
		},
	})
}

// furnish gives a script the small target, under a name that only it has.
func furnish(env *testscript.Env, app string) error {
	env.Values[startedKey{}] = started{}
	env.Defer(func() { endStarted(env) })
	own := fmt.Sprintf("counter-%d-%s", os.Getpid(), strings.TrimPrefix(filepath.Base(env.WorkDir), "script-"))
	env.Setenv("TARGET", own)
	for _, name := range []string{"experiment.yaml", "target.yaml", "traced.yaml"} {
		text, err := os.ReadFile("testdata/process/" + name)
		if err != nil {
			return err
		}
		changed := strings.NewReplacer("name: counter\n", "name: "+own+"\n", "/app-folder", app).Replace(string(text))
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(changed), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// buildApp builds the small target's only program where a node of another user can get to it.
func buildApp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chaos-app-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "app"), "../../internal/target/targettest/testdata/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the small target: %v\n%s", err, out)
	}
	return dir
}

// goEnvironment is what the go command must know in a script, where there is no home, to build a
// target as fast as outside.
func goEnvironment(t *testing.T) (vars []string) {
	t.Helper()
	for _, name := range goVariables() {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatalf("go env %s: %v", name, err)
		}
		vars = append(vars, name+"="+strings.TrimSpace(string(value)))
	}
	return vars
}

func goVariables() []string { return []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS"} }
