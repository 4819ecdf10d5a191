package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chaos/internal/target"
)

// What this machine can't do is told by name, before anything is planned; without a program nothing is tried.
func TestLacking(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "chaos")
	for _, c := range []struct{ script, lacks string }{
		{"echo '{\"traced\":1}'", ""},
		{"echo '{\"error\":\"trace process 7: operation not permitted\"}'; exit 70", "trace process 7: operation not permitted"},
		{"exit 3", "exit status 3"},
	} {
		if err := os.WriteFile(binary, []byte("#!/bin/sh\n[ \"$1 $2\" = 'slowdisk try' ] || exit 9\n"+c.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		able, err := New(Config{Binary: binary}).Capabilities(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = able.Need("disk.slow", target.VerbSlow)
		if c.lacks == "" && err != nil || c.lacks != "" && (err == nil || !strings.HasSuffix(err.Error(), "but not on this machine: "+c.lacks)) {
			t.Errorf("%s: %v", c.script, err)
		}
	}
	able, err := New(Config{}).Capabilities(t.Context())
	if err == nil {
		err = able.Need("disk.slow", target.VerbSlow)
	}
	if err != nil {
		t.Errorf("without a program: %v", err)
	}
}
