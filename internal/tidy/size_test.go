package tidy

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// Limits, in lines. Tests may be longer: their tables are data.
const (
	maxFile         = 400
	maxFunction     = 70
	maxTestFile     = 600
	maxTestFunction = 120
)

// fileSize: a file reads top-down in one sitting.
func fileSize(all []source) (bad []string) {
	for _, s := range all {
		limit := maxFile
		if s.test() {
			limit = maxTestFile
		}
		if s.lines > limit {
			bad = append(bad, fmt.Sprintf("%s has %d lines, more than %d", s.path, s.lines, limit))
		}
	}
	return bad
}

// functionSize: a function fits on a screen or two.
func functionSize(all []source) (bad []string) {
	for _, s := range all {
		limit := maxFunction
		if s.test() {
			limit = maxTestFunction
		}
		for _, d := range s.tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > limit {
				bad = append(bad, fmt.Sprintf("%s: %s has %d lines, more than %d", s.at(f), f.Name.Name, n, limit))
			}
		}
	}
	return bad
}

// names: a package is a noun for what it provides, never a drawer.
func names(all []source) (bad []string) {
	banned := []string{"util", "utils", "common", "helper", "helpers", "base", "manager", "misc", "shared", "lib"}
	seen := map[string]bool{}
	for _, s := range all {
		name := strings.TrimSuffix(s.tree.Name.Name, "_test")
		file := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.path), ".go"), "_test")
		if !seen[s.pkg()] && (slices.Contains(banned, name) || slices.Contains(banned, path.Base(s.pkg()))) {
			seen[s.pkg()] = true
			bad = append(bad, fmt.Sprintf("%s: package %s is no noun for what it provides", s.path, name))
		}
		if slices.Contains(banned, file) {
			bad = append(bad, fmt.Sprintf("%s: a file of that name is a drawer", s.path))
		}
	}
	return bad
}

// documented: every package says what it is.
func documented(all []source) (bad []string) {
	has, first := map[string]bool{}, map[string]string{}
	for _, s := range all {
		if s.test() {
			continue
		}
		if first[s.pkg()] == "" {
			first[s.pkg()] = s.path
		}
		has[s.pkg()] = has[s.pkg()] || s.tree.Doc != nil
	}
	for pkg, file := range first {
		if !has[pkg] {
			bad = append(bad, fmt.Sprintf("%s: package %s has no comment that says what it is", file, pkg))
		}
	}
	return bad
}
