package slo

import (
	"strings"

	"chaos/internal/kind"
)

// This file says how the language is written, for schemas: patterns that take whatever the parser takes, and
// leave to it what needs the names and rates of the loads.

// Languages are those that this package reads, by what an experiment's tags call them.
func Languages() map[string]kind.Syntax {
	var slis, usages, guards []string
	for _, g := range grammar {
		slis, usages = append(slis, callPattern(g.name, g.arg)), append(usages, g.usage)
		if unit := map[shape]string{availability: `%`, rate: `/\s*s`}[g.shape]; unit != "" {
			guards = append(guards, callPattern(g.name, g.arg)+`\s*[<>]=?\s*[0-9.eE-]+\s*`+unit)
		}
	}
	return map[string]kind.Syntax{
		"sli":   {Pattern: `^\s*(` + strings.Join(slis, "|") + `)\s*$`, Doc: strings.Join(usages, ", ")},
		"guard": {Pattern: `^\s*(` + strings.Join(guards, "|") + `)\s*for\s+` + durationPattern() + `\s*$`, Doc: "availability(load) < 10% for 5s or rate(load) < 5/s for 5s"},
		"limit": {Pattern: `^(` + durationPattern() + `|\s*[0-9.]+\s*(/s)?\s*)$`, Doc: "a time such as 250ms or 15s; for rate(load) a number a second such as 50/s", Number: true},
	}
}

// callPattern is the pattern of one SLI.
func callPattern(name, arg string) string {
	const load = `[a-zA-Z][a-zA-Z0-9_-]*`
	p := name + `\s*\(\s*` + load + `\s*`
	switch arg {
	case "duration":
		p += `,\s*` + durationPattern() + `\s*`
	case "share":
		p += `,\s*[0-9.eE-]+\s*`
	}
	return p + `\)`
}

func durationPattern() string { return strings.Trim(kind.DurationSyntax().Pattern, "^$") }
