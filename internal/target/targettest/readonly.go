package targettest

import (
	"testing"

	"chaos/internal/target"
)

// protector is a system that can make a node's folder read-only.
type protector interface {
	target.System
	target.Signaller
	target.Protector
}

func (h *harness) protector(t *testing.T, s target.System) (able protector, node target.NodeSpec) {
	t.Helper()
	able, ok := s.(protector)
	if !ok {
		t.Skip("this runtime has no disk.read_only and node.signal")
	}
	for _, n := range h.Topology.Nodes {
		if len(n.Volumes) > 0 && len(n.Tmpfs) > 0 {
			return able, n
		}
	}
	t.Fatal("the subject has no node with a volume and a tmpfs")
	return able, node
}

// sealed makes a folder read-only, and checks that it is, that nobody else can, and who may make it writable.
func (h *harness) sealed(t *testing.T, s protector, node, folder string) {
	t.Helper()
	if err := s.ProtectDisk(t.Context(), node, diskFault, folder); err != nil {
		t.Fatal(err)
	}
	if err := s.ProtectDisk(t.Context(), node, "disk.other#0", folder); err == nil {
		t.Errorf("%s of %s was made read-only twice", folder, node)
	}
	if err := s.UnprotectDisk(t.Context(), node, "disk.other#0", folder); err != nil {
		t.Errorf("making writable what another made read-only: %v", err)
	}
	p, err := s.Protection(t.Context(), node, folder)
	if err != nil || p.ID != diskFault || p.Missed != "" || p.Attempt != "read-only file system" {
		t.Errorf("%s of %s: %+v, %v", folder, node, p, err)
	}
}

// unsealed makes a folder writable, twice, and checks that it is.
func (h *harness) unsealed(t *testing.T, s protector, node, folder string) {
	t.Helper()
	for range 2 {
		if err := s.UnprotectDisk(t.Context(), node, diskFault, folder); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := s.Protection(t.Context(), node, folder); err != nil || p.ID != "" || p.Attempt != "" {
		t.Errorf("writable, %s of %s: %+v, %v", folder, node, p, err)
	}
}

func (h *harness) readOnly(t *testing.T) {
	s, n := h.protector(t, h.system)
	for _, folder := range n.Folders() {
		before := h.snapshot(t, s)
		h.sealed(t, s, n.Name, folder)
		during := h.snapshot(t, s)
		if place := "node:" + n.Name + " beside"; during[place] == before[place] {
			t.Errorf("the snapshot says %q of it", during[place])
		}
		if place := "node:" + n.Name + " mounts"; during[place] == before[place] {
			t.Errorf("the snapshot says %q of its mounts", during[place])
		}
		other, _ := h.protector(t, h.handleIn(t))
		h.unsealed(t, other, n.Name, folder)
		after := h.snapshot(t, s)
		for _, place := range []string{"node:" + n.Name + " beside", "node:" + n.Name + " mounts"} {
			if after[place] != before[place] {
				t.Errorf("writable, and the snapshot says %q", after[place])
			}
		}
	}
	if err := s.ProtectDisk(t.Context(), n.Name, diskFault, "/no/such/folder"); err == nil {
		t.Error("a folder was made read-only that the node does not have")
	}
}

// readOnlyEnds: the node's process takes it along; it can be undone before and after another start.
func (h *harness) readOnlyEnds(t *testing.T) {
	s, n := h.protector(t, h.system)
	for i, folder := range n.Folders() {
		h.sealed(t, s, n.Name, folder)
		if err := s.Signal(t.Context(), n.Name, "KILL"); err != nil {
			t.Fatal(err)
		}
		h.waitNodeDown(t, s, n.Name)
		if p, err := s.Protection(t.Context(), n.Name, folder); err != nil || p.ID != diskFault || p.Missed == "" {
			t.Errorf("%s of a node that has ended: %+v, %v", folder, p, err)
		}
		if i == 0 {
			if err := s.UnprotectDisk(t.Context(), n.Name, diskFault, folder); err != nil {
				t.Error(err)
			}
		}
		if err := s.StartNode(t.Context(), n.Name); err != nil {
			t.Fatal(err)
		}
		if err := s.NodeReady(t.Context(), n.Name); err != nil {
			t.Fatal(err)
		}
		if p, err := s.Protection(t.Context(), n.Name, folder); err != nil || p.Attempt != "" || (p.ID == "") != (i == 0) {
			t.Errorf("%s of a node that was started anew: %+v, %v", folder, p, err)
		}
		h.unsealed(t, s, n.Name, folder)
	}
}
