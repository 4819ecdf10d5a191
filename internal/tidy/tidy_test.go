package tidy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// rule is one rule of the house, with a file that breaks it and one that does not.
type rule struct {
	name  string
	check func([]source) []string
	path  string // of the fixtures
	bad   string
	good  string
}

func rules() []rule {
	long := strings.Repeat("// line\n", maxFile+1)
	body := strings.Repeat("\tprintln()\n", maxFunction)
	return []rule{
		{"imports run downward", importDirection, "internal/fault/node/x.go", "package node\nimport _ \"chaos/internal/spec\"\n", "package node\nimport _ \"chaos/internal/fault\"\n"},
		{"kinds never import each other", importDirection, "internal/fault/node/x.go", "package node\nimport _ \"chaos/internal/target/docker\"\n", "package node\nimport _ \"chaos/internal/target\"\n"},
		{"engine sees no kinds", importDirection, "internal/engine/x.go", "package engine\nimport _ \"chaos/internal/fault/toxic\"\n", "package engine\nimport _ \"chaos/internal/fault\"\n"},
		{"engine sees no spec", importDirection, "internal/engine/x.go", "package engine\nimport _ \"chaos/internal/spec\"\n", "package engine\n"},
		{"cli sees kinds through the catalogue", importDirection, "internal/cli/x.go", "package cli\nimport _ \"chaos/internal/fault/toxic\"\n", "package cli\nimport _ \"chaos/internal/check/slo\"\n"},
		{"cmd sees cli only", importDirection, "cmd/chaos/x.go", "package main\nimport _ \"chaos/internal/spec\"\n", "package main\nimport _ \"chaos/internal/cli\"\n"},
		{"protocols see target only", importDirection, "internal/check/x.go", "package check\nimport _ \"chaos/internal/load\"\n", "package check\nimport _ \"chaos/internal/target\"\n"},
		{"every package has a layer", placed, "internal/drawer/x.go", "package drawer\n", ""},
		{"harness and targets are strangers", strangers, "targets/payments/x.go", "package payments\nimport _ \"chaos/internal/verdict\"\n", "package payments\nimport _ \"chaos/targets/payments/wire\"\n"},
		{"targets and harness are strangers", strangers, "internal/cli/x_test.go", "package cli\nimport _ \"chaos/targets/payments\"\n", "package cli\n"},
		{"files are short", fileSize, "internal/cli/x.go", "package cli\n" + long, "package cli\n"},
		{"functions are short", functionSize, "internal/cli/x.go", "package cli\nfunc f() {\n" + body + "}\n", "package cli\nfunc f() {\n}\n"},
		{"packages are nouns", names, "internal/util/x.go", "package util\n", ""},
		{"files are no drawers", names, "internal/cli/helpers.go", "package cli\n", ""},
		{"packages are documented", documented, "internal/cli/x.go", "package cli\n", "// Package cli is.\npackage cli\n"},
		{"no init", noInit, "internal/cli/x.go", "package cli\nfunc init() {}\n", "package cli\ntype t int\nfunc (t) init() {}\n"},
		{"no state: unset", noState, "internal/cli/x.go", "package cli\nvar mu int\n", "package cli\nvar e = 1\n"},
		{"no state: assigned", noState, "internal/cli/x.go", "package cli\nvar n = 1\nfunc f() { n = 2 }\n", "package cli\nvar n = 1\nfunc f() { n := 1; n = 2; _ = n }\n"},
		{"no state: map", noState, "internal/cli/x.go", "package cli\nvar m = map[int]int{}\nfunc f() { m[1]++ }\n", "package cli\nvar m = map[int]int{}\nfunc f() int { return m[1] }\n"},
		{"no state: delete", noState, "internal/cli/x.go", "package cli\nvar m = map[int]int{}\nfunc f() { delete(m, 1) }\n", "package cli\nimport \"embed\"\n//go:embed *\nvar f embed.FS\n"},
		{"no process below cmd", process, "internal/cli/x.go", "package cli\nimport \"os\"\nfunc f() { println(os.Args) }\n", "package cli\nimport \"os\"\nfunc f() { os.Open(\"x\") }\n"},
		{"no os without business", process, "internal/judge/x.go", "package judge\nimport _ \"os\"\n", "package judge\n"},
		{"only main quits", quits, "targets/payments/x.go", "package payments\nimport \"log\"\nfunc f() { log.Fatalf(\"\") }\n", "package payments\nimport \"log\"\nfunc f() { log.Print() }\n"},
		{"no sleeping", sleeps, "internal/cli/x.go", "package cli\nimport \"time\"\nfunc f() { time.Sleep(1) }\n", "package cli\nimport \"time\"\nfunc f() { time.Now() }\n"},
		{"no global random", globalRandom, "internal/cli/x.go", "package cli\nimport \"math/rand/v2\"\nfunc f() { rand.IntN(1) }\n", "package cli\nimport \"math/rand/v2\"\nfunc f() { rand.New(nil) }\n"},
		{"no old random", globalRandom, "internal/cli/x.go", "package cli\nimport _ \"math/rand\"\n", "package cli\nimport _ \"crypto/rand\"\n"},
		{"finished", finished, "internal/cli/x.go", "package cli\n// TO" + "DO: later\n", "package cli\n// " + forOwners + ": who\n"},
		{"finished in words", finished, "internal/cli/x.go", "package cli\n// this is not " + "implemented\n", "package cli\n// stubborn\n"},
	}
}

// TestRules proves each rule on a file that breaks it, and that it lets pass what is right.
func TestRules(t *testing.T) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			if bad := r.check([]source{parse(t, r.path, r.bad)}); len(bad) != 1 {
				t.Errorf("the fixture that breaks it gives %q", bad)
			}
			if r.good == "" {
				return
			}
			if bad := r.check([]source{parse(t, r.path, r.good)}); len(bad) != 0 {
				t.Errorf("what is right gives %q", bad)
			}
		})
	}
}

// TestRepository holds every rule against every file.
func TestRepository(t *testing.T) {
	began := time.Now()
	all := repository(t)
	held := map[string]bool{}
	for _, r := range rules() {
		if f := fmt.Sprintf("%p", r.check); held[f] {
			continue // several fixtures prove one rule
		} else {
			held[f] = true
		}
		for _, bad := range r.check(all) {
			t.Errorf("%s: %s", r.name, bad)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Logf("%d files took %v: the rules should stay too quick to skip", len(all), took)
	}
}
