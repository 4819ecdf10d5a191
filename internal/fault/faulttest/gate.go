package faulttest

import (
	"errors"
	"sync"
)

// ErrInjected is the error of every call that a Gate spoils.
var ErrInjected = errors.New("injected by faulttest")

// Mode is what a Gate does with one call to the system.
type Mode uint8

// The modes of a call.
const (
	Pass    Mode = iota // the call is made
	Refused             // the call is not made; the caller gets an error
	Lost                // the call is made, but its answer is lost: the caller gets an error
)

// String returns the mode's name.
func (m Mode) String() string { return [...]string{"pass", "refused", "lost"}[m] }

// Gate stands between a fault and its system and spoils calls. The zero value lets all pass. It is
// safe for concurrent use.
type Gate struct {
	mu     sync.Mutex
	decide func(n int) Mode
	calls  int
}

// Set starts counting anew: decide says what becomes of call n, from 0. Nil lets all pass.
func (g *Gate) Set(decide func(n int) Mode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decide, g.calls = decide, 0
}

// Calls is how many calls were tried since Set.
func (g *Gate) Calls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

// Next draws what becomes of the next call.
func (g *Gate) Next() Mode {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.calls
	g.calls++
	if g.decide == nil {
		return Pass
	}
	return g.decide(n)
}

// Do makes one call through the gate.
func (g *Gate) Do(call func() error) error {
	switch g.Next() {
	case Refused:
		return ErrInjected
	case Lost:
		return errors.Join(call(), ErrInjected)
	}
	return call()
}
