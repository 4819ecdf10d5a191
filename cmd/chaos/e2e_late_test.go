package main

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// late forwards a unix socket to the engine's, and keeps back the first request for a network until it is let
// go: an engine that is still at it when the process that asked is dead.
type late struct {
	path     string
	asked    chan struct{} // closed when the request is there
	let      chan struct{} // to be closed
	answered chan struct{} // closed when the engine has made the network
	once     sync.Once
}

func newLate(t *testing.T, to string) *late {
	t.Helper()
	l := &late{path: filepath.Join(t.TempDir(), "e.sock"), asked: make(chan struct{}), let: make(chan struct{}), answered: make(chan struct{})}
	listener, err := net.Listen("unix", l.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(c, to)
		}
	}()
	return l
}

func (l *late) serve(c net.Conn, to string) {
	defer c.Close()
	up, err := net.Dial("unix", to)
	if err != nil {
		return
	}
	defer up.Close()
	var held atomic.Bool
	go func() {
		block := make([]byte, 64<<10)
		for {
			n, err := c.Read(block)
			if err != nil {
				if !held.Load() {
					_ = up.(*net.UnixConn).CloseWrite()
				}
				return
			}
			first := false
			line, _, _ := bytes.Cut(block[:n], []byte("\r\n")) // images pass here too, with whatever words
			if bytes.HasPrefix(line, []byte("POST ")) && bytes.Contains(line, []byte("/networks/create")) {
				l.once.Do(func() { first = true })
			}
			if first {
				close(l.asked)
				<-l.let
				held.Store(true)
			}
			if _, err := up.Write(block[:n]); err != nil {
				return
			}
		}
	}()
	block := make([]byte, 64<<10)
	for {
		n, err := up.Read(block)
		if err != nil {
			return
		}
		if held.Load() { // the caller is dead: nobody but us waits for the answer
			close(l.answered)
			return
		}
		if _, err := c.Write(block[:n]); err != nil {
			return
		}
	}
}

// TestWhatComesAfterTheSweep kills harness and watchdog while the engine makes a network for them. It appears
// after chaos heal has looked for the first time, and is removed all the same.
func TestWhatComesAfterTheSweep(t *testing.T) {
	b := newBench(t)
	host := b.api.DaemonHost()
	if !strings.HasPrefix(host, "unix://") {
		t.Skipf("not run: the engine is at %s, not at a unix socket", host)
	}
	l := newLate(t, strings.TrimPrefix(host, "unix://"))
	p := b.startWith([]string{"DOCKER_HOST=unix://" + l.path}, "run", "--reports", b.reports(), outage)
	select {
	case <-l.asked:
	case <-p.ended:
		t.Fatalf("it ended and asked for no network:\n%s", p.said())
	}
	if err := syscall.Kill(b.info().Watchdog, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	heal := b.start("heal", "--reports", b.reports())
	time.Sleep(time.Second) // it has looked for the first time, or else it finds the network then
	close(l.let)
	<-l.answered
	if code := b.exit(heal, time.Minute); !strings.Contains(heal.stdout.String(), "removed network") {
		t.Errorf("heal: exit %d\n%s%s", code, heal.stdout.String(), heal.said())
	}
	if left := b.left(p); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
