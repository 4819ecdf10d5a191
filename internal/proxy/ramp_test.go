package proxy

import (
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

func TestRampsAndPulsesOnTheClock(t *testing.T) {
	began := time.Unix(1000, 0)
	k, err := findKind(kindLatency)
	if err != nil {
		t.Fatal(err)
	}
	tx := &toxic{kind: kindLatency, set: settings{chunks: 1, jitter: time.Millisecond, on: time.Second, off: 4 * time.Second, pulsing: began}}
	tx.set.ramps = []ramp{{name: "latency", from: 100, to: 500, over: 4 * time.Second, began: began, scale: k.attributes[0].scale}}
	for after, want := range map[time.Duration]struct {
		latency time.Duration
		on      bool
		wake    time.Duration // after began; 0: never
	}{
		-time.Second:            {100 * time.Millisecond, true, -time.Second + rampStep},
		0:                       {100 * time.Millisecond, true, rampStep},
		990 * time.Millisecond:  {199 * time.Millisecond, true, time.Second},
		time.Second:             {200 * time.Millisecond, false, time.Second + rampStep},
		4 * time.Second:         {500 * time.Millisecond, false, 4 * time.Second},
		4999 * time.Millisecond: {500 * time.Millisecond, false, 4999 * time.Millisecond},
		5500 * time.Millisecond: {500 * time.Millisecond, true, 6 * time.Second},
		time.Hour:               {500 * time.Millisecond, true, time.Hour + time.Second},
	} {
		now := began.Add(after)
		set := tx.at(now)
		if set.latency != want.latency || set.jitter != time.Millisecond || set.onAt(now) != want.on {
			t.Errorf("after %v: latency %v, on %v; want %+v", after, set.latency, set.onAt(now), want)
		}
		if wake := tx.wake(now).Sub(began); want.on && wake != want.wake {
			t.Errorf("after %v: wake at %v, want %v", after, wake, want.wake)
		}
	}
	if tx.set.latency != 0 {
		t.Error("a ramp changed the settings that it is data of")
	}
	if steady := (&toxic{}); !steady.wake(began).IsZero() || !steady.set.onAt(began) || steady.at(began) != &steady.set {
		t.Error("a toxic without ramp and pulse moves")
	}
}

// A ramp is shown as it was given, moves what a client sees, and ends with a plain value.
func TestRampOfALink(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	up := map[string]any{"from": 0.0, "to": 150.0, "over": 300.0}
	var c net.Conn
	var start time.Time
	agrees(t, func() string { // it begins low
		_ = p.RemoveToxic("x") // of the attempt before
		tx, err := p.AddToxic("x", "latency", "", 1, client.Attributes{"latency": up})
		if err != nil || !reflect.DeepEqual(tx.Attributes, client.Attributes{"latency": up, "jitter": 0.0}) {
			t.Fatalf("%+v, %v", tx, err)
		}
		c, start = dial(t, p.Listen), time.Now()
		if first := ping(t, c, "x"); first > 75*time.Millisecond {
			return fmt.Sprintf("the first ping took %v", first)
		}
		return ""
	})
	within(t, "the ramp is up", func() bool { return time.Since(start) > 300*time.Millisecond })
	if took := ping(t, c, "x"); took < 150*time.Millisecond {
		t.Errorf("after the ramp: %v", took)
	}
	tx, err := p.UpdateToxic("x", 1, client.Attributes{"jitter": 1})
	if err != nil || !reflect.DeepEqual(tx.Attributes["latency"], any(up)) {
		t.Fatalf("an update of another attribute: %+v, %v", tx, err)
	}
	if took := ping(t, c, "x"); took < 149*time.Millisecond {
		t.Errorf("an update of another attribute began the ramp anew: %v", took)
	}
	if tx, err = p.UpdateToxic("x", 1, client.Attributes{"latency": 7}); err != nil || tx.Attributes["latency"] != 7.0 {
		t.Fatalf("%+v, %v", tx, err)
	}
}

// A pulse of a stall: what is held in on leaves when it is over, and while it pauses nothing is held.
func TestPulseOfALink(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	c := dial(t, p.Listen)
	ping(t, c, "established")
	start := time.Now()
	if _, err := p.AddToxic("x", "bandwidth", "", 1, client.Attributes{"rate": 0, "on": 200, "off": never}); err != nil {
		t.Fatal(err)
	}
	ping(t, c, "held")
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Errorf("let go after %v, want 200 ms", took)
	}
	ping(t, c, "passes") // and is not held while it pauses
	for kind, attrs := range map[string]client.Attributes{
		"latency": {"latency": never}, "slicer": {"average_size": 1, "delay": never * 1000}, "limit_data": {"bytes": 0},
		"corrupt": {}, "reset_peer": {"timeout": 0}, "slow_close": {"delay": never},
	} {
		attrs["on"], attrs["off"] = 10, never
		toxicOf(t, p, kind, "", attrs)
	}
	pause(t.Context(), 20*time.Millisecond)
	ping(t, c, "all of them pause")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if how := ending(c); how != "EOF" {
		t.Error(how)
	}
	for _, n := range r.counters(t).Toxics[1:] {
		if n.Connections != 0 || n.Offered != 0 {
			t.Errorf("acted while it paused: %+v", n)
		}
	}
}

// A stall that a ramp lifts lets go by itself.
func TestRampLiftsAStall(t *testing.T) {
	r := ours(t, Options{})
	p := r.proxyTo(t, serve(t, echo).addr())
	toxicOf(t, p, "bandwidth", "", client.Attributes{"rate": map[string]any{"from": 0, "to": 1000, "over": 600_000}})
	ping(t, dial(t, p.Listen), "x") // long before the ramp is up
}
