package target

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Clock is how a node's own wall clock is read and moved: a switch of the target, which no runtime could
// have, as containers and processes share their machine's clock. What was moved is right again in a new process.
//
//	read   answers {"now": "2026-01-02T15:04:05.123Z", "offset_ms": 0, "reads": 4711}
//	write  takes   {"offset_ms": -10000}
type Clock struct {
	Read  Query `yaml:"read" doc:"answers now (RFC 3339), offset_ms, and reads: how often the node itself has used its clock"`
	Write Query `yaml:"write" doc:"takes offset_ms, in whole milliseconds; 0 is on time"`
}

// ClockReading is one look at a node's clock.
type ClockReading struct {
	Offset time.Duration // as the node says that it was set
	Skew   time.Duration // what it reads, less what this process's clock reads, at the middle of the call
	Slack  time.Duration // how far Skew may be off: half of the call's time
	Reads  uint64        // how often the node has used its clock
}

// ReadClock looks at a clock.
func ReadClock(ctx context.Context, call func(context.Context, Call) ([]byte, error), c Clock) (ClockReading, error) {
	sent := time.Now()
	body, err := call(ctx, Call{Query: c.Read})
	took := time.Since(sent)
	if err != nil {
		return ClockReading{}, err
	}
	var doc struct {
		Now    *time.Time `json:"now"`
		Offset *int64     `json:"offset_ms"`
		Reads  *uint64    `json:"reads"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return ClockReading{}, fmt.Errorf("its answer is no clock: %w", err)
	}
	if doc.Now == nil || doc.Offset == nil || doc.Reads == nil {
		return ClockReading{}, fmt.Errorf("its answer lacks one of now, offset_ms and reads: %.100q", body)
	}
	return ClockReading{
		Offset: time.Duration(*doc.Offset) * time.Millisecond, Reads: *doc.Reads,
		Skew: doc.Now.Sub(sent.Round(0).Add(took / 2)), Slack: took / 2,
	}, nil
}

// clock is how a node says that its clock was set.
func clock(ctx context.Context, s System, node string, c Clock) (map[string]string, error) {
	r, err := ReadClock(ctx, s.Call, c)
	if err != nil {
		return nil, fmt.Errorf("look at the clock of node %s: %w", node, err)
	}
	return map[string]string{"node:" + node + " clock": fmt.Sprintf("off by %v", r.Offset)}, nil
}
