package proxy

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// collector reads the live counters of every proxy at each scrape. The two byte
// counters have stock's names and labels; stock moves them only when a connection ends.
type collector struct {
	server                                *Server
	received, sent, accepted, open, dials *prometheus.Desc
	touched, resets                       *prometheus.Desc
}

func (s *Server) metrics() http.Handler {
	stock := []string{"direction", "proxy", "listener", "upstream"}
	name := prometheus.BuildFQName
	c := &collector{
		server:   s,
		received: prometheus.NewDesc(name("toxiproxy", "proxy", "received_bytes_total"), "bytes read from the sending side", stock, nil),
		sent:     prometheus.NewDesc(name("toxiproxy", "proxy", "sent_bytes_total"), "bytes written to the receiving side", stock, nil),
		accepted: prometheus.NewDesc(name("chaos", "proxy", "accepted_total"), "client connections accepted", []string{"proxy"}, nil),
		open:     prometheus.NewDesc(name("chaos", "proxy", "open"), "client connections open now", []string{"proxy"}, nil),
		dials:    prometheus.NewDesc(name("chaos", "proxy", "dial_failures_total"), "upstream dials that failed", []string{"proxy"}, nil),
		touched:  prometheus.NewDesc(name("chaos", "toxic", "chunks_total"), "chunks delayed, swallowed or changed", []string{"proxy", "toxic"}, nil),
		resets:   prometheus.NewDesc(name("chaos", "toxic", "resets_total"), "connections reset", []string{"proxy", "toxic"}, nil),
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.received, c.sent, c.accepted, c.open, c.dials, c.touched, c.resets} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	total := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, p := range c.server.sorted() {
		v, n := p.view(), p.counters()
		for dir := range p.n.sent {
			labels := []string{direction(dir).String(), v.Name, v.Listen, v.Upstream}
			total(c.received, p.n.received[dir].Load(), labels...)
			total(c.sent, p.n.sent[dir].Load(), labels...)
		}
		total(c.accepted, n.Accepted, v.Name)
		total(c.dials, n.DialFailures, v.Name)
		to <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, float64(n.Open), v.Name)
		for _, t := range n.Toxics {
			total(c.touched, t.Chunks, v.Name, t.Name)
			total(c.resets, t.Resets, v.Name, t.Name)
		}
	}
}
