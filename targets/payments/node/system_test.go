package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"chaos/targets/payments/clock"
	"chaos/targets/payments/pgtest"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/telemetry"
)

const token = "secret"

// system is the three roles as nodes, with a TCP relay in front of the
// processor that cuts connections when told to.
type system struct {
	t             *testing.T
	gateway, pays *Node
	psp           *Node
	relay         *relay
}

func run(t *testing.T, role settings.Role, env ...string) *Node {
	t.Helper()
	env = append([]string{"PAYSYS_LISTEN=127.0.0.1:0", "PAYSYS_INTERNAL_LISTEN=127.0.0.1:0", "PAYSYS_INTERNAL_TOKEN=" + token}, env...)
	s, err := settings.Read(role, env, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n, err := New(ctx, s, telemetry.Server{Log: telemetry.NewLogger(io.Discard, string(role), "test", time.Now), Metrics: telemetry.NewMetrics()}, &clock.Clock{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.work(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

func start(t *testing.T, dsn, preset string) *system {
	s := &system{t: t}
	redis := miniredis.RunT(t)
	s.psp = run(t, settings.PSP)
	s.relay = newRelay(t, s.psp.PublicAddr.String())
	common := []string{"PAYSYS_PRESET=" + preset, "PAYSYS_REDIS_ADDR=" + redis.Addr(), "PAYSYS_SWITCH_REDIS_TIMEOUT=1s"}
	s.pays = run(t, settings.Payments, append(common, "PAYSYS_DATABASE_URL="+dsn, "PAYSYS_PSP_URL=http://"+s.relay.addr())...)
	s.gateway = run(t, settings.Gateway, append(common, "PAYSYS_QUOTA=100000", "PAYSYS_PAYMENTS_URL=http://"+s.pays.PublicAddr.String())...)
	s.do(http.MethodPut, s.psp.InternalAddr, "/admin/behaviour", "", `{"median_ms":20,"error_rate":0}`)
	return s
}

func (s *system) do(method string, at net.Addr, path, key, body string) (int, []byte) {
	s.t.Helper()
	q, err := http.NewRequest(method, "http://"+at.String()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Header.Set("X-Api-Key", "key-tenant-01")
	q.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		s.t.Error(err)
		return 0, nil
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Error(err)
	}
	return res.StatusCode, data
}

// load makes n payments at a steady pace while connections to the processor
// are cut, and repeats each key until its outcome is known, as a client would.
func (s *system) load(n int) {
	ctx, stop := context.WithCancel(context.Background())
	var cutter, all sync.WaitGroup
	cutter.Go(func() {
		for tick := time.NewTicker(40 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				s.relay.cut()
			}
		}
	})
	for i := range n {
		time.Sleep(5 * time.Millisecond)
		all.Go(func() {
			for range 100 {
				code, _ := s.do(http.MethodPost, s.gateway.PublicAddr, "/v1/payments", fmt.Sprint("run-", i), `{"amount_minor":100,"currency":"EUR","card_token":"tok","merchant":"m"}`)
				if code == 201 || code == 202 || code == 402 {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			s.t.Errorf("payment %d got no answer", i)
		})
	}
	all.Wait()
	stop()
	cutter.Wait()
}

func (s *system) settle() {
	s.t.Helper()
	var body []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, body = s.do(http.MethodGet, s.pays.InternalAddr, "/internal/settled?prefix=run-", "", ""); strings.Contains(string(body), `"pending":0`) {
			return
		}
	}
	s.t.Fatalf("not settled: %s", body)
}

func (s *system) dump(at net.Addr, path string) (out []map[string]any) {
	s.t.Helper()
	_, data := s.do(http.MethodGet, at, path, "", "")
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		var m map[string]any
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, m)
	}
	if n := len(out); n == 0 || out[n-1]["type"] != "end" || out[n-1]["count"] != float64(n-1) {
		s.t.Fatalf("dump %s is cut", path)
	}
	return out[:len(out)-1]
}

func TestSystem(t *testing.T) {
	pg := pgtest.Start(t)
	t.Run("ResilientKeepsBooksWhileConnectionsAreCut", func(t *testing.T) { testBooksWhileCut(t, pg.Database(t)) })
	t.Run("NaiveChargesTwice", func(t *testing.T) {
		s := start(t, pg.Database(t), "naive")
		s.load(150)
		double := 0
		charges := map[any]int{}
		for _, l := range s.dump(s.psp.InternalAddr, "/settlement?prefix=run-") {
			if charges[l["key"]]++; charges[l["key"]] == 2 {
				double++
			}
		}
		if double == 0 {
			t.Errorf("no double charge after %d cuts", s.relay.cuts.Load())
		}
	})
	t.Run("AClockThatIsOff", func(t *testing.T) {
		for preset, want := range map[string]int{"resilient": 200, "mutant:deadline_form": 503} {
			s := start(t, pg.Database(t), preset)
			pay := func(key string) int {
				code, _ := s.do(http.MethodPost, s.gateway.PublicAddr, "/v1/payments", key, `{"amount_minor":100,"currency":"EUR","card_token":"tok","merchant":"m"}`)
				if code == 201 || code == 202 || code == 402 {
					return 200
				}
				return code
			}
			if got := pay("on-time"); got != 200 {
				t.Errorf("%s: %d before its clock was off", preset, got)
			}
			s.do(http.MethodPut, s.pays.InternalAddr, "/admin/clock", "", `{"offset_ms":10000}`)
			if got := pay("ten-seconds-off"); got != want {
				t.Errorf("%s: %d with a clock that is ten seconds ahead, want %d", preset, got, want)
			}
			s.do(http.MethodPut, s.pays.InternalAddr, "/admin/clock", "", `{"offset_ms":0}`)
			if got := pay("on-time-again"); got != 200 {
				t.Errorf("%s: %d after its clock was right again", preset, got)
			}
		}
	})
	t.Run("InternalRoutesNeedTheToken", func(t *testing.T) {
		n := run(t, settings.PSP)
		for path, want := range map[string]int{"/settlement": 401, "/admin/behaviour": 401, "/metrics": 200, "/healthz": 200, "/readyz": 200} {
			res, err := http.Get("http://" + n.InternalAddr.String() + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
			}
		}
		res, err := http.Get("http://" + n.PublicAddr.String() + "/settlement")
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != 404 {
			t.Errorf("internal route on the public port: %d", res.StatusCode)
		}
	})
	t.Run("StartsBeforeItsDependencies", func(t *testing.T) {
		n := run(t, settings.Payments, "PAYSYS_DATABASE_URL="+pg.Empty(t), "PAYSYS_REDIS_ADDR=127.0.0.1:1", "PAYSYS_PSP_URL=http://127.0.0.1:1")
		s := &system{t: t}
		if code, body := s.do(http.MethodGet, n.PublicAddr, "/readyz", "", ""); code != 503 || !strings.Contains(string(body), "schema.sql") {
			t.Errorf("readyz: %d %s", code, body)
		}
		if code, _ := s.do(http.MethodGet, n.PublicAddr, "/healthz", "", ""); code != 200 {
			t.Errorf("healthz: %d", code)
		}
	})
}

func testBooksWhileCut(t *testing.T, dsn string) {
	const n = 300
	s := start(t, dsn, "resilient")
	s.load(n)
	s.settle()
	charges, captured, declined := map[any]int{}, map[any]int{}, map[any]int{}
	var books, clearing, settled float64
	for _, l := range s.dump(s.psp.InternalAddr, "/settlement?prefix=run-") {
		if l["state"] == "succeeded" {
			charges[l["key"]]++
			settled += l["amount_minor"].(float64)
		}
	}
	for _, l := range s.dump(s.pays.InternalAddr, "/internal/audit?prefix=run-") {
		switch {
		case l["type"] == "ledger":
			books += l["amount_minor"].(float64)
			if l["account"] == "psp_clearing" {
				clearing += l["amount_minor"].(float64)
			}
		case l["state"] == "CAPTURED":
			captured[l["key"]]++
		case l["state"] == "DECLINED":
			declined[l["key"]]++
		default:
			t.Errorf("left over: %v", l)
		}
	}
	for k, c := range charges {
		if c != 1 || captured[k] != 1 {
			t.Errorf("%v: %d charges, %d captured", k, c, captured[k])
		}
	}
	if len(captured)+len(declined) != n || len(charges) != len(captured) || books != 0 || clearing != settled {
		t.Errorf("%d captured, %d declined, %d charged; books %v, clearing %v, settled %v", len(captured), len(declined), len(charges), books, clearing, settled)
	}
	if cuts := s.relay.cuts.Load(); cuts < 20 {
		t.Errorf("only %d connections were cut: the test shows nothing", cuts)
	}
}

// relay is a TCP proxy whose open connections can be cut.
type relay struct {
	l    net.Listener
	to   string
	cuts atomic.Int64
	mu   sync.Mutex
	open map[net.Conn]bool
}

func newRelay(t *testing.T, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l, to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = l.Close(); r.cutAll(math.MaxInt) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

func (r *relay) addr() string { return r.l.Addr().String() }

func (r *relay) serve(c net.Conn) {
	up, err := net.Dial("tcp", r.to)
	if err != nil {
		_ = c.Close()
		return
	}
	r.mu.Lock()
	r.open[c] = true
	r.mu.Unlock()
	go func() { _, _ = io.Copy(up, c); _ = up.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(c, up)
	_ = errors.Join(c.Close(), up.Close())
	r.mu.Lock()
	delete(r.open, c)
	r.mu.Unlock()
}

func (r *relay) cut() { r.cutAll(2) }

// cutAll resets up to n open connections.
func (r *relay) cutAll(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		if n--; n < 0 {
			return
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
		delete(r.open, c)
		r.cuts.Add(1)
	}
}
