package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// allowList says which upstreams a proxy may have; see Options.AllowUpstream.
type allowList []string

func newAllowList(patterns []string) allowList { return patterns }

// checkPattern names what is wrong with a host:port pattern.
func checkPattern(pattern string) error {
	host, port, err := net.SplitHostPort(pattern)
	if err != nil || host == "" {
		return fmt.Errorf("upstream pattern %q: want host:port", pattern)
	}
	if _, err := strconv.ParseUint(port, 10, 16); port != "*" && err != nil {
		return fmt.Errorf("upstream pattern %q: want a port number or *", pattern)
	}
	if strings.Contains(host, "/") {
		if _, err := netip.ParsePrefix(host); err != nil {
			return fmt.Errorf("upstream pattern %q: %w", pattern, err)
		}
		return nil
	}
	if _, err := path.Match(host, ""); err != nil {
		return fmt.Errorf("upstream pattern %q: %w", pattern, err)
	}
	return nil
}

// check refuses an upstream that is no address or not allowed.
func (a allowList) check(upstream string) error {
	host, port, err := net.SplitHostPort(upstream)
	if err != nil || host == "" || port == "" {
		return badRequest("upstream %q: want host:port", upstream)
	}
	if len(a) == 0 {
		ip, err := netip.ParseAddr(host)
		if err != nil || near(ip) { // a name is checked when it is resolved
			return nil
		}
	}
	for _, p := range a {
		if matches(p, host, port) {
			return nil
		}
	}
	return &apiError{fmt.Sprintf("upstream %q is not on the allow list (--allow-upstream)", upstream), http.StatusForbidden}
}

func matches(pattern, host, port string) bool {
	wantHost, wantPort, err := net.SplitHostPort(pattern)
	if err != nil || (wantPort != "*" && wantPort != port) {
		return false
	}
	if network, err := netip.ParsePrefix(wantHost); err == nil {
		ip, err := netip.ParseAddr(host)
		return err == nil && network.Contains(ip.Unmap())
	}
	ok, err := path.Match(strings.ToLower(wantHost), strings.ToLower(host))
	return err == nil && ok
}

// near tells whether ip is on this machine or in a private network. Link-local
// addresses are not: the metadata service of clouds is one.
func near(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate()
}

// control checks the resolved address right before the connection, so that a name
// can't change its meaning between the check and the dial.
func (a allowList) control() func(context.Context, string, string, syscall.RawConn) error {
	if len(a) > 0 {
		return nil // the pattern named what may be connected to
	}
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !near(to.Addr()) {
			return fmt.Errorf("address %s is neither loopback nor private (--allow-upstream)", address)
		}
		return nil
	}
}

// resolveListen turns a listen address into what the listener will report, as stock
// does before it decides whether an address has changed.
func resolveListen(ctx context.Context, addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" {
		ctx, cancel := context.WithTimeout(ctx, listenTimeout)
		defer cancel()
		ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
		if err != nil {
			return "", err
		}
		host = ips[0].String()
		for _, ip := range ips {
			if ip.To4() != nil {
				host = ip.String()
				break
			}
		}
	}
	tcp, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, port)) // an IP: no lookup
	if err != nil {
		return "", err
	}
	return tcp.String(), nil
}
