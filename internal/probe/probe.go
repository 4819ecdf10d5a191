// Package probe is the protocol of what a run measures beside its requests. The kinds live in the
// subpackages.
package probe

import (
	"context"
	"time"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// Every is how often a run asks each probe, and Within how long an answer may take.
const (
	Every  = time.Second
	Within = 900 * time.Millisecond
)

// Probe asks one source. It is for one goroutine, and keeps what it needs to tell only what changed.
type Probe interface {
	// Read returns what the source says now, without times and sources. lost counts values that were left out,
	// because there are too many.
	Read(ctx context.Context, s target.System) (values []journal.Reading, lost int, err error)
}
