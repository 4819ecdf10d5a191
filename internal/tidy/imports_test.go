package tidy

import (
	"fmt"
	"path"
	"strings"
)

// The layers, from the top; imports run strictly downward:
//
//	cmd → cli → { engine judge spec catalog } → kinds (x/y) → protocols → { journal kind edge collect } → { verdict proxy packet resolver ballast readonly slowdisk trace }
const (
	bottom = iota
	facts
	protocol
	kinds
	engines
	command
	top
)

// layers of the packages that are not kinds.
func layers() map[string]int {
	return map[string]int{
		"internal/verdict": bottom, "internal/proxy": bottom, "internal/packet": bottom, "internal/trace": bottom,
		"internal/resolver": bottom, "internal/ballast": bottom, "internal/readonly": bottom, "internal/slowdisk": bottom,
		"internal/journal": facts, "internal/kind": facts, "internal/edge": facts, "internal/collect": facts,
		"internal/target": protocol, "internal/fault": protocol, "internal/load": protocol, "internal/check": protocol, "internal/report": protocol, "internal/probe": protocol,
		"internal/engine": engines, "internal/judge": engines, "internal/spec": engines, "internal/catalog": engines,
		"internal/cli": command, "cmd/chaos": top,
	}
}

// protocols that other protocols may see: faults and loads act on targets.
const sharedProtocol = "internal/target"

// direct are the kinds that the command uses by name and not through a table: the language of SLOs, and
// the report that is printed and not written.
func direct() map[string]bool {
	return map[string]bool{"internal/check/slo": true, "internal/report/text": true}
}

// layerOf is where a package stands; known is false for what has no layer (experiments, internal/tidy).
func layerOf(pkg string) (layer int, known bool) {
	if layer, known = layers()[pkg]; known {
		return layer, true
	}
	if parent := path.Dir(pkg); layers()[parent] == protocol && parent != "internal" {
		return kinds, true
	}
	return 0, false
}

// importDirection: imports run strictly downward, kinds never import each other, engine and judge never
// see kinds, and only the catalogue (and the command, for two of them) does.
func importDirection(all []source) (bad []string) {
	for _, s := range all {
		from, known := layerOf(s.pkg())
		if s.test() || !known || suite(s) {
			continue
		}
		for imported, spec := range s.imports() {
			pkg, ours := strings.CutPrefix(imported, module+"/")
			to, known := layerOf(pkg)
			if !ours || !known {
				continue
			}
			fine := to < from
			switch {
			case pkg == sharedProtocol && from == protocol:
				fine = true
			case to == kinds && from == command:
				fine = direct()[pkg]
			case to == kinds && from == engines:
				fine = s.pkg() == "internal/catalog"
			case s.pkg() == "cmd/chaos":
				fine = pkg == "internal/cli"
			}
			if !fine {
				bad = append(bad, fmt.Sprintf("%s: %s must not import %s", s.at(spec), s.pkg(), pkg))
			}
		}
	}
	return bad
}

// placed: every package below internal has a place among the layers.
func placed(all []source) (bad []string) {
	seen := map[string]bool{}
	for _, s := range all {
		if _, known := layerOf(s.pkg()); known || seen[s.pkg()] || s.pkg() == "internal/tidy" || !strings.HasPrefix(s.pkg(), "internal/") {
			continue
		}
		seen[s.pkg()] = true
		bad = append(bad, fmt.Sprintf("%s: package %s has no layer: give it one in internal/tidy", s.path, s.pkg()))
	}
	return bad
}

// strangers: the harness and its sample target know each other only through target.yaml.
func strangers(all []source) (bad []string) {
	for _, s := range all {
		for imported, spec := range s.imports() {
			pkg, _ := strings.CutPrefix(imported, module+"/")
			if strings.HasPrefix(s.path, "targets/") && (strings.HasPrefix(pkg, "internal/") || strings.HasPrefix(pkg, "cmd/")) ||
				!strings.HasPrefix(s.path, "targets/") && strings.HasPrefix(pkg, "targets/") {
				bad = append(bad, fmt.Sprintf("%s: %s must not import %s", s.at(spec), s.pkg(), pkg))
			}
		}
	}
	return bad
}
