package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// TestKindsInContainers takes the kinds that no experiment of the catalogue uses through a whole run on
// real containers: each bites, each is reverted, and the run passes.
func TestKindsInContainers(t *testing.T) {
	b := newBench(t)
	b.undisturbed(func() string {
		p := b.run("cmd/chaos/testdata/e2e/kinds.yaml")
		if code := b.exit(p, 6*time.Minute); code != 0 {
			return fmt.Sprintf("exit %d\n%s%s", code, p.said(), p.stdout.String())
		}
		return ""
	})
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(b.variantDir()), verdictFileName))
	if err != nil {
		t.Fatal(err)
	}
	var all []verdict.Verdict
	if err := json.Unmarshal(raw, &all); err != nil || len(all) != 1 {
		t.Fatalf("%v: %s", err, raw)
	}
	if len(all[0].Bites) != 11 {
		t.Errorf("bites %+v, want eleven", all[0].Bites)
	}
	for _, bite := range all[0].Bites {
		if !bite.Bit {
			t.Errorf("%s did not bite: %s", bite.Action, bite.Why)
		}
		t.Logf("%s: %s", bite.Action, bite.Delivered)
	}
	if n := count(b.events(b.variantDir()), journal.EventReverted); n != 11 {
		t.Errorf("%d reverted, want 11", n)
	}
	for _, e := range b.events(b.variantDir()) {
		if e.Type == journal.EventNodeDied {
			t.Errorf("a death that a fault meant, or a pause, counts as one that nobody meant: %+v", e)
		}
	}
}

// TestAGuardAborts cuts the only way to pay: the guard ends the run long before its fault would have
// ended, healed, and what was measured is judged.
func TestAGuardAborts(t *testing.T) {
	b := newBench(t)
	b.undisturbed(func() string {
		p := b.run("cmd/chaos/testdata/e2e/aborted.yaml")
		if code := b.exit(p, 6*time.Minute); code != 0 {
			return fmt.Sprintf("exit %d, want 0: aborted is what was expected\n%s%s", code, p.said(), p.stdout.String())
		}
		if out := p.stdout.String(); !strings.Contains(out, "ABORTED as expected") || !strings.Contains(out, "a guard stopped the run") {
			t.Errorf("it said:\n%s", out)
		}
		return ""
	})
	var active, breach, reverted time.Duration
	for _, e := range b.events(b.variantDir()) {
		switch {
		case e.Type == journal.EventActive:
			active = e.At
		case e.Type == journal.EventGuard && e.Err != "":
			breach = e.At
		case e.Type == journal.EventReverted:
			reverted = e.At
		}
	}
	if breach == 0 || reverted < breach || reverted-active > 28*time.Second {
		t.Errorf("active at %v, breach at %v, reverted at %v", active, breach, reverted)
	}
	t.Logf("breach %v after the fault, healed %v after the breach", breach-active, reverted-breach)
}
