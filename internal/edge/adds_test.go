package edge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"chaos/internal/proxy"
)

// slowToAdd is chaos proxy behind a gate: an added toxic, of which came tells, lands when the gate opens.
func slowToAdd(t *testing.T) (c *Client, came <-chan struct{}, open func()) {
	t.Helper()
	s := proxy.New(proxy.Options{})
	t.Cleanup(s.Close)
	gate, arrived := make(chan struct{}), make(chan struct{}, 1)
	c = serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/toxics") {
			arrived <- struct{}{}
			<-gate
		}
		s.Handler().ServeHTTP(w, r)
	}))
	return c, arrived, func() { close(gate) }
}

var lateToxic = Toxic{Name: "late", Type: "latency", Stream: "downstream", Toxicity: 1, Attributes: map[string]any{"latency": 10}}

// A toxic whose call was given up lands later; taking it away waits for that, or says that it can't.
func TestAGivenUpToxicIsWaitedFor(t *testing.T) {
	for name, undo := range map[string]func(*Client) error{
		"RemoveToxic": func(c *Client) error { return c.RemoveToxic(t.Context(), "p", "late") },
		"Neutral":     func(c *Client) error { return c.Neutral(t.Context()) },
		"Delete": func(c *Client) error {
			return errors.Join(c.Delete(t.Context(), "p"), c.Create(t.Context(), "p", "127.0.0.1:0", "127.0.0.1:1"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, came, open := slowToAdd(t)
			create(t, c, "p", "127.0.0.1:1")
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-came; cancel() }()
			if err := c.AddToxic(ctx, "p", lateToxic); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			c.Patience = CallTimeout
			if err := undo(c); err == nil || !strings.Contains(err.Error(), "toxic late may still be added to p") {
				t.Errorf("undone, though it is still to land: %v", err)
			}
			c.Patience = patient
			time.AfterFunc(100*time.Millisecond, open)
			if err := undo(c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			if p := must[Proxy](t)(c.Get(t.Context(), "p")); len(p.Toxics) > 0 {
				t.Errorf("landed after it was undone: %v", p.Toxics)
			}
			if err := c.settle(t.Context(), "", ""); err != nil || len(c.adds.open) > 0 {
				t.Errorf("%v, %d open", err, len(c.adds.open))
			}
		})
	}
}

// An add that found no room in time is never made, and nothing waits for it.
func TestAnAddThatNeverBeganIsForgotten(t *testing.T) {
	c := New("127.0.0.1:1")
	for range maxCalls {
		c.calls <- struct{}{}
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.AddToxic(short, "p", lateToxic); err == nil || len(c.adds.open) > 0 {
		t.Errorf("%v, %d open", err, len(c.adds.open))
	}
}
