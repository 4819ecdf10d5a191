package vegeta

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chaos/internal/journal"
)

// TestResolve: the first time each payment's answer is lost; replays with the same key, body and
// trace meet trouble for a while and are then told.
func TestResolve(t *testing.T) {
	type seen struct{ trace, body string }
	var mu sync.Mutex
	first, tries := map[string]seen{}, map[string]int{}
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a short body shows as a difference
		key := r.Header.Get("Idempotency-Key")
		now := seen{r.Header.Get("Traceparent"), string(body)}
		mu.Lock()
		defer mu.Unlock()
		tries[key]++
		if old, ok := first[key]; ok && old != now {
			t.Errorf("replayed %+v as %+v", old, now)
		}
		switch first[key] = now; tries[key] {
		case 1:
			reset(w)
		case 2:
			w.WriteHeader(429) // says nothing about the first time
		case 3:
			w.Header().Set("X-Shed", "1")
			w.WriteHeader(503)
		default:
			if key[len(key)-1] == '3' {
				w.WriteHeader(422)
				return
			}
			w.WriteHeader(201)
			fmt.Fprint(w, `{"id":"0190b5a2-0000-7000-8000-000000000001"}`)
		}
	})
	l := newLoad("pay", 20, Constant)
	r := newRig(t, addrOf(srv), l)
	unknown := r.runUntil(l, func() bool { return r.j.Since(patient, 0).Bad >= 6 }).Samples
	if len(unknown) < 5 || slices.ContainsFunc(unknown, func(s journal.Sample) bool { return s.Result != journal.Unknown }) {
		t.Fatalf("%d samples, not all unknown", len(unknown))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	if err := l.Resolve(ctx, r.session, unknown); err != nil {
		t.Fatal(err)
	}
	h := r.history()
	replays := 0
	for _, s := range h.Samples {
		if s.Flags&journal.FlagReplay == 0 {
			continue
		}
		replays++
		old := unknown[slices.IndexFunc(unknown, func(u journal.Sample) bool { return u.Seq == s.Seq })]
		want := journal.OK
		if s.Key[15]&15 == 3 {
			want = journal.Failed
		}
		if s.Result != want || s.Key != old.Key || s.Trace != old.Trace || s.Amount != old.Amount || s.Attempts != 1 || s.Flags&journal.FlagShed != 0 {
			t.Errorf("replay %+v of %+v", s, old)
		}
	}
	if replays != len(unknown) || count(h, sent) != 2*len(unknown) {
		t.Errorf("%d replays of %d", replays, len(unknown))
	}
	for key, n := range tries {
		if n != 4 {
			t.Errorf("%s was sent %d times", key, n)
		}
	}
}

// sent leaves out what was due when the load ended and was not sent any more.
func sent(s *journal.Sample) bool { return s.Err != journal.ErrNotSent }

// TestResolveEndsWithCtx: what can't be known by then stays unknown, and is recorded so.
func TestResolveEndsWithCtx(t *testing.T) {
	var seen atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.Add(1); w.WriteHeader(500) })
	l := newLoad("pay", 20, Constant)
	r := newRig(t, addrOf(srv), l)
	unknown := r.runUntil(l, func() bool { return r.j.Since(patient, 0).Bad >= 3 }).Samples[:3] // fewer than are replayed at a time
	ctx, cancel := context.WithCancel(context.Background())
	before := seen.Load()
	go r.until(ctx, cancel, func() bool { return seen.Load() >= before+int64(2*len(unknown)) })
	start := time.Now()
	if err := l.Resolve(ctx, r.session, unknown); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > patient+20*time.Second { // and not never
		t.Errorf("took %v", took)
	}
	n := count(r.history(), func(s *journal.Sample) bool {
		return s.Flags&journal.FlagReplay != 0 && s.Result == journal.Unknown && s.Done > 0
	})
	if n == 0 || n != len(unknown) {
		t.Errorf("%d of %d are recorded as unknown", n, len(unknown))
	}
}

// TestResolveWithIDs: a refund whose answer was lost is asked again for the same payment.
func TestResolveWithIDs(t *testing.T) {
	s := &till{paid: map[string]int{}}
	var mu sync.Mutex
	bodies := map[string]int{}
	lose := true
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/refund" {
			s.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body) // a short body shows as an odd count
		mu.Lock()
		defer mu.Unlock()
		bodies[string(body)]++
		if lose {
			reset(w)
			return
		}
		w.WriteHeader(201)
	})
	l := newLoad("refund", 20, Constant)
	r := newRig(t, addrOf(srv), l, newLoad("pay", 1, Constant))
	var unknown []journal.Sample
	for _, x := range r.runUntil(l, func() bool { return r.j.Since(patient, 0).Bad >= 6 }).Samples {
		if x.Windowed() && x.Result == journal.Unknown {
			unknown = append(unknown, x)
		}
	}
	mu.Lock()
	lose = false
	mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	if err := l.Resolve(ctx, r.session, unknown); err != nil {
		t.Fatal(err)
	}
	if n := count(r.history(), func(s *journal.Sample) bool { return s.Flags&journal.FlagReplay != 0 && s.Result == journal.OK }); n < 5 || n != len(unknown) {
		t.Errorf("%d resolved of %d", n, len(unknown))
	}
	for body, n := range bodies {
		if n%2 != 0 {
			t.Errorf("%s was asked for %d times", body, n)
		}
	}
}
