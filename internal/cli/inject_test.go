package cli

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// Arguments become the mapping that would stand under with, and nothing else.
func TestArgumentsAreAMapping(t *testing.T) {
	for _, c := range []struct {
		kind string
		args []string
		want string
		bad  bool
	}{
		{kind: "toxic.latency", args: []string{"a->b", "latency=300ms", "jitter=1ms"}, want: "edge: a->b\nlatency: 300ms\njitter: 1ms\n"},
		{kind: "toxic.down", args: []string{"edges=[a->b, c->d]"}, want: "edges: [a->b, c->d]\n"},
		{kind: "node.stop", args: nil, want: "{}\n"},
		{kind: "node.stop", args: []string{"redis"}, want: "node: redis\n"},
		{kind: "dependency", args: []string{"psp", "slow_ms=4000", "slow_fraction=1"}, want: "call: psp\nset:\n  slow_ms: 4000\n  slow_fraction: 1\n"},
		{kind: "node.stop", args: []string{"redis", "grace"}, bad: true},
		{kind: "node.stop", args: []string{"redis", "=1s"}, bad: true},
		{kind: "node.stop", args: []string{"redis", "grace=1s\nnode: x"}, bad: true},
	} {
		got, err := withText(c.args, parametersOf(c.kind))
		if (err != nil) != c.bad || string(got) != c.want {
			t.Errorf("%s %q: %q, %v; want %q", c.kind, c.args, got, err, c.want)
		}
	}
}

func TestTheCommandIsQuotedForAShell(t *testing.T) {
	o := order{kind: "toxic.latency", args: []string{"a->b", "latency=3ms", "x=it's"}, length: time.Second}
	want := `chaos inject toxic.latency 'a->b' latency=3ms 'x=it'\''s' --target shop --for 1s --runtime process --seed 7`
	if got := o.command(injectFlags{target: "shop"}, "process", 7); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// The outcome is a function of the journal: what is left wins over everything, a bite needs all places.
func TestTheOutcomeOfAnInjection(t *testing.T) {
	f := engine.Fault{Kind: "node.stop", Actions: []fault.Action{{ID: "inject#1", Place: "node:a"}, {ID: "inject#2", Place: "node:b"}}}
	info := journal.RunInfo{Faults: []journal.FaultInfo{{ID: "inject"}}}
	intent := func(id string) journal.Event {
		raw, err := json.Marshal(fault.Action{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		return journal.Event{Type: journal.EventIntent, Action: id, Detail: raw}
	}
	bite := func(id string, bit bool) journal.Event {
		raw, err := json.Marshal(verdict.Bite{Bit: bit, Asked: "all"})
		if err != nil {
			t.Fatal(err)
		}
		return journal.Event{Type: journal.EventMeasured, Action: id, Detail: raw}
	}
	reverted := func(id string) journal.Event { return journal.Event{Type: journal.EventReverted, Action: id} }
	whole := func(one, two bool) []journal.Event {
		return []journal.Event{intent("inject#1"), intent("inject#2"), bite("inject#1", one), bite("inject#2", two), reverted("inject#1"), reverted("inject#2")}
	}
	for _, c := range []struct {
		name   string
		events []journal.Event
		failed error
		want   string
		code   int
		states [2]string
	}{
		{"both bit", whole(true, true), nil, itBit, 0, [2]string{stateReverted, stateReverted}},
		{"one bit", whole(true, false), nil, itDidNotBite, verdict.ExitNoEvidence, [2]string{stateReverted, stateReverted}},
		{"interrupted", whole(true, true), context.Canceled, itWasStopped, verdict.ExitInterrupted, [2]string{stateReverted, stateReverted}},
		{"one is left", whole(true, true)[:5], context.Canceled, itIsLeft, verdict.ExitResidue, [2]string{stateReverted, stateLeft}},
		{"never made", nil, errors.New("arming failed"), itFailed, verdict.ExitHarness, [2]string{stateNotMade, stateNotMade}},
	} {
		got := injected(info, f, f.For, c.events, c.failed)
		if got.Outcome != c.want || got.Actions[0].State != c.states[0] || got.Actions[1].State != c.states[1] {
			t.Errorf("%s: %+v", c.name, got)
		}
		var out strings.Builder
		err := (&injecting{app: &app{Env: Env{Stdout: &out, Stderr: &out}}}).report(got, "x", c.failed)
		code := 0
		if e := (*exitError)(nil); errors.As(err, &e) {
			code = e.code
		}
		if code != c.code {
			t.Errorf("%s: exit %d, want %d (%v)", c.name, code, c.code, err)
		}
	}
}

// What a dead run left on a target is found by the target's handle, and only until it is healed.
func TestWoundsAreFoundByTheHandle(t *testing.T) {
	reports := t.TempDir()
	a := &app{Env: Env{Dir: reports}}
	dir := filepath.Join(reports, "one", "node.stop")
	j, err := journal.Create(dir, journal.RunInfo{ID: "0123456789ab", Runtime: "process", Handle: json.RawMessage(`{"suite": "s1"}`)}, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	look := func(runtime, handle string) []wound { return a.wounds(reports, runtime, json.RawMessage(handle)) }
	add := func(e journal.Event) {
		t.Helper()
		if _, err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if w := look("process", `{"suite":"s1"}`); len(w) != 0 {
		t.Errorf("nothing was intended: %v", w)
	}
	add(journal.Event{Type: journal.EventIntent, Action: "inject#1", Detail: json.RawMessage(`{"id":"inject#1","kind":"node.stop","place":"node:redis"}`)})
	w := look("process", `{"suite":"s1"}`)
	if len(w) != 1 || !strings.Contains(w[0].String(), "one/node.stop (its process is dead) left node.stop on node:redis") {
		t.Errorf("wounds %v", w)
	}
	if len(look("docker", `{"suite":"s1"}`))+len(look("process", `{"suite":"s2"}`))+len(look("process", "")) != 0 {
		t.Error("a wound was found on another target")
	}
	add(journal.Event{Type: journal.EventHealed, Action: "inject#1"})
	if w := look("process", `{"suite":"s1"}`); len(w) != 0 {
		t.Errorf("healed: %v", w)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
