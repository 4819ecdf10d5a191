package main

import (
	"path/filepath"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// healWithin is how long a watchdog may take from the harness's death to its own end.
const healWithin = time.Minute

// watchdog is about the watchdog of the script's only run: KILL ends it, gone waits until it has left.
func watchdog(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 1, "watchdog KILL|gone")
	path, ok := one(ts, "reports/*/*/"+journal.FileRun)
	if !ok {
		ts.Fatalf("there is not one run")
	}
	info, err := journal.ReadInfo(filepath.Dir(path))
	ts.Check(err)
	lives := func() bool {
		start, err := target.ProcessStart(info.Watchdog)
		return err == nil && start != ""
	}
	switch args[0] {
	case "KILL":
		ts.Check(syscall.Kill(info.Watchdog, syscall.SIGKILL))
	case "gone":
		began := time.Now()
		for limit := began.Add(healWithin); lives(); time.Sleep(pollEvery) {
			if time.Now().After(limit) {
				ts.Fatalf("the watchdog is still at work after %v", healWithin)
			}
		}
		ts.Logf("the watchdog was gone %v later", time.Since(began).Round(time.Millisecond))
	default:
		ts.Fatalf("usage: watchdog KILL|gone")
	}
}
