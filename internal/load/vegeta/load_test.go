package vegeta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chaos/internal/journal"
	"chaos/internal/kind"
)

// TestResetsAreNotReplayed: net/http would send a request again after a reset on a reused connection.
// The failures that we see must be the resets that were made, and the server must have seen each
// request once.
func TestResetsAreNotReplayed(t *testing.T) {
	for _, op := range []string{"get", "pay", "empty"} {
		t.Run(op, func(t *testing.T) {
			var seen, resets atomic.Int64
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					t.Error(err)
				}
				if seen.Add(1)%5 == 0 {
					resets.Add(1)
					reset(w)
					return
				}
				if op == "pay" {
					w.WriteHeader(201)
				}
			})
			l := newLoad(op, 500, Constant)
			h := newRig(t, addrOf(srv), l).runUntil(l, func() bool { return resets.Load() >= 50 })
			failed := count(h, func(s *journal.Sample) bool { return s.Err == journal.ErrReset || s.Err == journal.ErrEOF })
			good := count(h, func(s *journal.Sample) bool {
				return s.Class == journal.Good && s.Result == journal.OK && s.Attempts == 1
			})
			sent := count(h, func(s *journal.Sample) bool { return s.Sent > 0 })
			if n := int(resets.Load()); n < 50 || failed != n || good != sent-n {
				t.Errorf("%d resets, %d failed, %d good of %d sent", n, failed, good, sent)
			}
			if int(seen.Load()) != sent {
				t.Errorf("the server saw %d requests of %d", seen.Load(), sent)
			}
			if unknown := count(h, func(s *journal.Sample) bool { return s.Result == journal.Unknown && s.Class == journal.Bad }); unknown != failed {
				t.Errorf("%d unknown of %d failed", unknown, failed)
			}
		})
	}
}

// TestStall: the server stops for two seconds. However few workers there are, latency counts from due.
func TestStall(t *testing.T) {
	const rate, stall, begin, length = 200, 2 * time.Second, time.Second, 6 * time.Second
	for _, workers := range []uint64{16, 0} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			l := newLoad("get", rate, Constant)
			l.workers = workers
			var r *rig
			var once sync.Once
			var from time.Duration // when the stall begins, by the journal's clock
			srv := serve(t, func(http.ResponseWriter, *http.Request) {
				once.Do(func() { from = r.j.Now() + begin })
				if at := r.j.Now(); at >= from && at < from+stall {
					time.Sleep(from + stall - at)
				}
			})
			r = newRig(t, addrOf(srv), l)
			ctx, cancel := context.WithTimeout(context.Background(), length)
			defer cancel()
			if err := l.Run(ctx, r.session); err != nil {
				t.Fatal(err)
			}
			h := r.history()
			n := len(h.Samples)
			// Truth: of n requests, those due in the stall wait for its end; latencies fall linearly
			// from 2 s, so the 95th percentile is stall − (5 % of n) / rate. A busy machine only adds.
			truth := stall - time.Duration(0.05*float64(n)/rate*float64(time.Second))
			got := quantile(h.Samples, 0.95)
			t.Logf("workers %d: %d requests, p95 %v, truth %v", workers, n, got, truth)
			if got < truth*95/100 {
				t.Errorf("p95 by due is %v, the truth is %v", got, truth)
			}
			due := 0
			for _, s := range h.Samples {
				if s.Due >= from && s.Due < from+stall {
					due++
					if s.Done < from+stall && s.Sent > 0 {
						t.Errorf("%+v was answered in the stall, which ended at %v", s, from+stall)
					}
				}
			}
			if want := int(rate * stall.Seconds()); due < want-1 || due > want+1 {
				t.Errorf("%d requests recorded that were due in the stall, want %d", due, want)
			}
		})
	}
}

// TestNotSent: workers are held for longer than the load lasts. Each planned arrival has exactly one record.
func TestNotSent(t *testing.T) {
	for _, process := range []string{Constant, Poisson} {
		t.Run(process, func(t *testing.T) {
			hold := make(chan struct{})
			var held atomic.Int64
			srv := serve(t, func(http.ResponseWriter, *http.Request) { held.Add(1); <-hold })
			l := newLoad("get", 200, process)
			l.workers, l.Timeout = 4, patient
			r := newRig(t, addrOf(srv), l)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- l.Run(ctx, r.session) }()
			r.until(ctx, func() {}, func() bool { return held.Load() == 4 })
			time.Sleep(time.Second)
			stop := r.j.Now()
			cancel()
			time.Sleep(3 * lastChance)
			stopped := r.j.Now()
			close(hold)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			h := r.history()
			seqs := map[uint64]int{}
			var sent, not int
			for _, s := range h.Samples {
				seqs[s.Seq]++
				switch {
				case s.Sent > 0 && s.Err == journal.ErrNone && s.Class == journal.Good:
					sent++
				case s.Sent == 0 && s.Done == 0 && s.Err == journal.ErrNotSent && s.Result == journal.Failed && s.Class == journal.Bad && s.Key != journal.ID{}:
					not++
				default:
					t.Errorf("%+v", s)
				}
			}
			least := plannedUntil(l, h.Samples[0].Due, stop, len(h.Samples)) - 1
			most := plannedUntil(l, h.Samples[0].Due, stopped, len(h.Samples)) + 1 // it may notice late that it is to stop
			if n := len(h.Samples); sent != 4 && sent != 5 || sent+not != n || not < 100 || n < least || n > most {
				t.Errorf("%d to %d planned, %d sent, %d not, %d records", least, most, sent, not, n)
			}
			for seq := range uint64(len(h.Samples)) {
				if seqs[seq] != 1 {
					t.Errorf("request %d has %d records", seq, seqs[seq])
				}
			}
		})
	}
}

// TestManyNotSent: more requests are left over than the recorder's ring has room for.
func TestManyNotSent(t *testing.T) {
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	l := newLoad("get", 100_000, Constant)
	l.workers, l.Timeout = 2, time.Second
	for length := 900 * time.Millisecond; ; length *= 2 {
		r := newRig(t, addrOf(srv), l)
		ctx, cancel := context.WithTimeout(context.Background(), length)
		began := time.Now()
		err := l.Run(ctx, r.session)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		n := len(r.history().Samples)
		if n > 70_000 {
			return
		}
		t.Logf("%d samples of %v, which took %v", n, length, time.Since(began))
		if length > 10*time.Second {
			t.Fatal("they are lost")
		}
	}
}

// plannedUntil counts the arrivals that the schedule has before stop, from the seed alone.
func plannedUntil(l *Load, first, stop time.Duration, limit int) (n int) {
	rng := seeded(1)
	stream := seededStream(rng)
	a := newArrivals(l.Arrivals, float64(l.Rate), 0, stream)
	start := first - a.next()
	for n = 1; n < 2*limit && start+a.next() < stop; n++ {
	}
	return n
}

// TestBlackHole: nothing answers. The run ends within the client's timeout, every outcome is unknown.
func TestBlackHole(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // connections wait in its backlog and are never accepted
	l := newLoad("pay", 100, Poisson)
	l.Timeout = 300 * time.Millisecond
	r := newRig(t, ln.Addr().String(), l)
	start := time.Now()
	h := r.run(l, 500*time.Millisecond)
	if took := time.Since(start); took > 20*time.Second { // and not never
		t.Errorf("Run took %v", took)
	}
	if n := count(h, func(s *journal.Sample) bool { return s.Err == journal.ErrTimeout && s.Result == journal.Unknown }); n == 0 || n != len(h.Samples) {
		t.Errorf("%d of %d timed out", n, len(h.Samples))
	}
	if c, n := r.j.Since(patient, 0), len(r.history().Samples); c.Bad != n {
		t.Errorf("guards see %+v of %d", c, n)
	}
}

// TestCancel: what is in flight when the load stops is finished, not cut off.
func TestCancel(t *testing.T) {
	var seen atomic.Int64
	srv := serve(t, func(http.ResponseWriter, *http.Request) { seen.Add(1); time.Sleep(400 * time.Millisecond) })
	l := newLoad("get", 100, Constant)
	h := newRig(t, addrOf(srv), l).runUntil(l, func() bool { return seen.Load() >= 20 })
	if n := count(h, func(s *journal.Sample) bool { return s.Class == journal.Good }); n != len(h.Samples) || n < 20 {
		t.Errorf("%d good of %d", n, len(h.Samples))
	}
}

func TestCancelAtLowRate(t *testing.T) {
	l := newLoad("get", 0.01, Constant)
	r := newRig(t, "127.0.0.1:1", l)
	start := time.Now()
	if h := r.run(l, 50*time.Millisecond); len(h.Samples) != 0 || time.Since(start) > 30*time.Second {
		t.Errorf("%d samples, took %v: the pacer's wait was not interrupted", len(h.Samples), time.Since(start))
	}
}

func TestRefused(t *testing.T) {
	l := newLoad("pay", 100, Constant)
	r := newRig(t, refusing(t), l)
	h := r.runUntil(l, func() bool { return r.j.Since(patient, 0).Bad >= 20 })
	n := count(h, func(s *journal.Sample) bool {
		return s.Err == journal.ErrRefused && s.Result == journal.Failed && s.Class == journal.Bad && s.Attempts == 0 && s.Done > 0
	})
	if n < 20 || n != len(h.Samples) {
		t.Errorf("%d of %d: %+v", n, len(h.Samples), h.Samples)
	}
}

// refusing is an address that is nobody else's, at which nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}

// TestOnlyLoopback: an address elsewhere is refused before anything is sent, and also when the
// endpoint becomes one during the run.
func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "0.0.0.0:80", "[::ffff:192.0.2.1]:80"} {
		l := newLoad("get", 100, Constant)
		r := newRig(t, addr, l)
		if err := l.Run(context.Background(), r.session); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: got %v", addr, err)
		}
		if err := l.Resolve(context.Background(), r.session, []journal.Sample{{}}); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: Resolve: got %v", addr, err)
		}
		if h := r.history(); len(h.Samples) != 0 {
			t.Errorf("%s: %d samples", addr, len(h.Samples))
		}
	}
	var r *rig
	var moved atomic.Int64 // how often the address was asked for before; 0: not yet
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		r.sys.addr.Store("192.0.2.1:80")
		moved.CompareAndSwap(0, r.sys.asked.Load())
		w.Header().Set("Connection", "close")
	})
	l := newLoad("get", 100, Constant)
	r = newRig(t, addrOf(srv), l)
	ctx, cancel := context.WithCancel(context.Background())
	go r.until(ctx, cancel, func() bool { return moved.Load() > 0 && r.sys.asked.Load() > moved.Load()+10 })
	if err := l.Run(ctx, r.session); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("moved during the run: got %v", err)
	}
}

// TestEndpointIsNotCached: the node restarts on another port, as Docker does it.
func TestEndpointIsNotCached(t *testing.T) {
	var old, moved atomic.Int64
	second := serve(t, func(http.ResponseWriter, *http.Request) { moved.Add(1) })
	var r *rig
	first := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if old.Add(1) == 20 {
			r.sys.addr.Store(addrOf(second))
		}
		w.Header().Set("Connection", "close")
	})
	l := newLoad("get", 200, Constant)
	r = newRig(t, addrOf(first), l)
	h := r.runUntil(l, func() bool { return moved.Load() >= 50 })
	if n := count(h, func(s *journal.Sample) bool { return s.Class == journal.Good }); n != len(h.Samples) {
		t.Errorf("%d good of %d, %d at the old address, %d at the new", n, len(h.Samples), old.Load(), moved.Load())
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var elsewhere, seen atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if r.URL.Path != "/" {
			elsewhere.Add(1)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	l := newLoad("get", 100, Constant)
	h := newRig(t, addrOf(srv), l).runUntil(l, func() bool { return seen.Load() >= 10 })
	n := count(h, func(s *journal.Sample) bool {
		return s.Status == 302 && s.Class == journal.Bad && s.Result == journal.Unknown
	})
	if n == 0 || n != len(h.Samples) || elsewhere.Load() != 0 {
		t.Errorf("%d of %d are 302, %d were followed", n, len(h.Samples), elsewhere.Load())
	}
}

// TestLongAnswer: what is longer than 64 KiB is not read to its end.
func TestLongAnswer(t *testing.T) {
	var seen atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		chunk := []byte(strings.Repeat("x", 32<<10))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	l := newLoad("get", 50, Constant)
	h := newRig(t, addrOf(srv), l).runUntil(l, func() bool { return seen.Load() >= 5 })
	if n := count(h, func(s *journal.Sample) bool { return s.Class == journal.Good }); n == 0 || n != len(h.Samples) {
		t.Errorf("%d good of %d", n, len(h.Samples))
	}
}

// TestTruncatedAnswer: a 201 whose body breaks off is no acknowledgement.
func TestTruncatedAnswer(t *testing.T) {
	var seen atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		seen.Add(1)
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(201)
		fmt.Fprint(w, `{"id":`)
	})
	l := newLoad("pay", 50, Constant)
	h := newRig(t, addrOf(srv), l).runUntil(l, func() bool { return seen.Load() >= 5 })
	n := count(h, func(s *journal.Sample) bool {
		return s.Status == 201 && s.Err == journal.ErrEOF && s.Result == journal.Unknown && s.Class == journal.Bad
	})
	if n == 0 || n != len(h.Samples) {
		t.Errorf("%d of %d: %+v", n, len(h.Samples), h.Samples)
	}
}

// TestRequests looks at what the server gets: key, trace, body, and that a seed repeats them all.
func TestRequests(t *testing.T) {
	type got struct{ key, trace, tenant, body string }
	record := func(seed uint64) (map[string]got, *journal.History) {
		var mu sync.Mutex
		all := map[string]got{}
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body) // a short body shows in the comparison
			g := got{r.Header.Get("Idempotency-Key"), r.Header.Get("Traceparent"), r.Header.Get("X-Tenant"), string(body)}
			mu.Lock()
			all[g.key] = g
			mu.Unlock()
			w.WriteHeader(201)
			fmt.Fprintf(w, `{"id":"0190b5a2-0000-7000-8000-%s"}`, g.key[20:])
		})
		l := newLoad("pay", 200, Poisson)
		r := newRig(t, addrOf(srv), l)
		r.session.Rand = seeded(seed)
		return all, r.runUntil(l, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(all) >= 80
		})
	}
	a, h := record(1)
	b, _ := record(1)
	other, _ := record(2)
	if len(h.Samples) < 50 {
		t.Fatalf("%d samples", len(h.Samples))
	}
	tenants := map[string]bool{}
	same, differ := 0, 0
	for i := range h.Samples {
		s := &h.Samples[i]
		g := a[s.Key.String()]
		tenants[g.tenant] = true
		want := fmt.Sprintf("%s0000%016x", runID, s.Seq)
		if g.key != want || !strings.HasPrefix(g.trace, "00-"+s.Trace.String()+"-") || !strings.HasSuffix(g.trace, "-01") ||
			g.body != fmt.Sprintf(`{"amount_minor":%d,"op":"%s"}`, s.Amount, g.key) || s.Amount < 100 || s.Amount > 9999 {
			t.Fatalf("sample %+v\nsent %+v", s, g)
		}
		if s.Ref.String() != "0190b5a2000070008000"+g.key[20:] {
			t.Fatalf("ref %v", s.Ref)
		}
		if again, ok := b[g.key]; ok && again == g {
			same++
		} else if ok {
			t.Fatalf("the seed does not repeat %+v: %+v", g, again)
		}
		if o, ok := other[g.key]; ok && o.trace != g.trace {
			differ++
		}
	}
	if len(tenants) != 3 || same < 50 || differ < 50 {
		t.Errorf("tenants %v, %d repeated by the seed, %d differ with another", tenants, same, differ)
	}
}

func TestInfo(t *testing.T) {
	l := newLoad("pay", 50, Poisson)
	got, err := l.Info(shop())
	want := journal.LoadInfo{Op: "pay", Node: "gateway", Rate: 50, Arrivals: Poisson, Timeout: 5 * time.Second, Effect: "payment"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for why, change := range map[string]func(*Load){
		`no op "pya" — did you mean "pay"`: func(l *Load) { l.Op = "pya" },
		`no node "x"`:                      func(l *Load) { l.Node = "x" },
		"not published":                    func(l *Load) { l.Op = "inside" },
		"must be above 0":                  func(l *Load) { l.Rate = kind.Rate(math.NaN()) },
		"arrivals":                         func(l *Load) { l.Arrivals = "sine" },
		"timeout":                          func(l *Load) { l.Timeout = time.Hour },
	} {
		l := newLoad("pay", 50, Poisson)
		change(l)
		if _, err := l.Info(shop()); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %s", err, why)
		}
	}
	if got := newLoad("pay", 50, Poisson).maxWorkers(); got != 50*5*1.2+workersMin {
		t.Errorf("%d workers", got)
	}
}
