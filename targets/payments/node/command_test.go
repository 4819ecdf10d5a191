package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"chaos/targets/payments/settings"
	"chaos/targets/payments/wire"
)

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args, env []string
		code      int
		want      string
	}{
		{[]string{"--help"}, nil, 0, "PAYSYS_SWITCH_"},
		{[]string{"version"}, nil, 0, "paysys"},
		{nil, nil, 64, "Usage"},
		{[]string{"clerk"}, nil, 64, "gateway, orders, payments"},
		{[]string{"orders"}, nil, 64, "PAYSYS_NATS_URL is required"},
		{[]string{"notify"}, []string{"PAYSYS_INTERNAL_TOKEN=t", "PAYSYS_DATABASE_URL=postgres://n@h/d", "PAYSYS_NATS_URL=http://n"}, 64, "nats://host:port"},
		{[]string{"psp"}, nil, 64, "PAYSYS_INTERNAL_TOKEN is required"},
		{[]string{"psp"}, []string{"PAYSYS_INTERNAL_TOKEN=t", "PAYSYS_TYPO=1"}, 64, "PAYSYS_TYPO"},
		{[]string{"psp"}, []string{"PAYSYS_INTERNAL_TOKEN=t", "PAYSYS_SWITCH_BREAKER=maybe"}, 64, "on, off"},
		{[]string{"payments"}, []string{"PAYSYS_INTERNAL_TOKEN=t", "PAYSYS_DATABASE_URL=::", "PAYSYS_REDIS_ADDR=r:1", "PAYSYS_PSP_URL=http://p:1"}, 64, "PAYSYS_DATABASE_URL"},
	} {
		var out bytes.Buffer
		if code := Command(context.Background(), c.args, c.env, "box", &out, &out); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v %v: exit %d, want %d and %q in:\n%s", c.args, c.env, code, c.code, c.want, out.String())
		}
	}
}

// listening is an address as text.
type listening string

func (listening) Network() string  { return "tcp" }
func (l listening) String() string { return string(l) }

// Told to stop, a node finishes what was begun and exits 0.
func TestDrain(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	exit := make(chan int, 1)
	said, out := io.Pipe()
	go func() {
		exit <- Command(ctx, []string{"psp"}, []string{"PAYSYS_LISTEN=127.0.0.1:0", "PAYSYS_INTERNAL_LISTEN=127.0.0.1:0", "PAYSYS_INTERNAL_TOKEN=" + token}, "box", out, out)
		_ = out.Close()
	}()
	lines := bufio.NewScanner(said)
	var up struct {
		Listen   string `json:"listen"`
		Internal string `json:"internal_listen"`
	}
	for up.Internal == "" && lines.Scan() {
		_ = json.Unmarshal(lines.Bytes(), &up) // other lines have no addresses
	}
	go func() {
		for lines.Scan() {
		}
	}()
	s := &system{t: t}
	addr := listening(up.Internal)
	s.do(http.MethodPut, addr, "/admin/behaviour", "", `{"median_ms":1500,"sigma":0,"error_rate":0}`)
	code := make(chan int, 1)
	go func() {
		res, err := http.Post("http://"+up.Listen+"/charges", "application/json", strings.NewReader(`{"reference":"r","order_key":"k","amount_minor":1,"card_token":"t"}`))
		if err != nil {
			t.Error(err)
			code <- 0
			return
		}
		_ = res.Body.Close()
		code <- res.StatusCode
	}()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the charge is never under way")
		}
		if _, stats := s.do(http.MethodGet, addr, "/admin/stats", "", ""); strings.Contains(string(stats), `"drawn":1`) {
			break
		}
	}
	stop()
	if c := <-code; c != 201 && c != 402 {
		t.Errorf("the charge under way was answered with %d", c)
	}
	select {
	case c := <-exit:
		if c != ExitOK {
			t.Errorf("exit %d", c)
		}
	case <-time.After(time.Minute):
		t.Error("the node does not stop")
	}
}

// Told to stop, a node refuses for as long as somebody who may not know yet still asks, and sends him elsewhere.
func TestDrainOutlastsCallers(t *testing.T) {
	n := run(t, settings.Recs)
	ask := func() (code int, draining string) {
		res, err := http.Get("http://" + n.PublicAddr.String() + "/v1/recommendations/o")
		if err != nil {
			return 0, ""
		}
		_ = res.Body.Close()
		return res.StatusCode, res.Header.Get(wire.DrainHeader)
	}
	over := make(chan struct{})
	go func() { defer close(over); n.drain() }()
	for !n.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	refused, last := 0, time.Now()
	for begun := time.Now(); time.Since(begun) < 2*quietTicks*quietTick; time.Sleep(quietTick / 2) {
		code, draining := ask()
		if quiet := time.Since(last); quiet > quietTicks*quietTick/2 {
			t.Logf("on this machine nobody asked for %v", quiet)
			break
		}
		if last = time.Now(); code != http.StatusServiceUnavailable || draining == "" {
			t.Fatalf("after %d refusals: %d", refused, code)
		}
		refused++
	}
	select {
	case <-over:
	case <-time.After(time.Minute):
		t.Error("nobody asks any more, and it drains on")
	}
	if code, _ := ask(); code != 0 {
		t.Errorf("drained, and it answers %d", code)
	}
}
