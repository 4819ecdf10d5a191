package switches

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Definition is one switch: its name, its two values and what it accepts.
type Definition struct {
	Name      string
	Resilient string
	Naive     string
	Accepts   string
	Doc       string
	apply     func(*Set, string) error
}

// Catalog lists every switch in the order of the manual.
func Catalog() []Definition { return slices.Concat(ofPayments(), ofTheChain()) }

// ofPayments are the switches of gateway and payments.
func ofPayments() []Definition {
	return []Definition{
		{"accept_mode", "durable", "sync", "durable, sync, memqueue", "when POST answers: from a committed row, after the processor, or from a queue in memory",
			word([]AcceptMode{AcceptDurable, AcceptSync, AcceptMemqueue}, func(s *Set) *AcceptMode { return &s.AcceptMode })},
		{"deadline_propagation", "on", "off", "on, off", "pass the time left on; do no work for callers that left",
			flag(func(s *Set) *bool { return &s.DeadlinePropagation })},
		{"deadline_form", "relative", "absolute", "relative, absolute", "the time left travels as a duration, or as the point in time when it is over, which the receiver's clock judges",
			either("absolute", "relative", func(s *Set) *bool { return &s.DeadlineAbsolute })},
		{"gateway_timeout", "2500ms", "30s", "a duration", "gateway waits for payments",
			span(func(s *Set) *time.Duration { return &s.GatewayTimeout })},
		{"psp_timeout", "1s", "30s", "a duration", "a request waits for one try at the processor",
			span(func(s *Set) *time.Duration { return &s.PSPTimeout })},
		{"psp_background_timeout", "10s", "30s", "a duration", "a background worker waits for one try at the processor",
			span(func(s *Set) *time.Duration { return &s.PSPBackgroundTimeout })},
		{"redis_timeout", "20ms", "5s", "a duration", "all of one Redis call: name, dial, command",
			span(func(s *Set) *time.Duration { return &s.RedisTimeout })},
		{"database_timeout", "1s", "30s", "a duration", "statement_timeout and the wait for a connection",
			span(func(s *Set) *time.Duration { return &s.DatabaseTimeout })},
		{"retry_attempts", "2", "3", "1 to 10", "tries per call, the first included",
			count(1, 10, func(s *Set) *int { return &s.RetryAttempts })},
		{"retry_where", "leaf", "all", "leaf, all", "retry at the last hop only, or at every hop",
			either("all", "leaf", func(s *Set) *bool { return &s.RetryEverywhere })},
		{"retry_backoff", "exp", "none", "exp, none", "wait 100 ms · 2^n before a retry, or none",
			either("exp", "none", func(s *Set) *bool { return &s.RetryBackoff })},
		{"retry_jitter", "full", "none", "none, seed, full", "how that wait is spread",
			word([]Jitter{JitterNone, JitterSeed, JitterFull}, func(s *Set) *Jitter { return &s.RetryJitter })},
		{"retry_budget", "0.1", "off", "off, or a ratio in (0, 1]", "retries allowed per first try (token bucket)", budget},
		{"breaker", "on", "off", "on, off", "circuit breakers of every dependency",
			flag(func(s *Set) *bool { return &s.Breaker })},
		{"bulkhead", "split", "shared", "split, shared", "a pool per dependency, or one pool with an unbounded queue for everything",
			either("shared", "split", func(s *Set) *bool { return &s.BulkheadShared })},
		{"sync_workers", "40", "40", "1 to 10000", "requests that may wait for the processor at once (W)",
			count(1, 10000, func(s *Set) *int { return &s.SyncWorkers })},
		{"background_workers", "64", "64", "1 to 10000", "background completions at once",
			count(1, 10000, func(s *Set) *int { return &s.BackgroundWorkers })},
		{"memqueue_workers", "40", "40", "1 to 10000", "workers of the queue in memory (W)",
			count(1, 10000, func(s *Set) *int { return &s.MemqueueWorkers })},
		{"memqueue_depth", "64", "64", "1 to 100000", "places in the queue in memory (K)",
			count(1, 100000, func(s *Set) *int { return &s.MemqueueDepth })},
		{"database_pool", "10", "10", "1 to 100", "connections for requests per payments node",
			count(1, 100, func(s *Set) *int { return &s.DatabasePool })},
		{"shed", "on", "off", "on, off", "gateway: concurrency limits with a short bounded queue, then a clean 503",
			flag(func(s *Set) *bool { return &s.Shed })},
		{"ratelimit_on_redis_error", "payments:local,reads:local,refunds:closed", "closed", "open, closed, local, or route:policy,… for payments, reads, refunds",
			"what the quota does without Redis", policies},
		{"idempotency_api", "on", "off", "on, off", "a client's key makes one payment",
			flag(func(s *Set) *bool { return &s.IdempotencyAPI })},
		{"idempotency_psp", "on", "off", "on, off", "the same processor key on every try, or a new one",
			flag(func(s *Set) *bool { return &s.IdempotencyPSP })},
		{"cache_single_flight", "on", "off", "on, off", "one database read per missing cache entry at a time",
			flag(func(s *Set) *bool { return &s.CacheSingleFlight })},
		{"cache_stale", "on", "off", "on, off", "serve an old value while the database does not answer",
			flag(func(s *Set) *bool { return &s.CacheStale })},
		{"cache_spread", "on", "off", "on, off", "lifetimes ± 20 %, so that entries do not end together",
			flag(func(s *Set) *bool { return &s.CacheSpread })},
		{"reconcile", "on", "off", "on, off", "ask the processor about payments of unknown outcome",
			flag(func(s *Set) *bool { return &s.Reconcile })},
	}
}

// ofTheChain are the switches of what an order needs beside its payment.
func ofTheChain() []Definition {
	return []Definition{
		{"orders_timeout", "2500ms", "30s", "a duration", "gateway waits for orders",
			span(func(s *Set) *time.Duration { return &s.OrdersTimeout })},
		{"order_pay_timeout", "2200ms", "30s", "a duration", "orders wait for payments",
			span(func(s *Set) *time.Duration { return &s.OrderPayTimeout })},
		{"recs_timeout", "250ms", "30s", "a duration", "gateway waits for recommendations",
			span(func(s *Set) *time.Duration { return &s.RecsTimeout })},
		{"publish", "outbox", "inline", "outbox, inline", "events as rows of the transaction, relayed; or sent after the commit (dual write)",
			either("inline", "outbox", func(s *Set) *bool { return &s.PublishInline })},
		{"consumer_dedup", "on", "off", "on, off", "an inbox row in the transaction of the effect",
			flag(func(s *Set) *bool { return &s.ConsumerDedup })},
		{"consumer_ack", "after", "before", "after, before", "acknowledge after the commit, or before the work",
			either("before", "after", func(s *Set) *bool { return &s.ConsumerAckFirst })},
		{"consumer_dlq", "on", "off", "on, off", "dead letters for what fails 8 times or can't be read, or try for ever",
			flag(func(s *Set) *bool { return &s.ConsumerDLQ })},
		{"saga", "persisted", "memory", "persisted, memory", "state of sagas in the database with a timeout sweeper, or in the process",
			either("memory", "persisted", func(s *Set) *bool { return &s.SagaMemory })},
		{"compensation", "on", "off", "on, off", "refund what can't be delivered, until it is done",
			flag(func(s *Set) *bool { return &s.Compensation })},
		{"degrade_recs", "on", "off", "on, off", "answer without recommendations, with a flag; or fail with them",
			flag(func(s *Set) *bool { return &s.DegradeRecs })},
		{"degrade_psp", "on", "off", "on, off", "answer 202 without the processor; or 5xx",
			flag(func(s *Set) *bool { return &s.DegradePSP })},
		{"clock", "database", "local", "database, local", "whose clock ends reservations; local is this node's (/admin/clock)",
			either("local", "database", func(s *Set) *bool { return &s.ClockLocal })},
	}
}

func find(name string) (Definition, error) {
	var known []string
	for _, d := range Catalog() {
		if d.Name == normal(name) {
			return d, nil
		}
		known = append(known, d.Name)
	}
	return Definition{}, fmt.Errorf("unknown switch %q: valid are %s", name, strings.Join(known, ", "))
}

func word[T ~string](valid []T, field func(*Set) *T) func(*Set, string) error {
	return func(s *Set, v string) error {
		for _, w := range valid {
			if v == string(w) {
				*field(s) = w
				return nil
			}
		}
		return errNotAccepted
	}
}

func either(yes, no string, field func(*Set) *bool) func(*Set, string) error {
	return func(s *Set, v string) error {
		if v != yes && v != no {
			return errNotAccepted
		}
		*field(s) = v == yes
		return nil
	}
}

func flag(field func(*Set) *bool) func(*Set, string) error { return either("on", "off", field) }

// maxSpan bounds durations: an hour of timeout is a typing error.
const maxSpan = time.Hour

func span(field func(*Set) *time.Duration) func(*Set, string) error {
	return func(s *Set, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 || d > maxSpan {
			return errNotAccepted
		}
		*field(s) = d
		return nil
	}
}

func count(low, high int, field func(*Set) *int) func(*Set, string) error {
	return func(s *Set, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high {
			return errNotAccepted
		}
		*field(s) = n
		return nil
	}
}

func budget(s *Set, v string) error {
	if v == "off" {
		s.RetryBudget = 0
		return nil
	}
	r, err := strconv.ParseFloat(v, 64)
	if err != nil || !(r > 0 && r <= 1) {
		return errNotAccepted
	}
	s.RetryBudget = r
	return nil
}

// policies reads one policy for every route, or a list route:policy. Routes
// that a list does not name keep their value.
func policies(s *Set, v string) error {
	next := map[Route]Policy{}
	for r, p := range s.OnRedisError {
		next[r] = p
	}
	for part := range strings.SplitSeq(v, ",") {
		route, policy, listed := strings.Cut(strings.TrimSpace(part), ":")
		if !listed {
			policy = route
		}
		p := Policy(policy)
		if p != PolicyOpen && p != PolicyClosed && p != PolicyLocal {
			return errNotAccepted
		}
		switch r := Route(route); {
		case !listed:
			next[RoutePayments], next[RouteReads], next[RouteRefunds] = p, p, p
		case r == RoutePayments || r == RouteReads || r == RouteRefunds:
			next[r] = p
		default:
			return errNotAccepted
		}
	}
	s.OnRedisError = next
	return nil
}

var errNotAccepted = errors.New("value not accepted")
