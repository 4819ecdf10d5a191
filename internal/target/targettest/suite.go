// Package targettest is the conformance suite of runtimes: what a kind of target.Runtime must do for
// the engine's promises to hold. A runtime's tests call Run with a small target of their own.
package targettest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/target"
)

// Subject is a small target and what the suite may do to it.
type Subject struct {
	Topology *target.Topology

	Victim string // a stateless node that ends on TERM and whose Port is published
	Port   string

	Secret  target.Call // is answered only with a secret in a header
	Through target.Call // makes Victim talk through Edge; its answer is 2xx only when that works
	Edge    string
	Write   target.Call // makes Victim write to a file in Folder that it has had open, and sync it; tells how long the write took it, in ns
	Folder  string      // of Victim

	Greeting   string // variable of Victim's environment that Secret tells
	OtherImage string // another image that Victim runs from as well

	// Variants that start, and what Victim's log says under each and under no other.
	Variants map[string]string
	Broken   string // a variant with which a stateless node ends at once, having printed Complaint
	Stuck    string // a variant with which a stateless node never becomes ready
	BadNode  string // the node that Broken and Stuck are about
	// Complaint is what BadNode prints before it ends.
	Complaint string

	// Left lists what there is of a suite on the engine, of any kind.
	Left func(ctx context.Context, suite string) ([]string, error)
}

// Limits of the suite's own waiting.
const (
	endsWithin = time.Minute // after TERM, and whatever else must come: the machine may be busy
	lookEvery  = 20 * time.Millisecond
	startLimit = 2 * time.Minute
)

// harness is one started system that the cases share, in order.
type harness struct {
	Subject
	new     func() target.Runtime
	runtime target.Runtime
	system  target.System
	suite   string
}

// Run holds a runtime against the protocol. newRuntime returns a value as another process would have it.
func Run(t *testing.T, newRuntime func() target.Runtime, s Subject) {
	t.Helper()
	h := &harness{Subject: s, new: newRuntime, runtime: newRuntime(), suite: suiteID()}
	h.start(t)
	for _, c := range []struct {
		name string
		run  func(*harness, *testing.T)
	}{
		{"capabilities are what the system can do", (*harness).capabilities},
		{"every node is ready after start", (*harness).ready},
		{"facts name every image and the machine", (*harness).facts},
		{"an answered call has the secret; others fail", (*harness).call},
		{"a reset lays the variant over and starts the log anew", (*harness).reset},
		{"the endpoint is right after kill and start", (*harness).restart},
		{"TERM ends a node and starting it is idempotent", (*harness).term},
		{"a node that died is told with its exit", (*harness).died},
		{"a paused node answers nothing until it goes on", (*harness).pause},
		{"a paused node can be killed and reset", (*harness).pausedEnds},
		{"a disconnected node is nowhere until it is connected", (*harness).disconnect},
		{"a disconnected node can be killed, started and reset", (*harness).disconnectedEnds},
		{"limits are in force, are felt, and are given back", (*harness).limit},
		{"limits can be given back to a node that has ended", (*harness).limitedEnds},
		{"a replaced node is another one until it is put back", (*harness).replace},
		{"a replaced node that can't run is put back", (*harness).replaceBad},
		{"what ends or resets a node does so with a replaced one", (*harness).replacedEnds},
		{"packets are lost as asked, by direction and peer", (*harness).loss},
		{"a loss ends with its node's process, and can be ended without one", (*harness).lossEnds},
		{"a name is wrong for one node until it is right again", (*harness).name},
		{"a fault on names is gone with the node's process", (*harness).namedEnds},
		{"a folder is full until it is given back", (*harness).disk},
		{"a folder of a node that has ended can be given back", (*harness).diskEnds},
		{"a folder is read-only until it is made writable", (*harness).readOnly},
		{"a folder of a node that has ended is writable", (*harness).readOnlyEnds},
		{"a folder is slow until it is let be, and no call is lost", (*harness).slow},
		{"a slow folder ends with its node's process", (*harness).slowEnds},
		{"an edge's link carries its traffic", (*harness).link},
		{"spans are read back, and the collector is a node", (*harness).spans},
		{"a snapshot tells what a fault changed, and that it was undone", (*harness).audit},
		{"a proxy that does not run is told from one that can't be asked", (*harness).proxyDown},
		{"another process attaches by the handle", (*harness).attach},
		{"an unknown node, port, edge and variant are errors", (*harness).unknown},
		{"closing twice leaves nothing", (*harness).close},
		{"a start that fails names the node and leaves nothing", (*harness).broken},
		{"a cancelled start leaves nothing", (*harness).cancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(h, t) })
	}
}

// suiteID is unique on the engine, which others use too.
func suiteID() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // documented to never return an error
	return "tt-" + hex.EncodeToString(b)
}

func (h *harness) options(variant, suite string) target.Options {
	return target.Options{Variant: variant, Run: suite + "-r", Suite: suite}
}

func (h *harness) variants() []string {
	var names []string
	for name := range h.Variants {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (h *harness) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	began := time.Now()
	system, err := h.runtime.Start(ctx, h.Topology, h.options(h.variants()[0], h.suite))
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Logf("start took %v", time.Since(began).Round(time.Millisecond))
	h.system = system
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startLimit)
		defer cancel()
		if err := system.Close(ctx); err != nil {
			t.Errorf("close at the end: %v", err)
		}
		h.nothingLeft(ctx, t, h.suite)
	})
}

func (h *harness) nothingLeft(ctx context.Context, t *testing.T, suite string) {
	t.Helper()
	left, err := h.Left(ctx, suite)
	if err != nil {
		t.Fatalf("look for what is left: %v", err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (h *harness) capabilities(t *testing.T) {
	c, err := h.runtime.Capabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Runtime == "" || c.Runtime != h.runtime.Name() {
		t.Errorf("capabilities of %q, runtime %q", c.Runtime, h.runtime.Name())
	}
	_, signals := h.system.(target.Signaller)
	_, pauses := h.system.(target.Pauser)
	_, connects := h.system.(target.Connecter)
	_, limits := h.system.(target.Limiter)
	_, replaces := h.system.(target.Replacer)
	_, loses := h.system.(target.Lossy)
	_, delays := h.system.(target.Delayer)
	_, names := h.system.(target.Namer)
	_, fills := h.system.(target.Filler)
	_, protects := h.system.(target.Protector)
	_, slows := h.system.(target.Slower)
	_, proxied := h.system.(target.Proxied)
	for verb, has := range map[target.Verb]bool{
		target.VerbSignal: signals, target.VerbPause: pauses, target.VerbDisconnect: connects, target.VerbLimit: limits,
		target.VerbReplace: replaces, target.VerbLoss: loses, target.VerbDelay: delays, target.VerbEdge: proxied,
		target.VerbNames: names, target.VerbFill: fills, target.VerbReadOnly: protects, target.VerbSlow: slows,
	} {
		if got := slices.Contains(c.Verbs, verb); got != has {
			t.Errorf("declares %s: %v, has it: %v", verb, got, has)
		}
	}
	if len(c.Verbs) == 0 {
		t.Error("declares no verb")
	}
	if h.system.Topology() != h.Topology {
		t.Error("the system's topology is not the one that was started")
	}
}

func (h *harness) ready(t *testing.T) {
	if err := h.system.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if h.dial(t, h.system) == "" {
		t.Error("no endpoint")
	}
	if w, ok := h.system.(target.Watcher); ok {
		if died, err := w.Died(t.Context()); err != nil || len(died) > 0 {
			t.Errorf("died: %v, %v", died, err)
		}
	}
}

func (h *harness) facts(t *testing.T) {
	images, machine := h.system.Facts(t.Context())
	if len(images) < len(h.Topology.Nodes) {
		t.Errorf("images of %d nodes: %v", len(h.Topology.Nodes), images)
	}
	if len(machine) < 3 {
		t.Errorf("machine: %v", machine)
	}
}

func (h *harness) call(t *testing.T) {
	if _, err := h.system.Call(t.Context(), h.Secret); err != nil {
		t.Errorf("with the secret: %v", err)
	}
	bare := h.Secret
	bare.Query.Headers = nil
	var status *target.StatusError
	if _, err := h.system.Call(t.Context(), bare); !errors.As(err, &status) || status.Status < 400 {
		t.Errorf("without the secret: %v", err)
	}
	lost := h.Secret
	lost.Query.Path = "/no-such-path"
	if _, err := h.system.Call(t.Context(), lost); !errors.As(err, &status) || status.Status != 404 {
		t.Errorf("an unknown path: %v", err)
	}
	wrong := h.Secret
	wrong.Query.Headers = map[string]string{"X": `{{secret "no-such-secret"}}`}
	if _, err := h.system.Call(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "no-such-secret") {
		t.Errorf("an unknown secret: %v", err)
	}
}

func (h *harness) log(t *testing.T, s target.System) string {
	t.Helper()
	var b strings.Builder
	if err := s.Logs(t.Context(), h.Victim, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (h *harness) reset(t *testing.T) {
	if len(h.Variants) < 2 {
		t.Fatal("the subject needs two variants")
	}
	for _, variant := range append(h.variants(), h.variants()[0]) {
		began := time.Now()
		if err := h.system.Reset(t.Context(), variant, h.suite+"-"+variant); err != nil {
			t.Fatalf("reset to %s: %v", variant, err)
		}
		t.Logf("reset took %v", time.Since(began).Round(time.Millisecond))
		if err := h.system.Ready(t.Context()); err != nil {
			t.Errorf("not ready after a reset: %v", err)
		}
		text := h.log(t, h.system)
		for other, line := range h.Variants {
			if got := strings.Contains(text, line); got != (other == variant) {
				t.Errorf("under %s the log says %q: %v\n%s", variant, line, got, text)
			}
		}
		if _, err := h.system.Call(t.Context(), h.Through); err != nil {
			t.Errorf("through the edge after a reset: %v", err)
		}
	}
}

// handleIn returns a second System, as another process would have it.
func (h *harness) handleIn(t *testing.T) target.System {
	t.Helper()
	raw := h.system.Handle()
	if !json.Valid(raw) {
		t.Fatalf("the handle is no JSON: %s", raw)
	}
	other, err := h.new().Attach(t.Context(), h.Topology, raw)
	if err != nil {
		t.Fatalf("attach: %v", err)
	}
	return other
}
