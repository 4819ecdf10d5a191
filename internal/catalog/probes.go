package catalog

import (
	"chaos/internal/probe"
	"chaos/internal/probe/prometheus"
	"chaos/internal/target"
)

// Scrapes are the probes of a target's metrics, one for each of Topology.Metrics, in order.
func Scrapes(t *target.Topology) []probe.Probe {
	all := make([]probe.Probe, len(t.Metrics))
	for i, m := range t.Metrics {
		all[i] = prometheus.New(m)
	}
	return all
}
