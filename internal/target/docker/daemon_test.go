package docker

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/client"

	"chaos/internal/target"
)

// TestWhoDoesNotAnswerIsUnresponsive: also when it is the caller's own deadline that passes, unless too little
// time was left to say so; and never when the caller left.
func TestWhoDoesNotAnswerIsUnresponsive(t *testing.T) {
	cli, err := client.NewClientWithOpts(client.WithHost("tcp://127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	d := &daemon{cli: cli}
	for _, c := range []struct {
		deadline, leaves time.Duration
		unresponsive     bool
		took             time.Duration
	}{
		{unresponsive: true, took: answerWithin},
		{deadline: answerWithin, unresponsive: true, took: answerWithin},
		{deadline: answerWithin / 2, unresponsive: true, took: answerWithin / 2},
		{deadline: answerWithin / 4, took: answerWithin / 4},
		{leaves: answerWithin * 3 / 4, took: answerWithin * 3 / 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.deadline > 0 {
				ctx, cancel = context.WithTimeout(ctx, c.deadline)
				defer cancel()
			}
			if c.leaves > 0 {
				time.AfterFunc(c.leaves, cancel)
			}
			began := time.Now()
			err := d.within(ctx, answerWithin, "answer", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			if errors.Is(err, target.ErrUnresponsive) != c.unresponsive || time.Since(began) != c.took {
				t.Errorf("%+v: after %v: %v", c, time.Since(began), err)
			}
		})
	}
}

// TestSlowIsNotSilent: an engine that has not started a container when the caller's time is over, and answers, is
// asked again; one that does not answer either is unresponsive.
func TestSlowIsNotSilent(t *testing.T) {
	var silent atomic.Bool
	engine := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if silent.Load() {
			<-r.Context().Done()
		}
	}))
	defer engine.Close()
	cli, err := client.NewClientWithOpts(client.WithHost("tcp://" + engine.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	d := &daemon{cli: cli}
	for _, c := range []bool{false, true} {
		silent.Store(c)
		ctx, cancel := context.WithTimeout(t.Context(), answerWithin/2)
		err := d.within(ctx, workWithin, "start", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		cancel()
		if errors.Is(err, target.ErrUnresponsive) != c || !errors.Is(err, context.DeadlineExceeded) && !c {
			t.Errorf("silent %v: %v", c, err)
		}
	}
}
