package tidy

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// filesAndProcesses are the packages below cmd that may import os: those that read or write files, or
// look at processes. The rest gets readers, writers and values.
func filesAndProcesses() []string {
	return []string{
		"internal/ballast", "internal/cli", "internal/journal", "internal/proxy", "internal/readonly", "internal/report", "internal/slowdisk", "internal/spec",
		"internal/target", "internal/target/docker", "internal/target/process", "internal/load/vegeta",
	}
}

// environment are the packages that may look at the environment: testcontainers and the Go toolchain
// are told what to do by it.
func environment() []string { return []string{"internal/target/docker", "internal/target/process"} }

// suite reports whether a package is a conformance suite, which only tests import.
func suite(s source) bool { return strings.HasSuffix(s.pkg(), "test") }

// uses lists where a file names pkg.Name of an import.
func uses(s source, importPath string, wanted func(name string) bool) (found []string) {
	local := s.named(importPath)
	if local == "" || local == "_" {
		return nil
	}
	ast.Inspect(s.tree, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == local && wanted(sel.Sel.Name) {
			found = append(found, fmt.Sprintf("%s: %s.%s", s.at(sel), importPath, sel.Sel.Name))
		}
		return true
	})
	return found
}

func anyOf(names ...string) func(string) bool {
	return func(name string) bool { return slices.Contains(names, name) }
}

// process: below cmd nothing touches the process; it gets an Env.
func process(all []source) (bad []string) {
	for _, s := range all {
		if s.test() || !strings.HasPrefix(s.path, "internal/") {
			continue
		}
		bad = append(bad, uses(s, "os", anyOf("Args", "Stdin", "Stdout", "Stderr", "Exit"))...)
		if !slices.Contains(environment(), s.pkg()) {
			bad = append(bad, uses(s, "os", anyOf("Getenv", "LookupEnv", "Environ"))...)
		}
		if spec, ok := s.imports()["os"]; ok && !slices.Contains(filesAndProcesses(), s.pkg()) && !suite(s) {
			bad = append(bad, fmt.Sprintf("%s: package %s has no business with os", s.at(spec), s.pkg()))
		}
	}
	return bad
}

// quits: only main ends the process.
func quits(all []source) (bad []string) {
	for _, s := range all {
		if s.test() || s.tree.Name.Name == "main" {
			continue
		}
		bad = append(bad, uses(s, "log", func(name string) bool { return strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic") })...)
		bad = append(bad, uses(s, "os", anyOf("Exit"))...)
	}
	return bad
}

// cancelled is the one place that sleeps: after the load was cancelled, recording what was never sent.
const cancelled = "internal/load/vegeta/transport.go"

// sleeps: a wait can be cancelled.
func sleeps(all []source) (bad []string) {
	for _, s := range all {
		if !s.test() && !suite(s) && s.path != cancelled {
			bad = append(bad, uses(s, "time", anyOf("Sleep"))...)
		}
	}
	return bad
}

// globalRandom: everything random comes from a seed or from crypto/rand.
func globalRandom(all []source) (bad []string) {
	made := anyOf("New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf")
	for _, s := range all {
		if s.test() {
			continue
		}
		if spec, ok := s.imports()["math/rand"]; ok {
			bad = append(bad, s.at(spec)+": math/rand is global and old: use math/rand/v2 with a seed")
		}
		bad = append(bad, uses(s, "math/rand/v2", func(name string) bool { return !made(name) })...)
	}
	return bad
}

// Words that say that something is not done. They are put together here, so that this file does not
// hold them.
var (
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b|(?i)not ` + `implemented|\bst` + `ub(s|bed)?\b`)
	forOwners  = "TO" + "DO(owner)" // what a postmortem leaves to people
)

// finished: what is left to do is in the issue tracker.
func finished(all []source) (bad []string) {
	for _, s := range all {
		for i, line := range strings.Split(s.text, "\n") {
			if word := unfinished.FindString(strings.ReplaceAll(line, forOwners, "")); word != "" {
				bad = append(bad, fmt.Sprintf("%s:%d: %s", s.path, i+1, word))
			}
		}
	}
	return bad
}
