package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"

	"chaos/targets/payments/wire"
)

// reasonMissing is why a reservation is rejected although the books have the pieces.
const reasonMissing = "missing"

// Behaviour is how true the books are to what lies on the shelves, as one JSON document.
type Behaviour struct {
	MissingShare float64 `json:"missing_share"` // share of the reservations whose pieces nobody finds
}

// Merge replaces the fields that the document gives. Unknown fields and absurd
// values are errors that name the valid ones.
func (b Behaviour) Merge(document []byte) (Behaviour, error) {
	next := b
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&next); err != nil {
		return b, fmt.Errorf("%w: the valid field is missing_share (from 0 to 1)", err)
	}
	switch {
	case dec.More():
		return b, errors.New("one JSON object is expected")
	case !(next.MissingShare >= 0 && next.MissingShare <= 1):
		return b, errors.New("missing_share must be from 0 to 1")
	}
	return next, nil
}

// Stats are counters since the start, of what was committed.
type Stats struct {
	Asked   int64 `json:"asked"`   // reservations, rejected ones included
	Missing int64 `json:"missing"` // of these, rejected because nobody found the pieces
}

// shelf is where the pieces lie, or do not. On a good day it has what the books say.
type shelf struct {
	mu        sync.Mutex
	behaviour Behaviour
	rng       *rand.Rand
	stats     Stats
}

func newShelf() *shelf { return &shelf{rng: rand.New(rand.NewPCG(1, 0x5e1f))} }

// misses draws whether the pieces of a reservation are nowhere to be found.
func (s *shelf) misses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.Float64() < s.behaviour.MissingShare
}

func (s *shelf) count(missing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stats.Asked++; missing {
		s.stats.Missing++
	}
}

func (s *shelf) current() (Behaviour, Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour, s.stats
}

func (s *shelf) change(document []byte) (Behaviour, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.behaviour.Merge(document)
	if err != nil {
		return s.behaviour, fmt.Errorf("behaviour unchanged: %w", err)
	}
	s.behaviour = next
	return next, nil
}

// internal are the routes of the harness: how to behave, and what came of it.
func (s *shelf) internal(mux *http.ServeMux) {
	mux.HandleFunc("GET /admin/behaviour", func(w http.ResponseWriter, _ *http.Request) {
		b, _ := s.current()
		wire.Write(w, http.StatusOK, b)
	})
	mux.HandleFunc("PUT /admin/behaviour", func(w http.ResponseWriter, r *http.Request) {
		document, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxBody))
		b := Behaviour{}
		if err == nil {
			b, err = s.change(document)
		}
		if err != nil {
			wire.Refuse(w, http.StatusBadRequest, "bad_behaviour", err.Error())
			return
		}
		wire.Write(w, http.StatusOK, b)
	})
	mux.HandleFunc("GET /admin/stats", func(w http.ResponseWriter, _ *http.Request) {
		_, stats := s.current()
		wire.Write(w, http.StatusOK, stats)
	})
}
