package targettest

import (
	"slices"
	"testing"

	"chaos/internal/target"
)

// filler is a system that can fill a node's folder.
type filler interface {
	target.System
	target.Signaller
	target.Filler
}

func (h *harness) filler(t *testing.T, s target.System) (able filler, node target.NodeSpec) {
	t.Helper()
	able, ok := s.(filler)
	if !ok {
		t.Skip("this runtime has no disk.fill and node.signal")
	}
	for _, n := range h.Topology.Nodes {
		if len(n.Volumes) > 0 && n.VolumeSize != "" {
			return able, n
		}
	}
	t.Fatal("the subject has no node with a volume_size")
	return able, node
}

// fault is the id of what these cases do, and leave what they leave free.
const (
	diskFault = "disk.test#0"
	leave     = 256 << 10
)

// full fills a folder, and checks that it is, that nobody else can, and who may give it back.
func (h *harness) full(t *testing.T, s filler, node, folder string) {
	t.Helper()
	if err := s.FillDisk(t.Context(), node, diskFault, folder, leave); err != nil {
		t.Fatal(err)
	}
	if err := s.FillDisk(t.Context(), node, "disk.other#0", folder, 0); err == nil {
		t.Errorf("%s of %s was filled twice", folder, node)
	}
	if err := s.FreeDisk(t.Context(), node, "disk.other#0", folder); err != nil {
		t.Errorf("giving back what never was taken: %v", err)
	}
	d, err := s.Disk(t.Context(), node, folder)
	if err != nil || d.ID != diskFault || d.Missed != "" || d.Free > leave || d.Taken == 0 || d.Size <= d.Taken {
		t.Errorf("%s of %s: %+v, %v", folder, node, d, err)
	}
}

// freed gives a folder back, twice, and checks that it is as before.
func (h *harness) freed(t *testing.T, s filler, node, folder string) {
	t.Helper()
	for range 2 {
		if err := s.FreeDisk(t.Context(), node, diskFault, folder); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := s.Disk(t.Context(), node, folder); err != nil || d.ID != "" || d.Taken != 0 || d.Free <= leave {
		t.Errorf("given back, %s of %s: %+v, %v", folder, node, d, err)
	}
}

func (h *harness) disk(t *testing.T) {
	s, n := h.filler(t, h.system)
	folders := n.Bounded()
	if len(folders) < 2 || !slices.Contains(folders, n.Volumes[0]) {
		t.Fatalf("want a volume and a tmpfs, have %v", folders)
	}
	for _, folder := range folders {
		before := h.snapshot(t, s)
		h.full(t, s, n.Name, folder)
		if after := h.snapshot(t, s); after["node:"+n.Name+" beside"] == before["node:"+n.Name+" beside"] {
			t.Errorf("the snapshot says %q of it", after["node:"+n.Name+" beside"])
		}
		other, _ := h.filler(t, h.handleIn(t))
		h.freed(t, other, n.Name, folder)
		if after := h.snapshot(t, s); after["node:"+n.Name+" beside"] != before["node:"+n.Name+" beside"] {
			t.Errorf("given back, and the snapshot says %q", after["node:"+n.Name+" beside"])
		}
	}
	if err := s.FillDisk(t.Context(), n.Name, diskFault, "/no/such/folder", 0); err == nil {
		t.Error("a folder was filled that the node does not have")
	}
}

// diskEnds: what is in a volume stays when the node ends, and so does what fills it; both can be undone then.
func (h *harness) diskEnds(t *testing.T) {
	s, n := h.filler(t, h.system)
	for _, folder := range n.Bounded() {
		h.full(t, s, n.Name, folder)
		if err := s.Signal(t.Context(), n.Name, "KILL"); err != nil {
			t.Fatal(err)
		}
		h.waitNodeDown(t, s, n.Name)
		d, err := s.Disk(t.Context(), n.Name, folder)
		if kept := slices.Contains(n.Volumes, folder); err != nil || d.ID != diskFault || (d.Taken > 0) != kept {
			t.Errorf("%s of a node that has ended: %+v, %v; want it to be full still: %v", folder, d, err, kept)
		}
		if err := s.FreeDisk(t.Context(), n.Name, diskFault, folder); err != nil {
			t.Error(err)
		}
		if err := s.StartNode(t.Context(), n.Name); err != nil {
			t.Fatal(err)
		}
		if err := s.NodeReady(t.Context(), n.Name); err != nil {
			t.Fatal(err)
		}
		h.freed(t, s, n.Name, folder)
	}
}
