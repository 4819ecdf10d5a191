// Package clock is the wall clock of one node, with a switch: how far it is off. Whatever compares,
// writes or passes on a point in time reads it here; how long something took is measured elsewhere, on the
// monotonic clock, which no switch moves.
package clock

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"chaos/targets/payments/wire"
)

// MaxOffset bounds the switch: what is further off is a typing error.
const MaxOffset = 10 * 365 * 24 * time.Hour

// Clock is a wall clock. Nil is one that is never off. It is safe for concurrent use.
type Clock struct {
	offset atomic.Int64 // nanoseconds
	reads  atomic.Uint64
}

// Now is what the node takes the time to be.
func (c *Clock) Now() time.Time {
	if c == nil {
		return time.Now()
	}
	c.reads.Add(1)
	return c.now()
}

// now is Now for whoever only looks at the clock. The monotonic reading is dropped: a difference of two
// times must show that the clock was moved between them.
func (c *Clock) now() time.Time {
	return time.Now().Round(0).Add(time.Duration(c.offset.Load()))
}

// State is the clock as one JSON document.
type State struct {
	Now      time.Time `json:"now"`
	OffsetMS int64     `json:"offset_ms"`
	Reads    uint64    `json:"reads"` // by the node, since its start
}

func (c *Clock) state() State {
	return State{Now: c.now().UTC(), OffsetMS: time.Duration(c.offset.Load()).Milliseconds(), Reads: c.reads.Load()}
}

// Internal are the routes of the harness: read the clock, and set how far it is off.
func (c *Clock) Internal(mux *http.ServeMux) {
	mux.HandleFunc("GET /admin/clock", func(w http.ResponseWriter, _ *http.Request) { wire.Write(w, http.StatusOK, c.state()) })
	mux.HandleFunc("PUT /admin/clock", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			OffsetMS *int64 `json:"offset_ms"`
		}
		err := wire.Read(r, &asked)
		limit := MaxOffset.Milliseconds()
		if err == nil && (asked.OffsetMS == nil || *asked.OffsetMS > limit || *asked.OffsetMS < -limit) {
			err = errors.New("offset_ms is required: whole milliseconds, at most ten years either way")
		}
		if err != nil {
			wire.Refuse(w, http.StatusBadRequest, "bad_clock", err.Error())
			return
		}
		c.offset.Store(int64(time.Duration(*asked.OffsetMS) * time.Millisecond))
		wire.Write(w, http.StatusOK, c.state())
	})
}
