package guard

import (
	"strconv"
	"time"

	"chaos/targets/payments/switches"
	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

// Instances makes a client for the instances of a service, each behind a breaker
// of its own when there are several: one alone has nobody to stand in for it.
func Instances(name string, urls []string, s switches.Set, m *telemetry.Metrics) *wire.Balanced {
	var endpoints []*wire.Endpoint
	for i, u := range urls {
		e := &wire.Endpoint{Client: wire.NewClient(u)}
		if s.Breaker && len(urls) > 1 {
			b := NewBreaker(name+"-"+strconv.Itoa(i+1), Trip{Window: 10 * time.Second, MinCalls: 20, Ratio: 0.5, Open: 5 * time.Second}, m.Breaker, nil)
			e.Permit = b.Allow
		}
		endpoints = append(endpoints, e)
	}
	return wire.NewBalanced(endpoints...)
}
