// Package cache talks to Redis as to a dependency that may be gone: each call
// has one bound that includes name lookup and dialling, and a breaker makes a
// dead Redis cost almost nothing.
package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.opentelemetry.io/otel/attribute"

	"chaos/targets/payments/guard"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
)

const (
	dependency = "redis"
	poolSize   = 16
	// dialPatience lets a dial go on after its caller gave up, so that a slow
	// name lookup serves the next caller.
	dialPatience = 500 * time.Millisecond
	// reopen is how long an open breaker waits before it tries Redis again.
	reopen = 500 * time.Millisecond
)

// Redis is a bounded connection to one Redis. The address is looked up on
// every dial, so a Redis that comes back at another address is found.
type Redis struct {
	addr    string
	timeout time.Duration
	client  atomic.Pointer[redis.Client]
	breaker *guard.Breaker
	metrics *telemetry.Metrics
}

// Open makes a Redis; it does not connect.
func Open(addr string, s switches.Set, m *telemetry.Metrics) *Redis {
	r := &Redis{addr: addr, timeout: s.RedisTimeout, metrics: m}
	r.client.Store(r.connect())
	if s.Breaker {
		t := guard.Trip{Window: 2 * time.Second, MinCalls: 20, Ratio: 0.5, Consecutive: 5, Open: reopen}
		r.breaker = guard.NewBreaker(dependency, t, m.Breaker, r.renew)
	}
	return r
}

func (r *Redis) connect() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: r.addr, Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: max(r.timeout, dialPatience),
		ReadTimeout: r.timeout, WriteTimeout: r.timeout, PoolTimeout: r.timeout, ContextTimeoutEnabled: true,
		PoolSize: poolSize, MaxActiveConns: poolSize,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// renew throws away connections that may lead to an address where nobody is.
func (r *Redis) renew() {
	old := r.client.Swap(r.connect())
	go func() { _ = old.Close() }() // may wait for dials; its connections are dead anyway
}

// Close ends all connections.
func (r *Redis) Close() error {
	if err := r.client.Load().Close(); err != nil {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}

// do runs one call within the bound. redis.Nil is a success.
func (r *Redis) do(ctx context.Context, call func(context.Context, *redis.Client) error) error {
	done, err := r.breaker.Allow()
	if err != nil {
		r.count("open")
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()
	ctx, span := telemetry.Step(ctx, dependency, telemetry.Calling, attribute.String("dependency", dependency), attribute.String("peer.service", dependency),
		attribute.String("db.system", "redis"))
	err = call(ctx, r.client.Load())
	outcome := "ok"
	if err != nil && !errors.Is(err, redis.Nil) {
		outcome = "error"
	}
	span.Done(outcome)
	if errors.Is(err, redis.Nil) {
		done(nil)
		r.count("ok")
		return err
	}
	done(err)
	if err != nil {
		r.count("error")
		return fmt.Errorf("redis: %w", err)
	}
	r.count("ok")
	return nil
}

func (r *Redis) count(outcome string) {
	r.metrics.Attempts.WithLabelValues(dependency, "1", outcome).Inc()
}

// takeScript is a token bucket on Redis's clock: rate per second, burst of one
// second. It answers 1 for admitted, or minus the milliseconds to wait.
const takeScript = `
local rate = tonumber(ARGV[1])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local b = redis.call('HMGET', KEYS[1], 'n', 't')
local n = tonumber(b[1]) or rate
local last = tonumber(b[2]) or now
n = math.min(rate, n + math.max(0, now - last) * rate / 1000)
local answer = 1
if n < 1 then
  answer = -math.ceil((1 - n) * 1000 / rate)
else
  n = n - 1
end
redis.call('HSET', KEYS[1], 'n', tostring(n), 't', now)
redis.call('PEXPIRE', KEYS[1], 5000)
return answer`

// Take asks the shared token bucket of a name. When refused, wait says when a
// token will be there.
func (r *Redis) Take(ctx context.Context, name string, rate int) (admitted bool, wait time.Duration, err error) {
	var answer int64
	err = r.do(ctx, func(ctx context.Context, c *redis.Client) (err error) {
		answer, err = redis.NewScript(takeScript).Run(ctx, c, []string{"quota:" + name}, rate).Int64()
		return err
	})
	if err != nil {
		return false, 0, err
	}
	return answer == 1, time.Duration(-answer) * time.Millisecond, nil
}

// putScript stores a value unless a newer version is there: a reader that was
// overtaken by a writer cannot bring an old state back.
const putScript = `
local v = redis.call('HGET', KEYS[1], 'v')
if v and tonumber(v) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'b', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`

// Put stores a version of a value for some time.
func (r *Redis) Put(ctx context.Context, key string, version int, value []byte, keep time.Duration) error {
	return r.do(ctx, func(ctx context.Context, c *redis.Client) error {
		return redis.NewScript(putScript).Run(ctx, c, []string{key}, strconv.Itoa(version), value, keep.Milliseconds()).Err()
	})
}

// Get returns a value; ok is false when there is none.
func (r *Redis) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	err = r.do(ctx, func(ctx context.Context, c *redis.Client) (err error) {
		value, err = c.HGet(ctx, key, "b").Bytes()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	return value, err == nil, err
}
