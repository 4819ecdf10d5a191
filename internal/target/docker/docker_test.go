package docker

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"chaos/internal/journal"
	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

const paymentsTarget = "../../../targets/payments/target.yaml"

// needDocker skips, by name and with the reason, where no engine answers.
func needDocker(t *testing.T) *daemon {
	t.Helper()
	if testing.Short() {
		t.Skip("not run: -short leaves containers out")
	}
	d, err := dial(t.Context())
	if err != nil {
		t.Skipf("not run: %v", err)
	}
	t.Cleanup(func() { _ = d.cli.Close() })
	return d
}

func newRuntime() target.Runtime { return New(Config{}) }

// of is everything on the engine that belongs to a suite.
func of(d *daemon) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, suite string) ([]string, error) {
		found, err := d.list(ctx)
		var left []string
		for _, f := range found {
			if f.Suite == suite {
				left = append(left, f.String())
			}
		}
		return left, err
	}
}

func TestConformance(t *testing.T) {
	d := needDocker(t)
	subject := targettest.Small(t)
	subject.Left = of(d)
	targettest.Run(t, newRuntime, subject)
}

// start brings a target up for one test.
func start(t *testing.T, top *target.Topology, o target.Options) *System {
	t.Helper()
	s, err := newRuntime().Start(t.Context(), top, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), closeWithin)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s.(*System)
}

func TestContainersAreHardened(t *testing.T) {
	d := needDocker(t)
	s := start(t, targettest.Small(t).Topology, target.Options{Variant: "polite", Run: "r1"})
	for _, node := range []string{target.ProxyNode, "redis", "app"} {
		c, found, err := d.inspect(t.Context(), s.container(node))
		if err != nil || !found {
			t.Fatalf("%s: %v, %v", node, found, err)
		}
		checkHardened(t, node, c)
		if c.Config.Labels[LabelSuite] != s.suite || c.Config.Labels[LabelRun] != "r1" || c.Config.Labels[LabelNode] != node {
			t.Errorf("%s: labels %v", node, c.Config.Labels)
		}
		if o, err := ownerOf(c.Config.Labels); err != nil || o.PID != os.Getpid() || !target.Alive(o) {
			t.Errorf("%s: owner %+v, %v", node, o, err)
		}
	}
	if strings.Contains(string(s.Handle()), s.secrets["token"]) {
		t.Error("the handle holds a token")
	}
	if _, err := newRuntime().Start(t.Context(), targettest.Small(t).Topology, target.Options{Suite: s.suite}); err == nil {
		t.Error("a suite id was taken twice")
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("a refused start hurt the target that has the id: %v", err)
	}
}

func checkHardened(t *testing.T, node string, c container.InspectResponse) {
	t.Helper()
	h := c.HostConfig
	if !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) > 0 || h.Privileged {
		t.Errorf("%s: capabilities -%v +%v, privileged %v", node, h.CapDrop, h.CapAdd, h.Privileged)
	}
	if !slices.Contains(h.SecurityOpt, "no-new-privileges") || !h.ReadonlyRootfs {
		t.Errorf("%s: %v, read-only %v", node, h.SecurityOpt, h.ReadonlyRootfs)
	}
	if h.Memory <= 0 || h.PidsLimit == nil || *h.PidsLimit <= 0 {
		t.Errorf("%s: memory %d, pids %v", node, h.Memory, h.PidsLimit)
	}
	if uid, _, _ := strings.Cut(c.Config.User, ":"); uid == "" || uid == "0" || uid == "root" {
		t.Errorf("%s runs as %q", node, c.Config.User)
	}
	if len(h.Binds) > 0 || len(c.NetworkSettings.Networks) != 1 {
		t.Errorf("%s: binds %v, networks %v", node, h.Binds, c.NetworkSettings.Networks)
	}
	published := 0
	for port, bindings := range c.NetworkSettings.Ports {
		for _, b := range bindings {
			published++
			if b.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published on %q", node, port, b.HostIP)
			}
		}
	}
	if want := map[string]int{target.ProxyNode: 1, "app": 1}[node]; published != want {
		t.Errorf("%s publishes %d ports, want %d", node, published, want)
	}
}

func TestSweepTakesOnlyWhatTheDeadLeft(t *testing.T) {
	d := needDocker(t)
	top := targettest.Small(t).Topology
	top.Nodes = top.Nodes[:1]
	top.Edges = nil
	top.ResetSteps = nil
	lost := start(t, top, target.Options{})
	kept := start(t, top, target.Options{Keep: true})
	mine := lost.owner
	ours := func(ctx context.Context, s *System) int {
		left, err := of(d)(ctx, s.suite)
		if err != nil {
			t.Fatal(err)
		}
		return len(left)
	}
	all := ours(t.Context(), lost)
	if all < 3 || ours(t.Context(), kept) != all {
		t.Fatalf("%d and %d things: want a network and two containers at least", all, ours(t.Context(), kept))
	}
	// Only this test's process is told dead, so that other tests' things are safe; and only of it the truth is asked.
	dead := func(o journal.Owner) bool { return o.PID != mine.PID || o.PIDTime != mine.PIDTime }
	alive := func(o journal.Owner) bool { return dead(o) || target.Alive(o) }
	others := mine
	others.UID++
	elsewhere := mine
	elsewhere.Machine += "x"
	for what, owner := range map[string]journal.Owner{"another user": others, "another machine": elsewhere} {
		if removed, err := Sweep(t.Context(), owner, dead); err != nil || len(removed) > 0 {
			t.Errorf("%s swept %v, %v", what, removed, err)
		}
	}
	if removed, err := Sweep(t.Context(), mine, alive); err != nil || ours(t.Context(), lost) != all {
		t.Errorf("what the living own was swept: %v, %v; %d left of %d", removed, err, ours(t.Context(), lost), all)
	}
	removed, err := Sweep(t.Context(), mine, dead)
	if err != nil || len(removed) < all || ours(t.Context(), lost) != 0 {
		t.Errorf("swept %v, %v; left %d", removed, err, ours(t.Context(), lost))
	}
	if ours(t.Context(), kept) != all {
		t.Errorf("what is kept on purpose was swept: %d left of %d", ours(t.Context(), kept), all)
	}
	if found, err := List(t.Context()); err != nil || !slices.ContainsFunc(found, func(f target.Found) bool { return f.Suite == kept.suite && f.Keep }) {
		t.Errorf("list: %v, %v", found, err)
	}
}

func TestAnEngineThatIsNotThereIsNamed(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	wantDaemonError(t)
}

func TestAnEngineThatDoesNotAnswerIsNamedInTime(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "frozen.sock")
	ln, err := net.Listen("unix", sock) // accepts into its backlog and says nothing, like a stopped process
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	t.Setenv("DOCKER_HOST", "unix://"+sock)
	wantDaemonError(t)
}

func wantDaemonError(t *testing.T) {
	t.Helper()
	began := time.Now()
	_, err := newRuntime().Start(t.Context(), targettest.Small(t).Topology, target.Options{})
	if took := time.Since(began); took > 30*time.Second { // promised: 2 s, on a machine that is not busy
		t.Errorf("it took %v", took)
	}
	var daemon *DaemonError
	if !isDaemon(err, &daemon) || !strings.Contains(err.Error(), os.Getenv("DOCKER_HOST")) || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("the error is %v", err)
	}
}

// A health check that takes its time is a node that is not ready, and no engine that does not answer.
func TestASlowHealthCheckIsNoSilentEngine(t *testing.T) {
	needDocker(t)
	top := targettest.Small(t).Topology
	top.Nodes, top.Edges, top.ResetSteps = top.Nodes[:1], nil, nil
	top.Nodes[0].Ready = &target.Health{Exec: []string{"redis-cli", "BLPOP", "nothing", "30"}, Within: 10 * time.Second}
	s, err := newRuntime().Start(t.Context(), top, target.Options{})
	if err == nil {
		_ = s.Close(context.WithoutCancel(t.Context()))
	}
	if err == nil || errors.Is(err, target.ErrUnresponsive) || !strings.Contains(err.Error(), "redis-cli did not end within 2s") {
		t.Errorf("started: %v", err)
	}
}

func isDaemon(err error, to **DaemonError) bool {
	return errors.As(err, to) && errors.Is(err, target.ErrUnresponsive)
}

func TestStepsAndLogsOfStatefulNodes(t *testing.T) {
	needDocker(t)
	s := start(t, targettest.Small(t).Topology, target.Options{Variant: "polite"})
	wanted := func(text string) *string { return &text }
	for name, c := range map[string]struct {
		step target.Step
		want string // in the error; "" is none
	}{
		"as wanted":       {target.Step{Exec: []string{"redis-cli", "PING"}, Want: wanted(" PONG\n")}, ""},
		"not as wanted":   {target.Step{Exec: []string{"redis-cli", "PING"}, Want: wanted("0")}, `printed "PONG", want "0"`},
		"empty is wanted": {target.Step{Exec: []string{"redis-cli", "PING"}, Want: wanted("")}, `printed "PONG", want ""`},
		"failing":         {target.Step{Exec: []string{"redis-cli", "-p", "1", "PING"}}, "exited with 1: Could not connect"},
		"no such program": {target.Step{Exec: []string{"no-such-program"}}, "no-such-program"},
		"fed from a file": {target.Step{Exec: []string{"redis-cli"}, Stdin: "commands.txt", Want: wanted("OK\nyes")}, ""},
		"unread input":    {target.Step{Exec: []string{"redis-cli", "PING"}, Stdin: "commands.txt"}, ""},
		"file elsewhere":  {target.Step{Exec: []string{"redis-cli"}, Stdin: "../suite.go"}, "escapes"},
		"no such file":    {target.Step{Exec: []string{"redis-cli"}, Stdin: "none.sql"}, "none.sql"},
	} {
		c.step.Node = "redis"
		err := s.Steps(t.Context(), "prepare", []target.Step{c.step})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	const line = "Ready to accept connections"
	if text := logOf(t, s, "redis"); strings.Count(text, line) != 1 {
		t.Errorf("the log since the start: %q", text)
	}
	if err := s.Reset(t.Context(), "polite", "r2"); err != nil {
		t.Fatal(err)
	}
	if text := logOf(t, s, "redis"); strings.Contains(text, line) {
		t.Errorf("the log since the reset: %q", text)
	}
	s.topology.ResetSteps[0].Want = wanted("no")
	if err := s.Reset(t.Context(), "polite", "r3"); err == nil || !strings.Contains(err.Error(), "reset step 1 on redis") {
		t.Errorf("a reset that is not verified: %v", err)
	}
}

func logOf(t *testing.T, s *System, node string) string {
	t.Helper()
	var b strings.Builder
	if err := s.Logs(t.Context(), node, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
