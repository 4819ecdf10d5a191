package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// metering are the scenarios of the kinds that decide how much leaves when.
func metering() []scenario {
	const some = 25 * time.Millisecond
	return []scenario{
		{"bandwidth delays a message by its size", playMessage("bandwidth", client.Attributes{"rate": 10}, 1000), some, ""},
		{"bandwidth upstream", playUpload("bandwidth", client.Attributes{"rate": 100}, 20_000), some, ""},
		{"bandwidth of a flow", playFlow("bandwidth", client.Attributes{"rate": 400}, 150_000), some, ""},
		{"bandwidth does not add up over chunks", playTrickle(client.Attributes{"rate": 100}), some, ""},
		{"bandwidth before latency", playBandwidthAndLatency, some, ""},
		{"bandwidth 0 holds everything", playStall, some, ""},
		{"bandwidth 0 removed lets go", playStallRemoved, some, ""},
		{"bandwidth raised in flight", playRaised, some, ""},
		{"slicer cuts evenly", playFlow("slicer", client.Attributes{"average_size": 100, "delay": 10_000}, 1000), some, ""},
		{"slicer cuts in varied sizes", playFlow("slicer", client.Attributes{"average_size": 100, "size_variation": 20, "delay": 5000}, 2000), 4 * some, ""},
		{"slicer leaves small messages alone", playMessage("slicer", client.Attributes{"average_size": 100, "delay": 50_000}, 100), some, ""},
		{"slicer delays what follows", playTwoMessages, some, ""},
		{"slicer removed lets go", playSlicerRemoved, some, ""},
		{"limit_data cuts a flow", playLimitFlow, some, ""},
		{"limit_data cuts a message short", playLimit(7, 10), some, ""},
		{"limit_data closes at the limit", playLimit(10, 10), some, ""},
		{"limit_data upstream", playLimitUpstream, some, ""},
		{"limit_data 0 closes at the first byte", playLimit(0, 10), some, ""},
		{"limit_data upstream lets answers through", playLimitAnswer, some, ""},
		{"limit_data waits for data", playLimitIdle, some, ""},
		{"limit_data counts from when it is there", playLimitOld, some, ""},
		{"limit_data raised lets more pass", playLimitRaised, some, ""},
		{"slow_close delays the end", playFlow("slow_close", client.Attributes{"delay": 80}, 10), some, ""},
		{"slow_close does not delay data", playMessage("slow_close", client.Attributes{"delay": 2000}, 10), some, ""},
		{"slow_close upstream", playSlowCloseUpstream, some, ""},
		{"slow_close removed closes", playSlowCloseRemoved, some, ""},
		{"two slow_closes add up", playTwoSlowCloses, some, ""},
	}
}

// feed makes what p leads to say size bytes, and end.
func feed(t *testing.T, p *client.Proxy, size int) {
	t.Helper()
	up := serve(t, func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte("x"), size)) })
	p.Upstream = up.addr()
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
}

// playMessage echoes one message of size bytes on an established connection.
func playMessage(kind string, attrs client.Attributes, size int) func(*testing.T, *client.Proxy) observation {
	return func(t *testing.T, p *client.Proxy) observation {
		c := dial(t, p.Listen)
		ping(t, c, "established")
		add(t, p, kind, "downstream", attrs)
		return observation{"data", ping(t, c, string(bytes.Repeat([]byte("m"), size)))}
	}
}

// playUpload sends size bytes and waits for their echo.
func playUpload(kind string, attrs client.Attributes, size int) func(*testing.T, *client.Proxy) observation {
	return func(t *testing.T, p *client.Proxy) observation {
		add(t, p, kind, "upstream", attrs)
		return observation{"data", ping(t, dial(t, p.Listen), string(bytes.Repeat([]byte("m"), size)))}
	}
}

// playFlow reads all that a server sends at once.
func playFlow(kind string, attrs client.Attributes, size int) func(*testing.T, *client.Proxy) observation {
	return func(t *testing.T, p *client.Proxy) observation {
		feed(t, p, size)
		add(t, p, kind, "", attrs)
		start := time.Now()
		return observation{rest(dial(t, p.Listen), size), time.Since(start)}
	}
}

// rest reads to the end and tells whether size bytes came.
func rest(c net.Conn, size int) string {
	b, err := io.ReadAll(c)
	switch {
	case err != nil:
		return err.Error()
	case len(b) == size:
		return "whole"
	}
	return "in part"
}

// playTrickle echoes messages one by one: each takes its own time only.
func playTrickle(attrs client.Attributes) func(*testing.T, *client.Proxy) observation {
	return func(t *testing.T, p *client.Proxy) observation {
		add(t, p, "bandwidth", "", attrs)
		c := dial(t, p.Listen)
		start := time.Now()
		for range 10 {
			ping(t, c, string(bytes.Repeat([]byte("m"), 1000)))
		}
		return observation{"data", time.Since(start)}
	}
}

// playBandwidthAndLatency: a latency that was there first counts on its own.
func playBandwidthAndLatency(t *testing.T, p *client.Proxy) observation {
	if _, err := p.AddToxic("y", "latency", "", 1, client.Attributes{"latency": 50}); err != nil {
		t.Fatal(err)
	}
	add(t, p, "bandwidth", "", client.Attributes{"rate": 20})
	return observation{"data", ping(t, dial(t, p.Listen), string(bytes.Repeat([]byte("m"), 1000)))}
}

func playStall(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "x")
	add(t, p, "bandwidth", "", nil)
	start := time.Now()
	if _, err := c.Write([]byte("held")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
	return observation{ending(c), time.Since(start)}
}

func playStallRemoved(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "x")
	add(t, p, "bandwidth", "", client.Attributes{"rate": 0})
	if _, err := c.Write([]byte("held")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	if err := p.RemoveToxic("x"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	_, err := io.ReadFull(c, got)
	if err != nil {
		t.Fatal(err)
	}
	return observation{string(got), time.Since(start)}
}

// playRaised asks for a flow that would take 100 s, and then for more of it.
func playRaised(t *testing.T, p *client.Proxy) observation {
	feed(t, p, 100_000)
	add(t, p, "bandwidth", "", client.Attributes{"rate": 1})
	c := dial(t, p.Listen)
	start := time.Now()
	time.Sleep(120 * time.Millisecond)
	if _, err := p.UpdateToxic("x", 1, client.Attributes{"rate": 1_000_000}); err != nil {
		t.Fatal(err)
	}
	return observation{rest(c, 100_000), time.Since(start)}
}

// playSlowCloseUpstream: the server learns late that the client is gone.
func playSlowCloseUpstream(t *testing.T, p *client.Proxy) observation {
	ended := make(chan time.Time, 1)
	up := serve(t, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		ended <- time.Now()
	})
	p.Upstream = up.addr()
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	add(t, p, "slow_close", "upstream", client.Attributes{"delay": 80})
	c := dial(t, p.Listen)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	within(t, "connected", func() bool { return up.open.Load() == 1 })
	start := time.Now()
	c.Close()
	return observation{"ended", (<-ended).Sub(start)}
}

func playSlowCloseRemoved(t *testing.T, p *client.Proxy) observation {
	feed(t, p, 10)
	add(t, p, "slow_close", "", client.Attributes{"delay": never})
	c := dial(t, p.Listen)
	start := time.Now()
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(60 * time.Millisecond)
	if err := p.RemoveToxic("x"); err != nil {
		t.Fatal(err)
	}
	return observation{ending(c), time.Since(start)}
}

func playTwoSlowCloses(t *testing.T, p *client.Proxy) observation {
	feed(t, p, 10)
	add(t, p, "slow_close", "", client.Attributes{"delay": 40})
	if _, err := p.AddToxic("y", "slow_close", "", 1, client.Attributes{"delay": 60}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	return observation{rest(dial(t, p.Listen), 10), time.Since(start)}
}

// playTwoMessages: the wait after a slice is there even when it was a message's last.
func playTwoMessages(t *testing.T, p *client.Proxy) observation {
	add(t, p, "slicer", "", client.Attributes{"average_size": 100, "delay": 80_000})
	c := dial(t, p.Listen)
	start := time.Now()
	ping(t, c, "first")
	ping(t, c, "second")
	return observation{"data", time.Since(start)}
}

func playSlicerRemoved(t *testing.T, p *client.Proxy) observation {
	feed(t, p, 1000)
	add(t, p, "slicer", "", client.Attributes{"average_size": 100, "delay": 60_000_000})
	c := dial(t, p.Listen)
	start := time.Now()
	time.Sleep(60 * time.Millisecond)
	if err := p.RemoveToxic("x"); err != nil {
		t.Fatal(err)
	}
	return observation{rest(c, 1000), time.Since(start)}
}

// playLimit echoes size bytes through a limit and says how many came back, and how it ended.
func playLimit(limit, size int) func(*testing.T, *client.Proxy) observation {
	return func(t *testing.T, p *client.Proxy) observation {
		add(t, p, "limit_data", "", client.Attributes{"bytes": limit})
		c := dial(t, p.Listen)
		start := time.Now()
		if _, err := c.Write(bytes.Repeat([]byte("x"), size)); err != nil {
			t.Fatal(err)
		}
		return observation{countAndEnding(c), time.Since(start)}
	}
}

// playLimitFlow cuts what a server says. The client says nothing: bytes of its that nobody has read
// would turn the FIN into a RST.
func playLimitFlow(t *testing.T, p *client.Proxy) observation {
	feed(t, p, 100_000)
	add(t, p, "limit_data", "", client.Attributes{"bytes": 40_000})
	start := time.Now()
	return observation{countAndEnding(dial(t, p.Listen)), time.Since(start)}
}

func countAndEnding(c net.Conn) string {
	n, err := io.Copy(io.Discard, c)
	if err != nil {
		return fmt.Sprintf("%d bytes, %v", n, errors.Unwrap(errors.Unwrap(err)))
	}
	return fmt.Sprintf("%d bytes, EOF", n)
}

// playLimitUpstream: the server gets so much and no more; the client's connection ends.
func playLimitUpstream(t *testing.T, p *client.Proxy) observation {
	got := make(chan int64, 1)
	up := serve(t, func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		got <- n
	})
	p.Upstream = up.addr()
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	add(t, p, "limit_data", "upstream", client.Attributes{"bytes": 7})
	c := dial(t, p.Listen)
	start := time.Now()
	if _, err := c.Write([]byte("ten bytes!")); err != nil {
		t.Fatal(err)
	}
	return observation{fmt.Sprintf("server %d, client %s", <-got, countAndEnding(c)), time.Since(start)}
}

// playLimitAnswer: an answer that the proxy has is delivered although the limit ends the connection meanwhile.
func playLimitAnswer(t *testing.T, p *client.Proxy) observation {
	add(t, p, "limit_data", "upstream", client.Attributes{"bytes": 10})
	if _, err := p.AddToxic("y", "latency", "downstream", 1, client.Attributes{"latency": 80}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, p.Listen)
	start := time.Now()
	if _, err := c.Write([]byte("six...")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if _, err := c.Write([]byte("the rest is cut")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(c, got); err != nil {
		return observation{err.Error(), time.Since(start)}
	}
	return observation{string(got), time.Since(start)}
}

func playLimitIdle(t *testing.T, p *client.Proxy) observation {
	add(t, p, "limit_data", "", client.Attributes{"bytes": 0})
	c := dial(t, p.Listen)
	start := time.Now()
	_ = c.SetReadDeadline(start.Add(100 * time.Millisecond))
	return observation{ending(c), time.Since(start)}
}

func playLimitOld(t *testing.T, p *client.Proxy) observation {
	c := dial(t, p.Listen)
	ping(t, c, "ten bytes!")
	add(t, p, "limit_data", "", client.Attributes{"bytes": 10})
	start := time.Now()
	ping(t, c, "four")
	ping(t, c, "five!")
	if _, err := c.Write([]byte("one left")); err != nil {
		t.Fatal(err)
	}
	return observation{countAndEnding(c), time.Since(start)}
}

// playLimitRaised: what has passed still counts after an update.
func playLimitRaised(t *testing.T, p *client.Proxy) observation {
	add(t, p, "limit_data", "", client.Attributes{"bytes": 10})
	c := dial(t, p.Listen)
	start := time.Now()
	ping(t, c, "nine byte")
	if _, err := p.UpdateToxic("x", 1, client.Attributes{"bytes": 15}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("six of these pass")); err != nil {
		t.Fatal(err)
	}
	return observation{countAndEnding(c), time.Since(start)}
}
