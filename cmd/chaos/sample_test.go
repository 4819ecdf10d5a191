package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chaos/internal/cli"
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

const sample = "../../reports/sample"

// inProcess runs a command without a process of its own.
func inProcess(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	dir, wd := os.Getwd()
	if wd != nil {
		t.Fatal(wd)
	}
	code = cli.Main(t.Context(), cli.Env{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err,
		Getenv: func(string) string { return "" }, Now: time.Now, Random: zeros{}, Dir: dir})
	return code, out.String(), err.String()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestSampleIsJudgedAsItWas judges the stored run of the repository again: the same verdicts, to the letter.
func TestSampleIsJudgedAsItWas(t *testing.T) {
	code, out, said := inProcess(t, "judge", sample)
	if code != 0 || strings.Count(said, "same verdict as stored") != 2 {
		t.Fatalf("exit %d\n%s\n%s", code, said, out)
	}
}

// TestSampleByOtherObjectives judges the stored evidence by an objective that it can't meet.
func TestSampleByOtherObjectives(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sample, "experiment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	harder := filepath.Join(t.TempDir(), "harder.yaml")
	changed := strings.ReplaceAll(string(text), `"under(read, 250ms)"`, `"under(read, 1us)"`)
	if changed == string(text) {
		t.Fatal("the sample has no objective under(read, 250ms): the test does not test what it should")
	}
	if err := os.WriteFile(harder, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := inProcess(t, "judge", "--experiment", harder, filepath.Join(sample, "resilient"))
	if code == 0 || !strings.Contains(out, "reads-fast") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestStoredCorruption falsifies the stored audit of a run that passed, one witness at a time: each lie
// trips exactly its invariant.
func TestStoredCorruption(t *testing.T) {
	for _, lie := range []struct {
		name, check string
		falsify     func([]journal.AuditRecord) []journal.AuditRecord
	}{
		{"delete a ledger row", "ledger_balanced", func(r []journal.AuditRecord) []journal.AuditRecord {
			i := slices.IndexFunc(r, func(r journal.AuditRecord) bool { return r.Type == "ledger" })
			return slices.Delete(r, i, i+1)
		}},
		{"add a charge", "no_double_charge", func(r []journal.AuditRecord) []journal.AuditRecord {
			twice := r[slices.IndexFunc(r, func(r journal.AuditRecord) bool { return r.Type == "charge" && r.State == "succeeded" })]
			twice.ID += "-again"
			return append(r, twice)
		}},
		{"delete a payment", "no_lost_payment", func(r []journal.AuditRecord) []journal.AuditRecord {
			i := slices.IndexFunc(r, func(r journal.AuditRecord) bool { return r.Type == "payment" && r.State == "CAPTURED" })
			id := r[i].ID
			return slices.DeleteFunc(r, func(r journal.AuditRecord) bool {
				return r.Type == "payment" && r.ID == id || r.Type == "ledger" && r.Ref == id
			})
		}},
		{"nothing", "", func(r []journal.AuditRecord) []journal.AuditRecord { return r }},
	} {
		t.Run(lie.name, func(t *testing.T) {
			dir := copySample(t)
			rewriteAudit(t, filepath.Join(dir, "resilient", "audit.ndjson"), lie.falsify)
			_, out, said := inProcess(t, "judge", "--json", filepath.Join(dir, "resilient"))
			var all []verdict.Verdict
			if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
				t.Fatalf("%v\n%s\n%s", err, out, said)
			}
			var failed []string
			for _, f := range all[0].Findings {
				if f.Outcome == verdict.Fail {
					failed = append(failed, f.Check)
				}
			}
			if strings.Join(failed, " ") != lie.check {
				t.Errorf("failed %v, want exactly %q", failed, lie.check)
			}
		})
	}
}

// TestTornStoredRun cuts the samples of the stored run: what is left is judged, and is never a pass.
func TestTornStoredRun(t *testing.T) {
	dir := copySample(t)
	path := filepath.Join(dir, "resilient", "samples.zst")
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, st.Size()*9/10); err != nil {
		t.Fatal(err)
	}
	code, out, _ := inProcess(t, "judge", filepath.Join(dir, "resilient"))
	if code != verdict.ExitNoEvidence || !strings.Contains(out, "INVALID") || !strings.Contains(out, "torn") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func copySample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(sample)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func rewriteAudit(t *testing.T, path string, falsify func([]journal.AuditRecord) []journal.AuditRecord) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var records []journal.AuditRecord
	lines := json.NewDecoder(bytes.NewReader(raw))
	for {
		var r journal.AuditRecord
		if err := lines.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	var out bytes.Buffer
	w := json.NewEncoder(&out)
	for _, r := range falsify(records) {
		if err := w.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
