package report_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chaos/internal/report"
	"chaos/internal/report/html"
	"chaos/internal/report/json"
	"chaos/internal/report/markdown"
	"chaos/internal/report/reporttest"
)

func TestWriteIsWholeOrNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "broken.txt"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := report.Format{Name: "broken", File: "broken.txt", Write: func(w io.Writer, _ *report.Document) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, errors.New("boom"))
	}}
	err := report.Write(dir, report.Build(reporttest.Pair()), []report.Format{broken, json.Format()})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "broken.txt")) || !strings.Contains(err.Error(), "boom") {
		t.Errorf("the error does not name path and cause: %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "broken.txt")); string(got) != "old" {
		t.Errorf("the old file became %q", got)
	}
	info, err := os.Stat(filepath.Join(dir, report.DocumentFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("report.json: %v %v", info, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%d files are left, want 2", len(files))
	}
}

func TestWriteNamesThePath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	err := report.Write(dir, report.Build(nil), []report.Format{json.Format()})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "report.json")) {
		t.Errorf("missing folder: %v", err)
	}
	if os.Getuid() == 0 {
		t.Log("root may write everywhere: the read-only folder is not tried")
		return
	}
	ro := t.TempDir()
	if err := os.Chmod(ro, 0o500); err != nil {
		t.Fatal(err)
	}
	err = report.Write(ro, report.Build(nil), []report.Format{json.Format()})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), ro) {
		t.Errorf("read-only folder: %v", err)
	}
}

// TestIndex reads a reports folder with good, foreign, torn and hostile run folders.
func TestIndex(t *testing.T) {
	dir := t.TempDir()
	folder := func(name string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range reporttest.Cases() {
		if err := report.Write(folder("20260305T0930-"+c.Name), report.Build(c.Runs), []report.Format{json.Format()}); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(folder("20260306-torn"), report.DocumentFile), `{"schema":"chaos.report/v1","vari`)
	put(filepath.Join(folder("20260307-other"), report.DocumentFile), `{"schema":"someone.else/v9"}`)
	folder("not-a-run")
	put(filepath.Join(dir, "a-file"), "x")
	outside := filepath.Join(t.TempDir(), report.DocumentFile)
	put(outside, `{"schema":"chaos.report/v1","experiment":"outside"}`)
	if err := os.Symlink(outside, filepath.Join(folder("20260308-link"), report.DocumentFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "20260309-linked-folder")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(folder("20260310-pipe"), report.DocumentFile), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- report.WriteIndex(dir, []report.IndexFormat{html.Index(), markdown.Index()}) }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the index hangs, on the pipe perhaps")
	}
	suite, err := report.ReadSuite(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(suite.Broken) != 4 {
		t.Errorf("broken: %v", suite.Broken)
	}
	if n := len(suite.Newest) + len(suite.Earlier); n != len(reporttest.Cases()) {
		t.Errorf("%d runs, want %d", n, len(reporttest.Cases()))
	}
	for _, name := range []string{"index.html", "index.md"} {
		page, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<script>", "outside", reporttest.Secret, "\x1b", "\u202e"} {
			if strings.Contains(string(page), bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
		if !strings.Contains(string(page), "./20260305T0930-silent/report.") {
			t.Errorf("%s has no link to a run", name)
		}
	}
}

func TestNewestRunWins(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC) }
	s := report.NewSuite([]report.SuiteRun{
		{Dir: "a", Experiment: "x", Profile: "quick", Started: at(1), Exit: 1},
		{Dir: "b", Experiment: "x", Profile: "quick", Started: at(2), Exit: 0},
		{Dir: "c", Experiment: "x", Profile: "standard", Started: at(1), Exit: 2},
	}, nil)
	if len(s.Newest) != 2 || s.Newest[0].Dir != "b" || len(s.Earlier) != 1 || s.Exit != 2 {
		t.Errorf("newest %+v, earlier %+v, exit %d", s.Newest, s.Earlier, s.Exit)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"schema":"chaos.report/v1","variants":[{"status":"PASS","findings":[{"outcome":"Fail"}]}]}`))
	f.Add([]byte(`{"schema":"chaos.report/v1","duration_ns":-9223372036854775808,"exit":-1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := report.Decode(strings.NewReader(string(raw)))
		if err != nil {
			return
		}
		for _, format := range []report.Format{html.Format(), markdown.Format(), json.Format()} {
			if err := format.Write(io.Discard, doc); err != nil {
				t.Errorf("%s: %v", format.Name, err)
			}
		}
	})
}
