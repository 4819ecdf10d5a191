package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"chaos/internal/journal"
	"chaos/internal/spec"
	"chaos/internal/target"
	"chaos/internal/target/docker"
	"chaos/internal/verdict"
)

// corruption is one lie told to one witness while the run goes on, and the only check that may fail.
type corruption struct {
	name  string
	check string
	tell  func(b *bench, p *process, run string) error
}

var corruptions = []corruption{
	{"delete a payment", "no_lost_payment", func(b *bench, p *process, run string) error {
		return b.sql(p, `WITH gone AS (SELECT id FROM payments WHERE client_key LIKE '`+run+`%' AND state = 'CAPTURED' LIMIT 1),
			a AS (DELETE FROM ledger_entries WHERE payment_id IN (SELECT id FROM gone)),
			b AS (DELETE FROM idempotency_keys WHERE resource_id IN (SELECT id FROM gone))
			SELECT 1; CREATE TEMP TABLE gone AS SELECT id FROM payments p WHERE client_key LIKE '`+run+`%' AND state = 'CAPTURED'
			AND NOT EXISTS (SELECT 1 FROM ledger_entries l WHERE l.payment_id = p.id);
			DELETE FROM payments WHERE id IN (SELECT id FROM gone)`)
	}},
	{"add a charge", "no_double_charge", func(b *bench, p *process, run string) error {
		return b.charge(p, run)
	}},
	{"delete a ledger row", "ledger_balanced", func(b *bench, p *process, run string) error {
		return b.sql(p, `DELETE FROM ledger_entries WHERE id = (SELECT min(l.id) FROM ledger_entries l
			JOIN payments p ON p.id = l.payment_id WHERE p.client_key LIKE '`+run+`%')`)
	}},
}

// TestLiveCorruption corrupts one witness of a live system in each of three runs, and leaves a fourth
// alone: each lie trips exactly its invariant. The fourth is also judged again, with the same verdict.
func TestLiveCorruption(t *testing.T) {
	b := newBench(t)
	text, err := os.ReadFile("testdata/e2e/outage.yaml")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--reports", b.reports()}
	for i := range len(corruptions) + 1 {
		path := filepath.Join(b.dir, fmt.Sprintf("lie-%d.yaml", i))
		changed := strings.Replace(string(text), "name: outage", fmt.Sprintf("name: lie-%d", i), 1)
		changed = strings.Replace(changed, "target: payments", "target: "+filepath.Join(b.root, "targets/payments/target.yaml"), 1)
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	honest := len(corruptions)
	b.undisturbed(func() string {
		p := b.start(args...)
		for i, lie := range corruptions {
			if !b.waitForPhase(p, i, "recovery") {
				return fmt.Sprintf("ended before phase recovery of lie-%d:\n%s%s", i, p.said(), p.stdout.String())
			}
			if err := lie.tell(b, p, b.runID(i)); err != nil {
				t.Fatalf("%s: %v", lie.name, err)
			}
		}
		if code := b.exit(p, 10*time.Minute); code != verdict.ExitUnmet {
			return fmt.Sprintf("exit %d, want 1:\n%s", code, p.stdout.String())
		}
		for i, lie := range corruptions {
			if failed := b.failed(i); !slices.Equal(failed, []string{lie.check}) {
				return fmt.Sprintf("%s: failed %v, want exactly %s\n%s", lie.name, failed, lie.check, p.stdout.String())
			}
		}
		if v := b.verdict(honest); v.Status != verdict.PASS {
			return fmt.Sprintf("without a lie: %v %v", v.Status, v.Why)
		}
		return ""
	})
	judged := b.start("judge", b.folder(honest))
	if code := b.exit(judged, 2*time.Minute); code != 0 || !strings.Contains(judged.said(), "same verdict as stored") {
		t.Errorf("judged again: exit %d\n%s", code, judged.said())
	}
	for _, file := range []string{"report.html", "report.md", "report.json", "junit.xml", "postmortem.md", verdictFileName, "experiment.yaml"} {
		if st, err := os.Stat(filepath.Join(b.folder(honest), file)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

const verdictFileName = "verdict.json"

func (b *bench) folder(i int) string {
	b.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(b.reports(), fmt.Sprintf("*-lie-%d-*", i)))
	if err != nil || len(dirs) != 1 {
		b.t.Fatalf("folders of lie-%d: %v, %v", i, dirs, err)
	}
	return dirs[0]
}

func (b *bench) runID(i int) string {
	b.t.Helper()
	info, err := journal.ReadInfo(filepath.Join(b.folder(i), "resilient"))
	if err != nil {
		b.t.Fatal(err)
	}
	return info.ID
}

func (b *bench) verdict(i int) verdict.Verdict {
	b.t.Helper()
	raw, err := os.ReadFile(filepath.Join(b.folder(i), verdictFileName))
	if err != nil {
		b.t.Fatal(err)
	}
	var all []verdict.Verdict
	if err := json.Unmarshal(raw, &all); err != nil || len(all) != 1 {
		b.t.Fatalf("%s: %v", raw, err)
	}
	return all[0]
}

func (b *bench) failed(i int) []string {
	var names []string
	for _, f := range b.verdict(i).Findings {
		if f.Outcome == verdict.Fail {
			names = append(names, f.Check)
		}
	}
	return names
}

// waitForPhase waits for a phase of the i-th run. False: all is over without.
func (b *bench) waitForPhase(p *process, i int, phase string) bool {
	b.t.Helper()
	line := regexp.MustCompile(fmt.Sprintf(`lie-%d / resilient .* phase %s`, i, phase))
	for limit := time.Now().Add(10 * time.Minute); time.Now().Before(limit); {
		if line.MatchString(p.said()) {
			return true
		}
		select {
		case <-p.ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	b.t.Fatalf("phase %s of lie-%d did not come:\n%s", phase, i, p.said())
	return false
}

// node is the container of a node of the target that p runs.
func (b *bench) node(p *process, name string) (string, error) {
	for _, f := range b.left(p) {
		if f.Kind == "container" && f.Node == name {
			return f.ID, nil
		}
	}
	return "", fmt.Errorf("process %d has no node %s", p.Process.Pid, name)
}

// sql runs statements as the database's owner, past every service.
func (b *bench) sql(p *process, statements string) error {
	id, err := b.node(p, "postgres")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := b.api.ContainerExecCreate(ctx, id, container.ExecOptions{AttachStdout: true, AttachStderr: true,
		Cmd: []string{"/usr/lib/postgresql/15/bin/psql", "-U", "postgres", "-d", "payments", "-v", "ON_ERROR_STOP=1", "-c", statements}})
	if err != nil {
		return err
	}
	io, err := b.api.ContainerExecAttach(ctx, e.ID, container.ExecAttachOptions{})
	if err != nil {
		return err
	}
	defer io.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, io.Reader); err != nil {
		return err
	}
	done, err := b.api.ContainerExecInspect(ctx, e.ID)
	if err == nil && done.ExitCode != 0 {
		err = fmt.Errorf("psql: %s", out.String())
	}
	return err
}

// charge makes the processor settle a second charge for one captured payment of the run.
func (b *bench) charge(_ *process, run string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	path := filepath.Join(b.root, "targets/payments/target.yaml")
	t, err := spec.LoadTarget(path)
	if err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(b.reports(), "*", "resilient", journal.FileRun))
	if err != nil {
		return err
	}
	for _, file := range dirs {
		info, err := journal.ReadInfo(filepath.Dir(file))
		if err != nil || info.ID != run {
			continue
		}
		sys, err := docker.New(docker.Config{Binary: b.binary}).Attach(ctx, t, info.Handle)
		if err != nil {
			return err
		}
		dump, err := sys.Call(ctx, target.Call{Query: t.Audit["payments"], Run: run})
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(dump)) {
			var r journal.AuditRecord
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.Type != "payment" || r.State != "CAPTURED" {
				continue
			}
			body, err := json.Marshal(map[string]any{"order_key": r.Key, "reference": r.ID, "amount_minor": r.Amount, "currency": r.Currency})
			if err != nil {
				return err
			}
			q := t.Behaviours["psp"].Write
			q.Method, q.Path = "POST", "/admin/charge"
			_, err = sys.Call(ctx, target.Call{Query: q, Body: body})
			return err
		}
	}
	return fmt.Errorf("run %s has no captured payment", run)
}
