package target

import (
	"context"
	"time"
)

// Limiter is the capability behind VerbLimit: what a node may use can be changed while it runs.
type Limiter interface {
	// Limits are those that the engine holds the node to or, when it does not run, will start it with.
	Limits(ctx context.Context, node string) (Limits, error)
	// SetLimits puts exactly these in force, all three, on a node that runs or not. One that can't be put in
	// force, such as less memory than is in use, is an error, and nothing is changed.
	SetLimits(ctx context.Context, node string, l Limits) error
	// Usage tells what the limits have done to a node's process since it was started. It must run. An engine may
	// take a second or two to answer, so undoing does not ask.
	Usage(ctx context.Context, node string) (Usage, error)
}

// Limits are what a node may use at most. Zero: as much as there is.
type Limits struct {
	CPU    float64 `json:"cpu,omitempty"`    // of one CPU, in each period; 2 is two CPUs
	Memory int64   `json:"memory,omitempty"` // bytes; no swap beside it
	Pids   int64   `json:"pids,omitempty"`   // processes and threads
}

// Usage is what a runtime sees of a node under its limits. Counters begin with the node's process.
type Usage struct {
	Periods      uint64        `json:"periods"`           // of CPU accounting in which the node wanted to run, under a limit
	Throttled    uint64        `json:"throttled"`         // those of them in which its share was used up before their end
	ThrottledFor time.Duration `json:"throttled_ns"`      // of all CPUs together
	Memory       int64         `json:"memory"`            // bytes, now; what the kernel caches for it included
	MemoryPeak   int64         `json:"memory_peak"`       // bytes; zero when the engine does not tell
	MemoryHits   uint64        `json:"memory_hits"`       // how often the limit was hit; zero also when the engine does not tell
	Pids         int64         `json:"pids"`              // processes and threads, now
	InForce      Limits        `json:"in_force,omitzero"` // what the kernel says that it holds the node to; zero where it does not tell
}
