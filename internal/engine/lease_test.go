package engine

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chaos/internal/edge"
	"chaos/internal/journal"
	"chaos/internal/proxy"
	"chaos/internal/target"
)

// proxied is a system whose only edge goes through a real proxy.
type proxied struct {
	target.System
	client *edge.Client
}

func (p proxied) Link(context.Context, string) (*edge.Client, string, error) {
	return p.client, "a->b", nil
}

// TestTheProxyFallsBackUnlessHealed: while a run lasts the proxy has a lease; a run that healed ends it,
// and one that did not lets it run out.
func TestTheProxyFallsBackUnlessHealed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- proxy.New(proxy.Options{Host: "127.0.0.1"}).Serve(serving, ln) }()
	defer func() { stop(); <-served }()
	ttl := func() time.Duration {
		resp, err := http.Get("http://" + ln.Addr().String() + "/lease")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var l edge.LeaseState
		if err := json.NewDecoder(resp.Body).Decode(&l); err != nil {
			t.Fatal(err)
		}
		return time.Duration(l.TTLMS) * time.Millisecond
	}
	for _, healed := range []bool{false, true} {
		sys := proxied{System: newBench(), client: edge.New(ln.Addr().String())}
		end := keepLease(t.Context(), sys, linked(), func(err error) { t.Error(err) })
		for deadline := time.Now().Add(time.Minute); ttl() != LeaseTTL; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no lease was taken")
			}
		}
		end(healed)
		if got, want := ttl(), map[bool]time.Duration{false: LeaseTTL, true: 0}[healed]; got != want {
			t.Errorf("healed %v: the lease is %v, want %v", healed, got, want)
		}
	}
}

// linked is a topology with the edge of proxied.
func linked() *target.Topology {
	return &target.Topology{Nodes: []target.NodeSpec{{Name: "a"}, {Name: "b"}}, Edges: []target.EdgeSpec{{Name: "a->b"}}}
}

// TestAnInjectionKeepsTheLease: a toxic that chaos inject holds for minutes does not fall to the lease of a run
// that was here before, on the contrary it has one that outlives harness and watchdog, and until it is healed.
func TestAnInjectionKeepsTheLease(t *testing.T) {
	var mu sync.Mutex
	var asked []time.Duration // the renewals, in order
	// The server is outside of the bubble: while a call is under way, time stands still in it.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var l edge.LeaseState
		if r.Method == http.MethodPut && r.URL.Path == "/lease" && json.NewDecoder(r.Body).Decode(&l) == nil {
			mu.Lock()
			asked = append(asked, time.Duration(l.TTLMS)*time.Millisecond)
			mu.Unlock()
		}
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	seen := func() (int, time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if len(asked) == 0 {
			return 0, -1
		}
		return len(asked), asked[len(asked)-1]
	}
	const long, healing = 2 * time.Minute, 30 * time.Second
	for name, cancel := range map[string]time.Duration{"to its end": 0, "Ctrl-C": time.Minute} {
		mu.Lock()
		asked = nil
		mu.Unlock()
		synctest.Test(t, func(t *testing.T) {
			b := newBench()
			b.topology = linked()
			sys := proxied{System: b, client: edge.New(server.URL)}
			k := &breaker{bite: true, slow: healing, system: func(s target.System) *bench { return s.(proxied).System.(*bench) }}
			f := single(k)
			f.For, f.Actions = long, f.Actions[:1]
			f.Actions[0].Heal = time.Minute
			ctx, stop := context.WithCancel(t.Context())
			if cancel > 0 {
				time.AfterFunc(cancel, stop)
			}
			done := make(chan struct{})
			defer func() { stop(); <-done }()
			go func() { defer close(done); _ = Inject(ctx, f, sys, newMemory(journal.RunInfo{})) }()
			before, since := 0, time.Now()
			for b.broken() > 0 || before == 0 {
				time.Sleep(100 * time.Millisecond)
				n, ttl := seen()
				switch {
				case n > before:
					before, since = n, time.Now()
				case time.Since(since) > LeaseTTL/2:
					t.Fatalf("%s: nobody renewed the lease for %v while the fault was on", name, time.Since(since))
				}
				if n > 0 && ttl != LeaseTTL && b.broken() > 0 {
					t.Fatalf("%s: a lease of %v was asked for while the fault was on", name, ttl)
				}
			}
			<-done
			if _, ttl := seen(); ttl != 0 {
				t.Errorf("%s: the last lease is %v, want none: everything is healed", name, ttl)
			}
		})
	}
}
