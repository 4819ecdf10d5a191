// Package switches describes every defence of the payment system as a switch
// that can be set alone, and the presets that set all of them. An experiment
// compares presets; a mutant is the resilient preset with one switch turned.
package switches

import (
	"strings"
	"time"
)

// AcceptMode says when POST /v1/payments answers.
type AcceptMode string

// The accept modes. Durable answers 202 from a committed row when the processor
// is slow; Sync waits for the processor whatever it takes; Memqueue puts the
// payment in a bounded queue in memory and answers 202 even when the queue was
// full and the payment was thrown away.
const (
	AcceptDurable  AcceptMode = "durable"
	AcceptSync     AcceptMode = "sync"
	AcceptMemqueue AcceptMode = "memqueue"
)

// Policy says what the quota limiter does while Redis does not answer.
type Policy string

// The policies: Open admits everything, Closed refuses everything with a clean
// 503, Local counts in this process.
const (
	PolicyOpen   Policy = "open"
	PolicyClosed Policy = "closed"
	PolicyLocal  Policy = "local"
)

// Route is a class of requests that may have its own Policy.
type Route string

// The routes of the gateway.
const (
	RoutePayments Route = "payments"
	RouteReads    Route = "reads"
	RouteRefunds  Route = "refunds"
)

// Jitter says how the wait before a retry is spread.
type Jitter string

// The jitters. Seed is base·2^attempt plus up to 100 ms, as it is often copied
// from articles; Full is uniform in [0, base·2^attempt).
const (
	JitterNone Jitter = "none"
	JitterSeed Jitter = "seed"
	JitterFull Jitter = "full"
)

// Set is one complete setting of all switches. The zero value is not usable:
// make one with Resolve.
type Set struct {
	AcceptMode           AcceptMode
	DeadlinePropagation  bool
	DeadlineAbsolute     bool // as a point in time
	GatewayTimeout       time.Duration
	PSPTimeout           time.Duration
	PSPBackgroundTimeout time.Duration
	RedisTimeout         time.Duration
	DatabaseTimeout      time.Duration

	RetryAttempts   int
	RetryEverywhere bool // the gateway retries too, not only the last hop
	RetryBackoff    bool
	RetryJitter     Jitter
	RetryBudget     float64 // retries per first attempt; 0 is no limit

	Breaker           bool
	BulkheadShared    bool // one pool of SyncWorkers for every request, unbounded FIFO
	SyncWorkers       int
	BackgroundWorkers int
	MemqueueWorkers   int
	MemqueueDepth     int
	DatabasePool      int
	Shed              bool

	OnRedisError      map[Route]Policy
	IdempotencyAPI    bool
	IdempotencyPSP    bool
	CacheSingleFlight bool
	CacheStale        bool // serve an old value while a new one can't be had
	CacheSpread       bool // lifetimes ± 20 %
	Reconcile         bool

	OrdersTimeout    time.Duration // gateway waits for orders
	OrderPayTimeout  time.Duration // orders wait for payments
	RecsTimeout      time.Duration
	PublishInline    bool // the dual write
	ConsumerDedup    bool
	ConsumerAckFirst bool // acknowledge before processing
	ConsumerDLQ      bool
	SagaMemory       bool // sagas live in the process and die with it
	Compensation     bool
	DegradeRecs      bool // an order without recommendations is an answer
	DegradePSP       bool // no answer of the processor is 202
	ClockLocal       bool // expiry by the process's wall clock

	// Preset is what the set was made from, for logs.
	Preset string
	// Values are the switches as text, by name.
	Values map[string]string
}

// normal makes names comparable: retry.where, retry-where and RETRY_WHERE are one.
func normal(name string) string {
	return strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(name)))
}
