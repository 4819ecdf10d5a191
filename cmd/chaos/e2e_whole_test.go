//go:build whole

package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"chaos/internal/spec"
)

// TestShopExperiments runs the experiments on the whole payment system, in profile quick, on both runtimes: each
// variant of each comes out as expected. It takes half an hour; -run TestShopExperiments/process/broker-outage takes one.
func TestShopExperiments(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(root, "experiments", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "chaos")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	for _, runtime := range []string{"process", "docker"} {
		for _, path := range paths {
			e, err := spec.LoadExperiment(path, "standard") // which each has
			if err != nil {
				t.Fatal(err)
			}
			if e.Target.Name != "shop" || len(e.Only) > 0 {
				continue // silent-drop-orders needs its full minutes
			}
			for _, v := range e.Variants {
				t.Run(runtime+"/"+e.Name.Name+"/"+v.Name, func(t *testing.T) {
					b := &bench{t: t, binary: binary, dir: t.TempDir(), root: root}
					b.undisturbed(func() string {
						p := b.startOn(runtime, "run", "--profile", "quick", "--variant", v.Name, "--runtime", runtime, "--reports", b.reports(), path)
						if code := b.exit(p, 10*time.Minute); code != 0 {
							return p.stdout.String()
						}
						return ""
					})
				})
			}
		}
	}
}
