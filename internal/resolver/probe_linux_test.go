package resolver

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is missing for redirecting questions is an answer and no failure. The thread gives up its rights, so that
// something is missing everywhere, and is never given back.
func TestProbeTellsWhatIsMissing(t *testing.T) {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	var a Answer
	code := Main(t.Context(), []string{"probe"}, &out, &errs)
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatalf("%v: %q, %q", err, out.String(), errs.String())
	}
	if code != exitOK || a.Error != "" || !strings.Contains(a.Lacks, "the kernel needs nf_tables with nat") {
		t.Errorf("code %d, %+v", code, a)
	}
}
