package spec

import (
	"strings"
	"testing"
	"time"
)

// scheduled is the experiment of testdata with other faults than its one, in a phase of 60 s.
func scheduled(t *testing.T, faults string) (*Experiment, error) {
	t.Helper()
	was := "  - {id: redis-down, kind: node.stop, with: {node: redis}, at: 0s, for: 60s}\n"
	return ParseExperiment("x.yaml", text(t, "experiment.yaml", was, faults, "faults: {redis-down: {for: 10s}}, ", ""), "")
}

func TestTheScheduleIsResolved(t *testing.T) {
	e, err := scheduled(t, `
  - {id: last, kind: k, after: "often reverted", for: 5s}
  - {id: plain, kind: k, at: 1s, for: 2s}
  - {id: until, kind: k, at: 10s, until: 40s}
  - {id: often, kind: k, after: plain  active, at: 4s, for: 6s, times: 3, pause: 2s}
  - {id: beside, kind: k, after: plain active, at: 500ms, for: 1s}
`)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][2]time.Duration{
		"plain": {1, 3}, "until": {10, 40}, "often": {5, 27}, "last": {27, 32}, "beside": {1, 2},
	} {
		f := e.fault(id)
		if f.Start.Truncate(time.Second) != want[0]*time.Second || f.End.Truncate(time.Second) != want[1]*time.Second {
			t.Errorf("%s is from %v to %v, want %v s", id, f.Start, f.End, want)
		}
	}
	if f := e.fault("until"); f.For != 30*time.Second {
		t.Errorf("until lasts %v", f.For)
	}
	if m := e.fault("often").Follows(); m != (Moment{Fault: "plain"}) {
		t.Errorf("often follows %+v", m)
	}
}

func TestScheduleErrors(t *testing.T) {
	const plain = "  - {id: a, kind: k, for: 10s}\n"
	for _, c := range []struct{ faults, want string }{
		{"  - {id: a, kind: k}\n", `x.yaml:18:5: missing key "for" in fault a — say how long it lasts: for: 10s, or until: 40s`},
		{"  - {id: a, kind: k, for: 1s, until: 2s}\n", `x.yaml:18:38: fault a has both for and until — write one of them`},
		{"  - {id: a, kind: k, at: 5s, until: 5s}\n", `x.yaml:18:37: fault a lasts no time`},
		{"  - {id: a, kind: k, until: 61s}\n", `x.yaml:18:29: fault a reaches past the end of phase fault: at 0s + for 1m1s > 1m0s`},
		{plain + "  - {id: b, kind: k, after: a active, until: 5s}\n", `x.yaml:19:46: until counts from the start of phase fault, but when fault b starts is only known in the run (after: a active) — write for`},
		{plain + "  - {id: b, kind: k, until: 5s, times: 2, pause: 1s}\n", `x.yaml:19:29: fault b is made 2 times, and until ends only one — write for: the length of one of them`},
		{plain + "  - {id: b, kind: k, after: c active, for: 5s}\n", `x.yaml:19:29: unknown fault "c" — did you mean "a"? (valid: a, b)`},
		{plain + "  - {id: b, kind: k, after: a actve, for: 5s}\n", `x.yaml:19:31: unknown moment "actve" — did you mean "active"? (valid: active, reverted)`},
		{plain + "  - {id: b, kind: k, after: a, for: 5s}\n", `x.yaml:19:29: after "a" is not a moment of another fault — write <id> active or <id> reverted; at is added to it`},
		{plain + "  - {id: b, kind: k, after: b active, for: 5s}\n", `x.yaml:19:29: fault b can't wait for itself`},
		{"  - {id: a, kind: k, after: b active, for: 1s}\n  - {id: b, kind: k, after: c reverted, for: 1s}\n  - {id: c, kind: k, after: b active, for: 1s}\n",
			"x.yaml:18:29: fault a waits for itself: after b, which is after c, which is after b\n" +
				"x.yaml:19:29: fault b waits for itself: after c, which is after b\n" +
				"x.yaml:20:29: fault c waits for itself: after b, which is after c"},
		{plain + "  - {id: b, kind: k, after: a reverted, at: 1s, for: 50s}\n",
			`x.yaml:19:54: fault b reaches past the end of phase fault: a reverted (at 10s as planned) + at 1s + for 50s > 1m0s`},
		{"  - {id: a, kind: k, for: 10s, times: 6, pause: 1s}\n",
			`x.yaml:18:27: fault a reaches past the end of phase fault: at 0s + for 10s, 6 times with 1s between them, > 1m0s`},
		{"  - {id: a, kind: k, for: 1s, times: 2}\n", `x.yaml:18:38: fault a is made 2 times: say how long it pauses between them — add pause: 5s`},
		{"  - {id: a, kind: k, for: 1s, pause: 2s}\n", `x.yaml:18:38: fault a is made once, so there is no pause — add times`},
		{"  - {id: a, kind: k, for: 1s, times: 0}\n", `x.yaml:18:38: faults[0].times must be 1 to 1000, not 0`},
		{"  - {id: a, kind: k, for: 1s, utnil: 3s}\n", "x.yaml:18:31: unknown key \"utnil\" in faults[0] — did you mean \"until\"?\nx.yaml:18:38: fault a has both for and until — write one of them"},
	} {
		_, err := scheduled(t, c.faults)
		if err == nil {
			t.Errorf("it was taken:\n%s", c.faults)
			continue
		}
		if got := strings.Join(headlines(t, err), "\n"); got != c.want {
			t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
		}
	}
}

// A profile may change every time of a fault, and what it changes is what is checked.
func TestProfilesChangeSchedules(t *testing.T) {
	was := "  - {id: redis-down, kind: node.stop, with: {node: redis}, at: 0s, for: 60s}\n"
	change := func(patch string) (*Experiment, error) {
		return ParseExperiment("x.yaml", text(t, "experiment.yaml", was, "  - {id: redis-down, kind: k, for: 10s, times: 4, pause: 5s}\n",
			"{redis-down: {for: 10s}}", "{redis-down: {"+patch+"}}"), Quick)
	}
	e, err := change("for: 2s, times: 3, pause: 1s")
	if err != nil {
		t.Fatal(err)
	}
	if f := e.fault("redis-down"); f.End != 8*time.Second {
		t.Errorf("%+v", f)
	}
	if _, err := change("for: 2s, until: 5s"); err == nil || !strings.Contains(err.Error(), "has both for and until") {
		t.Errorf("%v", err)
	}
	if _, err := change("for: 3s"); err == nil || !strings.Contains(err.Error(), "x.yaml:12:38: fault redis-down reaches past the end") {
		t.Errorf("%v", err)
	}
}
