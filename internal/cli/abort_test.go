package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chaos/internal/catalog"
	"chaos/internal/edge"
	"chaos/internal/engine"
	"chaos/internal/fault"
	"chaos/internal/journal"
	"chaos/internal/proxy"
	"chaos/internal/target"
)

// role makes the test binary one of the processes that an abort needs: the proxy, or an upstream.
const role = "CHAOS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "proxy":
		os.Exit(proxy.Main(context.Background(), []string{"--host", "127.0.0.1", "--port", "0", "--seed", "1"}, os.Stdout, io.Discard))
	case "upstream":
		os.Exit(upstream())
	}
	os.Exit(m.Run())
}

// What a connection asks of the upstream with its first byte.
const (
	askEcho  = 'e'
	askFlood = 'f'
)

func upstream() int {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	fmt.Println(ln.Addr())
	for {
		c, err := ln.Accept()
		if err != nil {
			return 1
		}
		go func() {
			defer c.Close()
			ask, block := make([]byte, 1), make([]byte, 64<<10)
			if _, err := io.ReadFull(c, ask); err != nil {
				return
			}
			for ask[0] == askFlood {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
			_, _ = c.Write(ask)
			_, _ = io.Copy(c, c)
		}()
	}
}

// companion starts the test binary in a role and returns the first line that it prints.
func companion(t testing.TB, as string) (p *os.Process, line string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), role+"="+as)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s did not come up: %v", as, err)
	}
	return c.Process, strings.TrimSpace(line)
}

// aborts is an edge through a real proxy process whose faults are aborted. The rest of target.System is never asked for.
type aborts struct {
	target.System
	t        testing.TB
	api      string // of the proxy
	client   *edge.Client
	link     string // its address
	upstream *os.Process
	faults   []engine.Fault
	conns    []net.Conn
}

const abortEdge = "a->b"

func (a *aborts) Topology() *target.Topology {
	return &target.Topology{Name: "abort", Nodes: []target.NodeSpec{{Name: "a"}, {Name: "b"}}, Edges: []target.EdgeSpec{{Name: abortEdge}}}
}
func (a *aborts) Link(context.Context, string) (*edge.Client, string, error) {
	return a.client, "a-b", nil
}

func newAborts(t testing.TB) *aborts {
	t.Helper()
	a := &aborts{t: t}
	_, banner := companion(t, "proxy")
	a.api, _ = proxy.BannerAddress(banner)
	p, addr := companion(t, "upstream")
	a.upstream, a.client = p, edge.New(a.api)
	a.client.Patience = 10 * time.Second // the proxy answers; that the machine is busy is not what is tested
	if err := a.client.Create(t.Context(), "a-b", "127.0.0.1:0", addr); err != nil {
		t.Fatal(err)
	}
	made, err := a.client.Get(t.Context(), "a-b")
	if err != nil {
		t.Fatal(err)
	}
	a.link = made.Listen
	caps := target.Capabilities{Runtime: "test", Verbs: []target.Verb{target.VerbEdge}}
	for _, words := range [][]string{
		{"toxic.latency", "latency=1m"}, {"toxic.bandwidth", "rate=0B/s"}, {"toxic.down", "mode=blackhole"}, {"toxic.slicer", "average_size=10B", "delay=1h"},
		{"toxic.timeout"}, {"toxic.slow_close", "delay=1h"}, {"toxic.down"}, {"toxic.reset_peer", "timeout=1h"}, {"toxic.corrupt", "chunks=1"},
	} {
		o, err := (&app{}).orderOf(append([]string{words[0], abortEdge}, words[1:]...), injectFlags{length: "1h"})
		if err != nil {
			t.Fatal(err)
		}
		f, err := o.plan(a.Topology(), caps, 1)
		if err != nil {
			t.Fatal(err)
		}
		a.faults = append(a.faults, f)
	}
	t.Cleanup(a.hangUp)
	return a
}

func (a *aborts) hangUp() {
	for _, c := range a.conns {
		_ = c.Close()
	}
	a.conns = nil
}

// dial opens a connection over the edge and asks for something.
func (a *aborts) dial(ask byte) net.Conn {
	a.t.Helper()
	c, err := net.DialTimeout("tcp", a.link, time.Minute)
	if err != nil {
		a.t.Fatal(err)
	}
	a.conns = append(a.conns, c)
	if _, err := c.Write([]byte{ask}); err != nil {
		a.t.Fatal(err)
	}
	return c
}

// notes is a journal in memory that tells when the fault is active.
type notes struct {
	mu     sync.Mutex
	start  time.Time
	events []journal.Event
	active chan struct{}
}

func (n *notes) Now() time.Duration      { return time.Since(n.start) }
func (n *notes) Failed() <-chan struct{} { return nil }
func (n *notes) Err() error              { return nil }
func (n *notes) Append(e journal.Event) (journal.Event, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e.Seq, e.At = uint64(len(n.events)), n.Now()
	n.events = append(n.events, e)
	if e.Type == journal.EventActive {
		close(n.active)
	}
	return e, nil
}

func (n *notes) has(typ string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.events, func(e journal.Event) bool { return e.Type == typ })
}

// abort makes the k-th fault, lets trouble come, presses Ctrl-C and returns how long it took until the engine was done.
func (a *aborts) abort(k int, trouble func()) (*notes, time.Duration) {
	a.t.Helper()
	n := &notes{start: time.Now(), active: make(chan struct{})}
	ctx, ctrlC := context.WithCancel(a.t.Context())
	defer ctrlC()
	ended := make(chan error, 1)
	f := a.faults[k%len(a.faults)]
	go func() { ended <- engine.Inject(ctx, f, a, n) }()
	select {
	case <-n.active:
	case err := <-ended:
		a.t.Fatalf("%s: %v", f.Kind, err)
	}
	trouble()
	began := time.Now()
	ctrlC()
	<-ended
	return n, time.Since(began)
}

// neutral asks the proxy itself, past the client under test.
func (a *aborts) neutral() bool {
	a.t.Helper()
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + a.api + "/proxies")
	if err != nil {
		a.t.Fatal(err)
	}
	defer answer.Body.Close()
	var all map[string]struct {
		Enabled bool
		Toxics  []json.RawMessage
	}
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		a.t.Fatal(err)
	}
	return all["a-b"].Enabled && len(all["a-b"].Toxics) == 0
}

// works is an echo through the edge.
func (a *aborts) works() error {
	c := a.dial(askEcho)
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// must is an abort that must leave the edge neutral and working. A machine that stands still for as long as a heal may
// take makes it stuck, which is right; so it may be tried again.
func (a *aborts) must(k int, trouble, over func()) time.Duration {
	a.t.Helper()
	var took time.Duration
	for tries := 1; ; tries++ {
		var n *notes
		n, took = a.abort(k, trouble)
		if n.has(journal.EventReverted) && !n.has(journal.EventStuck) && a.neutral() {
			break
		}
		if tries == 5 {
			a.t.Fatalf("%s is not reverted: %+v", a.faults[k%len(a.faults)].Kind, n.events)
		}
		a.t.Logf("%s was stuck for a moment: %+v", a.faults[k%len(a.faults)].Kind, n.events)
		if err := a.client.Neutral(a.t.Context()); err != nil {
			a.t.Fatal(err)
		}
		over()
		a.hangUp()
	}
	over()
	if err := a.works(); err != nil {
		a.t.Fatalf("%s: after the abort: %v", a.faults[k%len(a.faults)].Kind, err)
	}
	a.hangUp()
	return took
}

// idle is no trouble.
func idle() {}

// neverReads opens connections that are flooded and read by nobody, and waits until the proxy is stuck with them.
func (a *aborts) neverReads() {
	for range 3 {
		a.dial(askFlood)
	}
	for last, still := uint64(0), 0; still < 3; time.Sleep(10 * time.Millisecond) {
		c, err := a.client.Counters(a.t.Context(), "a-b")
		if err != nil {
			a.t.Fatal(err)
		}
		if c.Sent.Downstream > 0 && c.Sent.Downstream == last {
			still++
		} else {
			last, still = c.Sent.Downstream, 0
		}
	}
}

// pauses stops the upstream's process, with connections in flight.
func (a *aborts) pauses() {
	a.signal(syscall.SIGSTOP)
	for range 3 {
		c, err := net.DialTimeout("tcp", a.link, time.Second)
		if err == nil { // a fault may refuse it
			_, _ = c.Write([]byte{askFlood})
			a.conns = append(a.conns, c)
		}
	}
}

func (a *aborts) resumes() { a.signal(syscall.SIGCONT) }

func (a *aborts) signal(s syscall.Signal) {
	if err := a.upstream.Signal(s); err != nil {
		a.t.Fatal(err)
	}
}

// wedge puts an API before the proxy's that can be made to accept and never answer. It is in the way from now on.
func (a *aborts) wedge() (hang, answer func()) {
	var mu sync.Mutex
	free := make(chan struct{})
	close(free)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				up, err := net.Dial("tcp", a.api)
				if err != nil {
					return
				}
				defer up.Close()
				go func() {
					for block := make([]byte, 32<<10); ; {
						n, err := c.Read(block)
						mu.Lock()
						wait := free
						mu.Unlock()
						<-wait // the request is read, and not passed on
						if err != nil {
							break
						}
						if _, err := up.Write(block[:n]); err != nil {
							break
						}
					}
					up.Close()
				}()
				_, _ = io.Copy(c, up)
			}()
		}
	}()
	a.client = edge.New(ln.Addr().String())
	hang = func() { mu.Lock(); defer mu.Unlock(); free = make(chan struct{}) }
	answer = func() { mu.Lock(); defer mu.Unlock(); close(free) }
	return hang, answer
}

// hung aborts while the proxy's API accepts and never answers: the fault is named as stuck, and what heals from the
// journal heals as soon as it answers. Both take their time.
func (a *aborts) hung(k int, hang, answer func()) (named, healed time.Duration) {
	a.t.Helper()
	n, named := a.abort(k, hang)
	if !n.has(journal.EventStuck) || a.neutral() {
		a.t.Fatalf("%s: the API hung, and nothing is stuck: %+v", a.faults[k%len(a.faults)].Kind, n.events)
	}
	left, err := engine.Outstanding(n.events)
	if err != nil || len(left) != 1 {
		a.t.Fatalf("outstanding: %v, %v", left, err)
	}
	answer()
	began := time.Now()
	ids, err := engine.Heal(a.t.Context(), left, func(name string) (fault.Fault, error) { return catalog.Faults().New(name) }, a, n)
	if err != nil || len(ids) != 1 || !a.neutral() {
		a.t.Fatalf("not healed when it answers again: %v, %v", ids, err)
	}
	return named, time.Since(began)
}

// TestAnAbortIsBounded: no client, upstream or API that hangs keeps the edges from being neutral, or named. The limit is generous,
// for machines that are busy; BenchmarkAbort measures.
func TestAnAbortIsBounded(t *testing.T) {
	const limit = 15 * time.Second // of an abort that is promised to take 2 s
	each := func(name string, abort func(a *aborts, k int) time.Duration) {
		t.Run(name, func(t *testing.T) {
			a := newAborts(t)
			for k := range a.faults {
				if took := abort(a, k); took > limit {
					t.Errorf("%s: the abort took %v", a.faults[k].Kind, took)
				}
			}
		})
	}
	each("no trouble", func(a *aborts, k int) time.Duration { return a.must(k, idle, idle) })
	each("a client that never reads", func(a *aborts, k int) time.Duration {
		a.neverReads()
		return a.must(k, idle, idle)
	})
	each("a paused upstream", func(a *aborts, k int) time.Duration { return a.must(k, a.pauses, a.resumes) })
	t.Run("an API that hangs", func(t *testing.T) {
		a := newAborts(t)
		hang, answer := a.wedge()
		if named, _ := a.hung(0, hang, answer); named > limit {
			t.Errorf("named after %v", named)
		}
	})
}

// BenchmarkAbort is how long after Ctrl-C a fault is seen gone, or named as stuck.
func BenchmarkAbort(b *testing.B) {
	each := func(name string, abort func(a *aborts, k int) time.Duration) {
		b.Run(name, func(b *testing.B) {
			a := newAborts(b)
			var took []time.Duration
			for k := 0; b.Loop(); k++ {
				took = append(took, abort(a, k))
			}
			reportTimes(b, "", took)
		})
	}
	each("no trouble", func(a *aborts, k int) time.Duration { return a.must(k, idle, idle) })
	each("a client that never reads", func(a *aborts, k int) time.Duration {
		a.neverReads()
		return a.must(k, idle, idle)
	})
	each("a paused upstream", func(a *aborts, k int) time.Duration { return a.must(k, a.pauses, a.resumes) })
	b.Run("an API that hangs", func(b *testing.B) {
		a := newAborts(b)
		hang, answer := a.wedge()
		var named, healed []time.Duration
		for k := 0; b.Loop(); k++ {
			n, h := a.hung(k, hang, answer)
			named, healed = append(named, n), append(healed, h)
		}
		reportTimes(b, "named-", named)
		reportTimes(b, "healed-", healed)
	})
}

func reportTimes(b *testing.B, what string, took []time.Duration) {
	slices.Sort(took)
	for _, q := range []struct {
		name  string
		share float64
	}{{"p50-ms", 0.5}, {"p99-ms", 0.99}, {"max-ms", 1}} {
		at := took[int(math.Ceil(q.share*float64(len(took))))-1]
		b.ReportMetric(float64(at.Microseconds())/1e3, what+q.name)
	}
	b.ReportMetric(0, "ns/op")
}
