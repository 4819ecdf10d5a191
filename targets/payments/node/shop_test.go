//go:build whole

package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	paysys "chaos/targets/payments"
	"chaos/targets/payments/natstest"
	"chaos/targets/payments/pgtest"
)

// roleVariable makes the test binary a node: the nodes of a shop are processes
// of their own, so that they can be killed.
const roleVariable = "TEST_AS_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := Command(ctx, []string{role}, os.Environ(), "test", os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// patience is how long the tests wait for what must happen.
const patience = 90 * time.Second

// shop is the whole system, each node a process.
type shop struct {
	t     *testing.T
	pg    *pgtest.Server
	nats  *natstest.Server
	redis *miniredis.Miniredis
	nodes map[string]*process
	run   string // prefix of keys
}

// process is one node.
type process struct {
	role, public, internal string
	env                    []string
	cmd                    *exec.Cmd
	exited                 chan struct{}
	log                    bytes.Buffer
	mu                     sync.Mutex
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// freePorts hands out addresses that nobody listens on, below the ports that the kernel gives to connections: a node
// that starts again finds its own still free.
func freePorts(t *testing.T) func() string {
	port := 12000 + rand.IntN(7000)
	return func() string {
		for range 1000 {
			port++
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				defer l.Close()
				return l.Addr().String()
			}
		}
		t.Fatal("no port is free")
		return ""
	}
}

// newShop starts everything. more is laid over the environment of all nodes.
func newShop(t *testing.T, pg *pgtest.Server, more ...string) *shop {
	t.Helper()
	s := &shop{t: t, pg: pg, nats: natstest.Start(t), redis: miniredis.RunT(t), nodes: map[string]*process{}, run: uuid.NewString()[:8]}
	free := freePorts(t)
	add := func(name, role string, env ...string) *process {
		p := &process{role: role, public: free(), internal: free()}
		p.env = append([]string{roleVariable + "=" + role, "PAYSYS_INSTANCE=" + name, "PAYSYS_LISTEN=" + p.public, "PAYSYS_INTERNAL_LISTEN=" + p.internal,
			"PAYSYS_INTERNAL_TOKEN=" + token, "PAYSYS_NATS_URL=" + s.nats.URL(), "PAYSYS_REDIS_ADDR=" + s.redis.Addr(), "PAYSYS_QUOTA=100000",
			"PAYSYS_SWITCH_REDIS_TIMEOUT=1s", "PAYSYS_SWITCH_DATABASE_TIMEOUT=30s"}, append(env, more...)...)
		s.nodes[name] = p
		return p
	}
	url := func(p *process) string { return "http://" + p.public }
	psp, recs := add("psp", "psp"), add("recs", "recs")
	books := pg.Database(t)
	// Behind a relay, as behind a proxy, a connection is accepted though nobody is
	// there: only the instance itself can say that it is about to go.
	behind := func(p *process) string { return "http://" + newRelay(t, p.public).addr() }
	a := add("payments-a", "payments", "PAYSYS_DATABASE_URL="+books, "PAYSYS_PSP_URL="+url(psp))
	b := add("payments-b", "payments", "PAYSYS_DATABASE_URL="+books, "PAYSYS_PSP_URL="+url(psp))
	both := "PAYSYS_PAYMENTS_URL=" + behind(a) + "," + behind(b)
	orders := add("orders", "orders", "PAYSYS_DATABASE_URL="+pg.Of(t, paysys.OrdersSchema), both)
	add("inventory", "inventory", "PAYSYS_DATABASE_URL="+pg.Of(t, paysys.InventorySchema))
	add("notify", "notify", "PAYSYS_DATABASE_URL="+pg.Of(t, paysys.NotifySchema))
	add("gateway-a", "gateway", both, "PAYSYS_ORDERS_URL="+url(orders), "PAYSYS_RECS_URL="+url(recs))
	add("gateway-b", "gateway", both, "PAYSYS_ORDERS_URL="+url(orders), "PAYSYS_RECS_URL="+url(recs))
	for name := range s.nodes {
		s.start(name)
	}
	t.Cleanup(func() {
		for name := range s.nodes {
			s.kill(name)
		}
		if t.Failed() {
			for name, p := range s.nodes {
				t.Logf("--- %s, what it warned of\n%s", name, tail(warnings(p.text()), 2000))
			}
		}
	})
	for name := range s.nodes {
		s.ready(name)
	}
	s.behave(`{"median_ms":20,"error_rate":0,"decline_rate":0}`)
	return s
}

// warnings are the lines of a log that are no INFO.
func warnings(text string) (out string) {
	for line := range strings.Lines(text) {
		if !strings.Contains(line, `"level":"INFO"`) {
			out += line
		}
	}
	return out
}

func tail(text string, n int) string {
	if len(text) > n {
		return text[len(text)-n:]
	}
	return text
}

func (s *shop) start(name string) {
	s.t.Helper()
	p := s.nodes[name]
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(os.Environ(), p.env...), p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	pgtest.DieWithParent(p.cmd.SysProcAttr)
	p.exited = make(chan struct{})
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.exited) }()
}

// kill ends a node at once, as kill -9 does.
func (s *shop) kill(name string) {
	p := s.nodes[name]
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.exited
}

// end tells a node to stop, and waits until it has.
func (s *shop) end(name string) {
	s.t.Helper()
	p := s.nodes[name]
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		s.t.Fatal(name, "does not stop")
	}
}

func (s *shop) ready(name string) {
	s.t.Helper()
	for _, addr := range []string{s.nodes[name].public, s.nodes[name].internal} {
		s.until(name+" is ready", func() bool {
			res, err := http.Get("http://" + addr + "/readyz")
			if err != nil {
				return false
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}
}

// until waits for a condition.
func (s *shop) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("never: " + what)
		}
	}
}

// answer is what a node said.
type answer struct {
	code   int
	header http.Header
	text   string
	ID     string `json:"id"`
	State  string `json:"state"`
	Reason string `json:"reason"`

	PaymentID       string   `json:"payment_id"`
	Recommendations []string `json:"recommendations"`
	Degraded        []string `json:"degraded"`
	Enrichment      string   `json:"enrichment"`
}

func (s *shop) do(method, addr, path, key, body string) answer {
	q, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return answer{}
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Header.Set("X-Api-Key", "key-tenant-01")
	q.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		return answer{text: err.Error()}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	a := answer{code: res.StatusCode, header: res.Header, text: string(data)}
	if err != nil {
		return answer{text: err.Error()}
	}
	_ = json.Unmarshal(data, &a) // dumps are many objects
	return a
}

func (s *shop) behave(document string) {
	s.t.Helper()
	if a := s.do(http.MethodPut, s.nodes["psp"].internal, "/admin/behaviour", "", document); a.code != 200 {
		s.t.Fatal(a.text)
	}
}

const basket = `{"sku":"sku-01","qty":2,"amount_minor":500,"currency":"EUR","card_token":"tok","merchant":"m-1"}`

func (s *shop) key(name string) string { return s.run + "-" + name }

func (s *shop) order(name, body string) answer {
	return s.do(http.MethodPost, s.nodes["gateway-a"].public, "/v1/orders", s.key(name), body)
}

func (s *shop) get(id string) answer {
	return s.do(http.MethodGet, s.nodes["gateway-a"].public, "/v1/orders/"+id, "", "")
}

func (s *shop) want(a answer, code int, state string) answer {
	s.t.Helper()
	if a.code != code || a.State != state {
		s.t.Fatalf("got %d %s, want %d %s", a.code, a.text, code, state)
	}
	return a
}

func (s *shop) reaches(id, state string) {
	s.t.Helper()
	s.until(id+" is "+state, func() bool { return s.get(id).State == state })
}

// place repeats an order's key until there is an answer, as a client would.
func (s *shop) place(name, body string) answer {
	var a answer
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if a = s.order(name, body); a.code == 201 || a.code == 202 || a.code == 402 {
			return a
		}
	}
	s.t.Errorf("order %s got no answer: %d %s", name, a.code, a.text)
	return a
}

type row map[string]any

func (r row) is(field, value string) bool { return r[field] == value }

// dump reads an audit of this run's keys.
func (s *shop) dump(node, path string) (rows []row) {
	s.t.Helper()
	a := s.do(http.MethodGet, s.nodes[node].internal, path+"?prefix="+s.run, "", "")
	for sc := bufio.NewScanner(strings.NewReader(a.text)); sc.Scan(); {
		r := row{}
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			s.t.Fatalf("%s: %v", node, err)
		}
		rows = append(rows, r)
	}
	if n := len(rows); n == 0 || !rows[n-1].is("type", "end") || rows[n-1]["count"] != float64(n-1) {
		s.t.Fatalf("dump of %s is cut: %s", node, a.text)
	}
	return rows[:len(rows)-1]
}

// settle waits until no service has anything left to do.
func (s *shop) settle() {
	s.t.Helper()
	for _, name := range []string{"payments-a", "orders", "inventory", "notify", "payments-a", "orders", "inventory", "notify"} {
		s.until(name+" is settled", func() bool {
			return strings.Contains(s.do(http.MethodGet, s.nodes[name].internal, "/internal/settled?prefix="+s.run, "", "").text, `"pending":0`)
		})
	}
}

// books are the rows of all witnesses.
type books struct {
	orders, reservations, notifications, revenue, payments, charges, refunds, events, ledger []row
	free, initial                                                                            float64
	inbox                                                                                    map[string]int // consumer/event
}

func (s *shop) books() books {
	s.t.Helper()
	b := books{inbox: map[string]int{}}
	for _, from := range [][2]string{{"orders", "/internal/audit"}, {"inventory", "/internal/audit"}, {"notify", "/internal/audit"}, {"notify", "/internal/events"}, {"payments-a", "/internal/audit"}, {"psp", "/settlement"}} {
		for _, r := range s.dump(from[0], from[1]) {
			amount, _ := r["amount_minor"].(float64)
			switch kind := r["type"]; {
			case kind == "order":
				b.orders = append(b.orders, r)
			case kind == "reservation":
				b.reservations = append(b.reservations, r)
			case kind == "notification":
				b.notifications = append(b.notifications, r)
			case kind == "revenue":
				b.revenue = append(b.revenue, r)
			case kind == "event":
				b.events = append(b.events, r)
			case kind == "payment":
				b.payments = append(b.payments, r)
			case kind == "ledger":
				b.ledger = append(b.ledger, r)
			case kind == "charge" && r.is("state", "succeeded"):
				b.charges = append(b.charges, r)
			case kind == "refund" && from[0] == "psp":
				b.refunds = append(b.refunds, r)
			case kind == "stock" && r.is("state", "free"):
				b.free += amount
			case kind == "stock":
				b.initial += amount
			case kind == "inbox":
				b.inbox[fmt.Sprint(r["account"], "/", r["id"])]++
			}
		}
	}
	return b
}

func count(rows []row, field, value string) (n int) {
	for _, r := range rows {
		if r.is(field, value) {
			n++
		}
	}
	return n
}

func sum(rows []row) (total float64) {
	for _, r := range rows {
		total += r["amount_minor"].(float64)
	}
	return total
}

// pause freezes a node, or lets it go on.
func (p *process) pause(on bool) error {
	if on {
		return p.cmd.Process.Signal(syscall.SIGSTOP)
	}
	return p.cmd.Process.Signal(syscall.SIGCONT)
}
