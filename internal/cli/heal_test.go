package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chaos/internal/journal"
	"chaos/internal/spec"
	"chaos/internal/target"
)

// attached is a runtime that remembers what it was asked to attach to.
type attached struct {
	target.Runtime
	to *target.Topology
}

func (r *attached) Attach(_ context.Context, t *target.Topology, _ json.RawMessage) (target.System, error) {
	r.to = t
	return nil, nil
}

// A run is healed from any folder; a target.yaml that is gone or was changed is said, with what to do.
func TestHealFindsTheTargetFromAnyFolder(t *testing.T) {
	text, err := os.ReadFile("../../targets/payments/target.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "target.yaml")
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	topology, err := spec.LoadTarget(file)
	if err != nil {
		t.Fatal(err)
	}
	info := journal.RunInfo{ID: "0123456789ab", Handle: json.RawMessage(`{}`), Target: "elsewhere/target.yaml", TargetFile: topology.Path, TargetSum: topology.Sum}

	heal := func() (*target.Topology, string, error) {
		var said bytes.Buffer
		r := &attached{}
		_, err := (&app{Env: Env{Dir: t.TempDir(), Stderr: &said}}).attach(t.Context(), r, info)
		return r.to, said.String(), err
	}
	if to, said, err := heal(); err != nil || to == nil || to.Name != "payments" || said != "" {
		t.Errorf("from another folder: %v, %q", err, said)
	}
	write(append(text, "# changed\n"...))
	if to, said, err := heal(); err != nil || to == nil || !strings.Contains(said, "was changed since run 0123456789ab") {
		t.Errorf("changed: %v, %q", err, said)
	}
	write([]byte("nodes: 7\n"))
	if _, _, err := heal(); err == nil || !strings.Contains(err.Error(), "put it back as it was at") {
		t.Errorf("broken: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := heal(); err == nil || !strings.Contains(err.Error(), "is gone: put "+file+" back as it was at") {
		t.Errorf("gone: %v", err)
	}
}

// seeing is a custodian that sees the processes of its own pid namespace.
type seeing struct{ target.Custodian }

func (seeing) Alive(o journal.Owner) bool { return o.PIDSpace == "pid:[2]" || o.PID == 1 }

// Who can't be seen counts as alive, unless forced; who is seen alive is never taken for dead.
func TestForceTakesTheUnseenForDead(t *testing.T) {
	unseen, seen, dead := journal.Owner{PID: 7, PIDSpace: "pid:[2]"}, journal.Owner{PID: 1}, journal.Owner{PID: 7}
	for _, c := range []struct {
		owner         journal.Owner
		plain, forced bool
	}{{unseen, true, false}, {seen, true, true}, {dead, false, false}} {
		if plain, forced := lives(false)(seeing{}, c.owner), lives(true)(seeing{}, c.owner); plain != c.plain || forced != c.forced {
			t.Errorf("%+v: alive %v, forced %v", c.owner, plain, forced)
		}
	}
}
