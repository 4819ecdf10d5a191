package main

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"chaos": main})
}

// TestScripts runs testdata/script/*.txtar: the command as its users see it. UPDATE=1 rewrites what
// cmp compares with. No Docker engine is needed: DOCKER_HOST points nowhere.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DOCKER_HOST", "unix:///nonexistent/engine.sock")
			env.Setenv("CHAOS_RUNTIME", "docker") // auto would take runtime process, which always answers
			for _, name := range []string{"experiment.yaml", "target.yaml"} {
				text, err := os.ReadFile("testdata/" + name)
				if err != nil {
					return err
				}
				to := env.WorkDir + "/shop/experiments/outage.yaml"
				if name == "target.yaml" {
					to = env.WorkDir + "/shop/targets/shop/target.yaml"
				}
				if err := os.MkdirAll(to[:strings.LastIndexByte(to, '/')], 0o755); err != nil {
					return err
				}
				if err := os.WriteFile(to, text, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"edit": edit, "code": code},
	})
}

// edit replaces text in a file that must hold it once: edit file old new.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: edit file old new")
	}
	text := ts.ReadFile(args[0])
	if n := strings.Count(text, args[1]); n != 1 {
		ts.Fatalf("%q is %d times in %s, want once", args[1], n, args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o644))
}

// code runs chaos and compares its exit code: code 64 validate x.yaml. Any will do: code any run x.yaml. stdout and
// stderr can be matched after.
func code(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: code <exit code> <arguments of chaos>")
	}
	command, words := first("chaos", args[1:])
	err := ts.Exec(command, words...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if args[0] != "any" && got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}
