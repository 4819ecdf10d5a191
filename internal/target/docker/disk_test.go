package docker

import (
	"strings"
	"testing"
	"time"

	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

// Volumes in memory outlive a restart of their node, and what one that was killed took of them is given back by
// another.
func TestVolumesInMemoryAreKept(t *testing.T) {
	d := needDocker(t)
	s := start(t, targettest.Small(t).Topology, target.Options{Variant: "polite"})
	const node, folder = "redis", "/var/lib/redis"
	if err := s.FillDisk(t.Context(), node, "f#0", folder, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.kill(t.Context(), s.container(s.diskOf(node)), "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	if err := d.remove(t.Context(), s.container(s.diskOf(node))); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(t.Context(), node, "KILL"); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		st, err := s.State(t.Context(), node)
		if err != nil {
			t.Fatal(err)
		}
		if !st.Running {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("it does not end")
		}
	}
	if err := s.StartNode(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Disk(t.Context(), node, folder); err != nil || st.ID == "" || st.Missed == "" || st.Taken == 0 || st.Free != 0 {
		t.Errorf("after a restart, with nobody left who filled it: %+v, %v", st, err)
	}
	if err := s.FreeDisk(t.Context(), node, "f#0", folder); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Disk(t.Context(), node, folder); err != nil || st.ID != "" || st.Taken != 0 || st.Free != st.Size {
		t.Errorf("given back: %+v, %v", st, err)
	}
}

// A container that was killed leaves its mount; the snapshot tells of it, and another container takes it away.
func TestReadOnlyLeft(t *testing.T) {
	d := needDocker(t)
	s := start(t, targettest.Small(t).Topology, target.Options{Variant: "polite"})
	const node = "redis"
	for _, folder := range []string{"/var/lib/redis", "/tmp"} { // redis works in /tmp
		if err := s.ProtectDisk(t.Context(), node, "f#0", folder); err != nil {
			t.Fatal(err)
		}
		save := []string{"redis-cli", "SAVE"}
		if out, err := s.d.exec(t.Context(), s.container(node), 20*time.Second, save, nil); err != nil || (folder == "/tmp") != strings.Contains(out.Stdout, "ERR") {
			t.Errorf("%s is read-only, and redis says %+v, %v", folder, out, err)
		}
		if err := d.kill(t.Context(), s.container(s.diskOf(node)), "SIGKILL"); err != nil {
			t.Fatal(err)
		}
		if err := d.remove(t.Context(), s.container(s.diskOf(node))); err != nil {
			t.Fatal(err)
		}
		if p, err := s.Protection(t.Context(), node, folder); err != nil || p.ID == "" || p.Missed == "" || p.Attempt == "" {
			t.Errorf("with nobody left who made %s read-only: %+v, %v", folder, p, err)
		}
		if seen, err := s.Snapshot(t.Context()); err != nil || seen["node:redis mounts"] != folder+" is read-only" {
			t.Errorf("the snapshot says %q of it, %v", seen["node:redis mounts"], err)
		}
		if err := s.UnprotectDisk(t.Context(), node, "f#0", folder); err != nil {
			t.Fatal(err)
		}
		if p, err := s.Protection(t.Context(), node, folder); err != nil || p.ID != "" || p.Attempt != "" {
			t.Errorf("writable: %+v, %v", p, err)
		}
		if out, err := s.d.exec(t.Context(), s.container(node), 20*time.Second, save, nil); err != nil || !strings.Contains(out.Stdout, "OK") {
			t.Errorf("%s is writable, and redis says %+v, %v", folder, out, err)
		}
	}
}
