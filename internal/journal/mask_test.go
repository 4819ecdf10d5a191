package journal

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const hunter = "hunter2"

// Nothing that a run writes down holds a secret, and the event that Append returns is the one written.
func TestNoSecretReachesTheDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	j, err := Create(dir, RunInfo{
		Hypothesis: "postgres://app:hunter2@db/x", Command: "chaos run --token hunter2",
		Machine: map[string]string{"proxy": "http://u:hunter2@p"},
		Faults:  []FaultInfo{{ID: "f", With: json.RawMessage(`{"set":{"api_key":"hunter2"}}`), Undo: "password=hunter2"}},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := j.Append(Event{Type: EventIntent, Action: "f#1", Subject: "dsn: hunter2", Err: "get http://u:hunter2@x: refused",
		Detail: json.RawMessage(`{"args":{"headers":{"Authorization":"Bearer {{secret \"internal\"}}","X-Token":"hunter2"},"n":18446744073709551615},` +
			`"before":{"document":{"password":{"deep":"hunter2"},"url":"amqp://a:hunter2@mq","rate":0.50}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`Bearer {{secret \"internal\"}}`, `18446744073709551615`, `0.50`, `amqp://***@mq`} {
		if !strings.Contains(string(e.Detail), want) {
			t.Errorf("%s is not in %s", want, e.Detail)
		}
	}
	j.Read(Reading{Source: "http://u:hunter2@probe", Name: "n", Value: 1})
	if err := j.UpdateInfo(func(i *RunInfo) { i.Source = "token=hunter2" }); err != nil {
		t.Fatal(err)
	}
	w, err := j.LogWriter("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"plain\n{\"level\":\"WARN\",\"msg\":\"dial redis://:hunt", "er2@r\",\"token\":5}\nPASSWORD=hunter2\npass", "word: hunter2"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := Read(dir)
	if err != nil || len(h.Damage) > 0 {
		t.Fatal(err, h.Damage)
	}
	if len(h.Readings) != 1 || strings.Contains(h.Readings[0].Source, hunter) {
		t.Errorf("readings %v", h.Readings)
	}
	if len(h.Logs) != 1 || h.Logs[0].Msg != "dial redis://***@r" {
		t.Errorf("a masked line of JSON is JSON no more: %v", h.Logs)
	}
	for _, name := range []string{FileRun, FileEvents, filepath.Join(DirLogs, "db.log")} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || strings.Contains(string(text), hunter) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(dir, DirLogs, "db.log")); !strings.HasPrefix(string(text), "plain\n{") || !strings.HasSuffix(string(text), "\nPASSWORD=***\npassword: ***") {
		t.Errorf("log: %q", text)
	}
}

// What holds no secret comes back byte for byte.
func TestMaskLeavesTheRest(t *testing.T) {
	m := NewMasker()
	for _, raw := range []string{`{"b":1.0,"a":"x", "secret":null}`, `{"token":"{{secret \"x\"}}"}`, `"the token bucket admits 5"`, `{"broken`, ``} {
		if got := m.JSON(json.RawMessage(raw)); string(got) != raw {
			t.Errorf("%s became %s", raw, got)
		}
	}
}
