package docker

import (
	"context"
	"testing"

	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

// volumeOf is the volume of a node's container.
func volumeOf(t *testing.T, s *System, node string) string {
	t.Helper()
	c, err := s.inspected(t.Context(), node)
	if err != nil || len(c.Mounts) != 1 || c.Mounts[0].Name == "" {
		t.Fatalf("node %s: mounts %+v, %v; want one volume", node, c.Mounts, err)
	}
	return c.Mounts[0].Name
}

// A replaced node has the volume that it had, and has it again when it is put back; the volume goes with the target, also with one
// that is removed while a node is replaced.
func TestAReplacedNodeKeepsItsVolume(t *testing.T) {
	needDocker(t)
	top := targettest.Small(t).Topology
	for i := range top.Nodes {
		if top.Nodes[i].Name == "redis" {
			top.Nodes[i].Volumes = []string{"/data"}
		}
	}
	s := start(t, top, target.Options{Variant: "polite"})
	volume := volumeOf(t, s, "redis")
	limits, err := s.Limits(t.Context(), "redis")
	if err != nil {
		t.Fatal(err)
	}
	replace := func() {
		t.Helper()
		if err := s.Replace(t.Context(), "redis", target.Change{Env: map[string]string{"X": "y"}}, "test"); err != nil {
			t.Fatal(err)
		}
		if now := volumeOf(t, s, "redis"); now != volume {
			t.Errorf("replaced, it has volume %s, and had %s", now, volume)
		}
	}
	replace()
	if now, err := s.Limits(t.Context(), "redis"); err != nil || now != limits {
		t.Errorf("replaced, it has %+v, %v, and had %+v", now, err, limits)
	}
	if err := s.Restore(t.Context(), "redis"); err != nil {
		t.Fatal(err)
	}
	if now := volumeOf(t, s, "redis"); now != volume {
		t.Errorf("put back, it has volume %s, and had %s", now, volume)
	}
	if err := s.StartNode(t.Context(), "redis"); err != nil {
		t.Fatal(err)
	}
	replace()
	look := needDocker(t)
	if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	if v, err := look.cli.VolumeInspect(t.Context(), volume); err == nil {
		t.Errorf("the target is gone and its volume is there: %+v", v)
	}
}
