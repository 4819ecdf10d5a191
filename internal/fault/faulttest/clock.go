package faulttest

import (
	"context"
	"encoding/json"
	"time"

	"chaos/internal/target"
)

// clockPath is where a Memory has the one clock of its nodes.
const clockPath = "/clock"

// clock is a wall clock with a switch.
type clock struct {
	offset time.Duration
	drift  time.Duration // that the switch does not tell of
	reads  uint64
}

// ClockOffset is how far the clock was set off.
func (m *Memory) ClockOffset() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clock.offset
}

// UseClock reads the clock as a node's work does.
func (m *Memory) UseClock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock.reads++
}

// DriftClock lets the clock go wrong by itself.
func (m *Memory) DriftClock(by time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock.drift += by
}

// callClock answers a call of the clock. The caller holds mu.
func (m *Memory) callClock(_ context.Context, c target.Call) ([]byte, error) {
	if c.Body != nil {
		var asked struct {
			Offset int64 `json:"offset_ms"`
		}
		if err := json.Unmarshal(c.Body, &asked); err != nil {
			return nil, &target.StatusError{Status: 400, Body: err.Error()}
		}
		m.clock.offset = time.Duration(asked.Offset) * time.Millisecond
	}
	return json.Marshal(map[string]any{
		"now": time.Now().Add(m.clock.offset + m.clock.drift), "offset_ms": m.clock.offset.Milliseconds(), "reads": m.clock.reads,
	})
}
