// Package edge drives a Toxiproxy, ours (internal/proxy) or a stock one, through the
// official client, with what that client lacks: contexts, a deadline of a second
// instead of 30, an undo that stock can't hang, and our counters and lease.
package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"

	"chaos/internal/proxy"
)

const (
	// CallTimeout is how long one request to the API may take. `chaos proxy` answers
	// in milliseconds; a stock Toxiproxy that takes longer is wedged.
	CallTimeout = time.Second

	// maxCalls is how many calls of the official client run at a time. One that was
	// given up goes on in the background until its own timeout of 30 s, and counts.
	maxCalls = 16

	userAgent = "chaos"
)

// Counters is what a proxy and its toxics did; see proxy.Counters for the units.
type Counters = proxy.Counters

// ToxicCounters is what one toxic did; see proxy.ToxicCounters for the units.
type ToxicCounters = proxy.ToxicCounters

// HTTPCounters is what one http toxic did to requests; see proxy.HTTPCounters.
type HTTPCounters = proxy.HTTPCounters

// LeaseState is what remains of a lease, in milliseconds.
type LeaseState = proxy.LeaseState

// Toxic is one disturbance of a proxy.
type Toxic struct {
	Name       string         `json:"name"`       // "": type_stream
	Type       string         `json:"type"`       // as stock; ours also: corrupt, reset, down, http
	Stream     string         `json:"stream"`     // upstream or downstream ("": downstream)
	Toxicity   float32        `json:"toxicity"`   // share of the connections, 0 to 1; 0 hits none
	Attributes map[string]any `json:"attributes"` // times in whole milliseconds; numbers come back as float64
}

// Proxy is one listener and where it leads.
type Proxy struct {
	Name     string  `json:"name"`
	Listen   string  `json:"listen"`   // host:port as bound: a port 0 that was asked for is resolved
	Upstream string  `json:"upstream"` // host:port
	Enabled  bool    `json:"enabled"`
	Toxics   []Toxic `json:"toxics"`
}

// Version says who answers.
type Version struct {
	API   string `json:"api"`   // of Toxiproxy, e.g. 2.12.0
	Stock bool   `json:"stock"` // not chaos proxy
	Epoch string `json:"epoch"` // changes when the process restarts; "" for stock
}

// Client drives one server. It is safe for concurrent use.
type Client struct {
	// Patience is how long one request may take: CallTimeout, unless it is set before the first call.
	Patience time.Duration

	base  string
	api   *toxiproxy.Client
	http  *http.Client
	calls chan struct{}
	adds  adds
}

// New returns a client of the API at addr, host:port. It connects to nothing yet.
func New(addr string) *Client {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	api := toxiproxy.NewClient(addr)
	api.UserAgent = userAgent
	return &Client{
		Patience: CallTimeout, base: addr, api: api, calls: make(chan struct{}, maxCalls),
		http: &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}},
	}
}

// Version asks who answers.
func (c *Client) Version(ctx context.Context) (Version, error) {
	body, err := run(ctx, c, "ask version", c.api.Version)
	if err != nil {
		return Version{}, err
	}
	var v struct{ Version, Server, Epoch string }
	if err := json.Unmarshal(body, &v); err != nil {
		return Version{}, fmt.Errorf("ask version: %w", err)
	}
	return Version{API: v.Version, Stock: v.Server != "chaos", Epoch: v.Epoch}, nil
}

// Create makes an enabled proxy without toxics. One of the same name is deleted first,
// and its connections end. Get tells the address really bound.
func (c *Client) Create(ctx context.Context, name, listen, upstream string) error {
	if err := c.Delete(ctx, name); err != nil {
		return err
	}
	return c.do(ctx, "create proxy "+name, func() error {
		_, err := c.api.CreateProxy(name, listen, upstream)
		return err
	})
}

// List returns all proxies by name.
func (c *Client) List(ctx context.Context) ([]Proxy, error) {
	all, err := run(ctx, c, "list proxies", c.api.Proxies)
	if err != nil {
		return nil, err
	}
	out := make([]Proxy, 0, len(all))
	for _, p := range all {
		out = append(out, fromProxy(p))
	}
	slices.SortFunc(out, func(a, b Proxy) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Get returns one proxy, or ErrNotFound.
func (c *Client) Get(ctx context.Context, name string) (Proxy, error) {
	if err := checkName(name); err != nil {
		return Proxy{}, err
	}
	p, err := run(ctx, c, "get proxy "+name, func() (*toxiproxy.Proxy, error) { return c.api.Proxy(name) })
	if err != nil {
		return Proxy{}, err
	}
	return fromProxy(p), nil
}

// Delete removes a proxy; one that is gone already is no error. See RemoveToxic about calls given up.
func (c *Client) Delete(ctx context.Context, name string) error {
	p, err := c.handle(name)
	if err != nil {
		return err
	}
	settled := c.settle(ctx, name, "")
	return errors.Join(settled, ignoreGone(c.do(ctx, "delete proxy "+name, p.Delete)))
}

// AddToxic adds t to a proxy: ErrNotFound without the proxy, ErrExists when the name
// is taken, ErrRefused when an attribute is wrong or the kind not known. After any other
// error the toxic may be there, or come: RemoveToxic, Neutral and Delete of the same
// Client wait for that.
func (c *Client) AddToxic(ctx context.Context, proxy string, t Toxic) error {
	p, err := c.handle(proxy)
	if err == nil && t.Name != "" {
		err = checkName(t.Name)
	}
	if err != nil {
		return err
	}
	n := c.adds.begin(proxy, t.Name)
	err = c.do(ctx, "add toxic "+t.Type+" to "+proxy, func() error {
		if !n.begun.CompareAndSwap(false, true) {
			return errGivenUp
		}
		defer c.adds.end(n)
		_, err := p.AddToxic(t.Name, t.Type, t.Stream, t.Toxicity, t.Attributes)
		return err
	})
	if err != nil && n.begun.CompareAndSwap(false, true) {
		c.adds.end(n) // it was never made, and never will be
	}
	return err
}

// Toxics lists the toxics of a proxy, upstream first, then by age.
func (c *Client) Toxics(ctx context.Context, proxy string) ([]Toxic, error) {
	p, err := c.handle(proxy)
	if err != nil {
		return nil, err
	}
	all, err := run(ctx, c, "list toxics of "+proxy, p.Toxics)
	if err != nil {
		return nil, err
	}
	return fromToxics(all), nil
}

// RemoveToxic removes a toxic; one that is gone already, or whose proxy is, is no
// error. A stock server may hang when a toxic is removed under load, so there the
// proxy is rebuilt without it: its connections end.
// An AddToxic of it that was given up is waited for, for a second: when that does not
// end, the toxic is removed all the same, and the error says that it may come back.
func (c *Client) RemoveToxic(ctx context.Context, proxy, toxic string) error {
	p, err := c.handle(proxy)
	if err == nil {
		err = checkName(toxic)
	}
	if err != nil {
		return err
	}
	settled := c.settle(ctx, proxy, toxic)
	v, err := c.Version(ctx)
	if err != nil {
		return errors.Join(settled, err)
	}
	if v.Stock {
		err = c.rebuild(ctx, proxy, func(t Toxic) bool { return t.Name != toxic })
	} else {
		err = c.do(ctx, "remove toxic "+toxic+" of "+proxy, func() error { return p.RemoveToxic(toxic) })
	}
	return errors.Join(settled, ignoreGone(err))
}

// Neutral enables every proxy and removes every toxic. On a stock server each proxy
// that is not neutral is rebuilt, for the reason given at RemoveToxic.
func (c *Client) Neutral(ctx context.Context) error {
	v, err := c.Version(ctx)
	if err != nil {
		return err
	}
	settled := c.settle(ctx, "", "")
	if !v.Stock {
		return errors.Join(settled, c.do(ctx, "reset proxies", c.api.ResetState))
	}
	all, err := c.List(ctx)
	if err != nil {
		return errors.Join(settled, err)
	}
	errs := []error{settled}
	for _, p := range all {
		errs = append(errs, c.rebuild(ctx, p.Name, func(Toxic) bool { return false }))
	}
	return errors.Join(errs...)
}

// rebuild deletes a proxy and creates it again at the same address, enabled, with the
// toxics that keep holds for. One that is so already is left alone.
func (c *Client) rebuild(ctx context.Context, name string, keep func(Toxic) bool) error {
	p, err := c.Get(ctx, name)
	if err != nil {
		return err
	}
	if p.Enabled && !slices.ContainsFunc(p.Toxics, func(t Toxic) bool { return !keep(t) }) {
		return nil
	}
	if err := c.Create(ctx, name, p.Listen, p.Upstream); err != nil {
		return fmt.Errorf("proxy was at %s, to %s: %w", p.Listen, p.Upstream, err)
	}
	for _, t := range p.Toxics {
		if keep(t) {
			if err := c.AddToxic(ctx, name, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// handle is a proxy of the official client that was not fetched: one request less.
func (c *Client) handle(name string) (*toxiproxy.Proxy, error) {
	p := c.api.NewProxy()
	p.Name = name
	return p, checkName(name)
}

// checkName refuses what the official client, which escapes nothing, would turn into
// another URL. The name of an edge, "payments->redis", is fine.
func checkName(name string) error {
	if strings.Trim(name, ".") == "" || strings.ContainsAny(name, "/?#%\\") ||
		strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("name %q of a proxy or toxic: can't be empty, dots, or have spaces or any of /?#%%\\", name)
	}
	return nil
}

func fromProxy(p *toxiproxy.Proxy) Proxy {
	return Proxy{Name: p.Name, Listen: p.Listen, Upstream: p.Upstream, Enabled: p.Enabled, Toxics: fromToxics(p.ActiveToxics)}
}

func fromToxics(all toxiproxy.Toxics) []Toxic {
	out := make([]Toxic, 0, len(all))
	for _, t := range all {
		out = append(out, Toxic{Name: t.Name, Type: t.Type, Stream: t.Stream, Toxicity: t.Toxicity, Attributes: t.Attributes})
	}
	return out
}
