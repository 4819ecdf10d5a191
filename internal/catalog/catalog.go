// Package catalog holds the explicit tables of kinds and is the only package that imports them. A new
// kind is one file in its protocol's folder and one line here; there is no registry and no init.
package catalog

import (
	"slices"

	"chaos/internal/check"
	"chaos/internal/check/invariant"
	"chaos/internal/check/telemetry"
	"chaos/internal/fault"
	"chaos/internal/fault/clock"
	"chaos/internal/fault/command"
	"chaos/internal/fault/dependency"
	"chaos/internal/fault/disk"
	"chaos/internal/fault/dns"
	"chaos/internal/fault/node"
	"chaos/internal/fault/packet"
	"chaos/internal/fault/toxic"
	"chaos/internal/kind"
	"chaos/internal/load"
	"chaos/internal/load/vegeta"
	"chaos/internal/target"
	"chaos/internal/target/docker"
	"chaos/internal/target/process"
)

// Faults are the fault kinds.
func Faults() kind.Table[fault.Fault] {
	return slices.Concat(toxic.Kinds(), toxic.HTTPKinds(), node.Kinds(), packet.Kinds(), disk.Kinds(), dns.Kinds(), clock.Kinds(), dependency.Kinds(), command.Kinds())
}

// Loads are the load kinds.
func Loads() kind.Table[load.Driver] { return vegeta.Kinds() }

// Invariants are what an experiment can name under invariants.
func Invariants() kind.Table[check.Check] { return invariant.Table() }

// Checks are the kinds that an experiment can name under checks.
func Checks() kind.Table[check.Check] {
	return slices.Concat(telemetry.Table(), invariant.Kinds())
}

// Setting is what runtimes must know of the command that uses them.
type Setting struct {
	Binary           string // this program, which is the proxy
	AllowSubstitutes bool   // a built-in stand-in may serve for a program that the machine lacks
}

// Runtimes are where targets can run, the one that auto prefers first.
func Runtimes(s Setting) kind.Table[target.Runtime] {
	return kind.Table[target.Runtime]{
		{Name: "docker", Doc: "containers on one private network; needs a Docker engine", New: func() target.Runtime {
			return docker.New(docker.Config{Binary: s.Binary})
		}},
		{Name: Process, Doc: "local processes on 127.0.0.1, with the machine's own programs; needs no Docker", New: func() target.Runtime {
			return process.New(process.Config{Binary: s.Binary, AllowSubstitutes: s.AllowSubstitutes})
		}},
	}
}

// Declared are the capabilities of every runtime, in the order of Runtimes, known without asking any: for
// planning where nothing runs, and for saying where a kind would work. A test holds them against what
// the runtimes say themselves.
func Declared() []target.Capabilities {
	return []target.Capabilities{docker.Declared(), process.Declared()}
}
