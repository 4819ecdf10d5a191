package cli

import (
	"fmt"
	"strings"
	"testing"
)

// TestKindExamples: the example of every kind is what the strict parser, the binder and the schema take.
func TestKindExamples(t *testing.T) {
	s := compiled(t, schemaExperiment)
	taken := map[string]int{}
	for _, k := range (&app{}).allKinds() {
		load := "load:\n  - {name: example, kind: vegeta, with: {node: a, op: b, rate: 50/s}}"
		switch k.Table {
		case "load":
			load = ""
		case "runtime":
			if !strings.HasSuffix(k.Example, "--runtime "+k.Name) {
				t.Errorf("%s: %s", k.Name, k.Example)
			}
			continue
		}
		text := fmt.Appendf(nil, `apiVersion: chaos/v1
name: example
hypothesis: The example of %s is right.
target: example
variants: [{name: example, expect: pass}]
phases: {warmup: 1s, baseline: 10s, fault: 10s, recovery: 10s, settle: 10s}
slos: [{name: available, sli: availability(example), target: 99%%}]
%s
%s
`, k.Name, load, k.Example)
		if err := readExperiment(text); err != nil {
			t.Errorf("%s: the parser refuses its example: %v", k.Name, err)
		}
		if err := held(t, s, text); err != nil {
			t.Errorf("%s: the schema refuses its example: %v", k.Name, err)
		}
		if !strings.Contains(k.Example, k.Name) {
			t.Errorf("%s is not in its example: %s", k.Name, k.Example)
		}
		taken[k.Table]++
	}
	if taken["fault"] < 6 || taken["load"] < 1 || taken["invariant"] < 3 || taken["check"] < 3 {
		t.Errorf("only these examples were held: %v", taken)
	}
}
