// Package node runs one role: two listeners, health and readiness, and the way
// out, which finishes what was begun.
package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"chaos/targets/payments/clock"
	"chaos/targets/payments/settings"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

const (
	// A node that is told to stop still answers, with clean refusals that send
	// callers elsewhere, until nobody has asked for quietTicks in a row: a request
	// that a caller sent before it knew must not find a closed listener. Callers
	// that have nowhere else to go are not waited for longer than mostTicks. Ticks
	// are counted and not time, because on a busy machine time passes in which
	// nothing could arrive.
	quietTick             = 100 * time.Millisecond
	quietTicks, mostTicks = 15, 60
	// DrainTime is how long requests may finish after the order to stop.
	DrainTime = 3 * time.Second
	// settleTime is how long background work may finish after that.
	settleTime = time.Second
	// readyTimeout bounds the questions to dependencies.
	readyTimeout = 900 * time.Millisecond

	headerTimeout = 5 * time.Second
	idleTimeout   = 60 * time.Second
)

// Role is what a node does.
type Role interface {
	Public(*http.ServeMux)
	Internal(*http.ServeMux)
	Ready(context.Context) error
	// Run does background work until the context ends, and finishes it.
	Run(context.Context)
}

// Node is one running role.
type Node struct {
	role     Role
	settings settings.Settings
	server   telemetry.Server
	clock    *clock.Clock
	closers  []func()
	draining atomic.Bool
	asked    atomic.Bool // somebody was refused since the last tick

	// Addresses that the node listens at, once Start returned.
	PublicAddr, InternalAddr net.Addr
	servers                  []*http.Server
	failed                   chan error
}

// Run listens and works until the context ends, then drains.
func (n *Node) Run(ctx context.Context) error {
	if err := n.Start(); err != nil {
		return err
	}
	return n.work(ctx)
}

// work does the role's work until the context ends, then drains.
func (n *Node) work(ctx context.Context) error {
	work, stop := context.WithCancel(context.Background())
	defer stop()
	var background sync.WaitGroup
	background.Go(func() { n.role.Run(work) })
	n.server.Log.Info("started", "role", n.settings.Role, "version", n.settings.Version, "preset", n.settings.Switches.Preset, "switches", n.settings.Switches.Values,
		"listen", n.PublicAddr.String(), "internal_listen", n.InternalAddr.String())
	var err error
	select {
	case <-ctx.Done():
	case err = <-n.failed:
	}
	n.drain()
	stop()
	wait(background.Wait, settleTime)
	for _, c := range n.closers {
		wait(c, settleTime)
	}
	n.server.Log.Info("stopped")
	return err
}

// Start opens both listeners.
func (n *Node) Start() error {
	public, internal := http.NewServeMux(), http.NewServeMux()
	n.role.Public(public)
	protected := http.NewServeMux()
	n.role.Internal(protected)
	n.clock.Internal(protected)
	internal.Handle("/", wire.Token(n.settings.InternalToken, protected))
	internal.Handle("GET /metrics", promhttp.HandlerFor(n.server.Metrics.Registry, promhttp.HandlerOpts{}))
	for _, m := range []*http.ServeMux{public, internal} {
		m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
			wire.Write(w, http.StatusOK, map[string]string{"status": "alive", "instance": n.settings.Instance, "version": n.settings.Version})
		})
		m.HandleFunc("GET /readyz", n.ready)
	}
	var err error
	if n.PublicAddr, err = n.listen(n.settings.Listen, n.open(public)); err != nil {
		return err
	}
	n.InternalAddr, err = n.listen(n.settings.InternalListen, internal)
	return err
}

// open lets requests in until the node is told to stop. From then on it refuses
// them without effect, and closes connections that nobody uses.
func (n *Node) open(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.draining.Load() {
			w.Header().Set("Connection", "close")
			if r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
				n.asked.Store(true)
				w.Header().Set(wire.DrainHeader, "1")
				wire.Shed(w, "draining", time.Second)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (n *Node) listen(addr string, h http.Handler) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
	n.servers = append(n.servers, s)
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- fmt.Errorf("serve %s: %w", addr, err)
		}
	}()
	return l.Addr(), nil
}

func (n *Node) ready(w http.ResponseWriter, r *http.Request) {
	if n.draining.Load() {
		wire.Refuse(w, http.StatusServiceUnavailable, "draining", "the node is stopping")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := n.role.Ready(ctx); err != nil {
		wire.Refuse(w, http.StatusServiceUnavailable, "not_ready", err.Error())
		return
	}
	wire.Write(w, http.StatusOK, map[string]string{"status": "ready", "instance": n.settings.Instance, "version": n.settings.Version})
}

// outlast answers until callers have gone elsewhere.
func (n *Node) outlast() {
	tick := time.NewTicker(quietTick)
	defer tick.Stop()
	for quiet, ticks := 0, 0; quiet < quietTicks && ticks < mostTicks; ticks++ {
		select {
		case <-tick.C:
		case <-n.failed: // nobody listens any more
			return
		}
		if quiet++; n.asked.Swap(false) {
			quiet = 0
		}
	}
}

// drain turns readiness off, sends callers elsewhere and lets requests finish.
func (n *Node) drain() {
	n.draining.Store(true)
	n.outlast()
	ctx, cancel := context.WithTimeout(context.Background(), DrainTime)
	defer cancel()
	var all sync.WaitGroup
	for _, s := range n.servers {
		all.Go(func() {
			if s.Shutdown(ctx) != nil {
				n.server.Log.Warn("requests cut at the end of the drain time", "reason", "drain_time")
				_ = s.Close() // closing is all that is left
			}
		})
	}
	all.Wait()
}

// wait runs f, but not for longer than d.
func wait(f func(), d time.Duration) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
