package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"chaos/internal/target"
	"chaos/internal/target/docker"
)

// answers is how long a node may take to answer when its packets are lost; it never does when all are.
const answers = 2 * time.Second

// asks calls a node of the kept target on a connection of its own.
func (k *kept) asks(node string) bool {
	k.t.Helper()
	at := regexp.MustCompile(`(?m)^` + node + `\s+http\s+(127\.0\.0\.1:[0-9]+)$`).FindStringSubmatch(k.up)
	if at == nil {
		k.t.Fatalf("where is %s? target up said:\n%s", node, k.up)
	}
	c := http.Client{Timeout: answers, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + at[1] + "/")
	if err != nil {
		return false
	}
	return r.Body.Close() == nil && r.StatusCode == http.StatusOK
}

// visitors are the containers that look at the kept target's packets or change them.
func (k *kept) visitors() (left []string) {
	k.t.Helper()
	all, err := docker.List(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	for _, f := range all {
		if f.Target == k.name && f.Kind == "container" && f.Node == "" {
			left = append(left, f.Name)
		}
	}
	return left
}

// TestPacketLossByHand loses packets of real containers: what is lost is felt by callers of that node and of no
// other, and ends by itself, after Ctrl-C, by the watchdog after kill -9, and by chaos heal when that was killed
// too. No container stays that did it.
func TestPacketLossByHand(t *testing.T) {
	engine(t)
	k := newKept(t, "docker")
	all := []string{"inject", "packet.loss", "cache", "loss=100%", "--for", "1h", "--runtime", "docker"}
	hurt := func() {
		t.Helper()
		if k.asks("cache") {
			t.Error("all packets of cache are lost and it answers")
		}
		k.until("front answers", func() bool { return k.asks("front") })
	}
	well := func() bool { return k.asks("cache") && k.asks("front") }
	k.until("both answer", well)

	// Half of what cache sends: enough connections to be sure that the share can be told.
	p := k.active("inject", "packet.loss", "cache", "loss=50%", "direction=out", "--for", "8s", "--runtime", "docker")
	ended := make(chan struct{})
	go func() { _ = p.Wait(); close(ended) }()
	for waiting := true; waiting; {
		k.asks("cache")
		select {
		case <-ended:
			waiting = false
		default:
		}
	}
	said, err := os.ReadFile(k.dir + "/log")
	if err != nil || p.ProcessState.ExitCode() != 0 || !strings.Contains(string(said), "packets out lost") {
		t.Errorf("exit %d\n%s", p.ProcessState.ExitCode(), said)
	}
	k.until("it ended by itself", well)

	p = k.active(all...)
	hurt()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _ = p.Wait(); p.ProcessState.ExitCode() != 130 {
		t.Errorf("Ctrl-C: %v", p.ProcessState)
	}
	k.until("Ctrl-C has healed it", well)

	p = k.active(all...)
	hurt()
	k.killed(p, false)
	k.until("the watchdog has healed it", func() bool {
		_, out := k.chaos("target", "status")
		return !strings.Contains(out, "HURT target "+k.name) && well()
	})

	p = k.active(all...)
	hurt()
	k.killed(p, true)
	k.want(3, "left packet.loss on node:cache", "inject", "node.stop", "front", "--for", "1s", "--runtime", "docker")
	hurt()
	k.want(0, "reverted", "heal")
	k.until("chaos heal has healed it", well)
	k.until("no container stays that did it", func() bool { return len(k.visitors()) == 0 })

	k.want(64, "runtimes that have it: docker", "inject", "packet.loss", "cache", "loss=1%", "--runtime", "process")
	var lacks string
	if p, err := docker.New(docker.Config{Binary: k.binary}).Probe(t.Context(), nil); err == nil {
		lacks = p.Lacks[target.VerbDelay]
	}
	if lacks == "" {
		t.Log("not run: this kernel can delay packets, so that it can't is not told")
		return
	}
	k.want(64, "not on this machine: the kernel has no sch_netem", "inject", "packet.delay", "cache", "latency=10ms", "--runtime", "docker")
}
