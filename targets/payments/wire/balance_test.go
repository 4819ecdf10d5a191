package wire

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// instance counts what it is asked, and answers as it is told.
type instance struct {
	*httptest.Server
	asked  atomic.Int64
	posts  atomic.Int64
	handle atomic.Pointer[http.HandlerFunc]
}

func newInstance(t *testing.T) *instance {
	i := &instance{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		if r.Method == http.MethodPost {
			i.posts.Add(1)
		}
		if h := i.handle.Load(); h != nil {
			(*h)(w, r)
			return
		}
		Write(w, http.StatusOK, Failure{})
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *instance) answers(h http.HandlerFunc) { i.handle.Store(&h) }

func send(t *testing.T, b *Balanced, method string) (int, error) {
	t.Helper()
	reply, err := b.Do(context.Background(), method, "/", http.Header{}, nil)
	return reply.Code, err
}

func TestBalanced(t *testing.T) {
	a, z := newInstance(t), newInstance(t)
	b := NewBalanced(&Endpoint{Client: NewClient(a.URL)}, &Endpoint{Client: NewClient(z.URL)})
	defer b.Close()
	for range 10 {
		if code, err := send(t, b, http.MethodPost); code != 200 || err != nil {
			t.Fatal(code, err)
		}
	}
	if a.asked.Load() != 5 || z.asked.Load() != 5 {
		t.Errorf("asked %d and %d times", a.asked.Load(), z.asked.Load())
	}
	// One that is stopping is left alone after its first refusal, which nobody sees.
	a.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(DrainHeader, "1")
		Shed(w, "draining", 0)
	})
	for range 10 {
		if code, err := send(t, b, http.MethodPost); code != 200 || err != nil {
			t.Fatal(code, err)
		}
	}
	if n := a.posts.Load(); n != 6 {
		t.Errorf("an instance that is stopping was asked %d times", n-5)
	}
	a.answers(func(w http.ResponseWriter, r *http.Request) { Write(w, http.StatusOK, Failure{}) })
	for deadline := time.Now().Add(30 * time.Second); a.posts.Load() < 8; time.Sleep(10 * time.Millisecond) {
		if code, err := send(t, b, http.MethodPost); code != 200 || err != nil {
			t.Fatal(code, err)
		}
		if time.Now().After(deadline) {
			t.Fatal("an instance that is ready again is not asked")
		}
	}
}

// A POST that may have been read is not sent to anybody else; a GET is.
func TestBalancedDoesNotRepeat(t *testing.T) {
	a, z := newInstance(t), newInstance(t)
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	a.answers(cut)
	b := NewBalanced(&Endpoint{Client: NewClient(a.URL)}, &Endpoint{Client: NewClient(z.URL)})
	defer b.Close()
	failed := 0
	for range 10 {
		if _, err := send(t, b, http.MethodPost); err != nil {
			failed++
		}
	}
	if failed != 5 || z.asked.Load() != 5 {
		t.Errorf("%d of 5 cut requests failed; the other instance was asked %d times", failed, z.asked.Load())
	}
	for range 10 {
		if code, err := send(t, b, http.MethodGet); code != 200 || err != nil {
			t.Fatal(code, err)
		}
	}
	a.Close() // nobody listens: certainly not sent
	for range 10 {
		if code, err := send(t, b, http.MethodPost); code != 200 || err != nil {
			t.Fatal(code, err)
		}
	}
}

// An open breaker sends everybody to the other instance; when both are open, the
// request goes out all the same.
func TestBalancedBreakers(t *testing.T) {
	a, z := newInstance(t), newInstance(t)
	open := errors.New("open")
	var reported atomic.Int64
	shut := atomic.Bool{}
	b := NewBalanced(&Endpoint{Client: NewClient(a.URL), Permit: func() (func(error), error) { return nil, open }},
		&Endpoint{Client: NewClient(z.URL), Permit: func() (func(error), error) {
			if shut.Load() {
				return nil, open
			}
			return func(err error) {
				if err != nil {
					reported.Add(1)
				}
			}, nil
		}})
	defer b.Close()
	for range 4 {
		if code, err := send(t, b, http.MethodPost); code != 200 || err != nil {
			t.Fatal(code, err)
		}
	}
	if a.asked.Load() != 0 {
		t.Error("an open breaker let a request through")
	}
	z.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if code, _ := send(t, b, http.MethodPost); code != 500 || reported.Load() != 1 {
		t.Errorf("a failure: %d, reported %d times", code, reported.Load())
	}
	z.answers(func(w http.ResponseWriter, _ *http.Request) { Shed(w, "overload", 0) })
	if code, _ := send(t, b, http.MethodPost); code != 503 || reported.Load() != 1 {
		t.Errorf("a clean refusal: %d, reported %d times", code, reported.Load())
	}
	shut.Store(true)
	z.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	if code, err := send(t, b, http.MethodPost); code != 200 || err != nil {
		t.Errorf("all breakers open: %d %v", code, err)
	}
}
