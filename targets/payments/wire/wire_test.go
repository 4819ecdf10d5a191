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

// net/http must not send anything again by itself: every connection that the
// server cuts is a failure that the caller sees.
func TestEveryResetIsSeen(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		var served, cut atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if served.Add(1)%5 == 0 {
				cut.Add(1)
				panic(http.ErrAbortHandler)
			}
			Write(w, http.StatusOK, Failure{})
		}))
		c := NewClient(srv.URL)
		failed := int64(0)
		for range 100 {
			body := []byte(`{"a":1}`)
			if method == http.MethodGet {
				body = nil
			}
			_, err := c.Do(context.Background(), method, "/", http.Header{IdempotencyHeader: {"k"}}, body)
			if se := new(SendError); errors.As(err, &se) {
				failed++
				if !se.Sent {
					t.Errorf("%s: a request that the server read counts as not sent: %v", method, err)
				}
			}
		}
		c.Close()
		srv.Close()
		if failed != cut.Load() || served.Load() != 100 || cut.Load() != 20 {
			t.Errorf("%s: %d failures seen, %d connections cut, %d requests served of 100", method, failed, cut.Load(), served.Load())
		}
	}
}

func TestRefusedConnectionIsNotSent(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	url := srv.URL
	srv.Close()
	_, err := NewClient(url).Do(context.Background(), http.MethodPost, "/", nil, nil)
	if se := new(SendError); !errors.As(err, &se) || se.Sent {
		t.Errorf("want a SendError that was not sent, got %v", err)
	}
}

func TestDeadlineHeader(t *testing.T) {
	h := http.Header{}
	if _, ok := TimeLeft(h); ok {
		t.Error("no header must not be a deadline")
	}
	SetDeadline(h, 1500*time.Millisecond)
	if d, ok := TimeLeft(h); !ok || d != 1500*time.Millisecond {
		t.Errorf("got %v %v", d, ok)
	}
	SetDeadline(h, -time.Second)
	if d, ok := TimeLeft(h); !ok || d != 0 {
		t.Errorf("a passed deadline: got %v %v", d, ok)
	}
}

// A point in time is only as good as two clocks: a receiver whose clock is ahead takes every deadline for passed, one
// that is behind gives callers time that they don't have. A duration knows no clock.
func TestDeadlineForms(t *testing.T) {
	now := time.Now()
	at := func(skew time.Duration) func() time.Time { return func() time.Time { return now.Add(skew) } }
	for _, c := range []struct {
		absolute bool
		skew     time.Duration
		want     time.Duration
	}{
		{true, 0, time.Second}, {true, 10 * time.Second, 0}, {true, -10 * time.Second, 11 * time.Second},
		{false, 0, time.Second}, {false, 10 * time.Second, time.Second}, {false, -10 * time.Second, time.Second},
	} {
		h := http.Header{}
		Deadlines{Absolute: c.absolute, Now: at(0)}.Set(h, time.Second)
		if got, ok := (Deadlines{Absolute: c.absolute, Now: at(c.skew)}).Left(h); !ok || got != c.want {
			t.Errorf("absolute %v, receiver off by %v: %v %v left, want %v", c.absolute, c.skew, got, ok, c.want)
		}
	}
	if _, ok := (Deadlines{Absolute: true, Now: at(0)}).Left(http.Header{}); ok {
		t.Error("no header must not be a deadline")
	}
}

func TestToken(t *testing.T) {
	h := Token("secret", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for auth, want := range map[string]int{"": 401, "Bearer wrong": 401, "secret": 401, "Bearer secret": 204} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", auth)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", auth, w.Code, want)
		}
	}
}
