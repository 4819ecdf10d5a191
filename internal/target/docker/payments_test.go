package docker

import (
	"context"
	"strings"
	"testing"
	"time"

	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

// The budgets of issue "first light", with images present.
const (
	upBudget    = 10 * time.Second
	resetBudget = 3 * time.Second
	downBudget  = 3 * time.Second
)

// TestPayments brings the payment system up as experiments do. Its times are printed beside the budgets; only what
// takes so much longer that it hangs is a failure.
func TestPayments(t *testing.T) {
	needDocker(t)
	top := targettest.Load(t, paymentsTarget)
	began := time.Now()
	if _, err := New(Config{}).Ensure(t.Context(), top, func(line string) { t.Log(line) }); err != nil {
		t.Fatal(err)
	}
	t.Logf("images: %v", time.Since(began).Round(time.Millisecond))

	began = time.Now()
	system, err := newRuntime().Start(t.Context(), top, target.Options{Variant: "resilient"})
	if err != nil {
		t.Fatal(err)
	}
	within(t, "up", began, upBudget)
	s := system.(*System)
	t.Cleanup(func() {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), closeWithin)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		within(t, "down", began, downBudget)
	})
	for _, variant := range []string{"naive", "naive-queue", "resilient"} {
		began = time.Now()
		if err := s.Reset(t.Context(), variant, "0123456789ab"); err != nil {
			t.Fatal(err)
		}
		within(t, "reset to "+variant, began, resetBudget)
	}
	for name, q := range top.Audit {
		if out, err := s.Call(t.Context(), target.Call{Query: q, Run: "0123456789ab"}); err != nil || !strings.Contains(string(out), `"end"`) {
			t.Errorf("audit %s: %s, %v", name, out, err)
		}
	}
	for _, q := range top.Settled {
		if out, err := s.Call(t.Context(), target.Call{Query: q, Run: "0123456789ab"}); err != nil || !strings.Contains(string(out), q.Field) {
			t.Errorf("settled: %s, %v", out, err)
		}
	}
	b := top.Behaviours["psp"]
	before, err := s.Call(t.Context(), target.Call{Query: b.Read})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Call(t.Context(), target.Call{Query: b.Write, Body: before}); err != nil {
		t.Errorf("write back the behaviour: %v", err)
	}
	checkKillKeepsData(t, s)
}

func within(t *testing.T, what string, began time.Time, budget time.Duration) {
	t.Helper()
	took := time.Since(began).Round(time.Millisecond)
	t.Logf("%s: %v (budget %v)", what, took, budget)
	if took > budget+2*time.Minute {
		t.Errorf("%s took %v, budget %v", what, took, budget)
	}
}

// checkKillKeepsData kills PostgreSQL and starts it again: it answers, and it still has what it had.
func checkKillKeepsData(t *testing.T, s *System) {
	t.Helper()
	sql := func(q string) string {
		res, err := s.d.exec(t.Context(), s.container("postgres"), stepWithin,
			[]string{"/usr/lib/postgresql/15/bin/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-U", "payments", "-d", "payments", "-c", q}, nil)
		if err != nil || res.Code != 0 {
			t.Fatalf("%s: %+v, %v", q, res, err)
		}
		return strings.TrimSpace(res.Stdout)
	}
	sql("CREATE TABLE survives AS SELECT 42 AS answer")
	spec, _ := s.topology.Node("postgres")
	began := time.Now()
	if err := s.Signal(t.Context(), "postgres", "KILL"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		st, err := s.State(t.Context(), "postgres")
		if err != nil {
			t.Fatal(err)
		}
		if !st.Running {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL outlived a kill")
		}
	}
	if err := s.StartNode(t.Context(), "postgres"); err != nil {
		t.Fatal(err)
	}
	if err := s.NodeReady(t.Context(), "postgres"); err != nil {
		t.Fatal(err)
	}
	within(t, "PostgreSQL back after a kill", began, spec.HealWithin)
	if got := sql("SELECT answer FROM survives"); got != "42" {
		t.Errorf("after a kill the table says %q", got)
	}
}
