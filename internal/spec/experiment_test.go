package spec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// text is a file of testdata with replacements made, each of which must apply exactly once.
func text(t testing.TB, file string, changes ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	s := string(data)
	for i := 0; i+1 < len(changes); i += 2 {
		if n := strings.Count(s, changes[i]); n != 1 {
			t.Fatalf("%q is %d times in %s, want once", changes[i], n, file)
		}
		s = strings.Replace(s, changes[i], changes[i+1], 1)
	}
	return []byte(s)
}

// headlines are the first lines of all errors in err.
func headlines(t testing.TB, err error) []string {
	t.Helper()
	var many Errors
	if !errors.As(err, &many) {
		t.Fatalf("not Errors but %T: %v", err, err)
	}
	var lines []string
	for _, e := range many {
		lines = append(lines, e.Headline())
	}
	return lines
}

func TestExperiment(t *testing.T) {
	e, err := ParseExperiment("x.yaml", text(t, "experiment.yaml"), "")
	if err != nil {
		t.Fatal(err)
	}
	if e.Profile != Standard || e.Phases.Fault != time.Minute || e.Phases.Total() != 206*time.Second {
		t.Errorf("profile %s, phases %+v", e.Profile, e.Phases)
	}
	if e.Load[0].With.Get("rate").Text() != "60/s" || e.Faults[0].For != time.Minute || *e.SLOs[0].Target != 0.999 || e.SLOs[3].Max != "15s" {
		t.Errorf("top level was not taken: %v %v %v %v", e.Load[0].With.JSON(), e.Faults[0], *e.SLOs[0].Target, e.SLOs[3].Max)
	}
	if !e.SLOs[2].BaselineOff() || e.SLOs[0].BaselineOff() {
		t.Error("baseline: off is not read per SLO")
	}
	if got := strings.Join(e.SLOs[0].Windows(), " ") + " | " + strings.Join(e.SLOs[1].Windows(), " "); got != "fault | baseline settled" {
		t.Errorf("windows %s", got)
	}
	if v, _ := e.Variant("naive"); e.AbortWhen[0].For(v) {
		t.Error("the guard names resilient only, but watches naive")
	}
}

func TestProfileChangesOnlyWhatItSays(t *testing.T) {
	e, err := ParseExperiment("x.yaml", text(t, "experiment.yaml"), Quick)
	if err != nil {
		t.Fatal(err)
	}
	if e.Phases.Baseline != 8*time.Second || e.Phases.Settle != 5*time.Second {
		t.Errorf("phases %+v", e.Phases)
	}
	if rate, op := e.Load[0].With.Get("rate").Text(), e.Load[0].With.Get("op").Text(); rate != "50/s" || op != "pay" {
		t.Errorf("load pay: rate %s, op %s", rate, op)
	}
	if e.Load[1].With.Get("rate").Text() != "100/s" {
		t.Error("a load that the profile does not name was changed")
	}
	if e.Faults[0].For != 10*time.Second || *e.SLOs[0].Target != 0.99 || *e.SLOs[2].Target != 0.95 || e.SLOs[3].Max != "3s" {
		t.Errorf("fault %v, targets %v %v, max %s", e.Faults[0].For, *e.SLOs[0].Target, *e.SLOs[2].Target, e.SLOs[3].Max)
	}
	again, err := ParseExperiment("x.yaml", text(t, "experiment.yaml"), Standard)
	if err != nil || again.Phases.Baseline != 61*time.Second {
		t.Errorf("standard after quick: %v %v", err, again)
	}
}

func TestEveryInsideWithAndBeside(t *testing.T) {
	beside := text(t, "experiment.yaml", "at: 0s, for: 60s}", "at: 0s, for: 60s, every: 2s}", "{for: 10s}", "{for: 10s, every: 1s}")
	for profile, want := range map[string]string{Standard: "2s", Quick: "1s"} {
		e, err := ParseExperiment("x.yaml", beside, profile)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Faults[0].With.Get("every").Text(); got != want {
			t.Errorf("%s: every %q, want %s", profile, got, want)
		}
	}
}

func TestNoProfile(t *testing.T) {
	for _, c := range []struct{ profile, change, with string }{
		{Gameday, "source:", "source:"}, // it has none
		{Quick, "phases: {warmup: 10s", "only: [standard]\nphases: {warmup: 10s"},
	} {
		changes := []string{c.change, c.with}
		if c.profile == Quick {
			base := text(t, "experiment.yaml")
			i, j := strings.Index(string(base), "profiles:"), strings.Index(string(base), "load:\n")
			changes = append(changes, string(base[i:j]), "")
		}
		_, err := ParseExperiment("x.yaml", text(t, "experiment.yaml", changes...), c.profile)
		if !errors.Is(err, ErrNoProfile) || !strings.Contains(err.Error(), "x.yaml:2:7: ") {
			t.Errorf("%s: %v", c.profile, err)
		}
	}
	if _, err := ParseExperiment("x.yaml", text(t, "experiment.yaml"), "quik"); err == nil || !strings.Contains(err.Error(), `did you mean "quick"`) {
		t.Errorf("unknown profile: %v", err)
	}
}

func TestExperimentErrors(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		want           string // headlines, joined by newline
	}{
		{"unknown key", "hypothesis:", "hypotesis:", `x.yaml:3:1: unknown key "hypotesis" in the file — did you mean "hypothesis"?`},
		{"key far from any", "source:", "zzzzzzz:", `x.yaml:4:1: unknown key "zzzzzzz" in the file — valid keys: apiVersion, name, hypothesis, source, target, variants, phases, only, profiles, load, faults, slos, invariants, checks, abort_when, blast_radius`},
		{"missing key", "target: payments\n", "", `x.yaml:1:1: missing key "target" in the file`},
		{"no unit", "recovery: 75s", "recovery: 75", `x.yaml:9:60: phases.recovery: duration "75" has no unit: write 75ms, 75s or 75m`},
		{"wrong unit", "recovery: 75s", "recovery: 75sec", `x.yaml:9:60: phases.recovery: "75sec" is not a duration: write one such as 250ms, 10s, 1m30s (units: us, ms, s, m, h)`},
		{"negative", "settle: 60s", "settle: -60s", `x.yaml:9:73: phases.settle: duration -60s is negative`},
		{"absurd", "settle: 60s", "settle: 25h", `x.yaml:9:73: phases.settle: duration 25h is absurd: the longest allowed is 24h0m0s`},
		{"empty duration", "settle: 60s", "settle: ''", `x.yaml:9:73: phases.settle: no duration given: write one such as 250ms or 10s`},
		{"percent without sign", "target: 99.9%", "target: 0.999", `x.yaml:20:64: slos[0].target: "0.999" has no unit: write a percentage such as 99.9%`},
		{"percent over 100", "target: 99.9%", "target: 101%", `x.yaml:20:64: slos[0].target: "101%" is not between 0% and 100%`},
		{"duplicate key", "invariants:", "source: x\ninvariants:", `x.yaml:24:1: duplicate key "source": it is on line 4 already`},
		{"duplicate load", "{name: read, ", "{name: pay, ", `x.yaml:15:12: duplicate load "pay": it is on line 14 already`},
		{"duplicate check", "invariants: [no_lost_payment", "invariants: [reads-fast", "x.yaml:24:14: duplicate invariant \"reads-fast\": it is on line 21 already"},
		{"aborted by nobody", "expect: fail, because: [payments-available]", "expect: aborted", `x.yaml:8:27: variant naive is expected to be aborted, but no guard watches it — name it: abort_when: [{when: …, variants: [naive]}]`},
		{"odd name", "name: redis-outage", "name: redis outage", `x.yaml:2:7: "redis outage" is not a name — letters, digits, - and _, beginning with a letter`},
		{"list for mapping", "phases: {warmup: 10s, baseline: 61s, fault: 60s, recovery: 75s, settle: 60s} ", "phases: [1s] ", `x.yaml:9:9: phases must be a mapping, not a list`},
		{"empty load", "load:\n", "load: []\nx:\n", "x.yaml:11:93: unknown load \"pay\" (there are none)\nx.yaml:13:7: load is empty — what drives the target\nx.yaml:14:1: unknown key \"x\" in the file — valid keys: apiVersion, name, hypothesis, source, target, variants, phases, only, profiles, load, faults, slos, invariants, checks, abort_when, blast_radius"},
		{"expectation", "expect: pass", "expect: passes", `x.yaml:7:31: unknown expect "passes" — did you mean "pass"? (valid: pass, fail, invalid, aborted)`},
		{"fail without because", ", because: [payments-available]", "", `x.yaml:8:27: expect: fail needs because — add because: [<the SLOs and invariants that must fail>]`},
		{"no expectation", "expect: pass", "expect: ''", `x.yaml:7:31: unknown expect "" (valid: pass, fail, invalid, aborted)`},
		{"unknown profile in only", "invariants:", "only: [standrd]\ninvariants:", "x.yaml:11:3: profile quick is not among only: standrd\nx.yaml:24:8: unknown only \"standrd\" — did you mean \"standard\"? (valid: quick, standard, gameday)"},
		{"because of nothing", "because: [payments-available]", "because: [payment-available]", `x.yaml:8:43: unknown SLO, invariant or check "payment-available" — did you mean "payments-available"? (valid: payments-available, reads-fast, refunds-refused-cleanly, recovers, no_lost_payment, no_double_charge, ledger_balanced)`},
		{"because of a pass", "expect: pass}", "expect: pass, because: [recovers]}", `x.yaml:7:37: because is only for expect: fail, not for pass`},
		{"unknown window", "[baseline, settled]", "[baseline, setled]", `x.yaml:21:83: unknown window "setled" — did you mean "settled"? (valid: warmup, baseline, fault, recovery, settled, run, fault:redis-down)`},
		{"window of no fault", "[baseline, settled]", "['fault:redis']", `x.yaml:21:73: unknown window "fault:redis" (valid: warmup, baseline, fault, recovery, settled, run, fault:redis-down)`},
		{"target and max", "max: 15s", "max: 15s, target: 99%", `x.yaml:23:47: slos[3] takes one of target and max, not both`},
		{"neither", ", max: 15s", "", "x.yaml:12:125: SLO recovers has no max to change, but a target\nx.yaml:23:5: slos[3] needs one of target and max — target: for ratios: the share that must be good, such as 99.9%; max: for quantile, rate and recovery_time: the largest that is allowed, such as 15s"},
		{"baseline on", "baseline: off", "baseline: on", `x.yaml:22:99: unknown baseline "on" (valid: off)`},
		{"past the phase", "at: 0s", "at: 1s", `x.yaml:18:73: fault redis-down reaches past the end of phase fault: at 1s + for 1m0s > 1m0s`},
		{"no time", "for: 60s", "for: 0s", `x.yaml:18:73: fault redis-down lasts no time`},
		{"short baseline", "baseline: 61s", "baseline: 1s", `x.yaml:9:33: phase baseline of 1s is too short: 2s at least, its last second is the gap`},
		{"guard of no variant", "variants: [resilient]}]", "variants: [resilent]}]", `x.yaml:25:66: unknown variant "resilent" — did you mean "resilient"? (valid: resilient, naive)`},
		{"profile of no load", "load: {pay: {rate", "load: {pey: {rate", `x.yaml:11:93: unknown load "pey" — did you mean "pay"? (valid: pay, read, refund)`},
		{"profile changes more", "{rate: 50/s}", "{op: read}", `x.yaml:11:99: unknown key "op" in profiles.quick.load.pay — valid keys: rate`},
		{"profile of no name", "  quick:", "  quik:", `x.yaml:11:3: unknown profile "quik" — did you mean "quick"? (valid: quick, gameday)`},
		{"profile sets a max on a ratio", "{target: 95%}, recovers", "{max: 3s}, recovers", `x.yaml:12:100: SLO reads-fast has no max to change, but a target`},
		{"api version", "chaos/v1", "chaos/v2", `x.yaml:1:13: unknown apiVersion "chaos/v2" — did you mean "chaos/v1"? (valid: chaos/v1)`},
		{"anchor", "source: ", "source: &a ", `x.yaml:4:9: anchors and aliases are not used here: a file reads as it stands, so write the value out`},
		{"tag", "target: payments", "target: !!str payments", `x.yaml:5:9: YAML tags are not used here`},
		{"no value", "source: \"A Redis outage takes down your rate limiter. Do you fail open or fail closed?\"", "source:", `x.yaml:4:1: source has no value — leave the key out, or give it a value`},
		{"two documents", "abort_when:", "---\nabort_when:", `x.yaml:26:1: holds a second YAML document: one file, one document`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseExperiment("x.yaml", text(t, "experiment.yaml", c.old, c.new), "")
			if err == nil {
				t.Fatal("it was taken")
			}
			if got := strings.Join(headlines(t, err), "\n"); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := ParseExperiment("x.yaml", text(t, "experiment.yaml",
		"hypothesis:", "hypotesis:", "expect: pass", "expcet: pass", "recovery: 75s", "recovery: 75", "[baseline, settled]", "[setled]"), "")
	var places []string
	for _, line := range headlines(t, err) {
		places = append(places, strings.Join(strings.SplitN(line, ":", 4)[1:3], ":"))
	}
	if got := strings.Join(places, " "); got != "3:1 7:23 9:60 21:73" {
		t.Errorf("errors at %s", got)
	}
}

func TestSnippet(t *testing.T) {
	_, err := ParseExperiment("x.yaml", text(t, "experiment.yaml", "expect: pass", "expcet: pass"), "")
	want := `x.yaml:7:23: unknown key "expcet" in variants[0] — did you mean "expect"?
     6 | variants:
>    7 |   - {name: resilient, expcet: pass}
       |                       ^`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestBounds(t *testing.T) {
	for name, data := range map[string]string{
		"empty":      "",
		"comment":    "# nothing\n",
		"large":      strings.Repeat("#", maxBytes+1),
		"not UTF-8":  "name: \xff\n",
		"brackets":   strings.Repeat("[", 200_000),
		"braces":     strings.Repeat("{a: ", 200_000),
		"dashes":     strings.Repeat("- ", 200_000),
		"questions":  strings.Repeat("? ", 200_000),
		"brackets 2": strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		"dashes 2":   strings.Repeat("- ", maxDepth+1) + "a",
		"a list":     "- a\n",
		"a word":     "a\n",
		"unfinished": "name: {a",
		"colons":     strings.Repeat("a: ", 100_000),
	} {
		began := time.Now()
		_, err := ParseExperiment("x.yaml", []byte(data), "")
		if err == nil || !strings.HasPrefix(err.Error(), "x.yaml") {
			t.Errorf("%s: %v", name, err)
		}
		if deep := strings.Contains("brackets 2 braces dashes 2 questions", name); deep && !strings.Contains(err.Error(), "nested deeper than 32 levels") {
			t.Errorf("%s reached the recursive parser: %v", name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestLoadExperimentFindsItsTarget(t *testing.T) {
	root := t.TempDir()
	write := func(path string, data []byte) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a/targets/payments/target.yaml", text(t, "target.yaml"))
	write("a/targets/payments/more.target.yaml", text(t, "target.yaml"))
	write("a/b/experiments/x.yaml", text(t, "experiment.yaml"))
	write("a/b/experiments/more.yaml", text(t, "experiment.yaml", "target: payments", "target: more"))
	write("a/b/other.yaml", text(t, "target.yaml"))
	write("a/b/experiments/path.yaml", text(t, "experiment.yaml", "target: payments", "target: ../other.yaml"))
	write("a/b/experiments/typo.yaml", text(t, "experiment.yaml", "target: payments", "target: payment"))
	for file, want := range map[string]string{"x.yaml": "a/targets/payments/target.yaml", "more.yaml": "a/targets/payments/more.target.yaml", "path.yaml": "a/b/other.yaml"} {
		e, err := LoadExperiment(filepath.Join(root, "a/b/experiments", file), "")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := filepath.Rel(root, e.TargetPath); got != want {
			t.Errorf("%s: target %s, want %s", file, got, want)
		}
	}
	_, err := LoadExperiment(filepath.Join(root, "a/b/experiments/typo.yaml"), "")
	if err == nil || !strings.Contains(err.Error(), `typo.yaml:5:9: unknown target "payment" — did you mean "payments"?`) {
		t.Errorf("typo: %v", err)
	}
	_, err = LoadExperiment(filepath.Join(root, "none.yaml"), "")
	if err == nil || !strings.HasSuffix(err.Error(), "none.yaml: can't be read — no such file or directory") {
		t.Errorf("no file: %v", err)
	}
}

func FuzzExperiment(f *testing.F) {
	f.Add(text(f, "experiment.yaml"))
	for _, s := range []string{"", "a", "- a", "a: &x [*x]", "<<: {a: b}", "a:\n\t- b", "? a\n: b", "a: |\n  b", "%YAML 1.2\n---\na", "\"", "a: 'b", "[{a: ]", "---\n---\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseExperiment("x.yaml", data, Quick)
		if e == nil && err == nil {
			t.Fatalf("experiment %v with error %v", e, err)
		}
	})
}
