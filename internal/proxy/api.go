package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// stockVersion is the release of Toxiproxy whose API this is.
const stockVersion = "2.12.0"

// answer is what a route returns: a status and a body (nil: none).
type answer struct {
	status int
	body   any
}

type route func(*http.Request) (answer, error)

// Handler returns the API: Toxiproxy's routes, and /counters and /lease of our own.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	reads := map[string]route{
		"GET /proxies":                        s.listProxies,
		"GET /proxies/{proxy}":                s.showProxy,
		"GET /proxies/{proxy}/counters":       s.showCounters,
		"GET /proxies/{proxy}/toxics":         s.listToxics,
		"GET /proxies/{proxy}/toxics/{toxic}": s.showToxic,
		"GET /counters":                       s.allCounters,
		"GET /lease":                          s.showLease,
		"PUT /lease":                          s.setLease,
	}
	for pattern, f := range reads {
		mux.Handle(pattern, s.answer(f))
	}
	changes := map[string]route{
		"POST /proxies":                          s.createProxy,
		"POST /populate":                         s.populateProxies,
		"POST /reset":                            s.reset,
		"POST /proxies/{proxy}":                  s.updateProxy,
		"PATCH /proxies/{proxy}":                 s.updateProxy,
		"DELETE /proxies/{proxy}":                s.deleteProxy,
		"POST /proxies/{proxy}/toxics":           s.createToxic,
		"POST /proxies/{proxy}/toxics/{toxic}":   s.changeToxic,
		"PATCH /proxies/{proxy}/toxics/{toxic}":  s.changeToxic,
		"DELETE /proxies/{proxy}/toxics/{toxic}": s.deleteToxic,
	}
	for pattern, f := range changes {
		mux.Handle(pattern, s.answer(func(r *http.Request) (answer, error) {
			defer s.lease.touch() // a change is a sign of life
			return f(r)
		}))
	}
	mux.HandleFunc("GET /version", s.version)
	mux.Handle("GET /metrics", s.metrics())
	return s.guard(mux)
}

func (s *Server) answer(f route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := f(r)
		if err != nil && a.body == nil {
			s.refuse(w, err)
			return
		}
		if a.body == nil {
			w.WriteHeader(a.status)
			return
		}
		data, err := json.Marshal(a.body)
		if err != nil {
			s.refuse(w, fmt.Errorf("encode answer: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		s.write(w, data)
	})
}

// refuse sends an error the way stock does.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	e := asAPI(err)
	data, err := json.Marshal(e)
	if err != nil { // a string and an int always marshal
		data = []byte(e.Message)
	}
	http.Error(w, string(data), e.Status)
}

// asAPI gives an error without a status 500, as stock does.
func asAPI(err error) *apiError {
	var e *apiError
	if errors.As(err, &e) {
		return &apiError{err.Error(), e.Status}
	}
	return &apiError{err.Error(), http.StatusInternalServerError}
}

func (s *Server) write(w http.ResponseWriter, data []byte) {
	if _, err := w.Write(data); err != nil {
		s.log.Debug("write answer", "error", err)
	}
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	s.write(w, fmt.Appendf(nil, "{\"version\": %q, \"server\": \"chaos\", \"epoch\": %q}\n", stockVersion, s.epoch))
}

func (s *Server) listProxies(*http.Request) (answer, error) {
	views := map[string]proxyView{}
	for _, p := range s.sorted() {
		views[p.name] = p.view()
	}
	return answer{http.StatusOK, views}, nil
}

func (s *Server) createProxy(r *http.Request) (answer, error) {
	var in proxyInput
	if err := decodeProxy(r.Body, &in); err != nil {
		return answer{}, err
	}
	if err := in.complete(""); err != nil {
		return answer{}, err
	}
	v, err := s.create(in)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusCreated, v}, nil
}

// populated is stock's answer to POST /populate: what was done, beside any error.
type populated struct {
	*apiError
	Proxies []proxyView `json:"proxies"`
}

func (s *Server) populateProxies(r *http.Request) (answer, error) {
	var list []proxyInput
	err := decodeProxies(r.Body, &list)
	for i := 0; err == nil && i < len(list); i++ {
		err = list[i].complete(fmt.Sprintf(" at proxy %d", i+1))
	}
	var done []proxyView
	if err == nil {
		done, err = s.populate(r.Context(), list)
	}
	if err != nil {
		e := asAPI(err)
		return answer{e.Status, populated{e, done}}, err
	}
	return answer{http.StatusCreated, populated{nil, done}}, nil
}

func (s *Server) showProxy(r *http.Request) (answer, error) {
	p, err := s.get(r.PathValue("proxy"))
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, p.view()}, nil
}

func (s *Server) updateProxy(r *http.Request) (answer, error) {
	p, err := s.get(r.PathValue("proxy"))
	if err != nil {
		return answer{}, err
	}
	now := p.view()
	in := proxyInput{Listen: now.Listen, Upstream: now.Upstream}
	if err := decodeProxy(r.Body, &in); err != nil {
		return answer{}, err
	}
	if in.Name != "" && in.Name != p.name {
		return answer{}, badRequest("the name of a proxy can't be changed")
	}
	if in.Enabled == nil {
		in.Enabled = &now.Enabled
	}
	if err := s.allow.check(in.Upstream); err != nil {
		return answer{}, err
	}
	p.mu.Lock()
	err = errProxyNotFound()
	if !p.gone {
		err = p.update(r.Context(), in)
	}
	p.mu.Unlock()
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, p.view()}, nil
}

func (s *Server) deleteProxy(r *http.Request) (answer, error) {
	return answer{status: http.StatusNoContent}, s.delete(r.PathValue("proxy"))
}

func (s *Server) reset(*http.Request) (answer, error) {
	_, err := s.neutral()
	return answer{status: http.StatusNoContent}, err
}

func (s *Server) listToxics(r *http.Request) (answer, error) {
	p, err := s.get(r.PathValue("proxy"))
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, p.toxicViews()}, nil
}

func (s *Server) createToxic(r *http.Request) (answer, error) {
	p, err := s.get(r.PathValue("proxy"))
	if err != nil {
		return answer{}, err
	}
	var in toxicInput
	if err := decodeToxic(r.Body, &in); err != nil {
		return answer{}, err
	}
	v, err := p.addToxic(in)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, v}, nil
}

func (s *Server) showToxic(r *http.Request) (answer, error) {
	p, err := s.get(r.PathValue("proxy"))
	if err != nil {
		return answer{}, err
	}
	v, err := p.toxicView(r.PathValue("toxic"))
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, v}, nil
}

func (s *Server) changeToxic(r *http.Request) (answer, error) {
	p, err := s.get(r.PathValue("proxy"))
	if err != nil {
		return answer{}, err
	}
	if _, err := p.toxicView(r.PathValue("toxic")); err != nil {
		return answer{}, err
	}
	var in toxicInput
	if err := decodeToxic(r.Body, &in); err != nil {
		return answer{}, err
	}
	v, err := p.updateToxic(r.PathValue("toxic"), in)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, v}, nil
}

func (s *Server) deleteToxic(r *http.Request) (answer, error) {
	p, err := s.get(r.PathValue("proxy"))
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, p.removeToxic(r.PathValue("toxic"))
}

func (s *Server) showCounters(r *http.Request) (answer, error) {
	p, err := s.get(r.PathValue("proxy"))
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, p.counters()}, nil
}

func (s *Server) allCounters(*http.Request) (answer, error) {
	all := AllCounters{Epoch: s.epoch, Lease: s.lease.state(s.epoch), Proxies: map[string]Counters{}}
	for _, p := range s.sorted() {
		all.Proxies[p.name] = p.counters()
	}
	return answer{http.StatusOK, all}, nil
}

func (s *Server) showLease(*http.Request) (answer, error) {
	return answer{http.StatusOK, s.lease.state(s.epoch)}, nil
}

// setLease takes {"ttl_ms": n}; each call starts the time anew.
func (s *Server) setLease(r *http.Request) (answer, error) {
	var in struct {
		TTL *int64 `json:"ttl_ms"`
	}
	if err := decode(r.Body, &in, "ttl_ms"); err != nil {
		return answer{}, err
	}
	least, most := minLease.Milliseconds(), maxLease.Milliseconds()
	if in.TTL == nil || (*in.TTL != 0 && (*in.TTL < least || *in.TTL > most)) {
		return answer{}, badRequest("ttl_ms: want 0 (no lease) or %d to %d ms", least, most)
	}
	s.lease.set(time.Duration(*in.TTL)*time.Millisecond, nil)
	return s.showLease(r)
}
