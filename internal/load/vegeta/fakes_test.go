package vegeta

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chaos/internal/journal"
	"chaos/internal/kind"
	"chaos/internal/load"
	"chaos/internal/target"
)

// patient is how long a test waits for what must come: the machine may be busy.
const patient = time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	err := goleak.Find()
	for limit := time.Now().Add(patient); err != nil && time.Now().Before(limit); { // those that are about to end may
		err = goleak.Find()
	}
	if code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		code = 1
	}
	os.Exit(code)
}

// fakeSystem is a target with one node, "gateway", at an address that tests may change.
type fakeSystem struct {
	topology *target.Topology
	addr     atomic.Value // string
	asked    atomic.Int64
}

func (f *fakeSystem) Topology() *target.Topology { return f.topology }
func (f *fakeSystem) Endpoint(context.Context, string, string) (string, error) {
	f.asked.Add(1)
	return f.addr.Load().(string), nil
}
func (f *fakeSystem) Ready(context.Context) error                               { return nil }
func (f *fakeSystem) Reset(context.Context, string, string) error               { return nil }
func (f *fakeSystem) Call(context.Context, target.Call) ([]byte, error)         { return nil, nil }
func (f *fakeSystem) Logs(context.Context, string, io.Writer) error             { return nil }
func (f *fakeSystem) Handle() json.RawMessage                                   { return nil }
func (f *fakeSystem) Facts(context.Context) (images, machine map[string]string) { return nil, nil }
func (f *fakeSystem) Close(context.Context) error                               { return nil }

// shop has an op that makes payments, and two that need their ids.
func shop() *target.Topology {
	needs := func(status ...int) map[string]target.Need {
		return map[string]target.Need{"id": {From: "pay", Field: "id", Status: status, Keep: 100, Prepare: 20}}
	}
	return &target.Topology{
		Nodes: []target.NodeSpec{{Name: "gateway", Ports: map[string]target.Port{"http": {Port: 80, Publish: true}, "internal": {Port: 81}}}},
		Ops: map[string]target.Op{
			"pay": {
				Method: "POST", Port: "http", Path: "/pay", Good: []int{201, 202, 402}, Excluded: []int{400, 422}, ID: "id", Effect: "payment",
				Headers: map[string]string{"Idempotency-Key": "{key}", "traceparent": "{traceparent}", "X-Tenant": "{tenant}"},
				Body:    `{"amount_minor":{amount},"op":"{key}"}`,
				Amount:  &target.Range{Min: 100, Max: 9999}, Tenants: []string{"a", "b", "c"},
			},
			"read":   {Port: "http", Path: "/pay/{id}", Good: []int{200}, Needs: needs()},
			"refund": {Method: "POST", Port: "http", Path: "/refund", Body: `{"payment":"{id}"}`, Good: []int{201}, Needs: needs(201)},
			"get":    {Port: "http", Path: "/", Good: []int{200}},
			"empty":  {Method: "POST", Port: "http", Path: "/", Good: []int{200}, Headers: map[string]string{"Idempotency-Key": "{key}"}},
			"inside": {Port: "internal", Path: "/"},
		},
	}
}

// rig is one run against a server.
type rig struct {
	t       testing.TB
	sys     *fakeSystem
	j       *journal.Journal
	session load.Session
}

const runID = "0123456789ab"

// newRig makes a run of loads against addr; the session is that of the first load.
func newRig(t testing.TB, addr string, loads ...*Load) *rig {
	t.Helper()
	r := &rig{t: t, sys: &fakeSystem{topology: shop()}}
	r.sys.addr.Store(addr)
	info := journal.RunInfo{ID: runID}
	for _, l := range loads {
		i, err := l.Info(r.sys.topology)
		if err != nil {
			t.Fatal(err)
		}
		i.Name = l.Op
		info.Loads = append(info.Loads, i)
	}
	j, err := journal.Create(filepath.Join(t.TempDir(), "run"), info, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.j = j
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	r.session = load.Session{System: r.sys, Rand: seeded(1), Recorder: j, Run: runID, Acks: load.NewAcks(), Loads: info.Loads}
	return r
}

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 7)) }

// run drives l for d and returns what was recorded.
func (r *rig) run(l *Load, d time.Duration) *journal.History {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return r.drive(ctx, l)
}

// runUntil drives l until there is enough, and returns what was recorded.
func (r *rig) runUntil(l *Load, enough func() bool) *journal.History {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go r.until(ctx, cancel, enough)
	return r.drive(ctx, l)
}

// until calls stop when there is enough, or when there never will be.
func (r *rig) until(ctx context.Context, stop func(), enough func() bool) {
	defer stop()
	for limit := time.Now().Add(patient); ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		if enough() {
			return
		}
		if time.Now().After(limit) {
			r.t.Errorf("not enough within %v", patient)
			return
		}
	}
}

// drive drops what was due in the last moment and was not sent any more, because the machine was busy.
func (r *rig) drive(ctx context.Context, l *Load) *journal.History {
	r.t.Helper()
	if err := l.Run(ctx, r.session); err != nil {
		r.t.Fatal(err)
	}
	h := r.history()
	h.Samples = slices.DeleteFunc(h.Samples, func(s journal.Sample) bool { return s.Err == journal.ErrNotSent && s.Class == journal.Bad })
	return h
}

func (r *rig) history() *journal.History {
	r.t.Helper()
	if err := r.j.Flush(); err != nil {
		r.t.Fatal(err)
	}
	h, err := journal.Read(r.j.Dir())
	if err != nil {
		r.t.Fatal(err)
	}
	if h.Damage != nil {
		r.t.Fatal(h.Damage)
	}
	return h
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func addrOf(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

func newLoad(op string, rate kind.Rate, process string) *Load {
	l := New()
	l.Node, l.Op, l.Rate, l.Arrivals = "gateway", op, rate, process
	return l
}

// reset closes a hijacked connection with a real RST.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // fails only on a connection that is gone already
	_ = conn.Close()
}

func count(h *journal.History, want func(*journal.Sample) bool) (n int) {
	for i := range h.Samples {
		if want(&h.Samples[i]) {
			n++
		}
	}
	return n
}

// quantile of latencies by due time, in which what never ended took longest.
func quantile(samples []journal.Sample, q float64) time.Duration {
	var all []time.Duration
	for i := range samples {
		d, ok := samples[i].Latency()
		if !ok {
			d = math.MaxInt64
		}
		all = append(all, d)
	}
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))]
}
