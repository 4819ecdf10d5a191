package proxy

import (
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

func TestTheKernelsTimer(t *testing.T) {
	timer, err := newKernelTimer()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 2 {
		if err := timer.set(2 * time.Millisecond); err != nil || !timer.wait() {
			t.Fatalf("it does not go off: %v", err)
		}
	}
	if took := time.Since(began); took < 4*time.Millisecond {
		t.Errorf("it went off early, after %v", took)
	}
	ended := make(chan bool)
	go func() { ended <- timer.wait() }()
	timer.close()
	if <-ended {
		t.Error("it went off when it was closed")
	}
}

// What is delayed by a latency has the alarm set, and it ends with the server.
func TestALatencySetsTheAlarm(t *testing.T) {
	s := ours(t, Options{})
	p := s.proxyTo(t, serve(t, echo).addr())
	if _, err := p.AddToxic("", "latency", "", 1, client.Attributes{"latency": 20}); err != nil {
		t.Fatal(err)
	}
	ping(t, dial(t, p.Listen), "x")
	a := &s.srv.alarm
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer == nil || a.missing {
		t.Error("no alarm was set")
	}
}
