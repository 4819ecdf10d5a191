package toxic

import (
	"time"

	"chaos/internal/edge"
)

// Name is toxicName, for tests.
func Name(id string) string { return toxicName(id) }

// Delayed is why counters are not a bite of a latency, for tests.
func Delayed(latency, jitter time.Duration, c edge.ToxicCounters) string {
	_, why := delayed(spec{Attributes: map[string]any{"latency": latency.Milliseconds(), "jitter": jitter.Milliseconds()}}, c)
	return why
}

// Judge is why counters are not a bite of a toxic with these attributes, for tests.
func Judge(kindName string, attributes map[string]any, c edge.ToxicCounters) string {
	judges := map[string]judgement{kindLatency: delayed, kindBandwidth: throttled, kindSlowClose: closedLate, kindSlicer: sliced, kindLimitData: cutOff, kindCorrupt: corrupted,
		kindTimeout: timedOut, kindResetPeer: peerReset}
	_, why := judges[kindName](spec{Attributes: attributes, Stream: downstream, Toxicity: 1}, c)
	return why
}
