package cli

import (
	"slices"
	"strings"

	"chaos/internal/catalog"
	"chaos/internal/engine"
	"chaos/internal/journal"
	"chaos/internal/spec"
	"chaos/internal/target"
)

// telemetry plans what is read of the target beside its requests.
func (c *compiler) telemetry(spec.Variant) {
	t := c.Topology
	for i, p := range catalog.Scrapes(t) {
		c.plan.Probes = append(c.plan.Probes, engine.Probe{Source: journal.SourceMetrics + t.Metrics[i].Node, Probe: p})
	}
	c.plan.Info.Telemetry = telemetryInfo(t)
	c.plan.Info.Witnesses = witnesses(t)
}

// witnesses are the types of records that target.yaml says its audit has.
func witnesses(t *target.Topology) []string {
	var types []string
	for _, q := range t.Audit {
		types = append(types, q.Types...)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// telemetryInfo is what target.yaml says of the target's telemetry; nil when it says nothing.
func telemetryInfo(t *target.Topology) *journal.TelemetryInfo {
	info := journal.TelemetryInfo{Traces: t.Collects()}
	for _, m := range t.Metrics {
		info.Metrics = append(info.Metrics, m.Node)
	}
	if t.Logs != nil {
		schema := journal.LogSchema{Nodes: t.Logs.Nodes, Required: t.Logs.Required, Traced: t.Logs.Traced}
		if len(schema.Nodes) == 0 {
			_, stateless := target.Split(t.Nodes)
			for _, n := range stateless {
				schema.Nodes = append(schema.Nodes, n.Name)
			}
		}
		info.Logs = &schema
	}
	if info.Traces {
		declared := t.Map()
		info.Map = &declared
	}
	if !info.Traces && len(info.Metrics) == 0 && info.Logs == nil {
		return nil
	}
	return &info
}

// telemetryWords say what is read of a target beside its requests.
func telemetryWords(info *journal.TelemetryInfo) string {
	var words []string
	if info == nil {
		return ""
	}
	if info.Traces {
		words = append(words, "spans")
	}
	if len(info.Metrics) > 0 {
		words = append(words, "metrics of "+strings.Join(info.Metrics, ", ")+" each second")
	}
	if info.Logs != nil {
		words = append(words, "logs of "+strings.Join(info.Logs.Nodes, ", ")+" by their schema")
	}
	return strings.Join(words, "; ")
}

// addressed adds where the edges' links listen, which is known now that the target is up.
func addressed(info *journal.TelemetryInfo, s target.System) {
	c, ok := s.(target.Collecting)
	if !ok || info == nil || info.Map == nil {
		return
	}
	addresses, err := c.Addresses()
	if err != nil {
		return // then the map goes by names alone
	}
	for i := range info.Map.Edges {
		e := &info.Map.Edges[i]
		e.Addrs = addresses[e.Name]
	}
}
