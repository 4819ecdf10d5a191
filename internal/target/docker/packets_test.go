package docker

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/journal"
	"chaos/internal/packet"
	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

// begin makes a visitor that never starts, as a process does that dies in the middle.
func begin(t *testing.T, s *System, d *daemon, labels map[string]string, id string) {
	t.Helper()
	b, err := s.visitor(t.Context(), "redis", packet.Request{Op: packet.OpLook, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(b.labels, labels)
	delete(b.labels, LabelKeep)
	name := b.name
	if _, err := d.cli.ContainerCreate(t.Context(), b.config(), &b.host, nil, nil, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cli.ContainerRemove(context.WithoutCancel(t.Context()), name, container.RemoveOptions{Force: true})
	})
}

// A change that a dead process had begun can't come true after the undo: its container is removed first. And
// sweeping removes such containers, also of a target that is kept.
func TestWhatADeadProcessBeganInANamespace(t *testing.T) {
	d := needDocker(t)
	s := start(t, targettest.Small(t).Topology, target.Options{Variant: "polite", Keep: true})
	labels := func() map[string]string {
		l, err := s.labels(s.run)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	visitors := func() int {
		found, err := d.containers(t.Context(), labelVisit)
		if err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(found, func(c container.Summary) bool { return c.Labels[LabelSuite] != s.suite }))
	}
	begin(t, s, d, labels(), "a#0")
	begin(t, s, d, labels(), "b#0")
	if images, _ := s.Facts(t.Context()); len(images) != len(s.builtins)+len(s.topology.Nodes) || images[""] != "" {
		t.Errorf("a visitor counts as a node: %v", images)
	}
	if err := s.ClearLoss(t.Context(), "redis", "a#0"); err != nil || visitors() != 1 {
		t.Errorf("cleared a#0: %v, %d visitors, want that of b#0", err, visitors())
	}
	if err := s.SetLoss(t.Context(), "redis", "b#0", target.Loss{Share: 0.5, In: true}); err != nil || visitors() != 0 {
		t.Errorf("set b#0: %v, %d visitors", err, visitors())
	}
	gone := labels()
	owner := s.owner
	owner.PID = 1 << 30
	raw, err := json.Marshal(owner)
	if err != nil {
		t.Fatal(err)
	}
	gone[LabelOwner] = string(raw)
	begin(t, s, d, gone, "a#0")
	alive := func(o journal.Owner) bool { return o.PID != owner.PID } // other tests' things are theirs
	if removed, err := Sweep(t.Context(), owner, alive); err != nil || visitors() != 0 || len(removed) != 1 {
		t.Errorf("swept %v, %v; %d visitors", removed, err, visitors())
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("the target is kept: %v", err)
	}
}

// What stands beside a node may do nothing and sees nothing, and what goes into its network namespace may
// administer that and nothing else.
func TestBesideIsHardened(t *testing.T) {
	s := &System{suite: "x", topology: targettest.Small(t).Topology, images: map[string]string{proxyImage: "image"}}
	b, err := s.visitor(t.Context(), "redis", packet.Request{Op: packet.OpLook})
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]struct {
		network container.NetworkMode
		added   []string
		join    func()
	}{
		"alone": {"none", nil, func() {}},
		"in a network namespace": {"container:x", []string{"NET_ADMIN"}, func() {
			inNetwork(&b, container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: "x"}})
		}},
	} {
		b, err = s.visitor(t.Context(), "redis", packet.Request{Op: packet.OpLook})
		if err != nil {
			t.Fatal(err)
		}
		want.join()
		c, h := b.config(), b.host
		if !slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Equal(h.CapAdd, want.added) || h.Privileged {
			t.Errorf("%s: capabilities -%v +%v, privileged %v", what, h.CapDrop, h.CapAdd, h.Privileged)
		}
		if !slices.Contains(h.SecurityOpt, "no-new-privileges") || !h.ReadonlyRootfs || h.Memory <= 0 || *h.PidsLimit <= 0 {
			t.Errorf("%s: %+v", what, h)
		}
		if len(h.Binds)+len(h.Mounts)+len(h.Devices)+len(c.Volumes) > 0 || h.PidMode != "" || h.IpcMode != "" || h.NetworkMode != want.network {
			t.Errorf("%s: it sees more: %+v", what, h)
		}
	}
}

// Where the proxy's image is there, the probe tells what the kernel lacks by its name; where it is not, it says
// so, and builds nothing.
func TestProbe(t *testing.T) {
	d := needDocker(t)
	top := targettest.Small(t).Topology
	if _, err := New(Config{}).Ensure(t.Context(), top, nil); err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{}).Probe(t.Context(), top)
	if err != nil || p.Untried != "" || p.Lacks[target.VerbLoss]+p.Lacks[target.VerbNames]+p.Lacks[target.VerbSlow] != "" {
		t.Errorf("%+v, %v", p, err)
	}
	if lacks := p.Lacks[target.VerbDelay]; lacks != "" && !strings.Contains(lacks, "the kernel has no sch_netem") {
		t.Errorf("delay: %q", lacks)
	}
	top.Image[proxyImage] = target.Image{Pull: "chaos.invalid/none@sha256:" + strings.Repeat("0", 64)}
	if p, err := New(Config{}).Probe(t.Context(), top); err != nil || !strings.Contains(p.Untried, "is not built") {
		t.Errorf("without an image: %+v, %v", p, err)
	}
	found, err := d.list(t.Context())
	if err != nil || slices.ContainsFunc(found, func(f target.Found) bool { return f.Owner.PID == os.Getpid() }) {
		t.Errorf("left: %v, %v", found, err)
	}
}
