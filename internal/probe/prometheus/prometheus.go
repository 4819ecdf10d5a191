// Package prometheus reads metrics in Prometheus' text format from a node.
package prometheus

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"chaos/internal/journal"
	"chaos/internal/probe"
	"chaos/internal/target"
)

// Limits of one scrape.
const (
	maxSeries = 2_000 // values of one node that are told; the rest is counted
	maxName   = 300   // bytes of a series with its labels
)

// Scrape asks one node for its metrics. Make it with New.
type Scrape struct {
	source target.Metrics
	last   map[string]float64
}

var _ probe.Probe = (*Scrape)(nil)

// New returns a probe of one source. The first answer tells every series, the others only those that changed.
func New(m target.Metrics) *Scrape { return &Scrape{source: m} }

// Read asks once. After an answer that did not come the next one tells every series again.
func (s *Scrape) Read(ctx context.Context, sys target.System) ([]journal.Reading, int, error) {
	route := s.source.Path
	if route == "" {
		route = "/metrics"
	}
	body, err := sys.Call(ctx, target.Call{Query: target.Query{
		Node: s.source.Node, Port: s.source.Port, Path: route, Headers: s.source.Headers,
	}})
	var families map[string]*dto.MetricFamily
	if err == nil {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err = parser.TextToMetricFamilies(bytes.NewReader(body))
	}
	if err != nil {
		s.last = nil
		return nil, 0, fmt.Errorf("metrics of node %s: %w", s.source.Node, err)
	}
	if s.last == nil {
		s.last = make(map[string]float64)
	}
	var changed []journal.Reading
	lost := 0
	tell := func(name string, v float64) {
		before, known := s.last[name]
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0) || len(name) > maxName || known && before == v:
		case !known && len(s.last) >= maxSeries:
			lost++
		default:
			s.last[name] = v
			changed = append(changed, journal.Reading{Name: name, Value: v})
		}
	}
	for name, family := range families {
		if s.wanted(name) {
			each(family, tell)
		}
	}
	return changed, lost, nil
}

// wanted tells whether a family is one of those that target.yaml names, or, where it names none, not about
// the program's own runtime.
func (s *Scrape) wanted(name string) bool {
	if len(s.source.Series) == 0 {
		return !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_")
	}
	for _, pattern := range s.source.Series {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// each tells the values of a family: of histograms and summaries their count, sum, and the buckets or
// quantiles.
func each(family *dto.MetricFamily, tell func(string, float64)) {
	name := family.GetName()
	for _, m := range family.GetMetric() {
		switch family.GetType() {
		case dto.MetricType_COUNTER:
			tell(series(name, m), m.GetCounter().GetValue())
		case dto.MetricType_GAUGE:
			tell(series(name, m), m.GetGauge().GetValue())
		case dto.MetricType_HISTOGRAM:
			h := m.GetHistogram()
			tell(series(name+"_count", m), float64(h.GetSampleCount()))
			tell(series(name+"_sum", m), h.GetSampleSum())
			for _, b := range h.GetBucket() {
				tell(series(name+"_bucket", m, "le", number(b.GetUpperBound())), float64(b.GetCumulativeCount()))
			}
		case dto.MetricType_SUMMARY:
			q := m.GetSummary()
			tell(series(name+"_count", m), float64(q.GetSampleCount()))
			tell(series(name+"_sum", m), q.GetSampleSum())
			for _, v := range q.GetQuantile() {
				tell(series(name, m, "quantile", number(v.GetQuantile())), v.GetValue())
			}
		default:
			tell(series(name, m), m.GetUntyped().GetValue())
		}
	}
}

// series writes a series as Prometheus does: name{label="value"}; more is one label beyond its own.
func series(name string, m *dto.Metric, more ...string) string {
	if len(m.GetLabel())+len(more) == 0 {
		return name
	}
	var b strings.Builder
	b.WriteString(name)
	sep := "{"
	add := func(label, value string) {
		b.WriteString(sep + label + "=" + strconv.Quote(value))
		sep = ","
	}
	for _, l := range m.GetLabel() {
		add(l.GetName(), l.GetValue())
	}
	if len(more) == 2 {
		add(more[0], more[1])
	}
	return b.String() + "}"
}

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
