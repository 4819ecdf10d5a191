package catalog

import (
	"context"
	"io"

	"chaos/internal/target"
	"chaos/internal/target/process"
)

// What the command asks of runtime process beside the protocol.

// Process is the name of the runtime that uses the machine's own programs.
const Process = "process"

// MissingPrograms tells, a line each, what this machine lacks to run the target as processes.
func MissingPrograms(s Setting, t *target.Topology) []string {
	return process.New(process.Config{Binary: s.Binary, AllowSubstitutes: s.AllowSubstitutes}).Missing(t)
}

// TryTracing tells why this machine can't do to processes what a slow disk needs, or "".
func TryTracing(ctx context.Context, s Setting) string {
	return process.New(process.Config{Binary: s.Binary}).TryTracing(ctx)
}

// Substitute runs the built-in stand-in for a program.
func Substitute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return process.Substitute(ctx, args, stdin, stdout, stderr)
}
