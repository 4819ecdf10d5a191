package proxy

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxBody is the longest request body, in bytes.
const maxBody = 1 << 20

// guard refuses requests that a web page could have sent, or that aren't meant for
// us: a browser, an Origin, a Host that isn't ours (DNS rebinding), a body that isn't JSON.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.UserAgent(), "Mozilla/"):
			http.Error(w, "User agent not allowed", http.StatusForbidden) // stock's text
		case len(r.Header.Values("Origin")) > 0:
			s.refuse(w, &apiError{"requests with an Origin are refused", http.StatusForbidden})
		case !s.ours(r):
			s.refuse(w, &apiError{"host " + r.Host + " is not ours (--allow-host)", http.StatusForbidden})
		case r.Body != nil && r.ContentLength != 0 && !isJSON(r.Header.Values("Content-Type")):
			s.refuse(w, &apiError{"want Content-Type: application/json", http.StatusUnsupportedMediaType})
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			next.ServeHTTP(w, r)
		}
	})
}

// ours tells whether the Host header names this server.
func (s *Server) ours(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || slices.Contains(s.allowHost, host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	bound, err := netip.ParseAddrPort(local.String())
	return err == nil && bound.Addr().Unmap() == ip.Unmap()
}

func isJSON(types []string) bool {
	for _, t := range types {
		media, _, err := mime.ParseMediaType(t)
		if err != nil || media != "application/json" {
			return false
		}
	}
	return true
}
