package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

func TestMainServesUntilTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, []string{"-host", "127.0.0.1", "--port", "0", "--seed", "7", "--lease", "5s"}, w, io.Discard)
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := BannerAddress(line)
	if !ok || !strings.Contains(line, " seed 7 ") {
		t.Fatalf("banner %q", line)
	}
	up := serve(t, echo)
	p, err := client.NewClient(addr).CreateProxy("p", "127.0.0.1:0", up.addr())
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, p.Listen)
	ping(t, c, "x")
	cancel()
	select {
	case got := <-code:
		if got != 0 {
			t.Fatalf("exit %d", got)
		}
	case <-time.After(patient):
		t.Fatal("it does not end")
	}
	if how := ending(c); how != "EOF" {
		t.Fatalf("connection ended with %s", how)
	}
}

func TestLease(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{Lease: 300 * time.Millisecond})
	p := r.proxyTo(t, up.addr())
	agrees(t, func() string {
		within(t, "neutral", func() bool { return len(r.counters(t).Toxics) == 0 })
		begun := time.Now()
		if status, _, body := r.call(t, "PUT", "/lease", `{"ttl_ms":300}`); status != 200 {
			t.Fatal(body)
		}
		toxicOf(t, p, "latency", "", client.Attributes{"latency": never})
		if err := p.Disable(); err != nil {
			t.Fatal(err)
		}
		for range 4 { // renewed in time: it stays, for longer than one ttl
			time.Sleep(100 * time.Millisecond)
			again := time.Now()
			if status, _, body := r.call(t, "PUT", "/lease", `{"ttl_ms":300}`); status != 200 {
				t.Fatal(body)
			}
			if late := time.Since(begun); late > 300*time.Millisecond {
				return fmt.Sprintf("renewed only after %v", late)
			}
			begun = again
		}
		if got := r.counters(t).Toxics; len(got) != 1 && time.Since(begun) < 300*time.Millisecond {
			t.Fatal("lost its toxic while the lease was renewed")
		}
		return ""
	})
	within(t, "neutral", func() bool { return len(r.counters(t).Toxics) == 0 })
	ping(t, dial(t, p.Listen), "enabled again")
	within(t, "counted", func() bool {
		_, _, body := r.call(t, "GET", "/lease", "")
		return strings.Contains(body, `"expired":`) && !strings.Contains(body, `"expired":0`) && strings.Contains(body, `"remaining_ms":0`)
	})
	if status, _, _ := r.call(t, "PUT", "/lease", `{"ttl_ms":0}`); status != 200 {
		t.Fatal(status)
	}
	toxicOf(t, p, "latency", "", client.Attributes{"latency": 1})
	time.Sleep(400 * time.Millisecond)
	if len(r.counters(t).Toxics) != 1 {
		t.Fatal("expired without a lease")
	}
	for _, bad := range []string{`{}`, `{"ttl_ms":-1}`, `{"ttl_ms":1}`, `{"ttl":100}`, `{"ttl_ms":"5"}`, `{"ttl_ms":86400001}`} {
		if status, _, body := r.call(t, "PUT", "/lease", bad); status != 400 {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
}
