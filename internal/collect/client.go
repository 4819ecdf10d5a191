package collect

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"chaos/internal/trace"
)

// askWithin bounds one question to a collector.
const askWithin = 5 * time.Second

// Client reads the spans of one run back. It is for one goroutine; make it with Begin.
type Client struct {
	find   func(context.Context) (addr string, err error)
	token  string
	http   *http.Client
	life   string
	next   uint64
	total  Counts // since Begin
	seen   Counts // of this life, as told last
	lives  int
	decode trace.Decoder
}

// Begin makes the collector forget what it holds, which is of before, and returns a client that reads what
// comes from now on. find says where its published port is now.
func Begin(ctx context.Context, find func(context.Context) (string, error), token string) (*Client, error) {
	c := &Client{find: find, token: token, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}}
	err := c.ask(ctx, http.MethodDelete, "/spans", func(io.Reader) error { return nil })
	c.total, c.lives = Counts{}, 0
	return c, err
}

// Counts are what the collector counted from Begin to the last Read.
func (c *Client) Counts() Counts { return c.total }

// Restarts are how often another collector was met than before: what that one held and was not read is lost.
func (c *Client) Restarts() int { return c.lives }

// Read gives use the spans that came since the last Read; it may keep them no longer than the call. more says
// that there are more already. After an error the same spans are given again.
func (c *Client) Read(ctx context.Context, use func([]trace.Span) error) (more bool, err error) {
	size := 0
	err = c.ask(ctx, http.MethodGet, "/spans?after="+strconv.FormatUint(c.next, 10)+"&life="+c.life, func(body io.Reader) error {
		var spans []trace.Span
		var head [4]byte
		for {
			if _, err := io.ReadFull(body, head[:]); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			n := binary.LittleEndian.Uint32(head[:])
			if n > trace.MaxBatch {
				return fmt.Errorf("a batch of %d bytes", n)
			}
			batch := make([]byte, n)
			if _, err := io.ReadFull(body, batch); err != nil {
				return err
			}
			var err error
			if spans, err = c.decode.Decode(spans, batch); err != nil {
				return err
			}
			size += int(n)
		}
		if len(spans) == 0 {
			return nil
		}
		return use(spans)
	})
	return err == nil && size >= maxAnswer/2, err
}

func (c *Client) ask(ctx context.Context, method, path string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	addr, err := c.find(ctx)
	if err != nil {
		return fmt.Errorf("find the collector: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		return fmt.Errorf("ask the collector: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the collector: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the collector: answered %d", resp.StatusCode)
	}
	next, err := strconv.ParseUint(resp.Header.Get(headerNext), 10, 64)
	var counts Counts
	if err = errors.Join(err, json.Unmarshal([]byte(resp.Header.Get(headerCounts)), &counts)); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	if err := read(io.LimitReader(resp.Body, 2*maxAnswer)); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	if life := resp.Header.Get(headerLife); life != c.life {
		c.life, c.seen, c.lives = life, Counts{}, c.lives+1
	}
	c.next, c.total, c.seen = next, c.total.grown(c.seen, counts), counts
	return nil
}
