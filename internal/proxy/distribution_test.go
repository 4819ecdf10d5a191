package proxy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// drawn are n sorted delays, in ms.
func drawn(s settings, n int) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]float64, n)
	for i := range all {
		all[i] = float64(s.drawLatency(r)) / float64(time.Millisecond)
	}
	slices.Sort(all)
	return all
}

// Quantiles of each distribution, against the closed forms that docs/proxy.md promises.
func TestDistributions(t *testing.T) {
	const n = 100_000
	for _, c := range []struct {
		distribution    string
		latency, jitter time.Duration
		quantiles       map[float64]float64 // in ms
		least, most     float64
	}{
		{distUniform, 100 * time.Millisecond, 40 * time.Millisecond, map[float64]float64{0.25: 80, 0.5: 100, 0.75: 120}, 60, 140},
		{distNormal, 100 * time.Millisecond, 20 * time.Millisecond, map[float64]float64{0.1587: 80, 0.5: 100, 0.8413: 120, 0.9772: 140}, 0, 220},
		{distNormal, 10 * time.Millisecond, 10 * time.Millisecond, map[float64]float64{0.1: 0, 0.5: 10, 0.8413: 20}, 0, 70},
		{distLognormal, 100 * time.Millisecond, 100 * time.Millisecond, map[float64]float64{0.1587: 50, 0.5: 100, 0.8413: 200, 0.9772: 400}, 1, 20_000},
		{distPareto, 100 * time.Millisecond, 100 * time.Millisecond, map[float64]float64{0.5: 200, 0.75: 400, 0.9: 1000, 0.999: 20_000}, 100, 20_000},
		{distPareto, 100 * time.Millisecond, 20 * time.Millisecond, map[float64]float64{0.5: 120, 0.9: 100 * math.Pow(10, math.Log2(1.2))}, 100, 12_000},
		{distNormal, 50 * time.Millisecond, 0, map[float64]float64{0.1: 50, 0.9: 50}, 50, 50},
		{distPareto, time.Hour, time.Hour, map[float64]float64{0.5: 3_600_000}, 3_600_000, 3_600_000},
	} {
		t.Run(fmt.Sprint(c.distribution, c.latency, c.jitter), func(t *testing.T) {
			all := drawn(settings{latency: c.latency, jitter: c.jitter, distribution: c.distribution}, n)
			for q, want := range c.quantiles {
				if got := all[int(q*n)]; math.Abs(got-want) > 0.02*want+0.2 {
					t.Errorf("quantile %v is %.1f ms, want %.1f", q, got, want)
				}
			}
			if all[0] < c.least || all[n-1] > c.most {
				t.Errorf("from %v to %v ms, want %v to %v", all[0], all[n-1], c.least, c.most)
			}
		})
	}
}

// A distribution is shown unless it is stock's, survives an update, and delays really.
func TestDistributionOfALink(t *testing.T) {
	r := ours(t, Options{Seed: 3})
	p := r.proxyTo(t, serve(t, echo).addr())
	if _, err := p.AddToxic("x", "latency", "", 1, client.Attributes{"latency": 5, "jitter": 5, "distribution": "pareto"}); err != nil {
		t.Fatal(err)
	}
	tx, err := p.UpdateToxic("x", 1, client.Attributes{"jitter": 10})
	if err != nil || !reflect.DeepEqual(tx.Attributes, client.Attributes{"latency": 5.0, "jitter": 10.0, "distribution": "pareto"}) {
		t.Fatalf("%+v, %v", tx, err)
	}
	c := dial(t, p.Listen)
	for range 12 {
		if took := ping(t, c, "x"); took < 5*time.Millisecond {
			t.Errorf("%v, under the least", took)
		}
	}
	if n := r.counters(t).Toxics[0]; n.AddedMax < 20*time.Millisecond || n.AddedP50 < 6*time.Millisecond {
		t.Errorf("no tail: %+v", n)
	}
	if tx, err = p.UpdateToxic("x", 1, client.Attributes{"distribution": "uniform"}); err != nil || len(tx.Attributes) != 2 {
		t.Fatalf("%+v, %v", tx, err)
	}
}
