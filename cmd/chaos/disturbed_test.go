package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// A run on a machine that stands still for a moment is INVALID, which is right and proves nothing here. So whoever
// expects something else of a run looks at what its canary saw, and when that was a stall plays it again.
const (
	plays     = 8    // at most
	stillFrom = 0.08 // share of a second's ticks that were late: a stall of 130 ms or more
)

// disturbed says in which run below a folder the machine stood still, or was too slow to send in time, or "".
func disturbed(root string) (where string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && where == "" && d.Name() == verdictFileName {
			where = sentLate(path)
		}
		if err != nil || d.IsDir() || d.Name() != journal.FileRun || where != "" {
			return nil // what can't be read was cut by the script
		}
		h, err := journal.Read(filepath.Dir(path))
		if err != nil {
			return nil
		}
		ticks := 0.0
		for _, r := range h.Readings {
			switch {
			case r.Source != journal.SourceCanary:
			case r.Name == journal.CanaryTicks:
				ticks = r.Value
			case r.Value > stillFrom*ticks:
				where = fmt.Sprintf("%s at %v: %.0f of %.0f ticks were late", filepath.Dir(path), r.At, r.Value, ticks)
			}
		}
		return nil
	})
	return where
}

// sentLate is about the generator of the runs of a verdict.
func sentLate(file string) string {
	raw, err := os.ReadFile(file)
	var all []verdict.Verdict
	if err != nil || json.Unmarshal(raw, &all) != nil {
		return ""
	}
	for _, v := range all {
		for _, why := range v.Why { // of two seconds in which even looking was too much for the engine
			if v.Status == verdict.ERROR && strings.Contains(why, "no answer within") {
				return fmt.Sprintf("%s: %s", file, why)
			}
		}
		for _, h := range v.Honesty {
			if float64(h.Late) > 0.05*float64(h.Planned) || float64(h.Sent) < 0.99*float64(h.Planned) {
				return fmt.Sprintf("%s: %+v", file, h)
			}
		}
	}
	return ""
}

// undisturbed plays until it says nothing against, or what it says was not the machine's doing. Each time the bench
// has an empty folder for its reports.
func (b *bench) undisturbed(play func() (against string)) {
	b.t.Helper()
	for n := 1; ; n++ {
		against := play()
		if against == "" {
			return
		}
		where := disturbed(b.reports())
		if where == "" || n == plays {
			b.t.Fatal(against)
		}
		b.t.Logf("%s\nplayed once more: the machine stood still in %s", against, where)
		if err := os.Rename(b.reports(), fmt.Sprintf("%s.%d", b.reports(), n)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// first gives a command the processor before others, where we may: a run on a machine that is busy with other things
// for minutes is never on time. The process that is started becomes the command.
func first(command string, args []string) (string, []string) {
	nice, err := exec.LookPath("nice")
	if err != nil || os.Geteuid() != 0 {
		return command, args
	}
	return nice, append([]string{"-n", "-15", command}, args...)
}

// play is one attempt at a script: it fails without failing the test.
type play struct {
	*testing.T
	failed  bool
	skipped string
	said    strings.Builder
}

func (*play) Parallel()     {}
func (*play) Verbose() bool { return testing.Verbose() }

func (p *play) Run(_ string, f func(testscript.T)) {
	ended := make(chan struct{})
	go func() { // FailNow ends it
		defer close(ended)
		f(p)
	}()
	<-ended
}

func (p *play) Log(args ...any) { fmt.Fprintln(&p.said, args...) }

func (p *play) FailNow() {
	p.failed = true
	runtime.Goexit()
}

func (p *play) Fatal(args ...any) {
	p.Log(args...)
	p.FailNow()
}

func (p *play) Skip(args ...any) {
	p.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

// scripts plays each script of a folder, one after another: each measures time, and its load would be another's noise.
// One that failed while the machine stood still is played again.
func scripts(t *testing.T, dir string, set testscript.Params) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			for n := 1; ; n++ {
				p, work := &play{T: t}, t.TempDir()
				set.Files, set.WorkdirRoot = []string{file}, work
				testscript.RunT(p, set)
				where := disturbed(work)
				switch {
				case p.skipped != "":
					t.Skip(p.skipped)
				case !p.failed:
					t.Log(p.said.String())
					return
				case where == "" || n == plays:
					t.Fatal(p.said.String())
				}
				t.Logf("%s\nplayed once more: the machine stood still in %s", &p.said, where)
			}
		})
	}
}
