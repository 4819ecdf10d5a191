// Package natstest starts a private NATS JetStream for tests: the real server in
// this process, on a port and a folder of its own, gone when the test ends.
package natstest

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const startDeadline = 20 * time.Second

// Server is a running broker that can be stopped and started again with what it
// has kept.
type Server struct {
	t    *testing.T
	opts server.Options
	now  *server.Server
}

// Start runs a broker until the test ends.
func Start(t *testing.T) *Server {
	t.Helper()
	s := &Server{t: t, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}}
	s.Up()
	t.Cleanup(s.Down)
	return s
}

// URL is its address, the same over restarts.
func (s *Server) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.opts.Port) }

// Up starts the broker.
func (s *Server) Up() {
	s.t.Helper()
	opts := s.opts
	now, err := server.NewServer(&opts)
	if err != nil {
		s.t.Fatal(err)
	}
	go now.Start()
	if !now.ReadyForConnections(startDeadline) {
		s.t.Fatal("the broker does not start")
	}
	s.now, s.opts.Port = now, opts.Port
}

// Down stops the broker.
func (s *Server) Down() {
	if s.now != nil {
		s.now.Shutdown()
		s.now.WaitForShutdown()
		s.now = nil
	}
}
