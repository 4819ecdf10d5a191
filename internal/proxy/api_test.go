package proxy

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"testing"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// both runs f against stock and against us.
func both(t *testing.T, f func(*testing.T, *rig)) {
	t.Helper()
	t.Run("stock", func(t *testing.T) { f(t, stock(t)) })
	t.Run("chaos", func(t *testing.T) { f(t, ours(t, Options{})) })
}

// Every method of the official client does the same to us as to stock.
func TestOfficialClient(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		up := serve(t, echo)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		v, err := r.api.Version()
		must(err)
		var version struct{ Version string }
		if json.Unmarshal(v, &version) != nil || version.Version == "" {
			t.Fatalf("version %s", v)
		}
		p, err := r.api.CreateProxy("p", "127.0.0.1:0", up.addr())
		must(err)
		_, err = r.api.CreateProxy("p", "127.0.0.1:0", up.addr())
		wantError(t, err, "HTTP 409: proxy already exists")
		list, err := r.api.Populate([]client.Proxy{
			{Name: "p", Listen: p.Listen, Upstream: up.addr(), Enabled: true},
			{Name: "q", Listen: "127.0.0.1:0", Upstream: up.addr(), Enabled: false},
		})
		must(err)
		if len(list) != 2 || list[0].Listen != p.Listen || list[1].Enabled {
			t.Fatalf("populate: %+v", list)
		}
		fresh := r.api.NewProxy()
		fresh.Name, fresh.Listen, fresh.Upstream, fresh.Enabled = "n", "127.0.0.1:0", up.addr(), true
		must(fresh.Save())
		must(fresh.Disable())
		must(fresh.Enable())
		ping(t, dial(t, fresh.Listen), "x")
		toxicCalls(t, r, p)
		must(r.api.ResetState())
		all, err := r.api.Proxies()
		must(err)
		if len(all) != 3 || !all["q"].Enabled || len(all["p"].ActiveToxics) != 0 {
			t.Fatalf("after reset: %+v", all)
		}
		must(fresh.Delete())
		wantError(t, fresh.Delete(), "HTTP 404: proxy not found")
		_, err = r.api.Proxy("n")
		wantError(t, err, "HTTP 404: proxy not found")
	})
}

func toxicCalls(t *testing.T, r *rig, p *client.Proxy) {
	t.Helper()
	tx, err := p.AddToxic("", "latency", "", 0.5, client.Attributes{"latency": 10, "jitter": 3})
	if err != nil || tx.Name != "latency_downstream" || tx.Toxicity != 0.5 ||
		!reflect.DeepEqual(tx.Attributes, client.Attributes{"latency": 10.0, "jitter": 3.0}) {
		t.Fatalf("%+v, %v", tx, err)
	}
	_, err = p.AddToxic("latency_downstream", "timeout", "upstream", 1, nil)
	wantError(t, err, "toxic already exists")
	if tx, err = p.UpdateToxic("latency_downstream", -1, client.Attributes{"jitter": 0}); err != nil ||
		tx.Toxicity != 0.5 || !reflect.DeepEqual(tx.Attributes, client.Attributes{"latency": 10.0, "jitter": 0.0}) {
		t.Fatalf("%+v, %v", tx, err)
	}
	o := &client.ToxicOptions{ProxyName: "p", ToxicName: "t", ToxicType: "timeout", Stream: "upstream", Toxicity: -1,
		Attributes: client.Attributes{"timeout": 100}}
	if _, err = r.api.AddToxic(o); err != nil {
		t.Fatal(err)
	}
	if _, err = r.api.UpdateToxic(o); err != nil {
		t.Fatal(err)
	}
	all, err := p.Toxics()
	if err != nil || len(all) != 2 || all[0].Name != "t" {
		t.Fatalf("upstream comes first: %+v, %v", all, err)
	}
	if err := r.api.RemoveToxic(o); err != nil {
		t.Fatal(err)
	}
	wantError(t, p.RemoveToxic("t"), "HTTP 404: toxic not found")
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Fatalf("error %v, want %q", err, part)
	}
}

// rawRequest is sent to both makes.
type rawRequest struct{ method, path, body, prefix string }

func rawRequests() []rawRequest {
	return []rawRequest{
		{"GET", "/proxies", "", ""},
		{"POST", "/proxies", `{"name":"p","listen":"127.0.0.1:0","upstream":"UP"}`, ""},
		{"POST", "/proxies", `{"name":"off","listen":"127.0.0.1:0","upstream":"UP","enabled":false}`, ""},
		{"POST", "/proxies", `{"name":"p","listen":"127.0.0.1:0","upstream":"UP"}`, ""},
		{"POST", "/proxies", `{"listen":"127.0.0.1:0","upstream":"UP"}`, ""},
		{"POST", "/proxies", `{"name":"x","listen":"127.0.0.1:0"}`, ""},
		{"POST", "/proxies", `{"name":"x","listen":"BUSY","upstream":"UP"}`, ""},
		{"POST", "/proxies", `{"name":`, ""},
		{"POST", "/proxies", ``, ""},
		{"POST", "/proxies", `{"name":1}`, "bad request body: json: cannot unmarshal number"},
		{"GET", "/proxies/p", "", ""},
		{"GET", "/proxies/nobody", "", ""},
		{"POST", "/proxies/nobody", "{}", ""},
		{"PATCH", "/proxies/p", `{"upstream":"UP"}`, ""},
		{"POST", "/proxies/p", `{"enabled":false}`, ""},
		{"POST", "/proxies/p", `{"enabled":true}`, ""},
		{"POST", "/proxies/p", `{"listen":"nonsense"}`, ""},
		{"POST", "/proxies/p", `[]`, "bad request body: json: cannot unmarshal array"},
		{"GET", "/proxies/p/toxics", "", ""},
		{"POST", "/proxies/p/toxics", `{"type":"latency","attributes":{"latency":5}}`, ""},
		{"POST", "/proxies/p/toxics", `{"type":"latency","attributes":{"latency":5}}`, ""},
		{"POST", "/proxies/p/toxics", `{"type":"timeout","stream":"Upstream","toxicity":0.25}`, ""},
		{"POST", "/proxies/p/toxics", `{"name":"rp","type":"reset_peer","attributes":null}`, ""},
		{"POST", "/proxies/p/toxics", `{"type":"bandwidth","attributes":{"rate":5}}`, ""},
		{"POST", "/proxies/p/toxics", `{"type":"slow_close","stream":"upstream","attributes":{"delay":5}}`, ""},
		{"POST", "/proxies/p/toxics", `{"type":"slicer","attributes":{"average_size":5,"size_variation":2,"delay":9}}`, ""},
		{"POST", "/proxies/p/toxics", `{"type":"limit_data","attributes":{"bytes":5}}`, ""},
		{"PATCH", "/proxies/p/toxics/slicer_downstream", `{"attributes":{"average_size":7}}`, ""},
		{"PATCH", "/proxies/p/toxics/limit_data_downstream", `{"attributes":{"bytes":0}}`, ""},
		{"POST", "/proxies/p/toxics", `{"name":"s","type":"bandwidth","attributes":{"rate":"fast"}}`, "bad request body"},
		{"POST", "/proxies/p/toxics", `{"name":"s","type":"latency","stream":"sideways"}`, ""},
		{"POST", "/proxies/p/toxics", `{"name":"s","type":"latency","stream":""}`, ""},
		{"POST", "/proxies/p/toxics", `{"name":"s","type":"nope"}`, "invalid toxic type"},
		{"POST", "/proxies/p/toxics", `{"name":"s","type":"latency","attributes":{"latency":"5"}}`, "bad request body"},
		{"POST", "/proxies/p/toxics", `{"name":"s","type":"latency","attributes":{"latency":5.5}}`, "bad request body"},
		{"POST", "/proxies/p/toxics", `{"name":"s","type":"latency","attributes":[]}`, "bad request body"},
		{"POST", "/proxies/p/toxics", `nonsense`, ""},
		{"POST", "/proxies/nobody/toxics", `{"type":"latency"}`, ""},
		{"GET", "/proxies/nobody/toxics", "", ""},
		{"GET", "/proxies/p/toxics/rp", "", ""},
		{"GET", "/proxies/p/toxics/none", "", ""},
		{"GET", "/proxies/nobody/toxics/none", "", ""},
		{"PATCH", "/proxies/p/toxics/rp", `{"attributes":{"timeout":9},"toxicity":0.5}`, ""},
		{"POST", "/proxies/p/toxics/rp", `{"attributes":{"timeout":7}}`, ""},
		{"PATCH", "/proxies/p/toxics/none", `{}`, ""},
		{"PATCH", "/proxies/p/toxics/rp", `{"attributes":{"timeout":"x"}}`, "bad request body"},
		{"GET", "/proxies", "", ""},
		{"DELETE", "/proxies/p/toxics/rp", "", ""},
		{"DELETE", "/proxies/p/toxics/rp", "", ""},
		{"POST", "/reset", "", ""},
		{"POST", "/populate", `[{"name":"m","listen":"127.0.0.1:0","upstream":"UP"},{"name":"k","upstream":"UP","listen":"127.0.0.1:0","enabled":false}]`, ""},
		{"POST", "/populate", `[{"name":"m"}]`, ""},
		{"POST", "/populate", `[{"name":"ok","listen":"127.0.0.1:0","upstream":"UP"},{"name":"bad","listen":"BUSY","upstream":"UP"}]`, ""},
		{"POST", "/populate", `{}`, "bad request body: json: cannot unmarshal object"},
		{"GET", "/proxies", "", ""},
		{"DELETE", "/proxies/m", "", ""},
		{"DELETE", "/proxies/m", "", ""},
		{"GET", "/nowhere", "", ""},
		{"POST", "/version", "", "status"},
	}
}

// The same raw requests get the same status, content type and body from both.
// prefix: only the start of the error text is compared (ours says more).
func TestRawAnswersEqualStock(t *testing.T) {
	up := serve(t, echo)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	a, b := stock(t), ours(t, Options{})
	for _, tc := range rawRequests() {
		body := strings.NewReplacer("UP", up.addr(), "BUSY", busy.Addr().String()).Replace(tc.body)
		s1, t1, b1 := a.call(t, tc.method, tc.path, body, "Content-Type", "application/json")
		s2, t2, b2 := b.call(t, tc.method, tc.path, body, "Content-Type", "application/json")
		name := fmt.Sprintf("%s %s %s", tc.method, tc.path, tc.body)
		if s1 != s2 || (t1 != t2 && tc.prefix != "status") {
			t.Errorf("%s:\nstock %d %s %s\nchaos %d %s %s", name, s1, t1, b1, s2, t2, b2)
			continue
		}
		switch tc.prefix {
		case "status":
		case "":
			if n1, n2 := normal(b1), normal(b2); n1 != n2 {
				t.Errorf("%s:\nstock %s\nchaos %s", name, n1, n2)
			}
		default:
			if !strings.Contains(b1, `"error":"`+tc.prefix) || !strings.Contains(b2, `"error":"`+tc.prefix) {
				t.Errorf("%s: want %q\nstock %s\nchaos %s", name, tc.prefix, b1, b2)
			}
		}
	}
}

// normal takes out what must differ: ports that the kernel chose, and the Logger that
// stock shows by accident; toxics within a proxy keep their order.
func normal(body string) string {
	body = strings.ReplaceAll(body, `"Logger":{},`, "")
	return regexp.MustCompile(`"listen":"127\.0\.0\.1:[1-9]\d*"`).ReplaceAllString(body, `"listen":"PORT"`)
}

func TestBadAttributesAreNamed(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	r.proxyTo(t, up.addr())
	tests := []struct{ body, want string }{
		{`{"type":"latency","attributes":{"latncy":5}}`, `(did you mean \"latency\"?); valid: latency (ms), jitter (ms)`},
		{`{"type":"latency","attributes":{"latency":-1}}`, "want 0 or 1 to 3600000 ms"},
		{`{"type":"latency","attributes":{"latency":3600001}}`, "want 0 or 1 to 3600000 ms"},
		{`{"type":"latency","attributes":{"latency":1e99}}`, "whole number"},
		{`{"type":"latency","attributes":{"latency":99999999999999999999}}`, "whole number"},
		{`{"type":"latency","attributes":{"latency":NaN}}`, "invalid character"},
		{`{"type":"latency","attributes":{"latency":null}}`, "is null"},
		{`{"type":"latency","attributes":{"latency":true}}`, "whole number"},
		{`{"type":"latency","attributes":{"distribution":"gauss"}}`, `want \"uniform\" or \"normal\" or \"lognormal\" or \"pareto\"; valid: latency (ms)`},
		{`{"type":"latency","attributes":{"distribution":"pareto","jitter":5}}`, "want a latency above 0"},
		{`{"type":"latency","attributes":{"latency":{"from":1,"to":2}}}`, `latency of toxic \"latency\": want a number, or a ramp with from, to and over, in ms`},
		{`{"type":"latency","attributes":{"latency":{"from":1,"to":2,"ovr":3}}}`, "want a number, or a ramp"},
		{`{"type":"latency","attributes":{"latency":{"from":-1,"to":2,"over":3}}}`, "from: want 0 or 1 to 3600000 ms"},
		{`{"type":"latency","attributes":{"latency":{"from":1,"to":"2","over":3}}}`, "to: want a whole number"},
		{`{"type":"latency","attributes":{"latency":{"from":1,"to":2,"over":0}}}`, "over: want 1 to 3600000 ms"},
		{`{"type":"latency","attributes":{"distribution":{"from":1,"to":2,"over":3}}}`, `want \"uniform\"`},
		{`{"type":"latency","attributes":{"on":100}}`, "on and off: want both, or neither"},
		{`{"type":"latency","attributes":{"on":5,"off":100}}`, "want 0 or 10 to 3600000 ms"},
		{`{"type":"latency","attributes":{"on":{"from":10,"to":20,"over":3},"off":100}}`, "want a whole number"},
		{`{"type":"timeout","attributes":{"timeout":{"from":10,"to":20,"over":3}}}`, "want a whole number"},
		{`{"type":"timeout","attributes":{"on":10,"off":10}}`, `has no attribute`},
		{`{"type":"slicer","attributes":{"average_size":{"from":50,"to":5,"over":1000},"size_variation":10}}`, "want less than average_size 5"},
		{`{"type":"latency","attributes":{"chunks":2}}`, "want a number from 0 to 1"},
		{`{"type":"bandwidth","attributes":{"chunks":1}}`, `has no attribute \"chunks\"`},
		{`{"type":"latency","toxicity":-0.1}`, "want 0 to 1"},
		{`{"type":"latency","toxicity":1.1}`, "want 0 to 1"},
		{`{"type":"latency","toxcity":1}`, `(did you mean \"toxicity\"?)`},
		{`{"type":"latncy"}`, `(did you mean \"latency\"?); valid types: latency, bandwidth, `},
		{`{"type":"bandwidth","attributes":{"rate":-1}}`, `rate of toxic \"bandwidth\": want 0 to 10000000; valid: rate (KB/s, 0 to 10000000)`},
		{`{"type":"slow_close","attributes":{"delay":-1}}`, "want 0 or 1 to 3600000 ms; valid: delay (ms)"},
		{`{"type":"slicer"}`, "average_size is missing: want 1 to 1048576; valid: average_size (bytes, 1 to 1048576), size_variation (bytes, 0 to 1048576), delay (µs, 0 to 3600000000)"},
		{`{"type":"slicer","attributes":{"average_size":0}}`, `average_size of toxic \"slicer\": want 1 to 1048576`},
		{`{"type":"slicer","attributes":{"average_size":10,"size_variation":10}}`, "want less than average_size 10"},
		{`{"type":"slicer","attributes":{"average_size":10,"delay":-1}}`, "want 0 to 3600000000"},
		{`{"type":"corrupt","attributes":{"chunks":1.1}}`, "want a number from 0 to 1; valid: chunks (share, 0 to 1), bits (of a chunk, 1 to 256)"},
		{`{"type":"corrupt","attributes":{"chunks":"NaN"}}`, "want a number from 0 to 1"},
		{`{"type":"corrupt","attributes":{"chunks":-0.1}}`, "want a number from 0 to 1"},
		{`{"type":"corrupt","attributes":{"bits":0}}`, "want 1 to 256"},
		{`{"type":"limit_data","attributes":{"bytes":-1}}`, "want 0 to 1000000000000000; valid: bytes (bytes, 0 to 1000000000000000)"},
		{`{"type":"noop"}`, "valid types"},
		{`{"type":"reset","attributes":{"every":5}}`, "want 0 or 10 to"},
		{`{"type":"reset","attributes":{"refuse":1}}`, "valid: every (ms), refuse (true or false)"},
		{`{"type":"down","attributes":{"mode":"up"}}`, `want \"refused\" or \"blackhole\"`},
		{`{"type":"down","toxicity":0.5}`, "down has toxicity 1"},
		{`{"type":"latency"} {}`, "more than one"},
		{`{"type":"latency","name":"` + strings.Repeat("x", 300) + `"}`, "longer than 255"},
	}
	for _, tc := range tests {
		status, _, body := r.call(t, "POST", "/proxies/p/toxics", tc.body)
		if status != 400 || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %s", tc.body, status, body)
		}
	}
	if _, _, body := r.call(t, "GET", "/proxies/p/toxics", ""); body != "[]" {
		t.Errorf("something was added: %s", body)
	}
}

func TestGuard(t *testing.T) {
	r := ours(t, Options{AllowHost: []string{"toxi"}, AllowUpstream: []string{"127.0.0.0/8:*", "*.internal:5432"}})
	body := func(up string) string { return `{"name":"n","listen":"127.0.0.1:0","upstream":"` + up + `"}` }
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
	}{
		{"loopback name", "GET", "/proxies", "", []string{"Host", "localhost:1"}, 200},
		{"ipv6 loopback", "GET", "/proxies", "", []string{"Host", "[::1]:8474"}, 200},
		{"allowed name", "GET", "/proxies", "", []string{"Host", "Toxi:8474"}, 200},
		{"foreign host", "GET", "/proxies", "", []string{"Host", "evil.example"}, 403},
		{"foreign address", "GET", "/proxies", "", []string{"Host", "192.0.2.1"}, 403},
		{"rebound name", "GET", "/proxies", "", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"origin", "POST", "/reset", "", []string{"Origin", "http://localhost"}, 403},
		{"null origin", "POST", "/reset", "", []string{"Origin", "null"}, 403},
		{"browser", "GET", "/proxies", "", []string{"User-Agent", "Mozilla/5.0"}, 403},
		{"form", "POST", "/proxies", body("127.0.0.1:1"), []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"text", "POST", "/proxies", body("127.0.0.1:1"), []string{"Content-Type", "text/plain"}, 415},
		{"too long", "POST", "/proxies", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413},
		{"off the list", "POST", "/proxies", body("10.0.0.1:80"), nil, 403},
		{"off the list by port", "POST", "/proxies", body("db.internal:80"), nil, 403},
		{"no port", "POST", "/proxies", body("db.internal"), nil, 400},
		{"populate off the list", "POST", "/populate", "[" + body("example.com:80") + "]", nil, 403},
		{"on the list", "POST", "/proxies", body("db.internal:5432"), []string{"Content-Type", "application/json; charset=utf-8"}, 201},
		{"moved off the list", "POST", "/proxies/n", `{"upstream":"example.com:80"}`, nil, 403},
	}
	for _, tc := range tests {
		if status, _, got := r.call(t, tc.method, tc.path, tc.body, tc.header...); status != tc.status {
			t.Errorf("%s: %d %s, want %d", tc.name, status, got, tc.status)
		}
	}
}

// Without a list only loopback and private addresses are dialled, whatever a name says.
func TestDefaultAllowList(t *testing.T) {
	var a allowList
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "10.1.2.3:1": true, "192.168.0.1:1": true, "[fd00::1]:1": true, "redis:6379": true,
		"8.8.8.8:53": false, "169.254.169.254:80": false, "[2001:db8::1]:1": false, "[::ffff:8.8.8.8]:1": false, "0.0.0.0:1": false,
	} {
		if err := a.check(addr); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
	control := a.control()
	if control(t.Context(), "tcp", "127.0.0.1:1", nil) != nil || control(t.Context(), "tcp", "93.184.216.34:80", nil) == nil {
		t.Error("resolved addresses are not checked")
	}
	for _, p := range []string{"x", ":1", "a:b", "a:99999", "10.0.0.0/99:1", "[a:1"} {
		if checkPattern(p) == nil {
			t.Errorf("pattern %q passes", p)
		}
	}
}

func TestMetricsAreLive(t *testing.T) {
	up := serve(t, echo)
	r := ours(t, Options{})
	p := r.proxyTo(t, up.addr())
	ping(t, dial(t, p.Listen), "hello")
	within(t, "counted", func() bool { return r.counters(t).Sent.Downstream == 5 }) // after the write
	_, _, body := r.call(t, "GET", "/metrics", "")
	want := fmt.Sprintf("toxiproxy_proxy_sent_bytes_total{direction=\"downstream\",listener=%q,proxy=\"p\",upstream=%q} 5",
		p.Listen, up.addr())
	if !strings.Contains(body, want) || !strings.Contains(body, `chaos_proxy_open{proxy="p"} 1`) {
		t.Fatalf("%s\nwant %s", body, want)
	}
}

// FuzzAPI sends any body to any route that takes one: the answer is JSON with a
// status below 500 (but for listen errors), and the server goes on.
func FuzzAPI(f *testing.F) {
	paths := []string{"/proxies", "/populate", "/proxies/p", "/proxies/p/toxics", "/proxies/p/toxics/x", "/lease", "/reset"}
	sort.Strings(paths)
	for i := range paths {
		for _, body := range []string{"", "{}", "[]", "null", "nul", `{"name":"a","upstream":"127.0.0.1:1"}`, `[{"name":"a","upstream":"127.0.0.1:1"}]`,
			`{"type":"latency","attributes":{"latency":1}}`, `{"type":"down"}`, `{"type":"reset","attributes":{"every":10,"refuse":true}}`,
			`{"attributes":{"latency":3},"toxicity":1e-9}`, `{"ttl_ms":1000}`, `{"enabled":null}`, "\xff\xfe", `{"name":"\u0000/..","upstream":":"}`} {
			f.Add(uint8(i), body)
		}
	}
	up := serve(f, echo)
	r := ours(f, Options{})
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		r.call(t, "POST", "/proxies", `{"name":"p","listen":"127.0.0.1:0","upstream":"`+up.addr()+`"}`)
		r.call(t, "POST", "/proxies/p/toxics", `{"name":"x","type":"latency"}`)
		path := paths[int(which)%len(paths)]
		method := "POST"
		if path == "/lease" {
			method = "PUT"
		}
		status, _, answer := r.call(t, method, path, body)
		listens := strings.Contains(answer, "listen") || strings.Contains(answer, "address") || strings.Contains(answer, "lookup")
		if status >= 500 && !listens {
			t.Fatalf("%s %s %q: %d %s", method, path, body, status, answer)
		}
		if answer != "" && !json.Valid([]byte(answer)) {
			t.Fatalf("%s %q: %s", path, body, answer)
		}
		if all, err := r.api.Proxies(); err != nil {
			t.Fatalf("server is gone: %v", err)
		} else if len(all) > 50 {
			for name := range all {
				_ = r.srv.delete(name)
			}
		}
	})
}

func TestMainFlagsAndBanner(t *testing.T) {
	out, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for _, args := range [][]string{{"-port", "x"}, {"extra"}, {"--allow-upstream", "nonsense"}, {"--lease", "1ms"}, {"--port", "70000"}} {
		if code := Main(t.Context(), args, out, out); code != 64 {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}
