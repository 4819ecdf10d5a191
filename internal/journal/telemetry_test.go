package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/trace"
)

func someSpans(n int) (spans []trace.Span) {
	for i := range n {
		s := trace.Span{Trace: trace.ID{1}, ID: trace.SpanID{byte(i), byte(i >> 8), 1}, Service: "pay", Name: "GET /", Start: int64(i)}
		s.Attrs = []trace.Attr{{Key: "n", Value: fmt.Sprint(i)}}
		spans = append(spans, s)
	}
	return spans
}

func TestSpansAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	j, err := Create(dir, RunInfo{ID: "c0ffee000001"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, FileSpans)); err == nil {
		t.Error("a run without spans has a file of them")
	}
	secret := trace.Span{
		Trace: trace.ID{2}, ID: trace.SpanID{2}, Service: "pay", Name: "connect postgres://u:hunter2@db/x", Message: "password=hunter2",
		Attrs:  []trace.Attr{{Key: "db.password", Value: "hunter2"}, {Key: "url", Value: "http://u:hunter2@x/"}, {Key: "n", Value: "5"}},
		Events: []trace.Event{{Name: "exception", Attrs: []trace.Attr{{Key: "message", Value: "Authorization: Bearer hunter2hunter2"}}}},
	}
	for _, batch := range [][]trace.Span{someSpans(9000), {secret}, nil} {
		if kept, err := j.Spans(batch); err != nil || kept != len(batch) {
			t.Fatalf("kept %d of %d: %v", kept, len(batch), err)
		}
	}
	if h, err := ReadRequests(dir); err != nil || len(h.Spans) > 0 {
		t.Errorf("requests alone: %v, %d spans", err, len(h.Spans))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Spans(someSpans(1)); err == nil {
		t.Error("a span was written after the end")
	}
	h, err := Read(dir)
	if err != nil || len(h.Damage) > 0 || len(h.Spans) != 9001 {
		t.Fatalf("%v, damage %v, %d spans", err, h.Damage, len(h.Spans))
	}
	if s := h.Spans[8999]; s.Attr("n") != "8999" || s.Service != "pay" || s.Start != 8999 {
		t.Errorf("%+v", s)
	}
	text, _ := json.Marshal(h.Spans[9000])
	if bytes.Contains(text, []byte("hunter2")) || h.Spans[9000].Attr("n") != "5" {
		t.Errorf("%s", text)
	}
}

func TestDamagedSpans(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	j, err := Create(dir, RunInfo{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := j.Spans(someSpans(10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileSpans)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole { // cut anywhere, or one byte changed: what is whole is read, and the rest is told
		for _, broken := range [][]byte{whole[:n], append(append(bytes.Clone(whole[:n]), whole[n]^0x55), whole[n+1:]...)} {
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := Read(dir)
			if err != nil {
				if strings.Contains(err.Error(), "version") {
					continue
				}
				t.Fatal(err)
			}
			if len(h.Spans) > 30 || len(h.Spans)%10 != 0 || len(h.Spans) == 30 && len(broken) < len(whole) {
				t.Fatalf("byte %d: %d spans", n, len(h.Spans))
			}
			if len(h.Spans) < 30 && len(h.Damage) == 0 && len(broken) == len(whole) {
				t.Fatalf("byte %d: %d spans, and nothing is said", n, len(h.Spans))
			}
		}
	}
}

func TestObservingLosesAndDoesNotFail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	now := time.Now()
	j, err := Create(dir, RunInfo{}, Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	j.readMu.Lock() // no writer takes anything away meanwhile
	for len(j.waiting) < cap(j.waiting)/2-2 {
		j.waiting = append(j.waiting, Reading{Source: "canary", Name: "ticks"})
	}
	j.readMu.Unlock()
	values := []Reading{{Name: "nan", Value: math.NaN()}, {Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	if kept := j.Observe(values); kept < 3 {
		t.Errorf("kept %d", kept)
	}
	j.readMu.Lock()
	if len(j.waiting) > cap(j.waiting)/2 {
		t.Error("what a target tells takes the room of the harness's own readings")
	}
	j.readMu.Unlock()
	if err := j.Close(); err != nil {
		t.Errorf("losing what a target told failed the run: %v", err)
	}
	if j.Observe(values) != 0 {
		t.Error("a reading was taken after the end")
	}
}

func TestLint(t *testing.T) {
	schema := LogSchema{Required: []string{"ts", "level"}, Traced: []string{"duration_ms"}}
	const id = "0123456789abcdef0123456789abcdef"
	for line, want := range map[string]string{
		`{"ts":"x","level":"info"}`:                                         "",
		`{"ts":"x","level":"info","trace_id":"` + id + `","duration_ms":0}`: "",
		`{"ts":"x","level":"info","trace_id":""}`:                           "",
		`{"ts":"x","level":""}`:                                             `field "level" is missing`,
		`{"ts":null,"level":"info"}`:                                        `field "ts" is missing`,
		`{}`:                                                                `field "ts" is missing`,
		`{"ts":"x","level":"info","trace_id":"` + id + `"}`:                 `field "duration_ms" is missing, and the line has a trace_id`,
		`{"ts":"x","level":"info","trace_id":"` + strings.ToUpper(id) + `"}`: "trace_id is not 32 lower-case hex digits",
		`{"ts":"x","level":"info","trace_id":5}`:                             "trace_id is not 32 lower-case hex digits",
		`panic: runtime error`:                                               "it is no JSON object",
		`["ts"]`:                                                             "it is no JSON object",
		`{"ts":"x","level":"info"} {"ts":"x","level":"info"}`:                "it is no JSON object",
		`{"ts":"x","level":"info","trace_id":"0123456789abcdef0123456789abc`: "it is no JSON object",
	} {
		if got := schema.breach([]byte(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestLogsAreLinted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	info := RunInfo{Telemetry: &TelemetryInfo{Logs: &LogSchema{Nodes: []string{"good", "bad", "mute"}, Required: []string{"msg"}}}}
	j, err := Create(dir, info, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for node, text := range map[string]string{
		"good": "{\"msg\":\"a\"}\n\n{\"msg\":\"b\"}\n{\"msg\":\"cut by the e",
		"bad":  "{\"msg\":\"a\"}\n" + strings.Repeat("plain\n", 9), "other": "plain\n",
	} {
		w, err := j.LogWriter(node)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil || w.Close() != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Lint) != 2 || h.Lint["good"].Lines != 2 || h.Lint["good"].Violations != 0 {
		t.Errorf("lint %+v", h.Lint)
	}
	if b := h.Lint["bad"]; b.Lines != 10 || b.Violations != 9 || len(b.First) != maxViolations || b.First[0] != (Violation{2, "it is no JSON object", "plain"}) {
		t.Errorf("lint of bad: %+v", b)
	}
}

func TestFollow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	j, err := Create(dir, RunInfo{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	id, _ := trace.ParseID("0123456789abcdef0123456789abcdef")
	for node, text := range map[string]string{
		"a": `{"time":"2026-01-02T03:04:05.5Z","level":"error","msg":"no","trace_id":"` + id.String() + `","span_id":"0102030405060708","service":"a","n":12345678901234567890,"z":""}` +
			"\n{\"msg\":\"of another\",\"trace_id\":\"ff\"}\n",
		"b": "plain text of " + id.String() + "\n" + `{"ts":1700000000,"level":30,"msg":"a number of a level","trace_id":"` + id.String() + `"}` + "\n",
	} {
		w, err := j.LogWriter(node)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil || w.Close() != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	lines, err := Follow(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	want := []trace.Line{
		{At: 1767323045500000000, Span: trace.SpanID{1, 2, 3, 4, 5, 6, 7, 8}, Node: "a", Level: "ERROR", Text: "no n=12345678901234567890", Loud: true},
		{Node: "b", Text: "plain text of " + id.String()},
		{Node: "b", Level: "30", Text: "a number of a level"},
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got  %+v\nwant %+v", lines, want)
	}
	if lines, err := Follow(t.TempDir(), id); err != nil || lines != nil {
		t.Errorf("without logs: %v, %v", lines, err)
	}
}

// TestLoudLinesOfAnyForm: a time that is a number costs no line.
func TestLoudLinesOfAnyForm(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	j, err := Create(dir, RunInfo{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := j.LogWriter("a")
	if err == nil {
		_, err = w.Write([]byte(`{"level":"WARN","msg":"m","ts":1700000000.5,"time":{"s":1},"reason":null,"span_id":7}` + "\n"))
	}
	if err != nil || w.Close() != nil || j.Close() != nil {
		t.Fatal(err)
	}
	h, err := Read(dir)
	if err != nil || len(h.Logs) != 1 {
		t.Fatalf("%v, %+v", err, h.Logs)
	}
	if l := h.Logs[0].Line(); l.At != 0 || !l.Loud || l.Node != "a" {
		t.Errorf("%+v", l)
	}
}
