package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sort"
	"sync"
	"time"
)

// Limits of the server.
const (
	maxProxies    = 1024
	maxNameLength = 255

	headerTimeout   = 5 * time.Second  // to send a request's header
	requestTimeout  = 15 * time.Second // to send a whole request, as stock
	responseTimeout = 30 * time.Second // to take the answer, as stock
	idleTimeout     = 60 * time.Second // of a kept-alive connection, as stock
	maxHeader       = 64 << 10         // bytes
)

// Options of a Server. The zero value serves on an ephemeral port of localhost.
type Options struct {
	Host string // to listen on; "" is localhost
	Port int    // 0: ephemeral
	Seed uint64 // decides which connections a toxicity below 1 hits, and jitter

	// AllowUpstream lists what proxies may connect to, as host:port patterns: host is
	// a name with * and ?, or a network like 10.0.0.0/8; port is a number or *. An
	// upstream that matches may resolve to any address. Empty means: loopback and
	// private addresses (RFC 1918, fc00::/7), and names, checked again each time when
	// they have been resolved.
	AllowUpstream []string
	// AllowHost lists names accepted in the Host header beside loopback names, IP
	// addresses of loopback and the address that the request came in on.
	AllowHost []string
	// Lease is how long toxics live without a sign of life from whoever drives us (a
	// change, or PUT /lease). 0: for ever, until PUT /lease says otherwise.
	Lease  time.Duration
	Logger *slog.Logger // nil: silent
}

// Server is a set of proxies and the API that drives them.
type Server struct {
	seed      uint64
	epoch     string
	allow     allowList
	allowHost []string
	log       *slog.Logger
	buffers   sync.Pool // of *[chunkSize]byte
	lease     lease
	patience  patience
	resolver  func() *net.Resolver // one for each dial
	alarm     alarm
	wg        sync.WaitGroup // every goroutine of the data plane

	admin       sync.Mutex // serialises create, populate, delete, reset, close
	incarnation uint64

	mu      sync.Mutex // guards proxies and closed; innermost
	proxies map[string]*proxy
	closed  bool
}

// New returns a server without proxies. An invalid pattern in Options.AllowUpstream
// allows nothing; Options.Validate names it.
func New(o Options) *Server {
	id := make([]byte, 8)
	rand.Read(id) //nolint:errcheck // never fails, by its documentation
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		seed: o.Seed, epoch: hex.EncodeToString(id), allow: newAllowList(o.AllowUpstream),
		allowHost: o.AllowHost, log: log, proxies: map[string]*proxy{}, patience: defaultPatience(),
		resolver: func() *net.Resolver { return &net.Resolver{} },
	}
	s.buffers.New = func() any { return new([chunkSize]byte) }
	s.lease.set(o.Lease, s.expire)
	return s
}

// Validate names what is wrong with the options.
func (o Options) Validate() error {
	for _, p := range o.AllowUpstream {
		if err := checkPattern(p); err != nil {
			return err
		}
	}
	if o.Port < 0 || o.Port > 65535 {
		return fmt.Errorf("port %d: want 0 to 65535", o.Port)
	}
	if o.Lease != 0 && (o.Lease < minLease || o.Lease > maxLease) {
		return fmt.Errorf("lease %v: want 0 or %v to %v", o.Lease, minLease, maxLease)
	}
	return nil
}

// Serve answers the API on ln until ctx ends or the listener fails; then it ends
// every connection and closes the server.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	api := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: responseTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		if err := api.Close(); err != nil {
			s.log.Debug("close api", "error", err)
		}
	})
	defer stop()
	defer s.Close()
	err := api.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve api: %w", errors.Join(err, api.Close()))
}

// Close ends every connection, gives every port back and waits until nothing runs.
func (s *Server) Close() {
	s.lease.stop()
	s.admin.Lock()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, p := range s.sorted() {
		s.remove(p)
	}
	s.admin.Unlock()
	s.wg.Wait()
	s.alarm.close()
}

func (s *Server) get(name string) (*proxy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.proxies[name]; p != nil {
		return p, nil
	}
	return nil, errProxyNotFound()
}

// sorted lists the proxies by name.
func (s *Server) sorted() []*proxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*proxy, 0, len(s.proxies))
	for _, p := range s.proxies {
		all = append(all, p)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all
}

// create adds a proxy and starts it if it is enabled.
func (s *Server) create(in proxyInput) (proxyView, error) {
	if err := s.allow.check(in.Upstream); err != nil {
		return proxyView{}, err
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	if _, err := s.get(in.Name); err == nil {
		return proxyView{}, &apiError{"proxy already exists", http.StatusConflict}
	}
	p, err := s.put(in)
	if err != nil {
		return proxyView{}, err
	}
	return p.view(), nil
}

// put starts a new proxy and enters it, in the place of any of the same name. The
// caller holds admin.
func (s *Server) put(in proxyInput) (*proxy, error) {
	s.mu.Lock()
	closed, full := s.closed, len(s.proxies) >= maxProxies
	s.mu.Unlock()
	if closed {
		return nil, &apiError{"proxy is shutting down", http.StatusServiceUnavailable}
	}
	if full {
		return nil, badRequest("too many proxies: at most %d", maxProxies)
	}
	s.incarnation++
	p := newProxy(s, in.Name, in.Listen, in.Upstream, s.incarnation)
	if *in.Enabled {
		p.mu.Lock()
		err := p.start()
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.proxies[in.Name] = p
	s.mu.Unlock()
	s.log.Info("proxy created", "proxy", in.Name, "listen", p.listen, "upstream", in.Upstream)
	return p, nil
}

// populate creates or replaces proxies in order, like stock: what exists with the
// same addresses stays as it is; the first failure ends it, and what was done stays.
func (s *Server) populate(ctx context.Context, list []proxyInput) ([]proxyView, error) {
	for _, in := range list {
		if err := s.allow.check(in.Upstream); err != nil {
			return nil, err
		}
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	var done []proxyView
	for _, in := range list {
		p, err := s.replace(ctx, in)
		if err != nil {
			return done, err
		}
		done = append(done, p.view())
	}
	return done, nil
}

func (s *Server) replace(ctx context.Context, in proxyInput) (*proxy, error) {
	old, err := s.get(in.Name)
	if err != nil {
		return s.put(in)
	}
	old.mu.Lock()
	differs, err := old.differs(ctx, in.Listen, in.Upstream)
	if err == nil && differs {
		old.stop()
	}
	old.mu.Unlock()
	if err != nil || !differs {
		return old, err
	}
	p, err := s.put(in)
	if err != nil {
		return nil, err
	}
	old.mu.Lock()
	old.release()
	old.mu.Unlock()
	return p, nil
}

func (s *Server) delete(name string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	p, err := s.get(name)
	if err != nil {
		return err
	}
	s.remove(p)
	s.log.Info("proxy deleted", "proxy", name)
	return nil
}

func (s *Server) remove(p *proxy) {
	p.mu.Lock()
	p.release()
	p.mu.Unlock()
	s.mu.Lock()
	delete(s.proxies, p.name)
	s.mu.Unlock()
}

// neutral enables every proxy and removes every toxic. One that can't be enabled
// does not keep the others from it. It returns how many had to be changed.
func (s *Server) neutral() (int, error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	changed := 0
	var errs []error
	for _, p := range s.sorted() {
		did, err := p.neutral()
		if did {
			changed++
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return changed, errors.Join(errs...)
}

// expire is called when the lease ran out.
func (s *Server) expire() bool {
	changed, err := s.neutral()
	if changed == 0 {
		return false
	}
	s.log.Warn("lease ran out: all proxies are neutral again", "proxies", changed, "error", err)
	return true
}
