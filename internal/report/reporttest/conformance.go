package reporttest

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"chaos/internal/report"
)

var update = flag.Bool("update", false, "rewrite the golden files from what the formats write now")

// Run is the conformance suite of a report format. Every format must write every case, also from
// nothing; the same bytes each time; no secret; nothing that a terminal or an editor would obey; and
// must return the writer's error. The outputs are compared with testdata/<case>.golden.
func Run(t *testing.T, f report.Format) {
	t.Helper()
	if f.Name == "" || f.File == "" || filepath.Base(f.File) != f.File {
		t.Fatalf("format %+v needs a name and a plain file name", f)
	}
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			doc := report.Build(c.Runs)
			out := render(t, f, doc)
			if again := render(t, f, report.Build(c.Runs)); !bytes.Equal(out, again) {
				t.Errorf("two renderings of the same runs differ at byte %d", differ(out, again))
			}
			if len(out) == 0 {
				t.Error("nothing was written")
			}
			harmless(t, out)
			for _, v := range doc.Variants {
				if !strings.Contains(string(out), v.Status.String()) {
					t.Errorf("the output does not say %s", v.Status)
				}
			}
			golden(t, c.Name, out)
		})
	}
	t.Run("writer fails", func(t *testing.T) {
		if err := f.Write(failing{}, report.Build(Pair())); !errors.Is(err, errFull) {
			t.Errorf("the writer's error was lost: %v", err)
		}
	})
}

func render(t *testing.T, f report.Format, doc *report.Document) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := f.Write(&out, doc); err != nil {
		t.Fatalf("write: %v", err)
	}
	return out.Bytes()
}

// harmless checks what no format may let through.
func harmless(t *testing.T, out []byte) {
	t.Helper()
	if !utf8.Valid(out) {
		t.Error("the output is not UTF-8")
	}
	if i := bytes.Index(out, []byte(Secret)); i >= 0 {
		t.Errorf("a secret got through: %q", around(out, i))
	}
	for i, c := range string(out) {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			t.Errorf("control character %U got through: %q", c, around(out, i))
			break
		}
	}
	if len(out) > 2<<20 {
		t.Errorf("%d bytes for a run of half a minute", len(out))
	}
}

func around(out []byte, i int) []byte { return out[max(0, i-40):min(len(out), i+40)] }

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// golden compares out with testdata/<name>.golden of the package under test.
func golden(t *testing.T, name string, out []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, out, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update and read what it writes", err)
	}
	if i := differ(out, want); !bytes.Equal(out, want) {
		t.Errorf("differs from %s at byte %d:\n got %q\nwant %q", path, i, around(out, min(i, len(out))), around(want, min(i, len(want))))
	}
}

var errFull = errors.New("no space left")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }
