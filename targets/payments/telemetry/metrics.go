package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the counters and gauges of one node. All roles register all of
// them, so a dashboard can sum over nodes.
type Metrics struct {
	Registry *prometheus.Registry

	Requests   *prometheus.CounterVec   // http_requests_total{route,code,tenant}
	Durations  *prometheus.HistogramVec // http_request_duration_seconds{route}
	Inflight   *prometheus.GaugeVec     // inflight{pool}
	PoolWait   *prometheus.HistogramVec // pool_wait_seconds{pool}
	Attempts   *prometheus.CounterVec   // dependency_attempts_total{dep,attempt,outcome}
	Breaker    *prometheus.GaugeVec     // breaker_state{dep}: 0 closed, 1 half-open, 2 open
	Shed       *prometheus.CounterVec   // shed_total{reason}
	Limits     *prometheus.CounterVec   // ratelimit_decisions_total{decision,source}
	Cache      *prometheus.CounterVec   // cache_requests_total{result}
	Accepted   prometheus.Counter       // payments_accepted_total
	Settled    *prometheus.CounterVec   // payments_settled_total{result}
	Oldest     prometheus.Gauge         // payments_unsettled_oldest_seconds
	Revenue    prometheus.Counter       // revenue_minor_total
	Refunds    *prometheus.CounterVec   // refunds_total{result}
	Mismatches prometheus.Counter       // reconciliation_mismatches

	Orders       *prometheus.CounterVec // orders_placed_total{result}
	Spans        *prometheus.CounterVec // telemetry_spans_total{outcome}: ended − exported are lost
	Degraded     *prometheus.CounterVec // degraded_total{part}
	Reservations *prometheus.CounterVec // reservations_total{result}
	Notified     *prometheus.CounterVec // notifications_total{kind}
	Unpublished  prometheus.Gauge       // outbox_unpublished
	OutboxOldest prometheus.Gauge       // outbox_oldest_seconds
	Fenced       prometheus.Counter     // outbox_fenced_total
	Lag          *prometheus.GaugeVec   // consumer_lag{consumer}
	Redeliveries *prometheus.CounterVec // redeliveries_total{consumer}
	Duplicates   *prometheus.CounterVec // duplicates_ignored_total{consumer}
	DeadLetters  *prometheus.CounterVec // dlq_total{consumer}

	captured, finished atomic.Int64
}

// latencyBuckets resolve both a cache hit and a processor of four seconds.
func latencyBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .02, .05, .1, .15, .25, .5, .8, 1, 1.2, 2, 3, 5, 10, 30}
}

// NewMetrics makes a registry with everything in it.
func NewMetrics() *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry()}
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.Registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		m.Registry.MustRegister(g)
		return g
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: latencyBuckets()}, labels)
		m.Registry.MustRegister(h)
		return h
	}
	m.Requests = counter("http_requests_total", "Requests answered.", "route", "code", "tenant")
	m.Durations = histogram("http_request_duration_seconds", "Time to answer.", "route")
	m.Inflight = gauge("inflight", "Work in progress.", "pool")
	m.PoolWait = histogram("pool_wait_seconds", "Time waited for a place in a pool.", "pool")
	m.Attempts = counter("dependency_attempts_total", "Calls made to a dependency.", "dep", "attempt", "outcome")
	m.Breaker = gauge("breaker_state", "0 closed, 1 half-open, 2 open.", "dep")
	m.Shed = counter("shed_total", "Requests refused without effect.", "reason")
	m.Limits = counter("ratelimit_decisions_total", "Quota decisions.", "decision", "source")
	m.Cache = counter("cache_requests_total", "Cache lookups.", "result")
	m.Accepted = counter("payments_accepted_total", "Payments answered with 201 or 202.").WithLabelValues()
	m.Settled = counter("payments_settled_total", "Payments that reached a final state.", "result")
	m.Oldest = gauge("payments_unsettled_oldest_seconds", "Age of the oldest payment without a final state.").WithLabelValues()
	m.Revenue = counter("revenue_minor_total", "Captured money in minor units.").WithLabelValues()
	m.Refunds = counter("refunds_total", "Refunds done.", "result")
	m.Mismatches = counter("reconciliation_mismatches", "Payments whose state here differed from the processor's.").WithLabelValues()
	m.Orders = counter("orders_placed_total", "Orders by the state that they reached.", "result")
	m.Spans = counter("telemetry_spans_total", "Spans that ended, and what became of them.", "outcome")
	m.Degraded = counter("degraded_total", "Answers without a part.", "part")
	m.Reservations = counter("reservations_total", "Reservations by what became of them.", "result")
	m.Notified = counter("notifications_total", "Messages to customers.", "kind")
	m.Unpublished = gauge("outbox_unpublished", "Events that the relay has still to publish.").WithLabelValues()
	m.OutboxOldest = gauge("outbox_oldest_seconds", "Age of the oldest of them.").WithLabelValues()
	m.Fenced = counter("outbox_fenced_total", "Rows that another relay had taken when this one was done.").WithLabelValues()
	m.Lag = gauge("consumer_lag", "Events that the consumer has not acknowledged.", "consumer")
	m.Redeliveries = counter("redeliveries_total", "Deliveries after the first.", "consumer")
	m.Duplicates = counter("duplicates_ignored_total", "Events that the inbox had seen.", "consumer")
	m.DeadLetters = counter("dlq_total", "Messages given up.", "consumer")
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "payment_success_rate", Help: "Captured share of all finished payments since start.",
	}, m.successRate))
	return m
}

// Build shows which build runs: build_info{role,version} 1.
func (m *Metrics) Build(role, version string) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "build_info", Help: "1, with the version of the build."}, []string{"role", "version"})
	m.Registry.MustRegister(g)
	g.WithLabelValues(role, version).Set(1)
}

// PaymentSettled counts a payment's way into a final state, once.
func (m *Metrics) PaymentSettled(captured bool, amountMinor int64) {
	m.finished.Add(1)
	if !captured {
		m.Settled.WithLabelValues("declined").Inc()
		return
	}
	m.captured.Add(1)
	m.Settled.WithLabelValues("captured").Inc()
	m.Revenue.Add(float64(amountMinor))
}

func (m *Metrics) successRate() float64 {
	if n := m.finished.Load(); n > 0 {
		return float64(m.captured.Load()) / float64(n)
	}
	return 1
}

// Waited records how long a place in a pool was waited for.
func (m *Metrics) Waited(pool string, since time.Time) {
	m.PoolWait.WithLabelValues(pool).Observe(time.Since(since).Seconds())
}
