package main

import (
	"encoding/json"

	"github.com/rogpeppe/go-internal/testscript"
)

// traceID puts the trace id of the first listed operation into a variable: traceid stdout ID.
func traceID(ts *testscript.TestScript, _ bool, args []string) {
	want(ts, args, 2, "traceid <file> <variable>")
	var list []struct {
		Trace string `json:"trace_id"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &list))
	if len(list) == 0 {
		ts.Fatalf("no trace is listed")
	}
	ts.Setenv(args[1], list[0].Trace[:12])
}
