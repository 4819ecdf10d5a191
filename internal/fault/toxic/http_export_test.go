package toxic

import (
	"time"

	"chaos/internal/edge"
)

// HitRequests is why counters are not a bite of an http toxic, for tests.
func HitRequests(ratio float64, delay time.Duration, c edge.ToxicCounters) string {
	_, why := hitRequests(spec{Attributes: map[string]any{"ratio": ratio, "delay": delay.Milliseconds()}}, c)
	return why
}
