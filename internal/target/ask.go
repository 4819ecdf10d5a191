package target

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of one call to a node.
const (
	callWithin  = 30 * time.Second // callers that know better bring a tighter deadline
	answerMax   = 256 << 20        // an audit of a long run is large; anything beyond is a fault of the target
	ProbeWithin = 2 * time.Second  // one question to a node's health check
	connectIn   = 2 * time.Second
)

// Ask makes a call to a node of a system on a published port, with secrets filled in: what every
// runtime's System.Call does. {run} in the path is the run's id. A status outside 2xx is a *StatusError.
func Ask(ctx context.Context, s System, e Expander, c Call) ([]byte, error) {
	q := c.Query
	doing := fmt.Sprintf("call %s %s of node %s", method(q), q.Path, q.Node)
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	addr, err := s.Endpoint(ctx, q.Node, q.Port)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	headers, err := e.Headers(q)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	path := strings.ReplaceAll(q.Path, "{run}", url.QueryEscape(c.Run))
	status, body, err := exchange(ctx, method(q), "http://"+addr+path, headers, c.Body, answerMax)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if status < 200 || status > 299 {
		return nil, fmt.Errorf("%s: %w", doing, &StatusError{Status: status, Body: OneLine(string(body))})
	}
	return body, nil
}

// AskHealth asks a health route; anything but 200 is an error.
func AskHealth(ctx context.Context, addr, path string) error {
	const enough = 1 << 10
	ctx, cancel := context.WithTimeout(ctx, ProbeWithin)
	defer cancel()
	status, body, err := exchange(ctx, http.MethodGet, "http://"+addr+path, nil, nil, enough)
	if err == nil && status != http.StatusOK {
		err = &StatusError{Status: status, Body: string(body)}
	}
	return err
}

func exchange(ctx context.Context, method, url string, headers map[string]string, body []byte, most int) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for key, value := range headers {
		req.Header.Set(key, value)
	}
	client := loopback()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(answer) > most {
		return 0, nil, fmt.Errorf("the answer is larger than %d bytes", most)
	}
	return resp.StatusCode, answer, nil
}

func method(q Query) string {
	if q.Method == "" {
		return http.MethodGet
	}
	return q.Method
}

// loopback is a client that connects to loopback addresses only, uses no proxy, follows no redirect
// and never sends a request twice: each has a connection of its own.
func loopback() *http.Client {
	dialer := &net.Dialer{Timeout: connectIn}
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				host, _, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
					return nil, fmt.Errorf("%s is not a loopback address", addr)
				}
				return dialer.DialContext(ctx, network, addr)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// lineLimit is how much of a command's output an error message shows.
const lineLimit = 400

// OneLine folds a command's output into one line, short enough for an error message: its end.
func OneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > lineLimit {
		s = "…" + s[len(s)-lineLimit:]
	}
	return s
}
