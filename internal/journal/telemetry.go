package journal

import (
	"chaos/internal/trace"
)

// TelemetryInfo is what a target tells of itself, as target.yaml declares it.
type TelemetryInfo struct {
	Traces  bool            `json:"traces,omitempty"`  // it sends spans
	Map     *trace.Declared `json:"map,omitempty"`     // its edges, in services, with their addresses in this run
	Metrics []string        `json:"metrics,omitempty"` // nodes that are asked for metrics
	Logs    *LogSchema      `json:"logs,omitempty"`
}

// Declared is the target's dependency map; nil when it is not known.
func (t *TelemetryInfo) Declared() *trace.Declared {
	if t == nil {
		return nil
	}
	return t.Map
}

func (t *TelemetryInfo) logs() *LogSchema {
	if t == nil {
		return nil
	}
	return t.Logs
}

// Telemetry is the Detail of EventTelemetry: what there was, and what of it was lost on the way.
type Telemetry struct {
	Spans     uint64 `json:"spans"`               // received by the collector
	Kept      uint64 `json:"kept"`                // of these, on disk
	Refused   uint64 `json:"refused,omitempty"`   // for which the collector had no room
	Invalid   uint64 `json:"invalid,omitempty"`   // without ids
	BadSends  uint64 `json:"bad_sends,omitempty"` // exports that could not be read
	OverLimit uint64 `json:"over_limit,omitempty"`
	Restarts  int    `json:"restarts,omitempty"` // of the collector: what it held then is lost, and nobody knows how much

	Scrapes      int            `json:"scrapes,omitempty"` // of metrics that were answered
	ScrapeFailed map[string]int `json:"scrape_failed,omitempty"`
	SeriesLost   int            `json:"series_lost,omitempty"` // values above the limits
}

// Lost is how many spans are known to be lost.
func (t Telemetry) Lost() uint64 { return t.Refused + t.Invalid + t.OverLimit }

// SourceMetrics begins the source of a reading that a node told: "metrics:<node>". A series has a reading when
// its value changed; it is as it was until the next one.
const SourceMetrics = "metrics:"

// MetricsUp is the reading that says of each scrape whether the node answered: 1 or 0.
const MetricsUp = "up"

// Told decodes the run's telemetry; ok is false when the run has no word of it.
func (h *History) Told() (t Telemetry, ok bool) {
	for _, e := range h.Find(EventTelemetry) {
		ok = unmarshal(e.Detail, &t) || ok
	}
	return t, ok
}
