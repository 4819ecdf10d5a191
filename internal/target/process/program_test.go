package process

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

func TestSearchTakesTheHighestVersion(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"9", "15", "7.4"} {
		bin := filepath.Join(dir, version, "bin")
		if err := os.MkdirAll(bin, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, "server-x"), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "16", "bin", "server-x"), 0o700); err != nil { // a folder is no program
		t.Fatal(err)
	}
	if got := search("server-x", []string{filepath.Join(dir, "none"), filepath.Join(dir, "*", "bin")}); got != filepath.Join(dir, "15", "bin", "server-x") {
		t.Errorf("found %s", got)
	}
	if got := search("server-x", nil); got != "" {
		t.Errorf("found %s in PATH", got)
	}
	if got := search("sh", nil); !filepath.IsAbs(got) {
		t.Errorf("sh is at %q", got)
	}
}

func TestWhatIsMissingIsNamedAtOnce(t *testing.T) {
	top := targettest.Small(t).Topology
	top.Image["redis"].Local.Program = "no-such-redis"
	top.Image["db"] = target.Image{Local: &target.Local{Program: "no-such-db", Folders: []string{"/opt/db/*/bin"}, Install: "brew install db"}}
	top.Image["only"] = target.Image{Build: &target.Build{Debian: &target.DebianRecipe{}}}
	for _, image := range []string{"db", "only"} {
		top.Nodes = append(top.Nodes, target.NodeSpec{Name: image, Image: image})
	}
	dir := scratch(t)
	_, err := New(Config{Scratch: dir}).Start(t.Context(), top, target.Options{})
	if err == nil {
		t.Fatal("it was started")
	}
	for _, want := range []string{
		"image redis: no-such-redis was not found in PATH: apt-get install redis-server; or let miniredis stand in with --allow-substitutes",
		"image db: no-such-db was not found in PATH and /opt/db/*/bin: brew install db",
		"image only can only be had as a container",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("something was made: %v, %v", left, err)
	}
	if missing := New(Config{AllowSubstitutes: true}).Missing(top); slices.ContainsFunc(missing, func(m string) bool { return strings.Contains(m, "redis") }) || len(missing) != 2 {
		t.Errorf("missing with stand-ins: %v", missing)
	}
}

func TestAFolderOfSomebodyElsesIsRefused(t *testing.T) {
	dir := scratch(t)
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	if err := New(Config{Scratch: link}).base(); err == nil || !strings.Contains(err.Error(), "not a folder of this user's own") {
		t.Errorf("a link was taken for the folder of targets: %v", err)
	}
}

func TestPortsAreBelowThoseOfOutgoingConnections(t *testing.T) {
	s := New(Config{Scratch: scratch(t)}).system(targettest.Small(t).Topology)
	ports, err := s.allot()
	if err != nil || len(ports) != 5 { // redis, app, the proxy's API, the collector, one link
		t.Fatalf("%v, %v", ports, err)
	}
	seen := map[int]bool{}
	for key, port := range ports {
		if port < firstPort || port >= lastPort || seen[port] {
			t.Errorf("%s has port %d", key, port)
		}
		seen[port] = true
	}
}
