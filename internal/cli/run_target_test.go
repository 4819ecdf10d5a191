package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/report"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// life is a runtime and its systems, which write down what is done to them.
type life struct {
	target.Runtime
	target.System
	did      []string
	immortal bool // it can't be removed
}

func (l *life) Start(context.Context, *target.Topology, target.Options) (target.System, error) {
	l.did = append(l.did, "start")
	return l, nil
}
func (l *life) Reset(context.Context, string, string) error {
	l.did = append(l.did, "reset")
	return nil
}
func (l *life) Close(context.Context) error {
	l.did = append(l.did, "close")
	if l.immortal {
		return errors.New("it stays")
	}
	return nil
}
func (l *life) Handle() json.RawMessage { return json.RawMessage("{}") }
func (l *life) Facts(context.Context) (images, machine map[string]string) {
	return nil, nil
}

// after is a run that ended with a status and left actions behind.
func after(t *testing.T, status verdict.Status, kinds ...string) report.Run {
	h := &journal.History{}
	for _, kind := range kinds {
		detail, err := json.Marshal(fault.Action{ID: kind + "#1", Fault: kind, Kind: kind, Place: "node:a"})
		if err != nil {
			t.Fatal(err)
		}
		h.Events = append(h.Events, journal.Event{Type: journal.EventIntent, Action: kind + "#1", Detail: detail})
	}
	return report.Run{History: h, Verdict: verdict.Verdict{Status: status}}
}

// No run starts on what the one before left: a target that it could not heal is replaced, and what it did outside of
// the target ends the campaign.
func TestNoRunStartsOnWhatOneLeft(t *testing.T) {
	for name, c := range map[string]struct {
		before   report.Run
		immortal bool
		did      string
		said     string
		stops    bool // after the run
		fails    bool // to make the target ready
	}{
		"passed":               {before: after(t, verdict.PASS), did: "reset"},
		"failed":               {before: after(t, verdict.FAIL), did: "reset"},
		"residue":              {before: after(t, verdict.RESIDUE, "node.stop"), did: "close start", said: "could not heal the target: replacing it"},
		"residue, no intent":   {before: after(t, verdict.RESIDUE), did: "close start"},
		"residue that stays":   {before: after(t, verdict.RESIDUE, "node.stop"), immortal: true, did: "close", fails: true},
		"outside of it":        {before: after(t, verdict.RESIDUE, "node.stop", "exec"), stops: true, said: "exec on node:a acts outside of the target and is not undone; to heal it: chaos heal"},
		"of a kind unknown":    {before: after(t, verdict.RESIDUE, "nothing.known"), stops: true},
		"outside, but it went": {before: after(t, verdict.FAIL, "exec"), did: "reset"},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			l := &life{immortal: c.immortal}
			j, err := journal.Create(t.TempDir()+"/run", journal.RunInfo{}, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			camp := &campaign{app: &app{Env: Env{Stderr: &said, Now: time.Now, Random: rand.Reader}}, runtime: l, system: l, path: "target.yaml"}
			plan := &engine.Plan{Topology: &target.Topology{}}
			camp.leave(c.before)
			if (camp.stop != nil) != c.stops {
				t.Errorf("stops: %v", camp.stop)
			}
			if !c.stops {
				live := camp.watch(j, plan)
				for range 2 { // the second is on what is fresh by then
					if err = camp.ready(t.Context(), "target.yaml", plan, live); err != nil {
						break
					}
				}
				live.end()
				if (err != nil) != c.fails {
					t.Errorf("ready: %v", err)
				}
				if want := c.did; !c.fails && strings.Join(l.did, " ") != want+" reset" || c.fails && strings.Join(l.did, " ") != want {
					t.Errorf("did %v, want %s and a reset", l.did, want)
				}
			}
			if !strings.Contains(said.String(), c.said) {
				t.Errorf("said %q, want %q", said.String(), c.said)
			}
		})
	}
}
