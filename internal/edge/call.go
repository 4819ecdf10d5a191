package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

// maxAnswer is the longest answer of our own routes that is read, in bytes.
const maxAnswer = 16 << 20

// run makes one call of the official client, which knows no context: it goes on in
// the background when ctx or the client's patience ends first, and its result is dropped: after
// a timeout a change may still happen, so look (List, Toxics) before trusting either.
//
//	slot ─► goroutine ─► result ─► caller
//	  ▲          │          └ (caller is gone: dropped)
//	  └──────────┘ when the call ends, at the latest after the client's own 30 s
func run[T any](ctx context.Context, c *Client, what string, call func() (T, error)) (T, error) {
	var none T
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%s: %w", what, err)
	}
	select {
	case c.calls <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("%s: %w: %d calls hang already: %w", what, silent(ctx), maxCalls, ctx.Err())
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-c.calls }()
		v, err := call()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return none, fmt.Errorf("%s: %w", what, typed(r.err))
		}
		return r.v, nil
	case <-ctx.Done():
		return none, fmt.Errorf("%s: %w from %s: %w", what, silent(ctx), c.base, ctx.Err())
	}
}

// errNotAwaited is why a call has no answer when its caller left.
var errNotAwaited = errors.New("the answer is not awaited")

// silent is ErrNoAnswer, unless it was the caller who left.
func silent(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errNotAwaited
	}
	return ErrNoAnswer
}

// do is run for a call without a result.
func (c *Client) do(ctx context.Context, what string, call func() error) error {
	_, err := run(ctx, c, what, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// Counters reads what a proxy and its toxics did so far. ErrStock from a stock server.
func (c *Client) Counters(ctx context.Context, proxy string) (Counters, error) {
	var out Counters
	if err := checkName(proxy); err != nil {
		return out, err
	}
	err := c.own(ctx, "read counters of "+proxy, http.MethodGet, "/proxies/"+proxy+"/counters", nil, &out)
	return out, err
}

// Renew starts the lease anew: without another Renew within ttl every toxic is
// removed and every proxy enabled. 0 ends the lease. ErrStock from a stock server.
func (c *Client) Renew(ctx context.Context, ttl time.Duration) (LeaseState, error) {
	var out LeaseState
	body := map[string]int64{"ttl_ms": ttl.Milliseconds()}
	err := c.own(ctx, "renew lease", http.MethodPut, "/lease", body, &out)
	return out, err
}

// own calls a route that stock does not have.
func (c *Client) own(ctx context.Context, what, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if body == nil {
		data = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s: %w from %s: %w", what, silent(ctx), c.base, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	refused := &toxiproxy.ApiError{}
	if json.Unmarshal(answer, refused) == nil && refused.Status != 0 {
		return fmt.Errorf("%s: %w", what, typed(refused))
	}
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed {
		return fmt.Errorf("%s: %w", what, ErrStock) // its router does not know the path
	}
	return fmt.Errorf("%s: HTTP %d", what, resp.StatusCode)
}
