package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOpenActions(t *testing.T) {
	at := func(s int, typ, action string) event { return event{time.Unix(int64(s), 0), typ, action} }
	events := []event{at(1, "intent", "a#1"), at(2, "intent", "b#1"), at(3, "active", "a#1"), at(4, "reverted", "a#1"), at(5, "healed", "b#1")}
	for second, want := range map[int64]int{0: 0, 1: 1, 3: 2, 4: 1, 5: 0} {
		if got := open(events, time.Unix(second, 0)); len(got) != want {
			t.Errorf("at %d s: %v, want %d", second, got, want)
		}
	}
}

func TestATornJournalIsRead(t *testing.T) {
	v := &victim{campaign: &campaign{}, dir: t.TempDir()}
	dir := filepath.Join(v.reports(), "run", "only")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := `{"wall":"2026-11-26T00:28:50Z","type":"intent","action":"f#1","detail":{}}` + "\n" + `{"wall":"2026-11-26T00:28:51Z","type":"rever`
	if err := os.WriteFile(filepath.Join(dir, "events.ndjson"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := open(v.events(), time.Now()); !slices.Equal(got, []string{"f#1"}) {
		t.Errorf("open %v", got)
	}
}

func TestAliveKnowsAProcessByItsStart(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	all := processes()
	i := slices.IndexFunc(all, func(p proc) bool { return p.pid == cmd.Process.Pid })
	if i < 0 {
		t.Fatal("ps does not list it")
	}
	p := all[i]
	if p.parent != os.Getpid() || p.command != "sleep 60" || time.Since(p.start) > time.Minute {
		t.Errorf("read as %+v", p)
	}
	other := p
	other.start = p.start.Add(-time.Hour)
	if got := alive([]proc{p, other}); len(got) != 1 {
		t.Errorf("alive: %v", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if got := alive([]proc{p}); len(got) != 0 {
		t.Errorf("alive when it is gone: %v", got)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	done := []outcome{
		{way: "SIGINT", struck: true, open: 2, heal: 100 * time.Millisecond, timed: true, kept: true},
		{way: "SIGINT", struck: true, heal: 300 * time.Millisecond, timed: true, left: []string{"node redis"}, dir: "x"},
		{way: "full disk"},
	}
	table(&b, &campaign{seed: 7, runtime: "process", length: 9 * time.Second}, done, []string{"restart of the daemon: none"})
	for _, want := range []string{
		"| SIGINT | 2 | 1 | 0 | 1 | 1 | 0.10 s | 0.30 s | 0.30 s | 1 |", "| full disk | 1 | 0 | 1 | 0 | 1 | – | – | – | 0 |",
		"| all | 3 | 1 | 1 | 1 | 2 | 0.10 s | 0.30 s | 0.30 s | 1 |", "Seed 7, runtime process, 3 runs of 9.0 s",
		"Left out: restart of the daemon: none.", "Residue of SIGINT in x: node redis.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
