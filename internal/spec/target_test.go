package spec

import (
	"strings"
	"testing"
	"time"
)

func TestTarget(t *testing.T) {
	top, _, err := ParseTarget("t.yaml", text(t, "target.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if e := top.Edges[0]; e.From != "gateway" || e.To != "redis" {
		t.Errorf("edge %+v", e)
	}
	n, _ := top.Node("gateway")
	if n.Env["N"] != "5" || n.HealWithin != 10*time.Second || n.Ready.Within != 30*time.Second {
		t.Errorf("node %+v", n)
	}
	if need := top.Ops["read"].Needs["id"]; need.Keep != 1000 || need.Prepare != 50 || need.Field != "id" {
		t.Errorf("need %+v", need)
	}
	if op := top.Ops["pay"]; op.Shed != "X-Shed" || top.Behaviours["psp"].Read.Method != "GET" {
		t.Errorf("defaults were not filled in: %+v", op)
	}
}

func TestRealTarget(t *testing.T) {
	if _, err := LoadTarget("../../targets/payments/target.yaml"); err != nil {
		t.Error(err)
	}
}

func TestTargetErrors(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "stateful: true", "statefull: true", `t.yaml:8:5: unknown key "statefull" in nodes[0] — did you mean "stateful"?`},
		{"unknown image", "image: redis\n", "image: rediss\n", `t.yaml:7:12: unknown image "rediss" — did you mean "redis"? (valid: paysys, redis)`},
		{"edge to nowhere", `"gateway->redis", port: redis`, `"gateway->rdis", port: redis`, "t.yaml:18:18: unknown edge \"gateway->redis\" — did you mean \"gateway->rdis\"? (valid: gateway->rdis)\nt.yaml:23:12: unknown node \"rdis\" — did you mean \"redis\"? (valid: redis, psp, gateway)"},
		{"edge to no port", "port: redis}", "port: http}", `t.yaml:23:36: unknown port of redis "http" (valid: redis)`},
		{"no arrow", `{name: "gateway->redis"`, `{name: "gateway-redis"`, "t.yaml:18:18: unknown edge \"gateway->redis\" — did you mean \"gateway-redis\"? (valid: gateway-redis)\nt.yaml:23:12: an edge is written from->to, not \"gateway-redis\" — such as payments->postgres"},
		{"someone else's edge", "command: [psp]\n", "command: [psp]\n    env: {R: '{{edge \"gateway->redis\"}}'}\n", `t.yaml:14:14: node psp uses the edge "gateway->redis" of gateway`},
		{"unknown secret", `{{secret "admin"}}`, `{{secret "admn"}}`, `t.yaml:18:54: unknown secret "admn" — did you mean "admin"? (valid: admin)`},
		{"unknown function", `{{secret "admin"}}`, `{{env "HOME"}}`, `t.yaml:18:54: unknown function "env" (valid: collector, dir, edge, host, node, port, secret)`},
		{"no call", `{{secret "admin"}}`, `{{secret}}`, `t.yaml:18:54: secret takes a name`},
		{"no function", `{{secret "admin"}}`, `{{.Secret}}`, `t.yaml:18:54: {{.Secret}} is not a call of one of them — write {{edge "a->b"}}, {{node "a"}}, {{node "a" "port"}}, {{secret "a"}}, {{collector}}, {{host}}, {{port "x"}} or {{dir "/x"}}`},
		{"host with a name", `{{secret "admin"}}`, `{{host "redis"}}`, `t.yaml:18:54: host takes no name`},
		{"folder that is not there", `{{secret "admin"}}`, `{{dir "/data"}}`, `t.yaml:18:54: node gateway has no writable folder "/data" — add it to tmpfs: or volumes:`},
		{"another node's port", `{{secret "admin"}}`, `{{port "redis"}}`, `t.yaml:18:54: unknown port of gateway "redis" (valid: http)`},
		{"never closed", `{{secret "admin"}}`, `{{secret "admin"`, `t.yaml:18:54: a {{ is never closed — write {{node "x"}}`},
		{"node without that port", `{{secret "admin"}}`, `{{node "redis" "http"}}`, `t.yaml:18:54: unknown port of redis "http" (valid: redis)`},
		{"started too early", "after: [redis]", "after: [gateway]", `t.yaml:19:13: node gateway is started after gateway, not before it — nodes are started in the order of the file`},
		{"after nobody", "after: [redis]", "after: [rediss]", `t.yaml:19:13: unknown node "rediss" — did you mean "redis"? (valid: redis, psp, gateway)`},
		{"ready twice", "ready: {http: /readyz, port: http}", "ready: {http: /readyz, port: http, exec: [a]}", `t.yaml:21:40: nodes[2].ready takes one of http and exec, not both`},
		{"ready on no port", "ready: {http: /readyz, port: http}", "ready: {http: /readyz, port: htp}", `t.yaml:21:34: unknown port of gateway "htp" — did you mean "http"? (valid: http)`},
		{"port out of range", "port: 6379", "port: 70000", `t.yaml:9:27: nodes[0].ports.redis.port must be 1 to 65535, not 70000`},
		{"port as text", "port: 6379", `port: "6379"`, `t.yaml:9:27: nodes[0].ports.redis.port: must be a whole number, not the text "6379"`},
		{"needs of no op", "good: [200], needs: {id: {from: pay}}", "good: [200], needs: {id: {from: pey}}", `t.yaml:27:94: unknown op "pey" — did you mean "pay"? (valid: pay, read, refund)`},
		{"unknown placeholder", `body: '{"id":"{id}"}'`, `body: '{"id":"{di}"}'`, `t.yaml:28:63: unknown placeholder "di" — did you mean "id"? (valid: amount, key, tenant, traceparent, id)`},
		{"amount without range", ", amount: {min: 1, max: 9}", "", `t.yaml:26:98: {amount} is used but the op has no amount — add amount: {min: 1, max: 100}`},
		{"odd range", "{min: 1, max: 9}", "{min: 9, max: 1}", `t.yaml:26:130: amount must have 0 ≤ min ≤ max, not 9 to 1`},
		{"no status", "good: [201, 202]", "good: []", `t.yaml:26:154: ops.pay.good is empty — statuses that are good`},
		{"status", "good: [201, 202]", "good: [2010, 202]", `t.yaml:26:155: ops.pay.good[0] must be 100 to 599, not 2010`},
		{"method", "method: PUT", "method: PUTT", `t.yaml:32:45: unknown method "PUTT" — did you mean "PUT"? (valid: GET, HEAD, POST, PUT, PATCH, DELETE)`},
		{"question to a closed port", "admin: {port: 8081, publish: true}", "admin: {port: 8081}", "t.yaml:31:29: port admin of psp is not published, so the harness can't ask it — add publish: true to the port\nt.yaml:32:30: port admin of psp is not published, so the harness can't ask it — add publish: true to the port"},
		{"odd op", "  pay: {", "  p.ay: {", "t.yaml:26:3: \"p.ay\" is not a name — letters, digits, - and _, beginning with a letter\nt.yaml:27:94: unknown op \"pay\" — did you mean \"p.ay\"? (valid: p.ay, read, refund)\nt.yaml:28:112: unknown op \"pay\" — did you mean \"p.ay\"? (valid: p.ay, read, refund)"},
		{"odd size", "stateful: true", "memory: 512M", `t.yaml:8:13: "512M" is not a size — a size with its unit, such as 512B, 64KB (1000 B) or 4MiB (1024 KiB)`},
		{"nothing kept", "{from: pay}}}\n  refund", "{from: pay, keep: 0, prepare: 0}}}\n  refund", `t.yaml:27:105: ops.read.needs.id.keep must be at least 1, not 0`},
		{"build of nothing", "{build: {go: ./targets/payments/cmd/paysys}}", "{build: {}}", `t.yaml:3:19: images.paysys.build needs one of go and debian — go: main package, relative to the module's root, built static into an empty image; debian: Debian packages unpacked into an image`},
		{"pull without digest", "{build: {go: ./targets/payments/cmd/paysys}}", "{pull: paysys:1}", `t.yaml:3:18: image paysys is pulled without a digest — pin it: name@sha256:<digest>`},
		{"duplicate node", "- name: psp", "- name: redis", "t.yaml:11:11: duplicate node \"redis\"\nt.yaml:31:18: unknown node \"psp\" (valid: redis, redis, gateway)\nt.yaml:32:19: unknown node \"psp\" (valid: redis, redis, gateway)"},
		{"no nodes", "secrets: [admin]", "secrets: [admin]\nnodes: []", `t.yaml:25:1: duplicate key "nodes": it is on line 5 already`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ParseTarget("t.yaml", text(t, "target.yaml", c.old, c.new))
			if err == nil {
				t.Fatal("it was taken")
			}
			if got := strings.Join(headlines(t, err), "\n"); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestCheckRefs(t *testing.T) {
	top, _, err := ParseTarget("t.yaml", text(t, "target.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for with, want := range map[string]string{
		`{edge: "gateway->redis", node: redis, op: pay, call: psp}`: "",
		`{edges: ["gateway->redis", "gateway->rdis"]}`:              `x:1:28: unknown edge "gateway->rdis" — did you mean "gateway->redis"? (valid: gateway->redis)`,
		`{node: rdis}`: `x:1:8: unknown node "rdis" — did you mean "redis"? (valid: redis, psp, gateway)`,
		`{op: pya}`:    `x:1:6: unknown op "pya" — did you mean "pay"? (valid: pay, read, refund)`,
		`{call: ps}`:   `x:1:8: unknown call "ps" — did you mean "psp"? (valid: psp)`,
	} {
		n, err := parse("x", []byte(with))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := CheckRefs(n, top); err != nil {
			got = strings.Join(headlines(t, err), "\n")
		}
		if got != want {
			t.Errorf("%s\ngot:  %s\nwant: %s", with, got, want)
		}
	}
}

func FuzzTarget(f *testing.F) {
	f.Add(text(f, "target.yaml"))
	for _, s := range []string{"name: x\nnodes: [{name: a, image: b}]", "edges: [{name: a->b->c, port: x}]", "ops: {a: {path: '{'}}", "nodes: {a: b}", "nodes: [null]", "settled: [1]", "audit: [x]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		top, _, err := ParseTarget("t.yaml", data)
		if (top == nil) == (err == nil) {
			t.Fatalf("target %v with error %v", top, err)
		}
	})
}
