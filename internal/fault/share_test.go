package fault_test

import (
	"math"
	"testing"

	"chaos/internal/fault"
)

// TestLikelyShare: at the borders, which were computed by hand from the binomial distribution's table.
func TestLikelyShare(t *testing.T) {
	for _, c := range []struct {
		k, n, asked float64
		want        bool
	}{
		{3, 3, 1, true}, {0, 3, 0.5, true}, {6, 6, 0.1, true}, {8, 8, 0.1, false}, // 0.1^6 = 1e-6, 0.1^8 = 1e-8
		{8, 20, 1, false}, {39, 200, 0.3, true}, {20, 200, 0.3, false}, // P(K ≤ 39) = 5e-4, P(K ≤ 20) = 5e-12
		{500, 500, 1, true}, {400, 500, 1, true}, {371, 500, 1, false}, {375, 500, 1, true},
		{0, 1000, 0.1, false}, {100, 1000, 0.1, true}, {200, 1000, 0.1, false}, {10, 9, 1, true},
	} {
		if got := fault.LikelyShare(c.k, c.n, c.asked); got != c.want {
			t.Errorf("%v of %v at %v: %v", c.k, c.n, c.asked, got)
		}
	}
}

// A share that is delivered exactly is next to never called short: over all that may be counted, weighted with how
// likely it is. So a measurement in two directions is red by luck less than once in a million times.
func TestAnExactShareIsHardlyEverRefused(t *testing.T) {
	most := 0.0
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 50, 100, 200, 500, 1000, 5000, 20_000} {
		for _, share := range []float64{0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 1} {
			refused := 0.0
			for k := range n + 1 {
				if !fault.LikelyShare(float64(k), float64(n), share) {
					refused += pmf(k, n, share)
				}
			}
			most = max(most, refused)
			if refused > 2e-7 {
				t.Errorf("%d calls at %v: refused with probability %.2g", n, share, refused)
			}
		}
	}
	if most == 0 {
		t.Error("nothing was ever refused: the test proves nothing")
	}
	for _, n := range []float64{1000, 5000, 20_000} { // and half of what was asked is seen
		for _, share := range []float64{0.1, 0.3, 0.5, 1} {
			if fault.LikelyShare(math.Round(n*share/2), n, share) {
				t.Errorf("half of %v of %v calls is taken for all of it", share, n)
			}
		}
	}
}

// pmf is the binomial probability of k of n, by its definition.
func pmf(k, n int, share float64) float64 {
	if share == 1 {
		return map[bool]float64{true: 1}[k == n]
	}
	gamma := func(x int) float64 { l, _ := math.Lgamma(float64(x) + 1); return l }
	return math.Exp(gamma(n) - gamma(k) - gamma(n-k) + float64(k)*math.Log(share) + float64(n-k)*math.Log1p(-share))
}
