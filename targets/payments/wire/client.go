// Package wire is what the nodes say to each other over HTTP: a client that
// sends a request exactly once, the shape of answers, deadlines and tokens.
package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	// MaxBody bounds what is read of any request or answer.
	MaxBody = 64 << 10
	// dialTimeout bounds name resolution and connecting of a service call.
	dialTimeout = time.Second
	// idlePerHost keeps enough connections that a burst does not dial anew.
	idlePerHost = 256
	idleTimeout = 30 * time.Second
)

// Client sends requests to one service, once each.
//
// net/http silently sends a request again when a reused connection breaks and
// the request looks replayable (GET, or Idempotency-Key with GetBody). An
// attempt that the retry switch did not make would hide what an experiment
// looks for, so every request has a body and no GetBody.
type Client struct {
	base string
	http *http.Client
}

// NewClient makes a client for http://host:port. It follows no redirects and
// uses no proxy.
func NewClient(base string) *Client {
	d := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &Client{base: base, http: &http.Client{
		Transport: &http.Transport{
			DialContext:         d.DialContext,
			MaxIdleConnsPerHost: idlePerHost,
			IdleConnTimeout:     idleTimeout,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Reply is a complete answer.
type Reply struct {
	Code   int
	Header http.Header
	Body   []byte
}

// SendError is a call without a complete answer. Sent says whether the service
// may have received the request: if not, it certainly had no effect.
type SendError struct {
	Sent bool
	Err  error
}

func (e *SendError) Error() string {
	if e.Sent {
		return "no answer: " + e.Err.Error()
	}
	return "not sent: " + e.Err.Error()
}

func (e *SendError) Unwrap() error { return e.Err }

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends one request and reads the whole answer. The error is a *SendError.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body []byte) (Reply, error) {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
	})
	// A body in memory goes with the head in one write; that of nothing must not look like none.
	var content io.Reader = bytes.NewReader(body)
	if len(body) == 0 {
		content = empty{}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return Reply{}, &SendError{Err: fmt.Errorf("make request: %w", err)}
	}
	req.GetBody = nil
	if header != nil {
		req.Header = header
	}
	res, err := c.http.Do(req)
	if err != nil {
		return Reply{}, &SendError{Sent: sent.Load(), Err: err}
	}
	defer func() { _ = res.Body.Close() }() // read to the end below; nothing left to report
	data, err := io.ReadAll(io.LimitReader(res.Body, MaxBody))
	if err != nil {
		return Reply{}, &SendError{Sent: true, Err: fmt.Errorf("read answer: %w", err)}
	}
	return Reply{Code: res.StatusCode, Header: res.Header, Body: data}, nil
}

// empty is a body without content.
type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
