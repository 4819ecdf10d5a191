package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"chaos/internal/journal"
)

// one is the only file that a pattern matches; what was not found yet is no error of ok.
func one(ts *testscript.TestScript, pattern string) (path string, ok bool) {
	found, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	if len(found) > 1 {
		ts.Fatalf("%s: %v, want one", pattern, found)
	}
	if len(found) == 0 {
		return "", false
	}
	return found[0], true
}

func must(ts *testscript.TestScript, pattern string) string {
	path, ok := one(ts, pattern)
	if !ok {
		ts.Fatalf("%s: there is none", pattern)
	}
	return path
}

// find sets a variable to the only file that a pattern matches: find REPORT reports/*-count-*.
func find(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, args, 2, "find <variable> <pattern>")
	if neg {
		if path, ok := one(ts, args[1]); ok {
			ts.Fatalf("there is a %s", path)
		}
		return
	}
	ts.Setenv(args[0], must(ts, args[1]))
}

// copyTo copies a folder into another: copy $RUN torn.
func copyTo(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 2, "copy <folder> <folder>")
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// shorten cuts the end off a file, as a dying machine would: a number of bytes, a share of it, or all
// from the last place where a text begins.
func shorten(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 2, "shorten <file> <bytes>|<share>%|from:<text>")
	path := ts.MkAbs(args[0])
	raw, err := os.ReadFile(path)
	ts.Check(err)
	var keep int
	if text, ok := strings.CutPrefix(args[1], "from:"); ok {
		keep = bytes.LastIndex(raw, []byte(text))
	} else if share, ok := strings.CutSuffix(args[1], "%"); ok {
		n, err := strconv.Atoi(share)
		ts.Check(err)
		keep = len(raw) - len(raw)*n/100
	} else {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		keep = len(raw) - n
	}
	if keep <= 0 || keep >= len(raw) {
		ts.Fatalf("%s has %d bytes: %s leaves %d", path, len(raw), args[1], keep)
	}
	ts.Check(os.Truncate(path, int64(keep)))
}

// shortPath leaves nothing in PATH but chaos and links to a few programs: shortpath tools go sh.
func shortPath(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 1, "shortpath <folder> <program>...")
	commands, _, _ := strings.Cut(ts.Getenv("PATH"), string(os.PathListSeparator))
	dir := ts.MkAbs(args[0])
	for _, program := range args[1:] {
		path, err := exec.LookPath(program)
		ts.Check(err)
		ts.Check(os.Symlink(path, filepath.Join(dir, program)))
	}
	ts.Setenv("PATH", commands+string(os.PathListSeparator)+dir)
}

// before checks that one run had ended when the target of another was started: before a/events.ndjson b/events.ndjson.
func before(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 2, "before <events> <events>")
	var runs [2][]journal.Event
	for i := range runs {
		var err error
		runs[i], _, err = journal.ReadEvents(filepath.Dir(must(ts, args[i])))
		ts.Check(err)
		if len(runs[i]) == 0 {
			ts.Fatalf("%s: no events", args[i])
		}
	}
	if end, start := runs[0][len(runs[0])-1].Wall, runs[1][0].Wall; end.After(start) {
		ts.Fatalf("%s ended at %v, after %s began at %v", args[0], end, args[1], start)
	}
}

// sameVerdicts compares two lists of verdicts, whatever their order.
func sameVerdicts(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 2, "sameverdicts <file> <file>")
	var byRun [2]map[string]any
	for i := range byRun {
		var all []map[string]any
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[i])), &all))
		byRun[i] = map[string]any{}
		for _, v := range all {
			byRun[i][fmt.Sprint(v["run"])] = v
		}
	}
	if len(byRun[0]) == 0 || !reflect.DeepEqual(byRun[0], byRun[1]) {
		ts.Fatalf("%s and %s differ", args[0], args[1])
	}
}
