// Package cli is the chaos command: one file a command. It reads and prints; what is run, judged and
// rendered is other packages' business. Nothing below cmd touches os.Args, os.Stdout or os.Exit:
// everything of the process comes in through Env.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chaos/internal/spec"
	"chaos/internal/verdict"
)

// Env is the process as the command sees it.
type Env struct {
	Args     []string // without the program's name
	Stdin    io.Reader
	Stdout   io.Writer        // results, and nothing else
	Stderr   io.Writer        // everything else
	Again    <-chan os.Signal // each signal after the one that ended the context; nil is none
	Getenv   func(string) string
	Now      func() time.Time
	Random   io.Reader // of the run's ids and of seeds that nobody gave
	Dir      string    // working directory
	Binary   string    // path of this program, for the watchdog and the proxy's image
	Terminal bool      // stderr is a terminal
	Version  string
	Revision string
}

// app is one invocation of the command.
type app struct {
	Env
	json        bool // --json of the command that runs
	substitutes bool // --allow-substitutes
	allowExec   bool // --allow-exec
}

// Main runs the command and returns its exit code (verdict.Exit…). ctx is done when the user wants out.
func Main(ctx context.Context, env Env) int {
	a := &app{Env: env}
	root := a.root()
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return verdict.ExitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			a.complain(exit.err)
		}
		return exit.code
	case isFileError(err):
		a.complain(err)
		return verdict.ExitUsage
	}
	a.complain(err)
	return verdict.ExitUsage // cobra's own errors: unknown command, unknown flag, wrong arguments
}

// complain prints an error: those of a file begin with their place, as compilers print them.
func (a *app) complain(err error) {
	if isFileError(err) {
		fmt.Fprintln(a.Stderr, err)
		return
	}
	fmt.Fprintln(a.Stderr, "chaos:", err)
}

func isFileError(err error) bool {
	var one *spec.Error
	var many spec.Errors
	return errors.As(err, &one) || errors.As(err, &many)
}

// exitError ends the command with a code; err is nil when everything is said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit is an error that ends the command with a code; nil for code 0 without an error.
func exit(code int, err error) error {
	if code == verdict.ExitOK && err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// usage is an error of the user's: exit 64.
func usage(format string, args ...any) error {
	return exit(verdict.ExitUsage, fmt.Errorf(format, args...))
}

// harness is an error of ours or of the machine's: exit 70. Those of files stay 64.
func harness(err error) error {
	var e *exitError
	if err == nil || errors.As(err, &e) || isFileError(err) {
		return err
	}
	return exit(verdict.ExitHarness, err)
}

// path is a path of the user's, seen from the working directory.
func (a *app) path(p string) string {
	if filepath.IsAbs(p) || a.Dir == "" {
		return p
	}
	return filepath.Join(a.Dir, p)
}

// short is a path as it reads from the working directory.
func (a *app) short(p string) string {
	if rel, err := filepath.Rel(a.Dir, p); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return p
}

// jsonFlag adds --json to a command that prints data.
func (a *app) jsonFlag(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.json, "json", false, "print the result as JSON")
	return c
}
